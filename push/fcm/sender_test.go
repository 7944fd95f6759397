package fcm_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hongyan/push"
	"hongyan/push/fcm"
	"hongyan/sandbox"
)

// Every code of Google's tables, from the simulator's answer to our Result.
func TestCodes(t *testing.T) {
	l := newLab(t, sandbox.Config{})
	s := l.open(t)
	type row struct {
		outcome    push.Outcome
		code       string
		wait       time.Duration
		device, ok bool // DeviceOnly, KeepToken
	}
	rows := map[string]row{
		"UNREGISTERED":           {outcome: push.BadTarget, code: "UNREGISTERED"},
		"INVALID_ARGUMENT:token": {outcome: push.BadTarget, code: "INVALID_ARGUMENT:token"},
		"INVALID_ARGUMENT":       {outcome: push.BadMessage, code: "INVALID_ARGUMENT"},
		"INVALID_ARGUMENT:size":  {outcome: push.BadMessage, code: "INVALID_ARGUMENT"},
		"SENDER_ID_MISMATCH":     {outcome: push.BadTarget, code: "SENDER_ID_MISMATCH", ok: true},
		"UNAUTHENTICATED":        {outcome: push.BadCredential, code: "UNAUTHENTICATED"},
		"THIRD_PARTY_AUTH_ERROR": {outcome: push.BadTarget, code: "THIRD_PARTY_AUTH_ERROR", ok: true},
		"PERMISSION_DENIED":      {outcome: push.BadCredential, code: "PERMISSION_DENIED"},
		"NOT_FOUND":              {outcome: push.BadCredential, code: "NOT_FOUND"},
		"QUOTA_EXCEEDED":         {outcome: push.Throttled, code: "QUOTA_EXCEEDED", wait: time.Minute},
		"QUOTA_EXCEEDED:device":  {outcome: push.Throttled, code: "QUOTA_EXCEEDED", wait: time.Minute, device: true},
		"UNAVAILABLE":            {outcome: push.Retry, code: "UNAVAILABLE", wait: 10 * time.Second},
		"INTERNAL":               {outcome: push.Retry, code: "INTERNAL"},
		"UNSPECIFIED_ERROR":      {outcome: push.Retry, code: "UNSPECIFIED_ERROR"},
		"BAD_GATEWAY":            {outcome: push.Retry, code: push.CodeBadReply},
	}
	told := map[string]bool{"invalid_grant": true} // by the token endpoint, see TestTokenRefused
	for said, want := range rows {
		l.say(t, said)
		r := s.Send(context.Background(), hello(), []push.Target{target(0)})[0]
		got := row{r.Outcome, r.Code, r.RetryAfter, r.DeviceOnly, r.KeepToken}
		if got != want {
			t.Errorf("%s: %+v, want %+v", said, got, want)
		}
		if c, ok := fcm.Spec().Codes[r.Code]; r.Code != push.CodeBadReply && (!ok || c.Outcome != r.Outcome) {
			t.Errorf("%s: the table says %+v", r.Code, c)
		}
		told[r.Code] = true
	}
	// The simulator cannot say what its documents do not promise for a request.
	for code := range fcm.Spec().Codes {
		if !told[code] && strings.ToUpper(code) == code {
			t.Errorf("%s is in the table and was never said", code)
		}
	}
	l.set(t, sandbox.Settings{Mix: map[string]float64{"UNAVAILABLE": 100}, RetryAfter: 33 * time.Second})
	if r := s.Send(context.Background(), hello(), []push.Target{target(0)})[0]; r.Outcome != push.Retry || r.RetryAfter != 33*time.Second {
		t.Errorf("Retry-After: %+v", r)
	}
}

// A code added later, and answers in no format at all.
func TestUnknownAnswers(t *testing.T) {
	for _, c := range []struct {
		status int
		body   string
		want   push.Outcome
	}{
		{400, `{"error":{"code":400,"status":"NEW_THING"}}`, push.BadMessage},
		{403, `{"error":{"code":403,"status":"NEW_THING"}}`, push.BadCredential},
		{429, `{"error":{"code":429,"status":"NEW_THING"}}`, push.Throttled},
		{500, `{"error":{"code":500,"status":"NEW_THING"}}`, push.Retry},
		{404, `<html>not here</html>`, push.Retry},
		{404, `{"error":{"status":"NOT_FOUND"}}`, push.BadCredential},
		{429, ``, push.Throttled},
		{200, `{}`, push.Retry},
		{200, `[]`, push.Retry},
		{200, `{"name":""}`, push.Retry},
		{302, ``, push.Retry},
		{413, `too large`, push.BadMessage},
	} {
		l := newLab(t, sandbox.Config{})
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/token" {
				_, _ = w.Write([]byte(`{"access_token":"abcdefgh","expires_in":3599,"token_type":"Bearer"}`))
				return
			}
			w.Header().Set("Location", "/v2")
			w.WriteHeader(c.status)
			_, _ = w.Write([]byte(c.body))
		}))
		s, err := fcm.Open(context.Background(), l.fields, push.Options{Endpoint: server.URL})
		if err != nil {
			t.Fatal(err)
		}
		r := s.Send(context.Background(), hello(), []push.Target{target(0)})[0]
		if r.Outcome != c.want || r.Code == "" || r.Text == "" {
			t.Errorf("%d %s: %+v, want %v", c.status, c.body, r, c.want)
		}
		s.Close()
		server.Close()
	}
}

