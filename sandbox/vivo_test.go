package sandbox

import (
	"bytes"
	"crypto/md5"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"hongyan/push"
)

// vivoLab talks to a simulated vivo as a careless client would.
type vivoLab struct {
	*testing.T
	sim    *Simulator
	client *http.Client
	token  string
	ahead  atomic.Int64 // what the simulator's clock is ahead, in nanoseconds
}

func newVivoLab(t *testing.T) *vivoLab {
	t.Helper()
	l := &vivoLab{T: t}
	accounts := &MemoryAccounts{}
	for _, id := range []string{"10004", "10005"} {
		accounts.Add(Account{ID: id, Fields: map[string]string{"app_key": "key-of-" + id, "app_secret": "secret"}})
	}
	l.sim, l.client = startVendor(t, Config{Channel: push.Vivo, Accounts: accounts, Now: func() time.Time {
		return time.Now().Add(time.Duration(l.ahead.Load()))
	}})
	l.token, _ = l.post("/message/auth", l.auth("10004", "secret", time.Now()))["authToken"].(string)
	return l
}

// startVendor starts a simulator and returns a client that trusts it.
func startVendor(t *testing.T, cfg Config) (*Simulator, *http.Client) {
	t.Helper()
	sim, err := Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sim.Close(); err != nil {
			t.Error(err)
		}
	})
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(sim.CA().PEM())
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}}
	t.Cleanup(client.CloseIdleConnections)
	return sim, client
}

func (l *vivoLab) auth(id, secret string, at time.Time) string {
	ms := at.UnixMilli()
	sum := md5.Sum(fmt.Appendf(nil, "%skey-of-%s%d%s", id, id, ms, secret))
	return fmt.Sprintf(`{"appId":%s,"appKey":"key-of-%s","timestamp":%d,"sign":"%x"}`, id, id, ms, sum)
}

// capitalSign writes the signature, the last member, in capitals.
func capitalSign(body string) string {
	i := strings.LastIndex(body, `"sign":"`) + len(`"sign":"`)
	return body[:i] + strings.ToUpper(body[i:])
}

