package interop_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hongyan/push"
	"hongyan/push/webpush"
	"hongyan/sandbox"
)

// webPushJob is what webpush.js is told.
type webPushJob struct {
	CA         string        `json:"ca"`
	Subject    string        `json:"subject"`
	PublicKey  string        `json:"publicKey"`
	PrivateKey string        `json:"privateKey"`
	Pushes     []webPushPush `json:"pushes"`
}

type webPushPush struct {
	Subscription string `json:"subscription"`
	Text         string `json:"text"`
	TTL          int    `json:"ttl"`
	Urgency      string `json:"urgency"`
	Topic        string `json:"topic"`
}

type webPushOutcome struct {
	Status   int
	Location string
	Error    string
}

// The client web-push, which encrypts and signs with code of its own, understands the
// Web Push simulator.
func TestWebPush(t *testing.T) {
	install(t)
	public, private, err := webpush.NewKeys()
	if err != nil {
		t.Fatal(err)
	}
	accounts := &sandbox.MemoryAccounts{}
	accounts.Add(sandbox.Account{ID: public})
	inbox := sandbox.NewMemory(100)
	sim, err := sandbox.Start(sandbox.Config{Channel: push.WebPush, Accounts: accounts, Recorder: inbox})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sim.Close() })
	browser := func(id string) string {
		sub, err := sandbox.WebPushSubscription(sim.URL(), public, id)
		if err != nil {
			t.Fatal(err)
		}
		return sub
	}
	if err := sim.SetToken(browser("gone"), sandbox.TokenState{Reason: "410"}); err != nil {
		t.Fatal(err)
	}
	j := webPushJob{
		CA: string(sim.CA().PEM()), Subject: "mailto:ops@hongyan.example", PublicKey: public, PrivateKey: private,
		Pushes: []webPushPush{
			{Subscription: browser("one"), Text: `{"title":"鸿雁"}`, TTL: 60, Urgency: "high", Topic: "conversation-1"},
			{Subscription: browser("two"), Text: strings.Repeat("x", 3993), TTL: 0},
			{Subscription: browser("three"), Text: strings.Repeat("x", 3994), TTL: 0},
			{Subscription: browser("gone"), Text: "x"},
			{Subscription: strings.Replace(browser("one"), "/push/", "/push/nobody", 1), Text: "x"},
		},
	}
	var got []webPushOutcome
	node(t, "webpush.js", j, &got)
	for i, want := range []int{201, 201, 413, 410, 403} {
		if i >= len(got) || got[i].Status != want {
			t.Fatalf("%d: want %d: %+v", i, want, got)
		}
	}
	list := inbox.List()
	if len(list) != 5 {
		t.Fatalf("%d on record", len(list))
	}
	r := list[0]
	if string(r.Payload) != `{"title":"鸿雁"}` || r.Token != browser("one") || !strings.HasSuffix(got[0].Location, "/m/"+r.ID) {
		t.Errorf("%+v", r)
	}
	if d := cmp.Diff(map[string]string{"ttl": "60", "urgency": "high", "topic": "conversation-1"}, r.Headers); d != "" {
		t.Error(d)
	}
	if len(list[1].Payload) != 3993 {
		t.Errorf("%d bytes, want 3993", len(list[1].Payload))
	}
	// Keys that do not belong together, and a subject that reaches nobody.
	other, _, err := webpush.NewKeys()
	if err != nil {
		t.Fatal(err)
	}
	j.Pushes = j.Pushes[:1]
	for _, wrong := range []func(*webPushJob){
		func(j *webPushJob) { j.PublicKey = other },
		func(j *webPushJob) { j.Subject = "mailto:ops@localhost" },
	} {
		bad := j
		wrong(&bad)
		got = nil
		node(t, "webpush.js", bad, &got)
		if len(got) != 1 || got[0].Status != 403 {
			t.Errorf("%+v", got)
		}
	}
}

// service is the push service of web-push-testing, behind TLS as real ones are.
type service struct {
	t     *testing.T
	base  string
	proxy *httptest.Server
}

