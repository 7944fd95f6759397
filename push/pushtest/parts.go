package pushtest

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"regexp"
	"strings"
	"time"

	"hongyan/push"
)

func (s *suite) spec() {
	if s.Spec.Channel == "" || s.Spec.Open == nil || s.Spec.Inspect == nil || len(s.Spec.Environments) == 0 {
		s.Errorf("incomplete: %+v", s.Spec)
	}
	if s.Spec.Limits.TargetsPerRequest < 1 {
		s.Error("no limit of targets")
	}
	seen := map[string]bool{}
	for _, f := range s.Spec.Fields {
		if seen[f.Key] || !regexp.MustCompile(`^[a-z][a-z0-9_]*$`).MatchString(f.Key) {
			s.Errorf("field key %q", f.Key)
		}
		seen[f.Key] = true
		if f.MaxBytes <= 0 {
			s.Errorf("field %s has no limit", f.Key)
		}
		if _, err := regexp.Compile(f.Pattern); err != nil {
			s.Errorf("field %s: %v", f.Key, err)
		}
	}
	if len(s.Spec.Codes) == 0 {
		s.Error("no table of codes")
	}
	for code, c := range s.Spec.Codes {
		if c.Outcome.String() == "invalid" || !strings.HasPrefix(c.Doc, "https://") {
			s.Errorf("code %s: %+v", code, c)
		}
	}
}

// fields: a faulty field is named, and nothing of it is repeated.
func (s *suite) fields() {
	if _, err := s.Spec.Inspect(s.Fields, s.Options.Topic, time.Now()); err != nil {
		s.Fatalf("inspect a good credential: %v", err)
	}
	for _, f := range s.Spec.Fields {
		if s.Fields[f.Key] == "" {
			continue
		}
		for _, bad := range []string{"", "\x00" + marker, strings.Repeat(marker, f.MaxBytes)} {
			if bad == "" && !f.Required {
				continue
			}
			fields := maps.Clone(s.Fields)
			fields[f.Key] = bad
			sender, err := s.Spec.Open(context.Background(), fields, s.Options)
			if err == nil {
				sender.Close()
				if f.Pattern != "" || f.Kind == push.FieldFile {
					s.Errorf("field %s: %.20q was taken", f.Key, bad)
				}
				continue
			}
			var fe *push.FieldError
			if !errors.As(err, &fe) || fe.Code == "" || fe.Field == "" {
				s.Errorf("field %s: %v is no FieldError", f.Key, err)
			}
			AssertNoSecret(s, append([]string{marker}, s.secrets()...), err)
		}
	}
}

func (s *suite) order() {
	sender := s.open(s.Options)
	ts := s.targets(min(50, s.Spec.Limits.TargetsPerRequest))
	for i := range ts {
		if i%3 == 1 {
			s.Kill(ts[i])
		}
	}
	rs := s.send(context.Background(), sender, hello(), ts...)
	for i, r := range rs {
		want := push.Accepted
		if i%3 == 1 {
			want = push.BadTarget
		}
		if r.Outcome != want {
			s.Errorf("target %d: %+v, want %v", i, r, want)
		}
	}
}

func (s *suite) outcomes() {
	sender := s.open(s.Options)
	for _, o := range []push.Outcome{
		push.Accepted, push.Retry, push.Throttled, push.BadTarget, push.BadMessage, push.BadCredential, push.Accepted,
	} {
		s.Answer(Answer{Outcome: o})
		if r := s.send(context.Background(), sender, hello(), s.Target(0))[0]; r.Outcome != o {
			s.Errorf("%+v, want %v", r, o)
		}
	}
}

func (s *suite) wait() {
	sender := s.open(s.Options)
	s.Answer(Answer{Outcome: push.Throttled, RetryAfter: 7 * time.Second})
	if r := s.send(context.Background(), sender, hello(), s.Target(0))[0]; r.RetryAfter != 7*time.Second {
		s.Errorf("%+v, want a wait of 7s", r)
	}
}

func (s *suite) none() {
	if rs := s.open(s.Options).Send(context.Background(), hello(), nil); len(rs) != 0 {
		s.Errorf("%d results", len(rs))
	}
}

