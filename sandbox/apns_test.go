package sandbox_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v4"
	"github.com/google/go-cmp/cmp"
	"software.sslmate.com/src/go-pkcs12"

	"hongyan/push"
	"hongyan/sandbox"
)

const topic = "im.hongyan.demo"

// phone is a well device token.
var phone = strings.Repeat("ab", 32)

// apnsLab is a simulator, one key it accepts and a client.
type apnsLab struct {
	*testing.T
	sim   *sandbox.APNs
	keys  *sandbox.MemoryKeys
	inbox *sandbox.Memory
	file  sandbox.KeyFile
	now   time.Time
	http  *http.Client
}

func newLab(t *testing.T, cfg sandbox.APNsConfig) *apnsLab {
	t.Helper()
	l := &apnsLab{T: t, keys: &sandbox.MemoryKeys{}, inbox: sandbox.NewMemory(100), now: time.Now().Truncate(time.Second)}
	file, key, err := sandbox.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	l.file = file
	key.Topics = []string{topic}
	l.keys.Add(key)
	if cfg.Keys == nil {
		cfg.Keys = l.keys
	}
	cfg.Recorder = l.inbox
	cfg.Now = func() time.Time { return l.now }
	if l.sim, err = sandbox.StartAPNs(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.sim.Close(); err != nil {
			t.Error(err)
		}
	})
	l.http = l.client()
	return l
}

// client makes an HTTP client with connections of its own.
func (l *apnsLab) client(certs ...tls.Certificate) *http.Client {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(l.sim.CA().PEM())
	tr := &http.Transport{
		ForceAttemptHTTP2: true,
		TLSClientConfig:   &tls.Config{RootCAs: pool, Certificates: certs, MinVersion: tls.VersionTLS12},
	}
	l.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 10 * time.Second}
}

func (l *apnsLab) jwt(f sandbox.KeyFile, issued time.Time) string {
	l.Helper()
	return signed(l.T, f, f.KeyID, f.TeamID, issued)
}

func signed(t *testing.T, f sandbox.KeyFile, kid, team string, issued time.Time) string {
	t.Helper()
	key, err := jwt.ParseECPrivateKeyFromPEM(f.PEM)
	if err != nil {
		t.Fatal(err)
	}
	tok := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{"iss": team, "iat": issued.Unix()})
	tok.Header["kid"] = kid
	s, err := tok.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return "bearer " + s
}

// ask is one request and what differs from a good one.
type ask struct {
	method, path string
	set          map[string]string
	drop         []string
	add          map[string]string // a second value
	body         string
	client       *http.Client
}

type reply struct {
	Status    int
	Reason    string
	Timestamp int64
	header    http.Header
}

const goodBody = `{"aps":{"alert":"hello"}}`

