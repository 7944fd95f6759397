package alert_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"hongyan/alert"
	"hongyan/internal/pgtest"
	"hongyan/models"
)

// clock is moved by hand.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (k *clock) Now() time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.t
}

func (k *clock) Advance(d time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.t = k.t.Add(d)
}

var postgres = pgtest.Template{Prepare: func(ctx context.Context, dsn string) error {
	s, err := models.Open(ctx, models.Options{Database: dsn})
	if err != nil {
		return err
	}
	if err := s.Migrate(ctx, false); err != nil {
		return err
	}
	return s.Close()
}}

// rig is a store with one account whose credential can be refused, a receiver and what
// sends to it.
type rig struct {
	t      *testing.T
	store  *models.Store
	clock  *clock
	log    *bytes.Buffer
	main   models.Actor
	app    models.App
	key    models.Credential
	robots *robots
	alerts *alert.Sender
}

// eachDB runs a test on both engines.
func eachDB(t *testing.T, fn func(t *testing.T, r *rig)) {
	t.Helper()
	for _, engine := range []models.Dialect{models.SQLite, models.Postgres} {
		t.Run(string(engine), func(t *testing.T) {
			t.Parallel()
			fn(t, newRig(t, engine))
		})
	}
}

func newRig(t *testing.T, engine models.Dialect) *rig {
	t.Helper()
	ctx := t.Context()
	r := &rig{t: t, clock: &clock{t: time.Now().UTC().Truncate(time.Microsecond)}, log: &bytes.Buffer{}}
	keys, err := models.NewKeyring(base64.StdEncoding.EncodeToString(make([]byte, 32)))
	r.must(err)
	dsn := filepath.Join(t.TempDir(), "hongyan.db")
	if engine == models.Postgres {
		dsn = postgres.New(t)
	}
	log := slog.New(slog.NewTextHandler(r.log, nil))
	r.store, err = models.Open(ctx, models.Options{
		Database: dsn, Regions: []models.Region{{ID: "ap-guangzhou", Zh: "广州", En: "Guangzhou"}}, Keys: keys, Now: r.clock.Now, Log: log,
	})
	r.must(err)
	t.Cleanup(func() { r.must(r.store.Close()) })
	r.must(r.store.Migrate(ctx, false))
	u, err := r.store.CreateMainAccount(ctx, models.MainAccount{Name: "蓝讯", UserName: "lin", Password: "correct horse 2026"})
	r.must(err)
	r.main = u.Actor("")
	_, apps, err := r.store.CreateProduct(ctx, r.main, models.ProductInput{
		Name: "蓝鲸<at user_id=\"all\">", Category: "office", Region: "ap-guangzhou", Platforms: []string{models.PlatformAndroid},
	})
	r.must(err)
	r.app = apps[0]
	saved, err := r.store.SaveCredentials(ctx, r.main, models.AppOwner(r.app.ID), models.CredentialInput{
		Channel: "hw", Environment: models.EnvironmentProduction, Kind: "key", PackageName: "cn.example.store", Fields: map[string]string{"secret": "v3ndor-secret"},
	})
	r.must(err)
	r.key = saved[0]
	r.robots = newRobots(t, r.clock)
	r.alerts = r.sender(netip.MustParsePrefix("127.0.0.0/8"))
	return r
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// sender makes what sends, allowed into some networks.
func (r *rig) sender(allow ...netip.Prefix) *alert.Sender {
	r.t.Helper()
	s, err := alert.New(alert.Options{
		Store: r.store, Log: slog.New(slog.NewTextHandler(r.log, nil)), Now: r.clock.Now, PublicURL: "https://push.example.com", Allow: allow,
		RootCAs: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: r.robots.server.Certificate().Raw}),
	})
	r.must(err)
	r.t.Cleanup(s.Close)
	return s
}