func startService(t *testing.T) *service {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	cmd := exec.CommandContext(ctx, "node", "webpush_service.js")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close() // ends it
		_ = cmd.Wait()
		cancel()
	})
	port, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("node: %v\n%s", err, stderr.String())
	}
	s := &service{t: t, base: "http://127.0.0.1:" + strings.TrimSpace(port)}
	to, err := url.Parse(s.base)
	if err != nil {
		t.Fatal(err)
	}
	s.proxy = httptest.NewTLSServer(httputil.NewSingleHostReverseProxy(to))
	t.Cleanup(s.proxy.Close)
	return s
}

// ask calls the service's own interface, which stands for the browser.
func (s *service) ask(path, kind, body string, into any) {
	s.t.Helper()
	res, err := http.Post(s.base+path, kind, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		s.t.Fatalf("%s: status %d", path, res.StatusCode)
	}
	if into == nil {
		return
	}
	if err := json.NewDecoder(res.Body).Decode(into); err != nil {
		s.t.Fatal(err)
	}
}

// subscribe returns a subscription made with a key, and its name at the service.
func (s *service) subscribe(key string) (token, name string) {
	s.t.Helper()
	var got struct {
		Data struct {
			Endpoint   string            `json:"endpoint"`
			Keys       map[string]string `json:"keys"`
			ClientHash string            `json:"clientHash"`
		}
	}
	form := url.Values{"userVisibleOnly": {"true"}, "applicationServerKey": {key}}
	s.ask("/subscribe", "application/x-www-form-urlencoded", form.Encode(), &got)
	out, err := json.Marshal(map[string]any{"endpoint": s.proxy.URL + "/notify/" + got.Data.ClientHash, "keys": got.Data.Keys})
	if err != nil {
		s.t.Fatal(err)
	}
	return string(out), got.Data.ClientHash
}

// web-push-testing, a push service and browser written by others, decrypts what our
// sender encrypts and takes what it signs.
func TestSenderAgainstWebPushTesting(t *testing.T) {
	install(t)
	s := startService(t)
	public, private, err := webpush.NewKeys()
	if err != nil {
		t.Fatal(err)
	}
	sender, err := webpush.Open(context.Background(), map[string]string{
		"public_key": public, "private_key": private, "subject": "mailto:ops@hongyan.example",
	}, push.Options{
		Endpoint: s.proxy.URL, RootCAs: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.proxy.Certificate().Raw}),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer sender.Close()
	other, _, err := webpush.NewKeys()
	if err != nil {
		t.Fatal(err)
	}
	good, goodName := s.subscribe(public)
	gone, goneName := s.subscribe(public)
	foreign, _ := s.subscribe(other)
	s.ask("/expire-subscription/"+goneName, "application/json", "{}", nil)
	send := func(m push.Message) []push.Result {
		return sender.Send(context.Background(), m, []push.Target{{Token: good, ID: "id-1"}, {Token: gone}, {Token: foreign}})
	}
	rs := send(push.Message{Kind: push.Alert, Title: "鸿雁", Body: "你好", Sound: "default", CollapseKey: "c1"})
	if rs[0].Outcome != push.Accepted || rs[1].Outcome != push.BadTarget || rs[1].Code != "410" || rs[2].Outcome == push.Accepted {
		t.Errorf("%+v", rs)
	}
	if rs := send(push.Message{Kind: push.Alert, Title: "x", Body: strings.Repeat("长", 5000)}); rs[0].Outcome != push.Accepted {
		t.Errorf("%+v", rs[0])
	}
	var got struct{ Data struct{ Messages []string } }
	s.ask("/get-notifications", "application/json", `{"clientHash":"`+goodName+`"}`, &got)
	if len(got.Data.Messages) != 2 || got.Data.Messages[0] != `{"id":"id-1","title":"鸿雁","body":"你好","tag":"c1"}` {
		t.Fatalf("%q", got.Data.Messages)
	}
	if n := len(got.Data.Messages[1]); n > 3000 || n < 2950 {
		t.Errorf("the long message arrived with %d bytes", n)
	}
}