func (l *apnsLab) do(a ask) reply {
	l.Helper()
	if a.method == "" {
		a.method = http.MethodPost
	}
	if a.path == "" {
		a.path = "/3/device/" + phone
	}
	if a.body == "" {
		a.body = goodBody
	}
	if a.client == nil {
		a.client = l.http
	}
	body := io.Reader(strings.NewReader(a.body))
	if a.body == "none" {
		body = http.NoBody
	}
	req, err := http.NewRequestWithContext(context.Background(), a.method, l.sim.URL()+a.path, body)
	if err != nil {
		l.Fatal(err)
	}
	req.Header.Set("authorization", l.jwt(l.file, l.now))
	req.Header.Set("apns-topic", topic)
	req.Header.Set("apns-push-type", "alert")
	for k, v := range a.set {
		req.Header.Set(k, v)
	}
	for _, k := range a.drop {
		req.Header.Del(k)
	}
	for k, v := range a.add {
		req.Header.Add(k, v)
	}
	res, err := a.client.Do(req)
	if err != nil {
		l.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	out := reply{Status: res.StatusCode, header: res.Header}
	if err := json.NewDecoder(res.Body).Decode(&out); err != nil && !errors.Is(err, io.EOF) {
		l.Fatal(err)
	}
	return out
}

func (l *apnsLab) want(a ask, status int, reason string) {
	l.Helper()
	if got := l.do(a); got.Status != status || got.Reason != reason {
		l.Errorf("got %d %s, want %d %s", got.Status, got.Reason, status, reason)
	}
}

func TestAPNsAcceptsAndRecords(t *testing.T) {
	l := newLab(t, sandbox.APNsConfig{Environment: push.Development})
	id := "123e4567-e89b-12d3-a456-426655440000"
	r := l.do(ask{set: map[string]string{"apns-id": id, "apns-priority": "10", "apns-expiration": "0", "apns-collapse-id": "c"}})
	if r.Status != 200 || r.header.Get("apns-id") != id || r.header.Get("apns-unique-id") == "" {
		t.Errorf("%+v %v", r, r.header)
	}
	want := []sandbox.Received{{
		At: l.now, Channel: push.APNs, Topic: topic, Token: phone, ID: id, Status: 200, Payload: []byte(goodBody),
		Headers: map[string]string{
			"apns-id": id, "apns-priority": "10", "apns-expiration": "0", "apns-collapse-id": "c",
			"apns-topic": topic, "apns-push-type": "alert",
		},
	}}
	if d := cmp.Diff(want, l.inbox.List()); d != "" {
		t.Error(d)
	}
	if r := l.do(ask{}); r.header.Get("apns-id") == "" {
		t.Error("no apns-id made")
	}
}

func TestAPNsRefusesRequests(t *testing.T) {
	other, _, err := sandbox.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	big := `{"aps":{"alert":"` + strings.Repeat("x", 5100-19) + `"}}`
	for name, c := range map[string]struct {
		ask    func(l *apnsLab) ask
		status int
		reason string
	}{
		"method":            {func(*apnsLab) ask { return ask{method: "PUT"} }, 405, "MethodNotAllowed"},
		"path":              {func(*apnsLab) ask { return ask{path: "/4/device/" + phone} }, 404, "BadPath"},
		"path with more":    {func(*apnsLab) ask { return ask{path: "/3/device/" + phone + "/x"} }, 404, "BadPath"},
		"no token":          {func(*apnsLab) ask { return ask{path: "/3/device/"} }, 400, "MissingDeviceToken"},
		"token not hex":     {func(*apnsLab) ask { return ask{path: "/3/device/" + strings.Repeat("zz", 32)} }, 400, "BadDeviceToken"},
		"token upper case":  {func(*apnsLab) ask { return ask{path: "/3/device/" + strings.ToUpper(phone)} }, 400, "BadDeviceToken"},
		"token of zeros":    {func(*apnsLab) ask { return ask{path: "/3/device/" + strings.Repeat("0", 64)} }, 400, "BadDeviceToken"},
		"header twice":      {func(*apnsLab) ask { return ask{add: map[string]string{"apns-topic": topic}} }, 400, "DuplicateHeaders"},
		"no authorization":  {func(*apnsLab) ask { return ask{drop: []string{"authorization"}} }, 403, "MissingProviderToken"},
		"not a bearer":      {func(*apnsLab) ask { return ask{set: map[string]string{"authorization": "basic x"}} }, 403, "InvalidProviderToken"},
		"not a token":       {func(*apnsLab) ask { return ask{set: map[string]string{"authorization": "bearer a.b.c"}} }, 403, "InvalidProviderToken"},
		"unknown key":       {func(l *apnsLab) ask { return ask{set: map[string]string{"authorization": l.jwt(other, l.now)}} }, 403, "InvalidProviderToken"},
		"key of another id": {func(l *apnsLab) ask { return forged(l, other, l.file.KeyID, l.file.TeamID) }, 403, "InvalidProviderToken"},
		"other team":        {func(l *apnsLab) ask { return forged(l, l.file, l.file.KeyID, "OTHERTEAM0") }, 403, "InvalidProviderToken"},
		"old token":         {func(l *apnsLab) ask { return aged(l, -61*time.Minute) }, 403, "ExpiredProviderToken"},
		"token of tomorrow": {func(l *apnsLab) ask { return aged(l, 24*time.Hour) }, 403, "InvalidProviderToken"},
		"message id":        {func(*apnsLab) ask { return ask{set: map[string]string{"apns-id": "17"}} }, 400, "BadMessageId"},
		"expiration":        {func(*apnsLab) ask { return ask{set: map[string]string{"apns-expiration": "soon"}} }, 400, "BadExpirationDate"},
		"collapse id":       {func(*apnsLab) ask { return ask{set: map[string]string{"apns-collapse-id": strings.Repeat("x", 65)}} }, 400, "BadCollapseId"},
		"push type":         {func(*apnsLab) ask { return ask{set: map[string]string{"apns-push-type": "shout"}} }, 400, "InvalidPushType"},
		"priority":          {func(*apnsLab) ask { return ask{set: map[string]string{"apns-priority": "7"}} }, 400, "BadPriority"},
		"background at 10":  {func(*apnsLab) ask { return background("10") }, 400, "BadPriority"},
		"no topic":          {func(*apnsLab) ask { return ask{drop: []string{"apns-topic"}} }, 400, "MissingTopic"},
		"bad topic":         {func(*apnsLab) ask { return ask{set: map[string]string{"apns-topic": "a b"}} }, 400, "BadTopic"},
		"other topic":       {func(*apnsLab) ask { return ask{set: map[string]string{"apns-topic": "im.other"}} }, 400, "TopicDisallowed"},
		"no body":           {func(*apnsLab) ask { return ask{body: "none"} }, 400, "PayloadEmpty"},
		"not json":          {func(*apnsLab) ask { return ask{body: "hello"} }, 400, "PayloadEmpty"},
		"no aps":            {func(*apnsLab) ask { return ask{body: `{"a":1}`} }, 400, "PayloadEmpty"},
		"5100 bytes":        {func(*apnsLab) ask { return ask{body: big} }, 413, "PayloadTooLarge"},
		"a megabyte":        {func(*apnsLab) ask { return ask{body: strings.Repeat("x", 1<<20)} }, 413, "PayloadTooLarge"},
		"5100 bytes of voip": {func(*apnsLab) ask {
			return ask{body: big, set: map[string]string{"apns-push-type": "voip", "apns-topic": topic + ".voip"}}
		}, 200, ""},
		"background at 5": {func(*apnsLab) ask { return background("5") }, 200, ""},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, sandbox.APNsConfig{})
			l.want(c.ask(l), c.status, c.reason)
			if n := l.inbox.Total(); n != 1 {
				t.Errorf("recorded %d times", n)
			}
		})
	}
}