// hook makes a hook that leads to the robots.
func (r *rig) hook(kind string, secret models.Secret) *models.AlertHook {
	r.t.Helper()
	h, err := r.store.CreateAlertHook(r.t.Context(), r.main, models.AlertHookInput{
		Name: "值班-" + kind, Kind: kind, URL: models.Secret(r.robots.address(kind)), Secret: secret, Events: models.AlertEvents(),
	})
	r.must(err)
	return h
}

// pause has the vendor refuse the credential.
func (r *rig) pause() {
	r.t.Helper()
	r.clock.Advance(time.Second)
	did, err := r.store.PauseCredential(r.t.Context(), r.key.ID, r.key.Revision, "80200001", "")
	r.must(err)
	if !did {
		r.t.Fatal("not paused")
	}
	r.must(r.store.ResumeCredential(r.t.Context(), r.main, models.AppOwner(r.app.ID), r.key.ID))
}

// row returns the newest line of the log.
func (r *rig) row() models.Alert {
	r.t.Helper()
	page, err := r.store.Alerts(r.t.Context(), r.main, 0, 0, 1)
	r.must(err)
	if len(page.Rows) == 0 {
		r.t.Fatal("the log is empty")
	}
	return page.Rows[0]
}

// The secrets of the robots below.
const (
	weComKey     = "693a91f6-7xxx-4bc4"
	dingToken    = "9f3cd1ngt0ken"
	dingSecret   = "SECd1ngs1gn"
	feishuHook   = "f31shu-h00k"
	feishuSecret = "f31shus1gn"
	genericPath  = "g3neric-path"
	genericSign  = "g3neric-s1gn"
)

func secrets() []string {
	return []string{weComKey, dingToken, dingSecret, feishuHook, feishuSecret, genericPath, genericSign, "v3ndor-secret"}
}

// robots stands in for the group robots, by their documents: it checks keys and
// signatures with code of its own.
type robots struct {
	t      *testing.T
	server *httptest.Server
	clock  *clock

	mu     sync.Mutex
	got    []string // texts that were taken; of the generic one the whole body
	asked  int
	answer func(w http.ResponseWriter) bool // answers instead; false to go on
}

func newRobots(t *testing.T, k *clock) *robots {
	t.Helper()
	b := &robots{t: t, clock: k}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /cgi-bin/webhook/send", b.weCom)
	mux.HandleFunc("POST /robot/send", b.ding)
	mux.HandleFunc("POST /open-apis/bot/v2/hook/{hook}", b.feishu)
	mux.HandleFunc("POST /mine/{path}", b.generic)
	b.server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.asked++
		if b.answer != nil && b.answer(w) {
			return
		}
		mux.ServeHTTP(w, r)
	}))
	b.server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	t.Cleanup(b.server.Close)
	return b
}

func (b *robots) address(kind string) string {
	return b.server.URL + map[string]string{
		models.HookWeCom: "/cgi-bin/webhook/send?key=" + weComKey, models.HookDingTalk: "/robot/send?access_token=" + dingToken,
		models.HookFeishu: "/open-apis/bot/v2/hook/" + feishuHook, models.HookGeneric: "/mine/" + genericPath,
	}[kind]
}

// say sets what is answered to everything; nil lets the robots decide.
func (b *robots) say(answer func(w http.ResponseWriter) bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.answer = answer
}

func (b *robots) texts() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string(nil), b.got...)
}

func (b *robots) calls() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.asked
}

// read decodes a body and fails the test when it is not what it says it is.
func (b *robots) read(r *http.Request) (body map[string]any, raw []byte) {
	raw, err := io.ReadAll(r.Body)
	if err == nil {
		err = json.Unmarshal(raw, &body)
	}
	if err != nil || r.Header.Get("Content-Type") != "application/json; charset=utf-8" {
		b.t.Errorf("%s: %v, %s", r.URL.Path, err, r.Header)
	}
	return body, raw
}

func answer(w http.ResponseWriter, format string, args ...any) {
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, format, args...)
}

