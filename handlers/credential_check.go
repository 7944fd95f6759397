package handlers

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"hongyan/models"
	"hongyan/push"
	"hongyan/web"
)

// testTimeout bounds a test, so that the page answers before the browser gives up.
const testTimeout = 10 * time.Second

// testCredential is 测试凭证: it asks the vendor, which sends to nobody. A yes or a
// refusal is recorded on the credential; anything else is only told.
func (h *console) testCredential(where place) echo.HandlerFunc {
	return func(ctx echo.Context) error {
		at, err := where(ctx)
		if err != nil {
			return err
		}
		id, err := idParam(ctx, "credential")
		if err != nil {
			return err
		}
		r, err := h.proveCredential(ctx.Request().Context(), h.actor(ctx), at, id)
		if err != nil {
			return err
		}
		switch r.Outcome {
		case push.Accepted:
			web.Flash(ctx, web.T(ctx, "credentials.test_ok"), web.T(ctx, "credentials.test_ok_detail", "Milliseconds", r.Elapsed.Milliseconds()))
		case push.BadCredential:
		default:
			keepAnswers(ctx, at, testAnswer{ID: id, Code: r.Code, Said: push.SaidIn(r.Text)})
		}
		return web.SeeOther(ctx, at.back)
	}
}

// proveCredential tests one credential and records a yes or a refusal on it.
func (h *console) proveCredential(ctx context.Context, who models.Actor, at credentialPlace, id int64) (push.Result, error) {
	k, fields, err := h.Store.CredentialFields(ctx, who, at.owner, id)
	if err != nil {
		return push.Result{}, err
	}
	topic, lacks, err := h.testTopic(ctx, who, at, k)
	switch {
	case err != nil:
		return push.Result{}, err
	case lacks != "":
		return push.Result{Outcome: push.Retry, Code: lacks}, nil
	}
	r := h.checkCredential(ctx, k, fields, topic, func(ctx context.Context, s push.Sender) push.Result { return s.Check(ctx) })
	code := r.Code
	switch r.Outcome {
	case push.Accepted:
		code = ""
	case push.BadCredential:
	default:
		return r, nil
	}
	_, err = h.Store.CredentialTested(ctx, who, at.owner, k.ID, k.Revision, code, r.Text)
	return r, err
}

// testsAtOnce is how many credentials are tested at a time, keptTests how many answers
// that were neither yes nor no the page tells of.
const (
	testsAtOnce = 8
	keptTests   = 20
)

// testCredentials is 测试全部 of the vendor channels. Its end is told as the cards'
// states; only when every vendor said yes is there a word of success.
func (h *console) testCredentials(where place) echo.HandlerFunc {
	return func(ctx echo.Context) error {
		at, err := where(ctx)
		if err != nil {
			return err
		}
		std, who := ctx.Request().Context(), h.actor(ctx)
		rows, err := h.Store.Credentials(std, who, at.owner)
		if err != nil {
			return err
		}
		rows = slices.DeleteFunc(rows, func(k models.Credential) bool { return k.Channel == string(push.APNs) })
		results, err := h.proveAll(std, who, at, rows)
		if err != nil {
			return err
		}
		var open []testAnswer
		passed := 0
		for i, r := range results {
			switch r.Outcome {
			case push.Accepted:
				passed++
			case push.BadCredential:
			default:
				if len(open) < keptTests {
					open = append(open, testAnswer{ID: rows[i].ID, Code: r.Code, Said: push.SaidIn(r.Text)})
				}
			}
		}
		if len(open) > 0 {
			keepAnswers(ctx, at, open...)
		}
		if passed == len(rows) && passed > 0 {
			web.Flash(ctx, web.Tn(ctx, "channel.all_ok", passed), web.T(ctx, "channel.all_ok_detail"))
		}
		return web.SeeOther(ctx, at.back)
	}
}

// proveAll tests rows, some at a time, within the time of two tests. The results stand
// in the order of rows; one that was changed or deleted meanwhile has none of its own.
func (h *console) proveAll(ctx context.Context, who models.Actor, at credentialPlace, rows []models.Credential) ([]push.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*testTimeout)
	defer cancel()
	results, faults := make([]push.Result, len(rows)), make([]error, len(rows))
	free := make(chan struct{}, testsAtOnce)
	var running sync.WaitGroup
	for i := range rows {
		free <- struct{}{}
		running.Go(func() {
			defer func() { <-free }()
			if results[i] = (push.Result{Outcome: push.Retry, Code: push.CodeTimeout}); ctx.Err() != nil {
				return
			}
			r, err := h.proveCredential(ctx, who, at, rows[i].ID)
			switch {
			case err == nil:
				results[i] = r
			case ctx.Err() == nil && models.KindOf(err) != models.NotFound && models.KindOf(err) != models.Conflict:
				faults[i] = err
			}
		})
	}
	running.Wait()
	return results, errors.Join(faults...)
}

// checkCredential asks the vendor, or the simulator for a key of the sandbox, what
// prove asks about the app of topic.
func (h *console) checkCredential(ctx context.Context, k *models.Credential, fields map[string]models.Secret, topic string, prove func(context.Context, push.Sender) push.Result) push.Result {
	spec, ok := h.spec(k.Channel)
	if !ok {
		return push.Result{Outcome: push.Retry, Code: push.CodeNetwork}
	}
	o := push.Options{Environment: push.Environment(k.Environment), Timeout: testTimeout, Topic: topic}
	if spec.Channel == push.WebPush {
		o.DialControl = h.DialControl // the others call no address that anybody brings
	}
	if k.Environment == models.EnvironmentSandbox {
		o.DialControl = nil
		if h.Simulator == nil {
			return push.Result{Outcome: push.Retry, Code: push.CodeNetwork}
		}
		sim, ok := h.Simulator(spec.Channel)
		if !ok {
			return push.Result{Outcome: push.Retry, Code: push.CodeNetwork}
		}
		o.Endpoint, o.RootCAs, o.Environment = sim.Endpoint, sim.RootCAs, push.Production
	}
	plain := make(map[string]string, len(fields))
	for key, v := range fields {
		plain[key] = v.Reveal()
	}
	sender, err := spec.Open(ctx, plain, o)
	if err != nil {
		var fault *push.FieldError
		if errors.As(err, &fault) {
			return push.Result{Outcome: push.BadCredential, Code: fault.Code, Text: "the stored credential does not open"}
		}
		return push.Result{Outcome: push.Retry, Code: push.CodeNetwork}
	}
	defer sender.Close()
	ctx, cancel := context.WithTimeout(ctx, testTimeout)
	defer cancel()
	return prove(ctx, sender)
}