func forged(l *apnsLab, f sandbox.KeyFile, kid, team string) ask {
	return ask{set: map[string]string{"authorization": signed(l.T, f, kid, team, l.now)}}
}

func aged(l *apnsLab, d time.Duration) ask {
	return ask{set: map[string]string{"authorization": l.jwt(l.file, l.now.Add(d))}}
}

func background(priority string) ask {
	return ask{set: map[string]string{"apns-push-type": "background", "apns-priority": priority}}
}

func TestAPNsTokenStates(t *testing.T) {
	l := newLab(t, sandbox.APNsConfig{})
	since := time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.UTC)
	for reason, status := range map[string]int{
		"Unregistered": 410, "ExpiredToken": 410, "BadDeviceToken": 400, "DeviceTokenNotForTopic": 400, "TooManyRequests": 429,
	} {
		if err := l.sim.SetToken(phone, sandbox.TokenState{Reason: reason, Since: since}); err != nil {
			t.Fatal(err)
		}
		r := l.do(ask{})
		if r.Status != status || r.Reason != reason || (status == 410) != (r.Timestamp == since.UnixMilli()) {
			t.Errorf("%s: %+v", reason, r)
		}
	}
	if err := l.sim.SetToken(phone, sandbox.TokenState{}); err != nil {
		t.Fatal(err)
	}
	l.want(ask{}, 200, "")
	if l.sim.SetToken(phone, sandbox.TokenState{Reason: "Tired"}) == nil {
		t.Error("an unknown reason was taken")
	}
}

func TestAPNsMixReachesEveryReason(t *testing.T) {
	l := newLab(t, sandbox.APNsConfig{})
	for reason, status := range sandbox.Reasons() {
		if err := l.sim.Set(sandbox.Settings{Mix: map[string]float64{reason: 100}, RetryAfter: 9 * time.Second}); err != nil {
			t.Fatal(err)
		}
		r := l.do(ask{})
		if r.Status != status || r.Reason != reason || r.header.Get("Retry-After") != "9" {
			t.Errorf("%s: %+v", reason, r)
		}
	}
	for _, bad := range []map[string]float64{{"Tired": 1}, {"Shutdown": 60, "BadPath": 50}, {"Shutdown": -1}} {
		if l.sim.Set(sandbox.Settings{Mix: bad}) == nil {
			t.Errorf("%v was taken", bad)
		}
	}
}

