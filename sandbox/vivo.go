package sandbox

import (
	"context"
	"crypto/md5" //nolint:gosec // vivo's signature is MD5
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"hongyan/push"
)

// vivo simulates vivo Push. Its rules are those of version 2.9.2 of the server API,
// https://dev.vivo.com.cn/documentCenter/doc/362; the numbers in comments are its
// sections.
type vivo struct {
	mu    sync.Mutex
	tasks map[string]vivoTask
	next  int
	auths map[string]vivoSecond
}

// vivoTask is a stored batch content.
type vivoTask struct {
	account string
	body    []byte
}

// vivoSecond counts the auth calls of an app within a second.
type vivoSecond struct {
	second int64
	calls  int
}

// vivoBadParameter stands for all codes of the checks of parameters, which vivo does
// not publish: "result: xxx, desc: xxx不合法".
const vivoBadParameter = 10099

const (
	vivoTokenLife    = 24 * time.Hour   // 2.1.1
	vivoClockSkew    = 10 * time.Minute // 2.1.1
	vivoAuthsASecond = 10               // 2.1.1
	vivoMaxTargets   = 1000             // 2.3.2, at least two
	vivoMaxBody      = 1 << 20
)

func newVivo() *vivo {
	return &vivo{tasks: map[string]vivoTask{}, auths: map[string]vivoSecond{}}
}

// codes: true for those about one regId. user_N is an invalidUser of status N.
func (*vivo) codes() map[string]bool {
	return map[string]bool{
		"10000": false, "10094": false, "10045": false, "10070": false, "10072": false, "10099": false,
		"10200": false, "10201": false, "10252": false, "10254": false, "500": false,
		"10302": true, "user_1": true, "user_2": true, "user_3": true, "user_4": true,
	}
}

// vivoCall is one request that passed the header checks.
type vivoCall struct {
	account Account
	set     Settings
	body    []byte
	held    time.Duration
}

func (v *vivo) serve(s *Simulator, w http.ResponseWriter, r *http.Request) {
	known := map[string]func(*Simulator, http.ResponseWriter, *http.Request, []byte){
		"/message/auth": v.auth, "/message/send": v.send, "/message/saveListPayload": v.save, "/message/pushToList": v.list,
	}
	do, ok := known[r.URL.Path]
	switch {
	case !ok:
		http.NotFound(w, r)
		return
	case r.Method != http.MethodPost:
		http.Error(w, "Method Not Allowed", http.StatusMethodNotAllowed)
		return
	case !strings.HasPrefix(r.Header.Get("Content-Type"), "application/json"):
		http.Error(w, "Unsupported Media Type", http.StatusUnsupportedMediaType)
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, vivoMaxBody+1))
	if err != nil {
		return // the caller is gone
	}
	if len(body) > vivoMaxBody {
		http.Error(w, "Request Entity Too Large", http.StatusRequestEntityTooLarge)
		return
	}
	do(s, w, r, body)
}

// vivoAnswer writes {"result": …, "desc": …} with more members.
func vivoAnswer(w http.ResponseWriter, result int, desc string, more map[string]any) {
	w.Header().Set("Content-Type", "application/json;charset=UTF-8")
	out := map[string]any{"result": result, "desc": desc}
	for k, val := range more {
		out[k] = val
	}
	_ = json.NewEncoder(w).Encode(out) // a caller that is gone hears nothing
}

// vivoRefuse answers a code that the settings chose.
func vivoRefuse(w http.ResponseWriter, set Settings, code string) {
	retryAfter(w, set)
	if code == "500" {
		http.Error(w, "Internet server error!", http.StatusInternalServerError) // their words
		return
	}
	n, _ := strconv.Atoi(code) // from codes
	vivoAnswer(w, n, "refused by the settings", nil)
}