func TestTokenRefused(t *testing.T) {
	l := newLab(t, sandbox.Config{})
	l.accounts.Add(sandbox.Account{ID: project, Fields: map[string]string{"service_account": "{}"}}) // deleted at Google
	s := l.open(t)
	for _, r := range []push.Result{s.Check(context.Background()), s.Send(context.Background(), hello(), []push.Target{target(0)})[0]} {
		if r.Outcome != push.BadCredential || r.Code != "invalid_grant" {
			t.Errorf("%+v", r)
		}
	}
	if l.sim.Requests() != 0 {
		t.Error("something was sent without a token")
	}
	for _, c := range []struct {
		status int
		body   string
		want   push.Outcome
	}{
		{401, `{"error":"invalid_client"}`, push.BadCredential},
		{400, `{"error":"something_new"}`, push.BadCredential},
		{503, `{"error":"internal_failure"}`, push.Retry},
		{429, `{"error":"rate_limit_exceeded"}`, push.Throttled},
		{502, `<html>`, push.Retry},
		{200, `no JSON`, push.Retry},
		{200, `{"access_token":""}`, push.Retry},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/token" {
				t.Errorf("asked for %s", r.URL.Path)
			}
			w.WriteHeader(c.status)
			_, _ = w.Write([]byte(c.body))
		}))
		s, err := fcm.Open(context.Background(), l.fields, push.Options{Endpoint: server.URL})
		if err != nil {
			t.Fatal(err)
		}
		if r := s.Check(context.Background()); r.Outcome != c.want || r.Code == "" || r.Text == "" {
			t.Errorf("%d %s: %+v, want %v", c.status, c.body, r, c.want)
		}
		s.Close()
		server.Close()
	}
}

// An access token is fetched once for everybody, also after Google refused the last.
func TestOneTokenForAll(t *testing.T) {
	l := newLab(t, sandbox.Config{})
	s := l.open(t)
	burst := func() {
		t.Helper()
		done := make(chan push.Result)
		for i := range 100 {
			go func() { done <- s.Send(context.Background(), hello(), []push.Target{target(i)})[0] }()
		}
		for range 100 {
			if r := <-done; r.Outcome != push.Accepted {
				t.Errorf("%+v", r)
			}
		}
	}
	burst()
	if n := l.sim.Fetches(); n != 1 {
		t.Errorf("%d tokens fetched, want 1", n)
	}
	l.sim.Revoke()
	burst()
	if n := l.sim.Fetches(); n != 2 {
		t.Errorf("%d tokens fetched, want 2", n)
	}
	before := l.sim.Requests()
	l.say(t, "UNAUTHENTICATED")
	if r := s.Send(context.Background(), hello(), []push.Target{target(0)})[0]; r.Outcome != push.BadCredential || l.sim.Requests()-before != 2 {
		t.Errorf("%+v after %d requests, want one more try and no third", r, l.sim.Requests()-before)
	}
}

func TestOrderOverManyRequests(t *testing.T) {
	l := newLab(t, sandbox.Config{})
	s := l.open(t)
	states := []string{"", "UNREGISTERED", "SENDER_ID_MISMATCH", "", "QUOTA_EXCEEDED:device", "INVALID_ARGUMENT:token"}
	var ts []push.Target
	for i := range 600 {
		ts = append(ts, target(i))
		if err := l.sim.SetToken(ts[i].Token, sandbox.TokenState{Reason: states[i%len(states)]}); err != nil {
			t.Fatal(err)
		}
	}
	wants := []push.Outcome{push.Accepted, push.BadTarget, push.BadTarget, push.Accepted, push.Throttled, push.BadTarget}
	ids := map[string]bool{}
	for i, r := range s.Send(context.Background(), hello(), ts) {
		if r.Outcome != wants[i%len(wants)] {
			t.Errorf("target %d: %+v", i, r)
		}
		if r.Outcome == push.Accepted && (r.VendorID == "" || ids[r.VendorID] || strings.Contains(r.VendorID, "/")) {
			t.Errorf("target %d: vendor id %q", i, r.VendorID)
		}
		ids[r.VendorID] = true
	}
}