func TestAPNsProviderTokenRules(t *testing.T) {
	l := newLab(t, sandbox.APNsConfig{})
	auth := func(at time.Time) ask { return ask{set: map[string]string{"authorization": l.jwt(l.file, at)}} }
	start := l.now
	l.want(auth(start), 200, "")
	l.now = start.Add(5 * time.Minute)
	l.want(auth(l.now), 429, "TooManyProviderTokenUpdates")
	l.now = start.Add(25 * time.Minute)
	l.want(auth(l.now), 200, "")
	other, key, err := sandbox.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	l.keys.Add(key)
	l.want(ask{set: map[string]string{"authorization": l.jwt(other, l.now)}}, 403, "UnrelatedKeyIdInToken")
	key.Environments = []push.Environment{push.Development}
	l.keys.Add(key)
	l.want(ask{set: map[string]string{"authorization": l.jwt(other, l.now)}, client: l.client()}, 403, "BadEnvironmentKeyInToken")
	l.keys.Remove(l.file.KeyID)
	l.now = l.now.Add(2 * time.Second) // a connection trusts a key for one
	l.want(ask{}, 403, "InvalidProviderToken")
}

func TestAPNsCertificates(t *testing.T) {
	l := newLab(t, sandbox.APNsConfig{})
	stranger, err := sandbox.NewCA(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	year := l.now.AddDate(1, 0, 0)
	for name, c := range map[string]struct {
		ca     *sandbox.CA
		cert   sandbox.AppCertificate
		status int
		reason string
	}{
		"good":        {l.sim.CA(), sandbox.AppCertificate{BundleID: topic, NotBefore: l.now, NotAfter: year}, 200, ""},
		"production":  {l.sim.CA(), sandbox.AppCertificate{BundleID: topic, NotBefore: l.now, NotAfter: year, Environments: []push.Environment{push.Production}}, 200, ""},
		"development": {l.sim.CA(), sandbox.AppCertificate{BundleID: topic, NotBefore: l.now, NotAfter: year, Environments: []push.Environment{push.Development}}, 403, "BadCertificateEnvironment"},
		"expired":     {l.sim.CA(), sandbox.AppCertificate{BundleID: topic, NotBefore: l.now.AddDate(-2, 0, 0), NotAfter: l.now.AddDate(-1, 0, 0)}, 403, "BadCertificate"},
		"not ours":    {stranger, sandbox.AppCertificate{BundleID: topic, NotBefore: l.now, NotAfter: year}, 403, "BadCertificate"},
		"other app":   {l.sim.CA(), sandbox.AppCertificate{BundleID: "im.other", NotBefore: l.now, NotAfter: year}, 400, "TopicDisallowed"},
	} {
		p12, err := c.ca.P12(c.cert, "pw")
		if err != nil {
			t.Fatal(err)
		}
		key, leaf, err := pkcs12.Decode(p12, "pw")
		if err != nil {
			t.Fatal(err)
		}
		client := l.client(tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key})
		got := l.do(ask{client: client, drop: []string{"authorization"}})
		if got.Status != c.status || got.Reason != c.reason {
			t.Errorf("%s: %+v, want %d %s", name, got, c.status, c.reason)
		}
		if name == "good" {
			l.want(ask{client: client, drop: []string{"authorization", "apns-topic"}}, 200, "")
		}
	}
}

func TestAPNsLimits(t *testing.T) {
	if _, err := sandbox.StartAPNs(sandbox.APNsConfig{Addr: "0.0.0.0:0"}); err == nil {
		t.Error("it listens beyond loopback")
	}
	f, _, err := sandbox.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	if b, rest := pem.Decode(f.PEM); b == nil || len(rest) != 0 || len(f.KeyID) != 10 || len(f.TeamID) != 10 {
		t.Errorf("key file %q %q", f.KeyID, f.TeamID)
	}
	if _, err := sandbox.ParsePublicKey(f.PEM); err != nil {
		t.Error(err)
	}
}

func TestLines(t *testing.T) {
	var b bytes.Buffer
	l := sandbox.NewLines(&b)
	want := sandbox.Received{ID: "1", Payload: []byte("{}"), Headers: map[string]string{"apns-id": "1"}}
	l.Record(context.Background(), want)
	var got sandbox.Received
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}
