package sandbox_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"hongyan/push"
	"hongyan/sandbox"
)

// google is a caller that signs by hand, so that it can also sign wrongly.
type google struct {
	t      *testing.T
	sim    *sandbox.Simulator
	client *http.Client
	key    *rsa.PrivateKey
	keyID  string
	email  string
	inbox  *sandbox.Memory
	now    time.Time
}

func newGoogle(t *testing.T) *google {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	g := &google{t: t, key: key, inbox: sandbox.NewMemory(100), now: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)}
	accounts := &sandbox.MemoryAccounts{}
	for _, project := range []string{"proj-one", "proj-two"} {
		file, err := sandbox.ServiceAccount(project, "", key)
		if err != nil {
			t.Fatal(err)
		}
		accounts.Add(sandbox.Account{ID: project, Fields: map[string]string{"service_account": string(file)}})
		var f struct {
			KeyID string `json:"private_key_id"`
			Email string `json:"client_email"`
		}
		if err := json.Unmarshal(file, &f); err != nil {
			t.Fatal(err)
		}
		if g.email == "" {
			g.keyID, g.email = f.KeyID, f.Email
		}
	}
	g.sim, err = sandbox.Start(sandbox.Config{Channel: push.FCM, Accounts: accounts, Recorder: g.inbox, Now: func() time.Time { return g.now }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.sim.Close() })
	g.client = trusting(g.sim)
	return g
}

// trusting is a client that trusts a simulator's authority.
func trusting(sim *sandbox.Simulator) *http.Client {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(sim.CA().PEM())
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}}
}

func (g *google) claims() map[string]any {
	return map[string]any{
		"iss": g.email, "scope": "https://www.googleapis.com/auth/firebase.messaging", "aud": "https://oauth2.googleapis.com/token",
		"iat": g.now.Unix(), "exp": g.now.Add(time.Hour).Unix(),
	}
}