// The uploaded file's addresses are never used.
func TestAddressesOfTheFile(t *testing.T) {
	asked := 0
	thief := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked++ }))
	defer thief.Close()
	l := newLab(t, sandbox.Config{})
	file, err := sandbox.ServiceAccount(project, thief.URL+"/token", key())
	if err != nil {
		t.Fatal(err)
	}
	l.fields["service_account"] = string(file)
	if r := l.open(t).Check(context.Background()); r.Outcome != push.Accepted || asked != 0 {
		t.Errorf("%+v, and the file's address was asked %d times", r, asked)
	}
}

func TestCheckSendsNothing(t *testing.T) {
	l := newLab(t, sandbox.Config{})
	r := l.open(t).Check(context.Background())
	if r.Outcome != push.Accepted || r.Text == "" || l.inbox.Total() != 0 {
		t.Errorf("%+v, %d messages on phones", r, l.inbox.Total())
	}
}

func TestMessage(t *testing.T) {
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	l := newLab(t, sandbox.Config{})
	o := l.options()
	o.Now = func() time.Time { return now }
	s, err := fcm.Open(context.Background(), l.fields, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	five, nine := 5, 9
	m := push.Message{
		Kind: push.Alert, Title: "鸿雁 <b>", Body: "你好 & bye", Badge: &five, Sound: "default", CollapseKey: "c:1", Collapses: true, HighPriority: true,
		InterruptionLevel: "passive", ExpiresAt: now.Add(90 * time.Second), Data: map[string]any{"s": "x", "n": 7, "o": map[string]any{"a": []int{1}}, "z": nil},
	}
	ts := []push.Target{target(1), target(2)}
	ts[1].Badge = &nine
	for _, r := range s.Send(context.Background(), m, ts) {
		if r.Outcome != push.Accepted {
			t.Fatalf("%+v", r)
		}
	}
	for _, got := range l.inbox.List() {
		count := 5.0
		if got.Token == ts[1].Token {
			count = 9
		}
		want := map[string]any{
			"notification": map[string]any{"title": "鸿雁 <b>", "body": "你好 & bye"},
			"data":         map[string]any{"s": "x", "n": "7", "o": `{"a":[1]}`, "z": "null"},
			"android": map[string]any{
				"priority": "HIGH", "ttl": "90s", "collapse_key": "c:1",
				"notification": map[string]any{
					"channel_id": "im_messages", "tag": "c:1", "default_sound": true, "notification_count": count, "notification_priority": "PRIORITY_LOW",
				},
			},
		}
		var p map[string]any
		if err := json.Unmarshal(got.Payload, &p); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, p); d != "" {
			t.Error(d)
		}
	}
}

