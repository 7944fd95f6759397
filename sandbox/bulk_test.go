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
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"hongyan/push"
	"hongyan/sandbox"
)

// Requests in this file are written out by hand, as the vendors' pages show them, so
// that the simulators are held to the documents and not to our senders.

// bulkLab is a simulator and a client of it.
type bulkLab struct {
	sim    *sandbox.Simulator
	client *http.Client
	inbox  *sandbox.Memory
	mu     sync.Mutex
	now    time.Time
}

func startBulk(t *testing.T, c push.Channel, a sandbox.Account) *bulkLab {
	t.Helper()
	l := &bulkLab{inbox: sandbox.NewMemory(100), now: time.Now()}
	accounts := &sandbox.MemoryAccounts{}
	accounts.Add(a)
	var err error
	l.sim, err = sandbox.Start(sandbox.Config{Channel: c, Accounts: accounts, Recorder: l.inbox, Now: func() time.Time {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.now
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.sim.Close() })
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(l.sim.CA().PEM())
	l.client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	return l
}

func (l *bulkLab) later(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now = l.now.Add(d)
}

// post sends a body and returns the answer's status and its code.
func (l *bulkLab) post(t *testing.T, path string, header map[string]string, body string) (status int, code string) {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, l.sim.URL()+path, bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range header {
		req.Header.Set(k, v)
	}
	res, err := l.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	data, _ := io.ReadAll(res.Body)
	var a struct {
		Code any `json:"code"`
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	_ = d.Decode(&a) // a gateway's page has no code
	if a.Code == nil {
		return res.StatusCode, ""
	}
	return res.StatusCode, fmt.Sprint(a.Code)
}

// token asks a token service for an access token, "" when it refuses.
func (l *bulkLab) token(t *testing.T, path, id, secret string) string {
	t.Helper()
	res, err := l.client.PostForm(l.sim.URL()+path, url.Values{
		"grant_type": {"client_credentials"}, "client_id": {id}, "client_secret": {secret},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var a struct {
		Token string `json:"access_token"`
	}
	if err := json.NewDecoder(res.Body).Decode(&a); err != nil || (a.Token == "") == (res.StatusCode == 200) {
		t.Fatalf("status %d: %v", res.StatusCode, err)
	}
	return a.Token
}

func many(n int) string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("token%d", i)
	}
	out, _ := json.Marshal(list)
	return string(out)
}

// bodyCase is one change to a good body, and the code it must get.
type bodyCase struct{ old, new, code string }

func (l *bulkLab) bodies(t *testing.T, path string, header map[string]string, good, ok string, cases []bodyCase) {
	t.Helper()
	if _, code := l.post(t, path, header, good); code != ok {
		t.Fatalf("a good body: %s", code)
	}
	for _, c := range cases {
		body := strings.Replace(good, c.old, c.new, 1)
		if body == good {
			t.Fatalf("%s is not in the body", c.old)
		}
		if status, code := l.post(t, path, header, body); code != c.code {
			t.Errorf("%.60s: %d %s, want %s", c.new, status, code, c.code)
		}
	}
}

func TestHuaweiRules(t *testing.T) {
	l := startBulk(t, push.Huawei, sandbox.Account{ID: "1001", Fields: map[string]string{"app_secret": "s3cret"}})
	if l.token(t, "/oauth2/v3/token", "1001", "wrong") != "" || l.token(t, "/oauth2/v3/token", "1002", "s3cret") != "" {
		t.Error("a wrong id or secret got a token")
	}
	bearer := "Bearer " + l.token(t, "/oauth2/v3/token", "1001", "s3cret")
	path, header := "/v1/1001/messages:send", map[string]string{"Authorization": bearer}
	good := `{"validate_only":false,"message":{"token":["t1"],"notification":{"title":"a","body":"b"},"android":{"urgency":"HIGH",` +
		`"category":"IM","ttl":"86400s","collapse_key":1,"notification":{"importance":"NORMAL","click_action":{"type":3},"badge":{"set_num":1,"class":"a.B"}}}}}`
	l.bodies(t, path, header, good, "80000000", []bodyCase{
		{`["t1"]`, many(1000), "80000000"}, {`["t1"]`, many(1001), "80300010"}, {`["t1"]`, `[]`, "80300010"}, {`["t1"]`, `"t1"`, "80100003"},
		{`"message"`, `"messages"`, "80100003"}, {`"title":"a"`, `"title":1`, "80100003"}, {`"title":"a",`, ``, "80100003"},
		{`"body":"b"`, `"body":"` + strings.Repeat("b", 4100) + `"`, "80300008"},
		{`86400s`, `86400`, "80100001"}, {`86400s`, `1296001s`, "80100001"}, {`86400s`, `0s`, "80100004"},
		{`"collapse_key":1`, `"collapse_key":101`, "80100013"}, {`HIGH`, `high`, "80100001"}, {`"IM"`, `"CHAT"`, "80100001"},
		{`"type":3`, `"type":4`, "80100001"}, {`"type":3`, `"type":1`, "80100001"}, {`"set_num":1`, `"set_num":100`, "80100003"},
		{`"set_num":1`, `"setNum":1`, "80100003"}, {`{"validate_only"`, `x{"validate_only"`, "80100003"},
	})
	for _, c := range []struct {
		path, auth, code string
		status           int
	}{
		{path, "", "80200001", 401}, {path, "Bearer nobody", "80200001", 401}, {path, strings.TrimPrefix(bearer, "Bearer "), "80200001", 401},
		{"/v1/1002/messages:send", bearer, "80200001", 401}, {"/v2/1001/messages:send", bearer, "", 404}, {"/v1/1001/messages:revoke", bearer, "", 404},
	} {
		if status, code := l.post(t, c.path, map[string]string{"Authorization": c.auth}, good); status != c.status || code != c.code {
			t.Errorf("%s: %d %s", c.path, status, code)
		}
	}
	l.later(61 * time.Minute)
	if _, code := l.post(t, path, header, good); code != "80200003" {
		t.Errorf("an expired access token: %s", code)
	}
	last := l.inbox.List()[len(l.inbox.List())-1]
	if last.Reason != "80200003" || last.Status != 401 || last.Token != "t1" || bytes.Contains(last.Payload, []byte("t1")) {
		t.Errorf("recorded %+v", last)
	}
}

func TestHonorRules(t *testing.T) {
	l := startBulk(t, push.Honor, sandbox.Account{ID: "client", Fields: map[string]string{"app_id": "1001", "client_secret": "s3cret"}})
	if l.token(t, "/auth/token", "client", "wrong") != "" || l.token(t, "/auth/token", "1001", "s3cret") != "" {
		t.Error("a wrong id or secret got a token")
	}
	bearer := "Bearer " + l.token(t, "/auth/token", "client", "s3cret")
	path := "/api/v1/1001/sendMessage"
	header := map[string]string{"Authorization": bearer, "Content-Type": "application/json", "timestamp": "1563105451261"}
	good := `{"token":["t1"],"data":"d","android":{"ttl":"86400s","biTag":"b","targetUserType":0,"notification":{"title":"a","body":"b",` +
		`"importance":"NORMAL","notifyId":5,"clickAction":{"type":3},"badge":{"setNum":1,"badgeClass":"a.B"}}}}`
	l.bodies(t, path, header, good, "200", []bodyCase{
		{`["t1"]`, many(1000), "200"}, {`["t1"]`, many(1001), "80300010"}, {`["t1"]`, `[]`, "80300010"}, {`["t1"]`, `"t1"`, "80100003"},
		{`"title":"a",`, ``, "80100003"}, {`"title":"a"`, `"titel":"a"`, "80100003"}, {`"body":"b"`, `"body":"` + strings.Repeat("b", 4100) + `"`, "80300008"},
		{`86400s`, `1296001s`, "80100001"}, {`86400s`, `0s`, "80100004"}, {`NORMAL`, `HIGH`, "80100001"}, {`"type":3`, `"type":2`, "80100001"},
		{`"setNum":1`, `"setNum":100`, "80100001"}, {`"setNum"`, `"set_num"`, "80100003"}, {`"targetUserType":0`, `"targetUserType":2`, "80100001"},
	})
	for name, c := range map[string]struct{ key, value, code string }{
		"no timestamp": {"timestamp", "", "80100001"}, "seconds": {"timestamp", "1563105451", "80100001"},
		"no bearer": {"Authorization", strings.TrimPrefix(bearer, "Bearer "), "80200001"}, "nobody": {"Authorization", "Bearer x", "80200001"},
	} {
		h := map[string]string{}
		for k, v := range header {
			h[k] = v
		}
		h[c.key] = c.value
		if _, code := l.post(t, path, h, good); code != c.code {
			t.Errorf("%s: %s, want %s", name, code, c.code)
		}
	}
	if _, code := l.post(t, "/api/v1/1002/sendMessage", header, good); code != "80200001" {
		t.Errorf("another app: %s", code)
	}
	if status, _ := l.post(t, "/v1/1001/sendMessage", header, good); status != 404 {
		t.Errorf("another path: %d", status)
	}
	l.later(61 * time.Minute)
	if _, code := l.post(t, path, header, good); code != "80200003" {
		t.Errorf("an expired access token: %s", code)
	}
}

// harmonyToken signs a JWT by hand: PSS with SHA-256, RFC 7518 section 3.5.
func harmonyToken(t *testing.T, key *rsa.PrivateKey, header, claims string, salt int) string {
	t.Helper()
	enc := base64.RawURLEncoding.EncodeToString
	text := enc([]byte(header)) + "." + enc([]byte(claims))
	sum := sha256.Sum256([]byte(text))
	sig, err := rsa.SignPSS(rand.Reader, key, crypto.SHA256, sum[:], &rsa.PSSOptions{SaltLength: salt})
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + enc(sig)
}

func TestHarmonyRules(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, _ := x509.MarshalPKCS8PrivateKey(key)
	file, _ := json.Marshal(map[string]string{
		"project_id": "1001", "key_id": "kid", "sub_account": "sub",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
	})
	l := startBulk(t, push.Harmony, sandbox.Account{ID: "1001", Fields: map[string]string{"service_account": string(file)}})
	const head = `{"kid":"kid","typ":"JWT","alg":"PS256"}`
	claims := fmt.Sprintf(`{"iss":"sub","aud":"https://oauth-login.cloud.huawei.com/oauth2/v3/token","iat":%d,"exp":%d}`, l.now.Unix(), l.now.Unix()+3600)
	sign := func(header, claims string) string {
		return "Bearer " + harmonyToken(t, key, header, claims, rsa.PSSSaltLengthEqualsHash)
	}
	path := "/v3/1001/messages:send"
	header := map[string]string{"Authorization": sign(head, claims), "push-type": "0"}
	good := `{"payload":{"notification":{"category":"IM","title":"a","body":"b","notifyId":5,"appMessageId":"m","clickAction":{"actionType":0,"data":{"k":1}},` +
		`"badge":{"setNum":1}}},"pushOptions":{"ttl":86400,"biTag":"b"},"target":{"token":["t1"]}}`
	l.bodies(t, path, header, good, "80000000", []bodyCase{
		{`["t1"]`, many(1000), "80000000"}, {`["t1"]`, many(1001), "80300010"}, {`["t1"]`, `[]`, "80300010"}, {`["t1"]`, `"t1"`, "80100003"},
		{`"ttl":86400`, `"testMessage":true,"ttl":86400`, "80000000"}, {`["t1"]}`, `["t1"]},"x":1`, "80100003"},
		{`"title":"a",`, ``, "80100003"}, {`"category":"IM"`, `"category":"CHAT"`, "80100003"}, {`"body":"b"`, `"body":"` + strings.Repeat("b", 4100) + `"`, "80300008"},
		{`86400`, `"86400"`, "80100003"}, {`86400`, `1296001`, "80100001"}, {`86400`, `0`, "80100004"}, {`"actionType":0`, `"actionType":2`, "80100003"},
		{`"actionType":0`, `"actionType":1`, "80100003"}, {`"setNum":1`, `"setNum":100`, "80100003"}, {`"notifyId":5`, `"notifyId":-1`, "80100003"},
		{`"notifyId":5`, `"notify_id":5`, "80100003"}, {`"appMessageId":"m"`, `"appMessageId":"` + strings.Repeat("m", 65) + `"`, "80100003"},
	})
	tests := strings.Replace(strings.Replace(good, `["t1"]`, many(11), 1), `"ttl"`, `"testMessage":true,"ttl"`, 1)
	if _, code := l.post(t, path, header, tests); code != "80300030" {
		t.Errorf("11 test messages: %s", code)
	}
	if _, code := l.post(t, path, map[string]string{"Authorization": header["Authorization"]}, good); code != "80100001" {
		t.Errorf("no push-type: %s", code)
	}
	if _, code := l.post(t, path, map[string]string{"Authorization": header["Authorization"], "push-type": "6"}, good); code != "80100003" {
		t.Errorf("a notification as a background message: %s", code)
	}
	other, _ := rsa.GenerateKey(rand.Reader, 2048)
	change := func(old, new string) string { return sign(head, strings.Replace(claims, old, new, 1)) }
	exp := fmt.Sprintf(`"exp":%d`, l.now.Unix()+3600)
	for name, c := range map[string]struct{ auth, code string }{
		"no token":    {"", "80200001"},
		"other key":   {"Bearer " + harmonyToken(t, other, head, claims, rsa.PSSSaltLengthEqualsHash), "80200001"},
		"other salt":  {"Bearer " + harmonyToken(t, key, head, claims, 20), "80200001"},
		"other kid":   {sign(strings.Replace(head, "kid\",", "kod\",", 1), claims), "80200001"},
		"other alg":   {sign(strings.Replace(head, "PS256", "RS256", 1), claims), "80200001"},
		"other iss":   {change(`"sub"`, `"bus"`), "80200001"},
		"other aud":   {change(`/oauth2/v3/token`, ``), "80200001"},
		"expired":     {change(exp, fmt.Sprintf(`"exp":%d`, l.now.Unix()-1)), "80200005"},
		"over a day":  {change(exp, fmt.Sprintf(`"exp":%d`, l.now.Unix()+25*3600)), "80300036"},
		"not a token": {"Bearer a.b", "80200001"},
	} {
		if _, code := l.post(t, path, map[string]string{"Authorization": c.auth, "push-type": "0"}, good); code != c.code {
			t.Errorf("%s: %s, want %s", name, code, c.code)
		}
	}
	if status, _ := l.post(t, "/v1/1001/messages:send", header, good); status != 404 {
		t.Errorf("another path: %d", status)
	}
}
