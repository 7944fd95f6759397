// Package pushtest is the suite that every channel must pass: what package push
// promises, tried against a simulator of the vendor over a real connection. A
// channel's test supplies a Harness and calls Run; a channel that does not pass is
// not merged.
package pushtest

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"hongyan/push"
)

// Harness is a channel connected to a simulator of its vendor.
type Harness struct {
	Spec push.Spec
	// Fields is a good credential, Options where the simulator is.
	Fields  map[string]string
	Options push.Options
	// Secrets must never show in a result or an error, beside Fields' secrets.
	Secrets []string
	// Target makes the n-th healthy target; each n is another device.
	Target func(n int) push.Target
	// BadToken is a token the channel must refuse by itself; "" if any goes.
	BadToken string
	// Answer makes the simulator answer every request from now on with something
	// that means a; Answer{Outcome: push.Accepted} makes it well again.
	Answer func(a Answer)
	// Kill makes the simulator call one target dead.
	Kill func(t push.Target)
	// Freeze stops the simulator from answering until called with false.
	Freeze func(on bool)
	// Cut breaks every connection.
	Cut func()
	// Received is how many requests the simulator has seen.
	Received func() int
}

// Answer is what the simulator shall say.
type Answer struct {
	Outcome    push.Outcome
	RetryAfter time.Duration
}

// patience is how long past its own limits a call may take on a busy machine.
const patience = 5 * time.Second

// short is the timeout of senders that will meet a frozen vendor.
const short = 300 * time.Millisecond

// Run runs the suite; start makes a fresh harness for each part.
func Run(t *testing.T, start func(t *testing.T) Harness) {
	t.Helper()
	for _, part := range []struct {
		name string
		run  func(*suite)
	}{
		{"spec", (*suite).spec},
		{"fields", (*suite).fields},
		{"order", (*suite).order},
		{"outcomes", (*suite).outcomes},
		{"throttled keeps the wait", (*suite).wait},
		{"no targets", (*suite).none},
		{"timeout", (*suite).timeout},
		{"cancel", (*suite).cancel},
		{"cut connection", (*suite).cut},
		{"odd input", (*suite).odd},
		{"too large", (*suite).tooLarge},
		{"long body", (*suite).longBody},
		{"bad token", (*suite).badToken},
		{"concurrent use", (*suite).concurrent},
		{"check", (*suite).check},
		{"close", (*suite).close},
	} {
		t.Run(part.name, func(t *testing.T) { part.run(&suite{T: t, Harness: start(t)}) })
	}
}

type suite struct {
	*testing.T
	Harness
}

// open returns a sender that is closed after the test.
func (s *suite) open(o push.Options) push.Sender {
	s.Helper()
	sender, err := s.Spec.Open(context.Background(), s.Fields, o)
	if err != nil {
		s.Fatalf("open: %v", err)
	}
	s.Cleanup(sender.Close)
	return sender
}

// send sends and checks what holds for every result.
func (s *suite) send(ctx context.Context, sender push.Sender, m push.Message, ts ...push.Target) []push.Result {
	s.Helper()
	rs := sender.Send(ctx, m, ts)
	if len(rs) != len(ts) {
		s.Fatalf("%d results for %d targets", len(rs), len(ts))
	}
	for i, r := range rs {
		s.judge(fmt.Sprintf("result %d", i), r, ts[i])
	}
	return rs
}

func (s *suite) judge(name string, r push.Result, t push.Target) {
	s.Helper()
	if r.Outcome.String() == "invalid" {
		s.Errorf("%s: no outcome: %+v", name, r)
	}
	if r.Outcome == push.Accepted {
		if r.RetryAfter != 0 || !r.DeadSince.IsZero() || r.DeviceOnly || r.KeepToken {
			s.Errorf("%s: accepted, yet more is said: %+v", name, r)
		}
	} else if r.Code == "" || r.Text == "" {
		s.Errorf("%s: no code or text: %+v", name, r)
	}
	if r.DeviceOnly && r.Outcome != push.Throttled && r.Outcome != push.Retry || r.KeepToken && r.Outcome != push.BadTarget {
		s.Errorf("%s: flag does not fit the outcome: %+v", name, r)
	}
	secrets := append([]string{marker}, s.secrets()...)
	if len(t.Token) >= 8 {
		secrets = append(secrets, t.Token)
	}
	AssertNoSecret(s, secrets, r)
}

// secrets are the credential's secret fields and what the harness names.
func (s *suite) secrets() []string {
	out := append([]string(nil), s.Secrets...)
	for _, f := range s.Spec.Fields {
		if f.Kind == push.FieldSecret || f.Kind == push.FieldFile {
			out = append(out, s.Fields[f.Key])
		}
	}
	return out
}

// marker stands in titles and bodies, which must not come back in results.
const marker = "do-not-repeat-this"

func hello() push.Message {
	return push.Message{Kind: push.Alert, Title: marker, Body: marker, HighPriority: true}
}

func (s *suite) targets(n int) []push.Target {
	out := make([]push.Target, n)
	for i := range out {
		out[i] = s.Target(i)
	}
	return out
}

// minSecret is the shortest piece looked for; shorter ones occur by chance.
const minSecret = 8

// AssertNoSecret fails when a secret, or a line of one, shows in any way v can be
// printed or logged.
func AssertNoSecret(t testing.TB, secrets []string, vs ...any) {
	t.Helper()
	for _, v := range vs {
		text := fmt.Sprintf("%v\n%+v\n%#v", v, v, v)
		if err, ok := v.(error); ok {
			text += "\n" + err.Error()
		}
		if j, err := json.Marshal(v); err == nil {
			text += "\n" + string(j)
		}
		for _, s := range secrets {
			for _, line := range strings.Split(s, "\n") {
				if line = strings.TrimSpace(line); len(line) >= minSecret && strings.Contains(text, line) {
					t.Errorf("a secret shows in %T", v) // not which, not where
				}
			}
		}
	}
}