func TestMessageKinds(t *testing.T) {
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	l := newLab(t, sandbox.Config{Now: time.Now})
	o := l.options()
	o.Now = func() time.Time { return now }
	s, err := fcm.Open(context.Background(), l.fields, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	one := 1
	for name, c := range map[string]struct {
		m    push.Message
		want string // the payload, or our own code
	}{
		"silent": {push.Message{Kind: push.Silent, Data: map[string]any{"k": "v"}, HighPriority: true}, `{"android":{"priority":"NORMAL"},"data":{"k":"v"}}`},
		"channel": {
			push.Message{Kind: push.Alert, Title: "t", ChannelIDs: map[push.Channel]string{push.FCM: "calls"}, HighPriority: true},
			`{"android":{"priority":"HIGH","notification":{"channel_id":"calls"}},"notification":{"title":"t"}}`,
		},
		"badge":        {push.Message{Kind: push.Badge, Badge: &one}, push.CodeBadContent},
		"now or never": {push.Message{Kind: push.Alert, Title: "t", ExpiresAt: now}, `{"android":{"priority":"NORMAL","ttl":"0s","notification":{"channel_id":"im_messages"}},"notification":{"title":"t"}}`},
		"far":          {push.Message{Kind: push.Alert, Body: "b", Sound: "bell", ExpiresAt: now.AddDate(5, 0, 0)}, `{"android":{"priority":"NORMAL","ttl":"2419200s","notification":{"channel_id":"im_messages","sound":"bell"}},"notification":{"body":"b"}}`},
		"reserved keys": {
			push.Message{Kind: push.Alert, Title: "t", Data: map[string]any{"from": "x", "gcm": map[string]any{"n": 1}, "k": "v"}},
			`{"android":{"priority":"NORMAL","notification":{"channel_id":"im_messages"}},"data":{"hy_more":"{\"from\":\"x\",\"gcm\":{\"n\":1}}","k":"v"},"notification":{"title":"t"}}`,
		},
		"subtitle, of a message that is not collapsible": {
			push.Message{Kind: push.Alert, Title: "t", Subtitle: "s", Body: "b", CollapseKey: "m"},
			`{"android":{"priority":"NORMAL","notification":{"channel_id":"im_messages","tag":"m"}},"notification":{"title":"t","body":"s\nb"}}`,
		},
	} {
		r := s.Send(context.Background(), c.m, []push.Target{target(0)})[0]
		if !strings.HasPrefix(c.want, "{") {
			if r.Outcome != push.BadMessage || r.Code != c.want {
				t.Errorf("%s: %+v", name, r)
			}
			continue
		}
		list := l.inbox.List()
		if r.Outcome != push.Accepted || len(list) == 0 {
			t.Errorf("%s: %+v", name, r)
			continue
		}
		if got := string(list[len(list)-1].Payload); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// A long body is cut so that the message just fits, whatever its characters need.
func TestLongBody(t *testing.T) {
	l := newLab(t, sandbox.Config{})
	s := l.open(t)
	for _, piece := range []string{"a", "长", "👩‍👩‍👧", "\"\\\n\x01", "<&>"} {
		m := hello()
		m.Body, m.Data = strings.Repeat(piece, 5000), map[string]any{"conversation": "c1"}
		if r := s.Send(context.Background(), m, []push.Target{target(0)})[0]; r.Outcome != push.Accepted {
			t.Fatalf("%q: %+v", piece, r)
		}
		list := l.inbox.List()
		var p struct{ Notification struct{ Body string } }
		payload := list[len(list)-1].Payload
		if err := json.Unmarshal(payload, &p); err != nil {
			t.Fatal(err)
		}
		got := p.Notification.Body
		if !strings.HasSuffix(got, "…") || strings.ContainsRune(got, '\uFFFD') || !strings.HasPrefix(m.Body, strings.TrimSuffix(got, "…")) {
			t.Errorf("%q: cut to %.40q…", piece, got)
		}
		if len(got) < 1300 { // twelve bytes for four, in the worst piece
			t.Errorf("%q: only %d bytes of the body were kept", piece, len(got))
		}
	}
}

func TestInspect(t *testing.T) {
	file, err := sandbox.ServiceAccount(project, elsewhere, key())
	if err != nil {
		t.Fatal(err)
	}
	info, err := fcm.Spec().Inspect(map[string]string{"service_account": string(file)}, "", time.Now())
	if err != nil || info.Kind != "service_account" || info.Subject != "firebase-adminsdk-hy@hongyan-demo.iam.gserviceaccount.com" {
		t.Errorf("%+v, %v", info, err)
	}
	change := func(key, value string) string {
		var m map[string]string
		if err := json.Unmarshal(file, &m); err != nil {
			t.Fatal(err)
		}
		m[key] = value
		out, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	for name, c := range map[string]struct{ file, code string }{
		"nothing":          {"", push.FieldMissing},
		"no JSON":          {"hello", push.FieldInvalid},
		"an array":         {"[]", push.FieldInvalid},
		"the app's file":   {`{"project_info":{"project_id":"x"},"client":[]}`, push.FieldNoPrivateKey},
		"another type":     {change("type", "authorized_user"), push.FieldInvalid},
		"a path in it":     {change("project_id", "../../x"), push.FieldInvalid},
		"no project":       {change("project_id", ""), push.FieldInvalid},
		"no mail":          {change("client_email", "x\r\ny@z"), push.FieldInvalid},
		"no key id":        {change("private_key_id", ""), push.FieldInvalid},
		"no PEM":           {change("private_key", "MIIE"), push.FieldNoPrivateKey},
		"too large a file": {change("x", strings.Repeat("x", 20000)), push.FieldTooLarge},
	} {
		_, err := fcm.Spec().Inspect(map[string]string{"service_account": c.file}, "", time.Now())
		var fe *push.FieldError
		if !errors.As(err, &fe) || fe.Field != "service_account" || fe.Code != c.code {
			t.Errorf("%s: %v, want %s", name, err, c.code)
		}
	}
}