func (l *vivoLab) post(path, body string) map[string]any {
	l.Helper()
	req, err := http.NewRequest(http.MethodPost, l.sim.URL()+path, strings.NewReader(body))
	if err != nil {
		l.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("authToken", l.token)
	res, err := l.client.Do(req)
	if err != nil {
		l.Fatal(err)
	}
	defer res.Body.Close()
	out := map[string]any{"status": res.StatusCode}
	data, _ := io.ReadAll(res.Body)
	_ = json.NewDecoder(bytes.NewReader(data)).Decode(&out)
	return out
}

const vivoPush = `{"appId":10004,"regId":"12345678901234567890123","notifyType":1,"title":"标题1","content":"内容1",
"timeToLive":86400,"skipType":2,"skipContent":"http://www.vivo.com","networkType":-1,"classification":1,"category":"IM",
"clientCustomMap":{"key1":"vlaue1"},"extra":{"callback":"http://www.vivo.com","callback.param":"vivo"},"requestId":"25509283"}`

func TestVivoSimulatorAuth(t *testing.T) {
	t.Parallel()
	l := newVivoLab(t)
	if l.token == "" {
		t.Fatal("no token for good keys")
	}
	for name, c := range map[string]struct {
		body string
		want float64
	}{
		"wrong secret": {l.auth("10004", "secre7", time.Now()), 10000},
		"unknown app":  {l.auth("10009", "secret", time.Now()), 10000},
		"old":          {l.auth("10004", "secret", time.Now().Add(-11*time.Minute)), 10000},
		"no app":       {`{"appKey":"k"}`, 10200},
		"no key":       {`{"appId":10004}`, 10201},
		"text id":      {strings.Replace(l.auth("10004", "secret", time.Now()), `:10004`, `:"10004"`, 1), 10099},
		"capital sign": {capitalSign(l.auth("10004", "secret", time.Now())), 10000}, // 字母小写
	} {
		if got := l.post("/message/auth", c.body); got["result"] != c.want || got["authToken"] != nil {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	l.ahead.Store(int64(2 * time.Second))
	last := map[string]any{}
	for range 11 {
		last = l.post("/message/auth", l.auth("10004", "secret", time.Now()))
	}
	if now := last["result"]; now != 10072.0 && now != 0.0 { // the second may have turned
		t.Errorf("eleven calls within a second: %v", last)
	}
}

func TestVivoSimulatorPush(t *testing.T) {
	t.Parallel()
	l := newVivoLab(t)
	change := func(old, with string) string {
		t.Helper()
		if !strings.Contains(vivoPush, old) {
			t.Fatalf("nothing to change: %s", old)
		}
		return strings.Replace(vivoPush, old, with, 1)
	}
	if got := l.post("/message/send", vivoPush); got["result"] != 0.0 || got["taskId"] == nil {
		t.Fatalf("a good push: %v", got)
	}
	for name, c := range map[string]struct {
		body string
		want float64
	}{
		"other app":    {change(`10004`, `10005`), 10094},
		"no app":       {change(`"appId":10004,`, ``), 10099},
		"regId":        {change(`12345678901234567890123`, `123`), 10099},
		"notifyType":   {change(`"notifyType":1`, `"notifyType":5`), 10099},
		"type":         {change(`"notifyType":1`, `"notifyType":"1"`), 10099},
		"member":       {change(`notifyType`, `notifytypes`), 10099},
		"title":        {change(`标题1`, strings.Repeat("长", 21)), 10099},
		"content":      {change(`内容1`, strings.Repeat("x", 101)), 10099},
		"no title":     {change(`标题1`, ``), 10099},
		"timeToLive":   {change(`86400`, `604801`), 10099},
		"skipContent":  {change(`"skipContent":"http://www.vivo.com",`, ``), 10099},
		"networkType":  {change(`:-1`, `:3`), 10099},
		"category":     {change(`"classification":1`, `"classification":0`), 10099},
		"custom":       {change(`vlaue1`, strings.Repeat("长", 1024)), 10099},
		"callback":     {change(`"http://www.vivo.com","callback.param"`, `"http://`+strings.Repeat("x", 128)+`","callback.param"`), 10099},
		"param":        {change(`"vivo"}`, `"`+strings.Repeat("x", 65)+`"}`), 10099},
		"no requestId": {change(`25509283`, ``), 10099},
		"not JSON":     {`{`, 10099},
	} {
		if got := l.post("/message/send", c.body); got["result"] != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	if got := l.post("/message/recall", vivoPush); got["status"] != http.StatusNotFound {
		t.Errorf("a wrong path: %v", got)
	}
	if got := l.post("/message/send", strings.Repeat(" ", vivoMaxBody+1)); got["status"] != http.StatusRequestEntityTooLarge {
		t.Errorf("a large body: %v", got)
	}
	l.ahead.Store(int64(25 * time.Hour))
	if got := l.post("/message/send", vivoPush); got["result"] != 10000.0 {
		t.Errorf("an expired token: %v", got)
	}
}

func TestVivoSimulatorList(t *testing.T) {
	t.Parallel()
	l := newVivoLab(t)
	if got := l.post("/message/saveListPayload", vivoPush); got["result"] != 10099.0 {
		t.Errorf("a target in a batch's content: %v", got)
	}
	content := strings.Replace(vivoPush, `"regId":"12345678901234567890123",`, ``, 1)
	if got := l.post("/message/saveListPayload", content); got["result"] != 10099.0 {
		t.Errorf("a receipt for a batch: %v", got)
	}
	content = strings.Replace(content, `"extra":{"callback":"http://www.vivo.com","callback.param":"vivo"},`, ``, 1)
	task, _ := l.post("/message/saveListPayload", content)["taskId"].(string)
	list := func(task string, n int) map[string]any {
		ids := make([]string, n)
		for i := range ids {
			ids[i] = fmt.Sprintf(`"%023d"`, i)
		}
		return l.post("/message/pushToList", `{"appId":10004,"regIds":[`+strings.Join(ids, ",")+`],"taskId":"`+task+`","requestId":"r"}`)
	}
	for name, c := range map[string]struct {
		task string
		n    int
		want float64
	}{"one": {task, 1, 10099}, "two": {task, 2, 0}, "most": {task, 1000, 0}, "too many": {task, 1001, 10099}, "no such task": {"1", 2, 10099}} {
		if got := list(c.task, c.n); got["result"] != c.want {
			t.Errorf("%s: %v, want %v", name, got["result"], c.want)
		}
	}
	if err := l.sim.SetToken(fmt.Sprintf("%023d", 1), TokenState{Reason: "user_2"}); err != nil {
		t.Fatal(err)
	}
	users, _ := list(task, 3)["invalidUsers"].([]any)
	if len(users) != 1 || fmt.Sprint(users[0]) != fmt.Sprintf("map[status:2 userid:%023d]", 1) {
		t.Errorf("%v", users)
	}
}
