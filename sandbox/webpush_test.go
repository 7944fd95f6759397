package sandbox_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"hongyan/push"
	"hongyan/sandbox"
)

// appServer signs by hand, so that it can also sign wrongly.
type appServer struct {
	t      *testing.T
	sim    *sandbox.Simulator
	client *http.Client
	key    *ecdsa.PrivateKey
	public string
	inbox  *sandbox.Memory
	now    time.Time
}

func newAppServer(t *testing.T) *appServer {
	t.Helper()
	a := &appServer{t: t, inbox: sandbox.NewMemory(100), now: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)}
	a.key, a.public = vapidKey(t)
	accounts := &sandbox.MemoryAccounts{}
	accounts.Add(sandbox.Account{ID: a.public})
	var err error
	a.sim, err = sandbox.Start(sandbox.Config{Channel: push.WebPush, Accounts: accounts, Recorder: a.inbox, Now: func() time.Time { return a.now }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.sim.Close() })
	a.client = trusting(a.sim)
	return a
}

func vapidKey(t *testing.T) (*ecdsa.PrivateKey, string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := k.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return k, base64.RawURLEncoding.EncodeToString(raw)
}

func (a *appServer) claims() map[string]any {
	return map[string]any{"aud": a.sim.URL(), "exp": a.now.Add(12 * time.Hour).Unix(), "sub": "mailto:ops@hongyan.example"}
}

// vapid is an Authorization header.
func (a *appServer) vapid(alg string, claims map[string]any, key *ecdsa.PrivateKey, public string) string {
	part := func(v any) string {
		j, err := json.Marshal(v)
		if err != nil {
			a.t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(j)
	}
	text := part(map[string]any{"typ": "JWT", "alg": alg}) + "." + part(claims)
	sum := sha256.Sum256([]byte(text))
	r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
	if err != nil {
		a.t.Fatal(err)
	}
	sig := make([]byte, 64)
	r.FillBytes(sig[:32])
	s.FillBytes(sig[32:])
	return "vapid t=" + text + "." + base64.RawURLEncoding.EncodeToString(sig) + ", k=" + public
}

func (a *appServer) good() string { return a.vapid("ES256", a.claims(), a.key, a.public) }

func (a *appServer) endpoint(public string) string {
	token, err := sandbox.WebPushSubscription(a.sim.URL(), public, "one")
	if err != nil {
		a.t.Fatal(err)
	}
	var sub struct{ Endpoint string }
	if err := json.Unmarshal([]byte(token), &sub); err != nil {
		a.t.Fatal(err)
	}
	return sub.Endpoint
}

func (a *appServer) post(url string, header map[string]string, body []byte) int {
	a.t.Helper()
	req, err := http.NewRequest(http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		a.t.Fatal(err)
	}
	for k, v := range header {
		if v != "" {
			req.Header.Set(k, v)
		}
	}
	res, err := a.client.Do(req)
	if err != nil {
		a.t.Fatal(err)
	}
	_ = res.Body.Close()
	return res.StatusCode
}

func TestWebPushAuthorization(t *testing.T) {
	a := newAppServer(t)
	other, otherPublic := vapidKey(t)
	with := func(k string, v any) map[string]any { c := a.claims(); c[k] = v; return c }
	signed := func(claims map[string]any) string { return a.vapid("ES256", claims, a.key, a.public) }
	for name, c := range map[string]struct {
		auth string
		want int
	}{
		"good":            {a.good(), 201},
		"an https sub":    {signed(with("sub", "https://hongyan.example")), 201},
		"a whole day":     {signed(with("exp", a.now.Add(24*time.Hour).Unix())), 201},
		"none":            {"", 401},
		"bearer":          {strings.Replace(a.good(), "vapid", "Bearer", 1), 401},
		"another's":       {a.vapid("ES256", a.claims(), other, a.public), 403},
		"unknown key":     {a.vapid("ES256", a.claims(), other, otherPublic), 403},
		"no signature":    {a.vapid("none", a.claims(), a.key, a.public), 403},
		"another service": {signed(with("aud", "https://push.example.com")), 403},
		"whole address":   {signed(with("aud", a.endpoint(a.public))), 403},
		"expired":         {signed(with("exp", a.now.Add(-2*time.Minute).Unix())), 403},
		"too long":        {signed(with("exp", a.now.Add(25*time.Hour).Unix())), 403},
		"no exp":          {signed(map[string]any{"aud": a.sim.URL(), "sub": "mailto:ops@hongyan.example"}), 403},
		"no sub":          {signed(with("sub", "")), 403},
		"localhost":       {signed(with("sub", "mailto:ops@localhost")), 403},
		"a space":         {signed(with("sub", "mailto: ops@hongyan.example")), 403},
		"no k":            {strings.Split(a.good(), ",")[0], 403},
		"nonsense":        {"vapid t=a.b.c, k=d", 403},
	} {
		if got := a.post(a.endpoint(a.public), map[string]string{"Authorization": c.auth, "TTL": "60"}, nil); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

func TestWebPushRules(t *testing.T) {
	a := newAppServer(t)
	_, otherPublic := vapidKey(t)
	for name, c := range map[string]struct {
		url, ttl, urgency, topic, encoding string
		body                               int
		want                               int
	}{
		"no ttl":       {ttl: "", want: 400},
		"a word":       {ttl: "soon", want: 400},
		"negative":     {ttl: "-1", want: 400},
		"urgency":      {ttl: "0", urgency: "now", want: 400},
		"topic":        {ttl: "0", topic: "a b", want: 400},
		"long topic":   {ttl: "0", topic: strings.Repeat("x", 33), want: 400},
		"all":          {ttl: "0", topic: strings.Repeat("x", 32), urgency: "very-low", want: 201},
		"encoding":     {ttl: "0", body: 200, encoding: "aesgcm", want: 400},
		"not for it":   {ttl: "0", body: 200, encoding: "aes128gcm", want: 400},
		"too large":    {ttl: "0", body: 4097, encoding: "aes128gcm", want: 413},
		"nobody":       {ttl: "0", url: a.sim.URL() + "/push/x", want: 404},
		"another path": {ttl: "0", url: a.sim.URL() + "/x", want: 404},
		"another key":  {ttl: "0", url: a.endpoint(otherPublic), want: 403},
	} {
		url := c.url
		if url == "" {
			url = a.endpoint(a.public)
		}
		got := a.post(url, map[string]string{
			"Authorization": a.good(), "TTL": c.ttl, "Urgency": c.urgency, "Topic": c.topic, "Content-Encoding": c.encoding,
		}, bytes.Repeat([]byte{65}, c.body))
		if got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}