// timeout: a vendor that stops answering gives Retry in time, from a connection
// that is open and from one that cannot be opened.
func (s *suite) timeout() {
	o := s.Options
	o.Timeout = short
	for _, warm := range []bool{true, false} {
		sender := s.open(o)
		if warm {
			s.send(context.Background(), sender, hello(), s.Target(0))
		}
		s.Freeze(true)
		start := time.Now()
		for _, r := range s.send(context.Background(), sender, hello(), s.targets(min(5, s.Spec.Limits.TargetsPerRequest))...) {
			if r.Outcome != push.Retry || r.Code != push.CodeTimeout {
				s.Errorf("warm %v: %+v, want Retry %s", warm, r, push.CodeTimeout)
			}
		}
		if d := time.Since(start); d > short+patience {
			s.Errorf("warm %v: took %v", warm, d)
		}
		s.Freeze(false)
	}
}

func (s *suite) cancel() {
	sender := s.open(s.Options)
	gone, stop := context.WithCancel(context.Background())
	stop()
	if r := s.send(gone, sender, hello(), s.Target(0))[0]; r.Outcome != push.Retry {
		s.Errorf("cancelled before: %+v", r)
	}
	s.send(context.Background(), sender, hello(), s.Target(0))
	s.Freeze(true)
	defer s.Freeze(false)
	ctx, stop := context.WithCancel(context.Background())
	time.AfterFunc(50*time.Millisecond, stop)
	start := time.Now()
	for _, r := range s.send(ctx, sender, hello(), s.targets(min(5, s.Spec.Limits.TargetsPerRequest))...) {
		if r.Outcome != push.Retry {
			s.Errorf("cancelled: %+v", r)
		}
	}
	if d := time.Since(start); d > patience {
		s.Errorf("took %v to notice", d)
	}
}

// cut: a broken connection gives Retry at worst, and the sender recovers.
func (s *suite) cut() {
	sender := s.open(s.Options)
	s.send(context.Background(), sender, hello(), s.Target(0))
	s.Freeze(true)
	time.AfterFunc(50*time.Millisecond, func() { s.Cut(); s.Freeze(false) })
	for _, r := range s.send(context.Background(), sender, hello(), s.targets(min(20, s.Spec.Limits.TargetsPerRequest))...) {
		if r.Outcome != push.Retry && r.Outcome != push.Accepted {
			s.Errorf("%+v", r)
		}
	}
	for end := time.Now().Add(patience); ; {
		if s.send(context.Background(), sender, hello(), s.Target(0))[0].Outcome == push.Accepted {
			return
		}
		if time.Now().After(end) {
			s.Fatal("did not recover")
		}
	}
}

// odd: whatever comes in, every target gets a result and nothing panics.
func (s *suite) odd() {
	sender := s.open(s.Options)
	minus, huge := -1, 1<<40
	messages := map[string]push.Message{
		"nothing":    {},
		"no text":    {Kind: push.Alert},
		"kind":       {Kind: "telepathy", Title: "x"},
		"not utf-8":  {Kind: push.Alert, Title: "\xff\xfe", Body: "a\xc0\x80b", CollapseKey: "\xff", ThreadID: "\xff", Sound: "\xff"},
		"controls":   {Kind: push.Alert, Title: "\x00\x01\r\n", Body: "\u2028\u202e", CollapseKey: "a\r\nb: c", Category: "\n"},
		"badges":     {Kind: push.Badge, Badge: &minus},
		"huge badge": {Kind: push.Alert, Title: "x", Badge: &huge},
		"no badge":   {Kind: push.Badge},
		"silent":     {Kind: push.Silent, Title: "x", Badge: &minus, Sound: "x"},
		"level":      {Kind: push.Alert, Title: "x", InterruptionLevel: "shouting"},
		"critical":   {Kind: push.Alert, Title: "x", InterruptionLevel: "critical", Sound: "bell"},
		"past":       {Kind: push.Alert, Title: "x", ExpiresAt: time.Unix(0, 0)},
		"far":        {Kind: push.Alert, Title: "x", ExpiresAt: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)},
		"before":     {Kind: push.Alert, Title: "x", ExpiresAt: time.Date(-5, 1, 1, 0, 0, 0, 0, time.UTC)},
		"aps":        {Kind: push.Alert, Title: "x", Data: map[string]any{"aps": 1}},
		"channel":    {Kind: push.Alert, Title: "x", Data: map[string]any{"c": make(chan int)}},
		"data":       {Kind: push.Alert, Title: "x", Data: map[string]any{"": nil, "\xff": "\xff", "n": json.Number("1e400")}},
		"long key":   {Kind: push.Alert, Title: "x", CollapseKey: strings.Repeat("键", 100)},
	}
	for name, m := range messages {
		r := s.send(context.Background(), sender, m, s.Target(0))[0]
		if r.Outcome == push.Retry || r.Outcome == push.BadCredential {
			s.Errorf("message %s: %+v: odd content must not look like a passing fault", name, r)
		}
	}
	good := s.Target(0)
	for _, t := range []push.Target{
		{}, {Token: good.Token}, {Token: strings.Repeat("f", 100000), Topic: good.Topic},
		{Token: "../../x?y#z", Topic: good.Topic}, {Token: "a\r\nb", Topic: good.Topic},
		{Token: good.Token, Topic: "a\r\nb"}, {Token: good.Token, Topic: good.Topic, ID: "not a uuid\r\n"},
		{Token: good.Token, Topic: good.Topic, ID: good.ID, Badge: &minus},
	} {
		s.send(context.Background(), sender, hello(), t)
	}
}