// auth: 2.1.1.
func (v *vivo) auth(s *Simulator, w http.ResponseWriter, r *http.Request, body []byte) {
	set := s.settingsOf(r.Context(), "")
	s.hold(r.Context(), set)
	switch code := set.roll(); code {
	case "10000", "10094", "10072", "500", "10200", "10201":
		vivoRefuse(w, set, code)
		return
	}
	var in struct {
		AppID     *int64 `json:"appId"`
		AppKey    string `json:"appKey"`
		Timestamp int64  `json:"timestamp"`
		Sign      string `json:"sign"`
	}
	if json.Unmarshal(body, &in) != nil {
		vivoAnswer(w, vivoBadParameter, "请求体不合法", nil)
		return
	}
	switch {
	case in.AppID == nil:
		vivoAnswer(w, 10200, "appId 不能为空", nil)
		return
	case in.AppKey == "":
		vivoAnswer(w, 10201, "appKey 不能为空", nil)
		return
	}
	id := strconv.FormatInt(*in.AppID, 10)
	if !v.mayAuth(id, s.cfg.Now()) {
		vivoAnswer(w, 10072, "鉴权过快", nil)
		return
	}
	a, ok, err := s.cfg.Accounts.Account(r.Context(), id)
	if err != nil {
		vivoRefuse(w, Settings{}, "500")
		return
	}
	sign := fmt.Sprintf("%x", md5.Sum([]byte(id+in.AppKey+strconv.FormatInt(in.Timestamp, 10)+a.Fields["app_secret"]))) //nolint:gosec // vivo's signature is MD5
	skew := s.cfg.Now().Sub(time.UnixMilli(in.Timestamp)).Abs()
	if !ok || in.AppKey != a.Fields["app_key"] || skew > vivoClockSkew || subtle.ConstantTimeCompare([]byte(sign), []byte(in.Sign)) != 1 {
		vivoAnswer(w, 10000, "权限认证失败", nil)
		return
	}
	vivoAnswer(w, 0, "请求成功", map[string]any{"authToken": s.issue(id, vivoTokenLife)})
}

func (v *vivo) mayAuth(app string, now time.Time) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	c := v.auths[app]
	if c.second != now.Unix() {
		c = vivoSecond{second: now.Unix()}
	}
	c.calls++
	v.auths[app] = c
	return c.calls <= vivoAuthsASecond
}

// enter checks what all push requests have in common: 1.3, the token in the header,
// and that the body's appId is the token's (10094). inert are codes of the settings
// that this path does not answer; 10254, which belongs to a path that is not here, is
// answered everywhere so that the reaction to it can be seen.
func (v *vivo) enter(s *Simulator, w http.ResponseWriter, r *http.Request, body []byte, token string, inert ...string) (vivoCall, string, bool) {
	s.requests.Add(1)
	c := vivoCall{body: body, set: s.settingsOf(r.Context(), token)}
	var ok bool
	c.held = s.hold(r.Context(), c.set)
	id, _, live := s.bearer(r.Header.Get("authToken"))
	if !live {
		vivoAnswer(w, 10000, "权限认证失败", nil)
		return c, "", false
	}
	var err error
	if c.account, ok, err = s.cfg.Accounts.Account(r.Context(), id); err != nil || !ok {
		vivoAnswer(w, 10000, "权限认证失败", nil)
		return c, "", false
	}
	code := c.set.roll()
	for _, skip := range inert {
		if code == skip {
			code = ""
		}
	}
	if code != "" && !v.codes()[code] {
		v.note(r.Context(), s, c, token, "", code)
		vivoRefuse(w, c.set, code)
		return c, "", false
	}
	var in struct {
		AppID *int64 `json:"appId"`
	}
	if json.Unmarshal(body, &in) != nil || in.AppID == nil {
		vivoAnswer(w, vivoBadParameter, "appId不合法", nil)
		return c, "", false
	}
	if strconv.FormatInt(*in.AppID, 10) != id {
		vivoAnswer(w, 10094, "appId与token不匹配", nil)
		return c, "", false
	}
	return c, code, true
}