func (b *robots) weCom(w http.ResponseWriter, r *http.Request) {
	body, _ := b.read(r)
	if r.URL.Query().Get("key") != weComKey {
		answer(w, `{"errcode":93000,"errmsg":"invalid webhook url, hint: [1700000000], key: %s"}`, r.URL.Query().Get("key"))
		return
	}
	text, ok := body["text"].(map[string]any)
	if content, is := text["content"].(string); ok && is && body["msgtype"] == "text" && len(content) <= 2048 {
		b.got = append(b.got, content)
		answer(w, `{"errcode":0,"errmsg":"ok"}`)
		return
	}
	answer(w, `{"errcode":40008,"errmsg":"invalid message type"}`)
}

func (b *robots) ding(w http.ResponseWriter, r *http.Request) {
	body, _ := b.read(r)
	q := r.URL.Query()
	if q.Get("access_token") != dingToken {
		answer(w, `{"errcode":300005,"errmsg":"token is not exist"}`)
		return
	}
	stamp, err := strconv.ParseInt(q.Get("timestamp"), 10, 64)
	age := b.clock.Now().Sub(time.UnixMilli(stamp))
	mac := hmac.New(sha256.New, []byte(dingSecret))
	fmt.Fprintf(mac, "%d\n%s", stamp, dingSecret)
	given, _ := base64.StdEncoding.DecodeString(q.Get("sign"))
	if err != nil || age > time.Hour || age < -time.Hour || !hmac.Equal(given, mac.Sum(nil)) {
		answer(w, `{"errcode":310000,"errmsg":"description:机器人发送签名不匹配；solution:请确认签名和生成签名的时间戳是否都在时效范围内"}`)
		return
	}
	text, _ := body["text"].(map[string]any)
	content, is := text["content"].(string)
	if body["msgtype"] != "text" || !is {
		answer(w, `{"errcode":40035,"errmsg":"缺少参数 json"}`)
		return
	}
	b.got = append(b.got, content)
	answer(w, `{"errcode":0,"errmsg":"ok"}`)
}

func (b *robots) feishu(w http.ResponseWriter, r *http.Request) {
	body, _ := b.read(r)
	if r.PathValue("hook") != feishuHook {
		answer(w, `{"code":19001,"data":{},"msg":"param invalid: incoming webhook access token invalid"}`)
		return
	}
	stamp, _ := body["timestamp"].(string)
	sign, _ := body["sign"].(string)
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	age := b.clock.Now().Sub(time.Unix(seconds, 0))
	want := base64.StdEncoding.EncodeToString(hmac.New(sha256.New, []byte(stamp+"\n"+feishuSecret)).Sum(nil))
	if err != nil || age > time.Hour || age < -time.Hour || sign != want {
		answer(w, `{"code":19021,"data":{},"msg":"sign match fail or timestamp is not within one hour from current time"}`)
		return
	}
	content, _ := body["content"].(map[string]any)
	text, is := content["text"].(string)
	if body["msg_type"] != "text" || !is {
		answer(w, `{"code":9499,"msg":"Bad Request"}`)
		return
	}
	b.got = append(b.got, text)
	answer(w, `{"StatusCode":0,"StatusMessage":"success","code":0,"data":{},"msg":"success"}`)
}

func (b *robots) generic(w http.ResponseWriter, r *http.Request) {
	_, raw := b.read(r)
	mac := hmac.New(sha256.New, []byte(genericSign))
	mac.Write([]byte(r.Header.Get("X-Hongyan-Timestamp") + "." + string(raw)))
	seconds, err := strconv.ParseInt(r.Header.Get("X-Hongyan-Timestamp"), 10, 64)
	if err != nil || b.clock.Now().Sub(time.Unix(seconds, 0)).Abs() > time.Minute || r.Header.Get("X-Hongyan-Signature") != hex.EncodeToString(mac.Sum(nil)) {
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, genericSign) // what a stranger says is not repeated
		return
	}
	b.got = append(b.got, string(raw))
	w.WriteHeader(http.StatusNoContent)
}