func (g *google) assertion(head, claims map[string]any, key *rsa.PrivateKey) string {
	part := func(v any) string {
		j, err := json.Marshal(v)
		if err != nil {
			g.t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(j)
	}
	text := part(head) + "." + part(claims)
	sum := sha256.Sum256([]byte(text))
	sig, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	if err != nil {
		g.t.Fatal(err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(sig)
}

// post returns the status and the answer.
func (g *google) post(path, kind, auth, body string) (int, map[string]any) {
	g.t.Helper()
	req, err := http.NewRequest(http.MethodPost, g.sim.URL()+path, strings.NewReader(body))
	if err != nil {
		g.t.Fatal(err)
	}
	req.Header.Set("Content-Type", kind)
	if auth != "" {
		req.Header.Set("Authorization", auth)
	}
	res, err := g.client.Do(req)
	if err != nil {
		g.t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	var out map[string]any
	_ = json.NewDecoder(bytes.NewReader(raw)).Decode(&out) // a page for people stays nil
	return res.StatusCode, out
}

func (g *google) ask(assertion string) (int, map[string]any) {
	g.t.Helper()
	return g.post("/token", "application/x-www-form-urlencoded", "", url.Values{
		"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {assertion},
	}.Encode())
}

func (g *google) access() string {
	g.t.Helper()
	status, got := g.ask(g.assertion(map[string]any{"alg": "RS256", "typ": "JWT", "kid": g.keyID}, g.claims(), g.key))
	token, _ := got["access_token"].(string)
	if status != 200 || token == "" || got["token_type"] != "Bearer" {
		g.t.Fatalf("%d %v", status, got)
	}
	return token
}

func TestFCMTokenEndpoint(t *testing.T) {
	g := newGoogle(t)
	g.access()
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	head := func() map[string]any { return map[string]any{"alg": "RS256", "typ": "JWT", "kid": g.keyID} }
	with := func(k string, v any) map[string]any { c := g.claims(); c[k] = v; return c }
	named := func(k string, v any) map[string]any { h := head(); h[k] = v; return h }
	for name, c := range map[string]struct{ assertion, code string }{
		"another key":     {g.assertion(head(), g.claims(), other), "invalid_grant"},
		"another key id":  {g.assertion(named("kid", "other"), g.claims(), g.key), "invalid_grant"},
		"no signature":    {g.assertion(named("alg", "none"), g.claims(), g.key), "invalid_grant"},
		"an HMAC":         {g.assertion(named("alg", "HS256"), g.claims(), g.key), "invalid_grant"},
		"a stranger":      {g.assertion(head(), with("iss", "x@proj-nine.iam.gserviceaccount.com"), g.key), "invalid_grant"},
		"another account": {g.assertion(head(), with("iss", "x@proj-one.iam.gserviceaccount.com"), g.key), "invalid_grant"},
		"no account":      {g.assertion(head(), with("iss", "nobody"), g.key), "invalid_grant"},
		"audience":        {g.assertion(head(), with("aud", "https://example.com/token"), g.key), "invalid_grant"},
		"expired":         {g.assertion(head(), with("exp", g.now.Add(-time.Second).Unix()), g.key), "invalid_grant"},
		"too long":        {g.assertion(head(), with("exp", g.now.Add(2*time.Hour).Unix()), g.key), "invalid_grant"},
		"future":          {g.assertion(head(), with("iat", g.now.Add(time.Hour).Unix()), g.key), "invalid_grant"},
		"scope":           {g.assertion(head(), with("scope", "https://www.googleapis.com/auth/drive"), g.key), "invalid_scope"},
		"nonsense":        {"a.b.c", "invalid_grant"},
		"empty":           {"", "invalid_grant"},
	} {
		if status, got := g.ask(c.assertion); status != 400 || got["error"] != c.code || got["access_token"] != nil {
			t.Errorf("%s: %d %v", name, status, got)
		}
	}
	if status, got := g.post("/token", "application/x-www-form-urlencoded", "", "grant_type=password"); status != 400 || got["error"] != "unsupported_grant_type" {
		t.Errorf("%d %v", status, got)
	}
	if status, got := g.post("/token", "application/json", "", "{}"); status != 400 || got["error"] != "invalid_request" {
		t.Errorf("%d %v", status, got)
	}
}

func TestFCMAuthorization(t *testing.T) {
	g := newGoogle(t)
	token := g.access()
	const good = `{"message":{"token":"abcdefgh:APA91bxxxxxxxx","notification":{"title":"x"}}}`
	send := func(project, auth string) (int, map[string]any) {
		return g.post("/v1/projects/"+project+"/messages:send", "application/json", auth, good)
	}
	for name, c := range map[string]struct {
		project, auth string
		status        int
		rpc           string
	}{
		"good":            {"proj-one", "Bearer " + token, 200, ""},
		"none":            {"proj-one", "", 401, "UNAUTHENTICATED"},
		"made up":         {"proj-one", "Bearer abc", 401, "UNAUTHENTICATED"},
		"a key":           {"proj-one", "key=" + token, 401, "UNAUTHENTICATED"},
		"another project": {"proj-two", "Bearer " + token, 403, "PERMISSION_DENIED"},
		"no project":      {"proj-nine", "Bearer " + token, 404, "NOT_FOUND"},
	} {
		status, got := send(c.project, c.auth)
		e, _ := got["error"].(map[string]any)
		if status != c.status || c.rpc != "" && e["status"] != c.rpc || strings.Contains(fmt.Sprint(e["details"]), "FcmError") {
			t.Errorf("%s: %d %v", name, status, got)
		}
	}
	g.now = g.now.Add(time.Hour)
	if status, _ := send("proj-one", "Bearer "+token); status != 401 {
		t.Errorf("an expired access token: %d", status)
	}
	token = g.access()
	g.sim.Revoke()
	if status, _ := send("proj-one", "Bearer "+token); status != 401 {
		t.Errorf("a revoked access token: %d", status)
	}
	for _, path := range []string{"/", "/fcm/send", "/v1/projects/proj-one/messages", "/v1/projects//messages:send", "/batch"} {
		if status, got := g.post(path, "application/json", "Bearer "+token, good); status != 404 || got != nil {
			t.Errorf("%s: %d %v", path, status, got)
		}
	}
}

func TestFCMMessageRules(t *testing.T) {
	g := newGoogle(t)
	auth := "Bearer " + g.access()
	const to = `"token":"abcdefgh:APA91bxxxxxxxx"`
	send := func(body string) (int, map[string]any) {
		return g.post("/v1/projects/proj-one/messages:send", "application/json", auth, body)
	}
	for _, message := range []string{
		to, to + `,"data":{"k":"v"}`, to + `,"android":{"priority":"high","ttl":"0s"}`, to + `,"android":{"ttl":"3.5s"}`, `"topic":"news"`,
		`"condition":"'a' in topics"`, to + `,"android":{"notification":{"color":"#00ff00","notification_count":3,"visibility":"SECRET"}}`,
		to + `,"data":{"k":"` + strings.Repeat("x", 4095) + `"}`, to + `,"apns":{"headers":{}}`,
	} {
		if status, got := send(`{"message":{` + message + `}}`); status != 200 {
			t.Errorf("%s: %d %v", message, status, got)
		}
	}
	for _, message := range []string{
		``, to + `,"topic":"x"`, `"topic":"a b"`, to + `,"data":{"k":1}`, to + `,"data":{"from":"x"}`, to + `,"data":{"google.x":"x"}`, to + `,"data":{"gcm":"x"}`,
		to + `,"data":{"message_type":"x"}`, to + `,"Title":{}`, to + `,"notification":{"title":1}`, to + `,"notification":{"badge":"1"}`,
		to + `,"android":{"priority":"10"}`, to + `,"android":{"ttl":"3600"}`, to + `,"android":{"ttl":3600}`, to + `,"android":{"ttl":"-1s"}`, to + `,"android":{"ttl":"2419201s"}`,
		to + `,"android":{"notification":{"color":"red"}}`, to + `,"android":{"notification":{"notification_count":-1}}`, to + `,"android":{"notification":{"notification_count":"1"}}`,
		to + `,"android":{"notification":{"notification_priority":"HIGH"}}`, to + `,"android":{"notification":{"visibility":"x"}}`,
		to + `,"data":{"k":"` + strings.Repeat("x", 4096) + `"}`, `"token":"short"`, `"token":"abcdefgh:APA91b xxxxxxx"`, to + `,"fcm_options":{"analytics_label":"a b"}`,
	} {
		status, got := send(`{"message":{` + message + `}}`)
		e, _ := got["error"].(map[string]any)
		if status != 400 || e["status"] != "INVALID_ARGUMENT" {
			t.Errorf("%.80s: %d %v", message, status, got)
		}
	}
	for _, body := range []string{``, `[]`, `{"message":{` + to + `}} {}`, `{"messages":{` + to + `}}`} {
		if status, _ := send(body); status != 400 {
			t.Errorf("%s: %d", body, status)
		}
	}
	if status, _ := send(`{"message":{` + to + `,"data":{"k":"` + strings.Repeat("x", 70000) + `"}}}`); status != 413 {
		t.Errorf("a huge body: %d", status)
	}
}

func TestFCMDryRunAndRecord(t *testing.T) {
	g := newGoogle(t)
	auth := "Bearer " + g.access()
	const message = `"message":{"token":"abcdefgh:APA91bxxxxxxxx","notification":{"title":"x"},"android":{"priority":"HIGH","ttl":"60s","restricted_package_name":"im.hongyan.demo"}}}`
	_, got := g.post("/v1/projects/proj-one/messages:send", "application/json", auth, `{"validate_only":true,`+message)
	if got["name"] != "projects/proj-one/messages/fake_message_id" || g.inbox.Total() != 0 {
		t.Errorf("%v, %d recorded", got, g.inbox.Total())
	}
	_, got = g.post("/v1/projects/proj-one/messages:send", "application/json", auth, `{`+message)
	list := g.inbox.List()
	if len(list) != 1 {
		t.Fatalf("%d recorded", len(list))
	}
	r := list[0]
	if got["name"] != "projects/proj-one/messages/"+r.ID || r.Token != "abcdefgh:APA91bxxxxxxxx" || r.Topic != "im.hongyan.demo" || r.Status != 200 || r.Reason != "" {
		t.Errorf("%v, %+v", got, r)
	}
	if strings.Contains(string(r.Payload), "APA91b") || !strings.Contains(string(r.Payload), `"title":"x"`) || r.Headers["ttl"] != "60s" {
		t.Errorf("%s %v", r.Payload, r.Headers)
	}
}