// tooLarge: what can never fit is refused without being sent.
func (s *suite) tooLarge() {
	if s.Spec.Limits.PayloadBytes == 0 {
		s.Skip("no limit stated")
	}
	sender := s.open(s.Options)
	before := s.Received()
	m := hello()
	m.Data = map[string]any{"x": strings.Repeat("x", s.Spec.Limits.PayloadBytes)}
	if r := s.send(context.Background(), sender, m, s.Target(0))[0]; r.Outcome != push.BadMessage || r.Code != push.CodeTooLarge {
		s.Errorf("%+v, want BadMessage %s", r, push.CodeTooLarge)
	}
	if n := s.Received() - before; n != 0 {
		s.Errorf("%d requests were made", n)
	}
}

// longBody: a long text is cut or refused by us, never by the vendor.
func (s *suite) longBody() {
	sender := s.open(s.Options)
	m := hello()
	m.Body = strings.Repeat("长文本👩‍👩‍👧\"\n\x01", 5000)
	r := s.send(context.Background(), sender, m, s.Target(0))[0]
	if r.Outcome != push.Accepted && r.Code != push.CodeTooLarge {
		s.Errorf("%+v", r)
	}
}

func (s *suite) badToken() {
	if s.BadToken == "" {
		s.Skip("any token goes")
	}
	sender := s.open(s.Options)
	before := s.Received()
	t := s.Target(0)
	t.Token = s.BadToken
	if r := s.send(context.Background(), sender, hello(), t)[0]; r.Outcome != push.BadTarget || r.Code != push.CodeBadToken {
		s.Errorf("%+v, want BadTarget %s", r, push.CodeBadToken)
	}
	if n := s.Received() - before; n != 0 {
		s.Errorf("%d requests were made", n)
	}
}

// concurrent is for the race detector as much as for its own checks.
func (s *suite) concurrent() {
	sender := s.open(s.Options)
	dead := s.Target(1000)
	s.Kill(dead)
	done := make(chan []push.Result)
	const callers, each = 16, 10
	for c := range callers {
		go func() {
			var all []push.Result
			for i := range each {
				all = append(all, sender.Send(context.Background(), hello(), []push.Target{s.Target(c*each + i)})...)
				all = append(all, sender.Send(context.Background(), hello(), []push.Target{dead})...)
			}
			done <- all
		}()
	}
	n := map[push.Outcome]int{}
	for range callers {
		for _, r := range <-done {
			n[r.Outcome]++
		}
	}
	if n[push.Accepted] != callers*each || n[push.BadTarget] != callers*each {
		s.Errorf("outcomes %v, want %d accepted and as many bad_target", n, callers*each)
	}
}

func (s *suite) check() {
	sender := s.open(s.Options)
	if r := sender.Check(context.Background()); r.Outcome != push.Accepted {
		s.Errorf("good credential: %+v", r)
	}
	s.Answer(Answer{Outcome: push.BadCredential})
	r := sender.Check(context.Background())
	s.judge("check", r, push.Target{})
	if r.Outcome != push.BadCredential {
		s.Errorf("refused credential: %+v", r)
	}
}

func (s *suite) close() {
	sender := s.open(s.Options)
	s.send(context.Background(), sender, hello(), s.Target(0))
	sender.Close()
	sender.Close() // twice is once
	if r := s.send(context.Background(), sender, hello(), s.Target(0))[0]; r.Outcome != push.Retry {
		s.Errorf("after close: %+v", r)
	}
}
