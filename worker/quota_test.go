package worker

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"testing"
	"time"

	"hongyan/models"
	"hongyan/push"
)

// quotas is a vendor that has used up the daily quota of some keys.
type quotas struct {
	vendor
	used map[string]bool // by key id; not changed once sending has begun
}

// quotaSender sends with one key.
type quotaSender struct {
	*quotas
	key string
}

func (q *quotaSender) Send(ctx context.Context, m push.Message, ts []push.Target) []push.Result {
	if q.used[q.key] {
		return push.Fill(len(ts), push.Result{Outcome: push.Throttled, Code: "dayLimit", RetryAfter: 5 * time.Hour})
	}
	return q.vendor.Send(ctx, m, ts)
}

func (q *quotas) spec(c push.Channel) (push.Spec, bool) {
	return push.Spec{Channel: c, Open: func(_ context.Context, fields map[string]string, _ push.Options) (push.Sender, error) {
		return &quotaSender{q, fields["key_id"]}, nil
	}}, c == push.APNs
}

// While a daily quota is used up, messages wait for the next day. Good keys alone do
// not end that, nor does another rate; other keys, saved in another process, do at
// once.
func TestNewKeyEndsRest(t *testing.T) {
	eachSite(t, func(t *testing.T, s *site) {
		ctx, owner, console := t.Context(), models.AppOwner(s.appID), s.process()
		q := &quotas{used: map[string]bool{"OLD": true}}
		in := models.CredentialInput{
			Channel: "apns", Environment: models.EnvironmentSandbox, Kind: "p8", Fields: map[string]string{"key_id": "OLD", "p8": "secret"},
		}
		_, err := console.SaveCredentials(ctx, s.who, owner, in)
		s.must(err)
		s.device(1, "alice")
		s.device(2, "bob")
		var o Options
		s.fill(&o)
		o.Registry = q.spec
		s.start(New(o))

		ids := []string{s.accept("alice", "1"), s.accept("bob", "2"), s.accept("alice", "3")}
		waits := func() bool {
			return !slices.ContainsFunc(ids, func(id string) bool {
				m := s.message(id)
				return len(m.Deliveries) != 1 || m.Deliveries[0].State != models.StatePending || m.Deliveries[0].Reason != models.ReasonThrottled
			})
		}
		s.eventually(10*time.Second, "all wait", waits)
		now := func() models.Credential {
			t.Helper()
			rows, err := console.Credentials(ctx, s.who, owner)
			s.must(err)
			if len(rows) != 1 {
				t.Fatalf("%d credentials", len(rows))
			}
			return rows[0]
		}
		waiting := func(what string, want int64) {
			t.Helper()
			n, err := console.CredentialsWaiting(ctx, s.scope, []int64{now().ID})
			s.must(err)
			if n[now().ID] != want {
				t.Errorf("%s: %d wait, want %d", what, n[now().ID], want)
			}
		}
		if k := now(); k.RestUntil == nil || k.RestCode != "dayLimit" {
			t.Fatalf("the rest is not noted: %v %q", k.RestUntil, k.RestCode)
		}
		waiting("at rest", 3)

		_, err = console.CredentialTested(ctx, s.who, owner, now().ID, now().Revision, "", "")
		s.must(err)
		rated := in
		rated.Rate = 50
		_, err = console.SaveCredentials(ctx, s.who, owner, rated)
		s.must(err)
		if k := now(); k.RestUntil == nil || k.State != models.CredentialUntested || k.Revision != 3 {
			t.Errorf("after a test and another rate: rest %v, %s, revision %d", k.RestUntil, k.State, k.Revision)
		}
		// What comes then waits as well, without asking the vendor.
		ids = append(ids, s.accept("bob", "4"))
		s.eventually(10*time.Second, "the fourth waits", waits)
		waiting("with another rate", 4)
		if n := len(q.list()); n != 0 {
			t.Errorf("%d pushes accepted by a used-up quota", n)
		}

		other := in
		other.Fields = maps.Clone(in.Fields)
		other.Fields["key_id"] = "NEW"
		began := time.Now()
		_, err = console.SaveCredentials(ctx, s.who, owner, other)
		s.must(err)
		ids = append(ids, s.accept("alice", "5"))
		// A message may be taken up with settings that are a second old; upkeep finds it.
		sent := func(some []string) func() bool {
			return func() bool {
				return !slices.ContainsFunc(some, func(id string) bool { return !s.settled(id, models.StateAccepted) })
			}
		}
		s.eventually(15*time.Second, "what waited is sent with the new key", sent(ids[:4]))
		t.Logf("what waited was sent %v after the new key was saved", time.Since(began).Round(10*time.Millisecond))
		s.eventually(15*time.Second, "all sent with the new key", sent(ids))
		t.Logf("all %d were sent %v after the new key was saved", len(ids), time.Since(began).Round(10*time.Millisecond))
		if k := now(); k.RestUntil != nil || k.RestCode != "" {
			t.Errorf("the rest goes on: %v %q", k.RestUntil, k.RestCode)
		}
		waiting("afterwards", 0)
		s.private()
	})
}

// An address that the vendor turns out not to know costs no message: it goes again
// without the address, and no other one carries it.
func TestReceiptRefused(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.device(1, "alice")
		r.device(2, "bob")
		r.control.change(func(s *models.SendConfig) {
			s.Credentials[0].Receipt, s.Credentials[0].ReceiptOn = "path", true
		})
		r.vendor.set(func(_ context.Context, s sent) push.Result {
			if s.msg.ReceiptURL != "" {
				return push.Result{Outcome: push.BadMessage, Code: "65038"}
			}
			return push.Result{Outcome: push.Accepted, Quota: push.Quota{Limit: 50, Used: 7}}
		})
		r.w = build(Options{Owner: "one", Log: slog.New(slog.DiscardHandler), Registry: func(c push.Channel) (push.Spec, bool) {
			spec, ok := r.vendor.spec(c)
			spec.ReceiptSetup, spec.ReceiptRefused = push.ReceiptBoth, []string{"65038"}
			return spec, ok
		}, ReceiptURL: func(_, channel string, secret models.Secret, _ bool) string {
			return "https://push.example/receipts/" + channel + "/" + secret.Reveal()
		}}, r.control, []Database{r.db})
		r.start()
		first := r.message("alice")
		r.accept(first)
		r.wait(5 * time.Second)
		r.state(first, 1, models.StateAccepted, "")
		second := r.message("bob")
		r.accept(second)
		r.wait(5 * time.Second)
		r.state(second, 2, models.StateAccepted, "")
		var with []bool
		for _, s := range r.vendor.list() {
			with = append(with, s.msg.ReceiptURL != "")
		}
		if !slices.Equal(with, []bool{true, false, false}) {
			t.Errorf("pushes with the address: %v", with)
		}
		if !slices.Equal(r.control.refused, []string{"65038"}) || r.control.quota != (models.Quota{Limit: 50, Used: 7}) {
			t.Errorf("told of %v, quota %v", r.control.refused, r.control.quota)
		}

		// Activated again, the address is sent at once.
		r.control.change(func(s *models.SendConfig) { s.Credentials[0].ReceiptOn = true })
		r.vendor.set(nil)
		third := r.message("alice")
		r.accept(third)
		r.wait(5 * time.Second)
		if list := r.vendor.list(); len(list) != 4 || list[3].msg.ReceiptURL != "https://push.example/receipts/apns/path" {
			t.Errorf("%d pushes, the last with %q", len(list), list[len(list)-1].msg.ReceiptURL)
		}
		r.stop()
	})
}
