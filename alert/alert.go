// Package alert tells people outside the console what needs them: it takes alerts from
// the outbox in models, writes them in the language of their account and in the format
// of whoever receives them (a JSON of ours, or the group robots of 企业微信, 钉钉 and
// 飞书), and records what came back. It knows nothing of pages and of sending messages
// to phones.
package alert

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"hongyan/models"
	"hongyan/push"
	"hongyan/views/locale"
)

// Bounds of one run and of one request.
const (
	timeout = 10 * time.Second
	// runDue is how many alerts a run takes, and runHook how many of them for one hook:
	// a run comes every Every, and robots take about 20 messages a minute.
	runDue, runHook = 500, 4
	// parallel is how many hooks are called at once, so that one that does not answer
	// does not hold up the others.
	parallel = 16
	// runTime ends a run; the next one goes on.
	runTime = 2 * time.Minute
	// conns is the most connections to one host.
	conns = 2
)

// Every is how often Deliver wants to run.
const Every = 15 * time.Second

// Options say how to make a Sender.
type Options struct {
	Store *models.Store
	Log   *slog.Logger
	// Now is the clock of signatures and of what is stored; nil for time.Now.
	Now func() time.Time
	// PublicURL is what links to the console start with; "" writes none.
	PublicURL string
	// Allow lists networks that hooks may reach although they are not public.
	Allow []netip.Prefix
	// RootCAs is a PEM bundle trusted in addition to the system's, for tests.
	RootCAs []byte
}

// Sender delivers alerts. It is safe for concurrent use.
type Sender struct {
	o     Options
	http  *push.HTTP
	words *locale.Bundle
}

// New returns a Sender. Its connections dial public addresses and those in o.Allow.
func New(o Options) (*Sender, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	h, err := push.NewHTTP(push.Options{
		DialControl: push.Guard(o.Allow), RootCAs: o.RootCAs, Timeout: timeout, MaxConns: conns, Now: o.Now,
	})
	if err != nil {
		return nil, fmt.Errorf("alert: %w", err)
	}
	words, err := locale.NewBundle(func(lang, key string) { o.Log.Warn("no sentence for key", "lang", lang, "key", key) })
	if err != nil {
		return nil, fmt.Errorf("alert: %w", err)
	}
	return &Sender{o: o, http: h, words: words}, nil
}

// Close ends requests under way.
func (s *Sender) Close() { s.http.Close() }

// Deliver sends what is due, once: the upkeep that calls it comes again. Alerts of one
// hook go one after the other, and after one that failed the rest of them waits.
func (s *Sender) Deliver(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, runTime)
	defer cancel()
	due, err := s.o.Store.DueAlerts(ctx, runDue, runHook)
	if err != nil || len(due) == 0 {
		return err
	}
	var hooks []int64
	byHook := map[int64][]models.DueAlert{}
	for _, d := range due {
		if !slices.Contains(hooks, d.HookID) {
			hooks = append(hooks, d.HookID)
		}
		byHook[d.HookID] = append(byHook[d.HookID], d)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var faults []error
	places := make(chan struct{}, parallel)
	for _, id := range hooks {
		places <- struct{}{}
		wg.Go(func() {
			defer func() { <-places }()
			if err := s.deliver(ctx, byHook[id]); err != nil {
				mu.Lock()
				faults = append(faults, err)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return errors.Join(faults...)
}

// deliver sends alerts of one hook until one fails.
func (s *Sender) deliver(ctx context.Context, due []models.DueAlert) error {
	for i := 0; i < len(due) && ctx.Err() == nil; i++ {
		d := &due[i]
		ours, err := s.o.Store.TakeAlert(ctx, &d.Alert)
		if err != nil {
			return err
		}
		if !ours {
			continue
		}
		r := models.AlertResult{Code: models.AlertCodeSealed, Final: true}
		if d.Target != nil {
			r = s.send(ctx, d.Target, &d.Alert)
		}
		// What came back is recorded even when the process is stopping.
		if err := s.o.Store.EndAlert(context.WithoutCancel(ctx), &d.Alert, r); err != nil {
			return err
		}
		if !r.OK {
			s.o.Log.Warn("alert not delivered", "alert", d.ID, "hook", d.HookID, "account", d.AccountID, "try", d.Tries, "code", r.Code)
			return nil
		}
	}
	return nil
}

// Test sends a test to one of the account's hooks now, on or off, and returns the row
// of the log that says what came back. NotFound; Forbidden without PermMain.
func (s *Sender) Test(ctx context.Context, who models.Actor, hookID int64) (*models.Alert, error) {
	t, err := s.o.Store.AlertTarget(ctx, who, hookID)
	if err != nil {
		return nil, err
	}
	now := s.o.Now().UTC()
	r := s.send(ctx, t, &models.Alert{AccountID: who.AccountID, HookID: hookID, Event: models.AlertTest, CreatedAt: now})
	return s.o.Store.LogAlertTest(context.WithoutCancel(ctx), who, hookID, r)
}

// send makes one request and reads what its answer says.
func (s *Sender) send(ctx context.Context, t *models.AlertTarget, a *models.Alert) models.AlertResult {
	f, ok := formats()[t.Hook.Kind]
	if !ok {
		return models.AlertResult{Code: models.AlertCodeSealed, Final: true}
	}
	ctx = locale.With(ctx, s.words.Localizer(t.Account.Language))
	req, err := f.request(t, s.note(ctx, t, a), s.o.Now())
	if err != nil {
		return models.AlertResult{Code: models.AlertCodeSealed, Final: true}
	}
	reply, fault := s.http.Do(ctx, http.MethodPost, req.url, req.header, req.body)
	if fault != nil {
		return models.AlertResult{Code: fault.Code}
	}
	r := f.answer(reply)
	r.Wait = reply.Wait
	if r.OK {
		return models.AlertResult{OK: true}
	}
	r.Text = push.Quote(r.Text, secretsOf(t)...)
	return r
}

// secretsOf are the parts of a hook that no quotation may share a piece with: where the
// address leads is no secret, the key in its path or query is.
func secretsOf(t *models.AlertTarget) []string {
	out := []string{t.Secret.Reveal()}
	_, rest, _ := strings.Cut(t.URL.Reveal(), "://")
	path, query, _ := strings.Cut(rest, "?")
	out = append(out, path[strings.LastIndex(path, "/")+1:])
	for pair := range strings.SplitSeq(query, "&") {
		if _, value, ok := strings.Cut(pair, "="); ok {
			out = append(out, value)
		}
	}
	return out
}