// note records a push.
func (*vivo) note(ctx context.Context, s *Simulator, c vivoCall, token, id, reason string) {
	topic := ""
	if len(c.account.Packages) == 1 {
		topic = c.account.Packages[0]
	}
	status := http.StatusOK
	if reason == "500" {
		status = http.StatusInternalServerError
	}
	s.record(ctx, Received{Topic: topic, Token: token, ID: id, Payload: c.body, Status: status, Reason: reason, Latency: c.held})
}

// taskID makes the ids of tasks.
func (v *vivo) taskID() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.next++
	return strconv.Itoa(400000000 + v.next)
}

// wrong is what is wrong with a regId, as a code; "" for nothing.
func (v *vivo) wrong(ctx context.Context, s *Simulator, c vivoCall, rolled, token string) string {
	if rolled != "" {
		return rolled
	}
	topic := ""
	if len(c.account.Packages) == 1 {
		topic = c.account.Packages[0]
	}
	st, err := s.tokenCode(ctx, topic, token)
	if err != nil {
		return "500"
	}
	if _, ok := v.codes()[st.Reason]; !ok && st.Reason != "" {
		return "user_1" // some other word for a token that does not exist
	}
	return st.Reason
}

// vivoStatus is the status of an invalidUser for a code about one regId.
func vivoStatus(code string) int {
	if n, ok := strings.CutPrefix(code, "user_"); ok {
		status, _ := strconv.Atoi(n) // from codes
		return status
	}
	return 1
}

// send: 2.2.1, one regId.
func (v *vivo) send(s *Simulator, w http.ResponseWriter, r *http.Request, body []byte) {
	var in vivoContent
	bad := vivoDecode(body, &in)
	c, rolled, ok := v.enter(s, w, r, body, in.RegID, "10252")
	if !ok {
		return
	}
	if bad == "" {
		bad = in.checkSingle()
	}
	if bad != "" {
		v.note(r.Context(), s, c, in.RegID, "", strconv.Itoa(vivoBadParameter))
		vivoAnswer(w, vivoBadParameter, bad+"不合法", nil)
		return
	}
	switch code := v.wrong(r.Context(), s, c, rolled, in.RegID); {
	case v.codes()[code]:
		v.note(r.Context(), s, c, in.RegID, "", code)
		retryAfter(w, c.set)
		// 2.2.1: an invalid regId has a code of its own and is named.
		vivoAnswer(w, 10302, "regId不合法", map[string]any{"invalidUser": map[string]any{"status": vivoStatus(code), "userid": in.RegID}})
	case code != "":
		v.note(r.Context(), s, c, in.RegID, "", code)
		vivoRefuse(w, c.set, code)
	default:
		task := v.taskID()
		v.note(r.Context(), s, c, in.RegID, task, "")
		// 1.4: receipts for single pushes in formal mode alone.
		if in.Extra.Callback != "" && in.PushMode == 0 {
			s.deliver(c.set, Delivered{Account: c.account, Token: in.RegID, VendorID: task, URL: in.Extra.Callback, Param: in.Extra.Param, At: s.cfg.Now()})
		}
		vivoAnswer(w, 0, "请求成功", map[string]any{"taskId": task, "requestId": in.RequestID})
	}
}

// receipt: 1.4. Arrival is all that vivo reports.
func (*vivo) receipt(s *Simulator, p Delivered, event push.ReceiptEvent) (*http.Request, bool) {
	if event != push.EventArrived || p.URL == "" {
		return nil, false
	}
	at := p.At
	if at.IsZero() {
		at = s.cfg.Now()
	}
	body, err := json.Marshal(map[string]any{p.VendorID: map[string]any{
		"param": p.Param, "targets": p.Token, "ackType": "0", "ackTime": at.UnixMilli(),
	}})
	if err != nil {
		return nil, false
	}
	req, err := http.NewRequest(http.MethodPost, p.URL, strings.NewReader(string(body)))
	if err != nil {
		return nil, false
	}
	req.Header.Set("Content-Type", "application/json;charset=UTF-8")
	return req, true
}
