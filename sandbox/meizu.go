package sandbox

import (
	"bytes"
	"crypto/md5" //nolint:gosec // Meizu's signature is MD5
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"sync/atomic"
	"unicode/utf8"

	"hongyan/push"
)

// meizu simulates Meizu Push. Its rules are those of the README of
// https://github.com/MEIZUPUSH/PushAPI; the words in comments are its headings.
type meizu struct {
	next     atomic.Int64
	notify   *regexp.Regexp
	callback *regexp.Regexp
}

func newMeizu() *meizu {
	return &meizu{
		notify: regexp.MustCompile(`^[0-9a-zA-Z_-]{1,8}$`), callback: regexp.MustCompile(`^https?://`),
	}
}

const (
	meizuPath       = "/garcia/api/server/push/varnished/pushByPushId"
	meizuMaxTargets = 100 // since 2025; earlier versions say 1000
	meizuMaxBody    = 1 << 20
)

// codes: true for those of "map部分code定义", each about one pushId. device_110010 is
// the 110010 of that table, which the README also has for a whole answer.
func (*meizu) codes() map[string]bool {
	return map[string]bool{
		"500": false, "1001": false, "1003": false, "1005": false, "1006": false, "110000": false, "110001": false,
		"110004": false, "110009": false, "110010": false, "110019": false, "110031": false, "110032": false,
		"110033": false, "110051": false, "110053": false, "999999": false, // the last is none of the README's
		"201": true, "501": true, "513": true, "519": true, "520": true, "110002": true, "110003": true,
		"110005": true, "device_110010": true, "110011": true,
	}
}

// meizuMessage is messageJson of "pushId推送接口（通知栏消息）".
type meizuMessage struct {
	NoticeBarInfo struct {
		NoticeMsgType int    `json:"noticeMsgType"`
		NoticeBarType int    `json:"noticeBarType"`
		Title         string `json:"title"`
		Content       string `json:"content"`
	} `json:"noticeBarInfo"`
	NoticeExpandInfo struct {
		Type    int    `json:"noticeExpandType"`
		Content string `json:"noticeExpandContent"`
		Image   string `json:"noticeExpandImgUrl"`
	} `json:"noticeExpandInfo"`
	ClickTypeInfo struct {
		ClickType       int               `json:"clickType"`
		URL             string            `json:"url"`
		Parameters      map[string]string `json:"parameters"`
		Activity        string            `json:"activity"`
		CustomAttribute string            `json:"customAttribute"`
	} `json:"clickTypeInfo"`
	PushTimeInfo struct {
		OffLine   *int `json:"offLine"`
		ValidTime *int `json:"validTime"`
	} `json:"pushTimeInfo"`
	AdvanceInfo struct {
		Suspend             int    `json:"suspend"`
		ClearNoticeBar      int    `json:"clearNoticeBar"`
		FixDisplay          int    `json:"fixDisplay"`
		FixStartDisplayTime string `json:"fixStartDisplayTime"`
		FixEndDisplayTime   string `json:"fixEndDisplayTime"`
		NotificationType    struct {
			Vibrate int `json:"vibrate"`
			Lights  int `json:"lights"`
			Sound   int `json:"sound"`
		} `json:"notificationType"`
		NotifyKey string `json:"notifyKey"`
	} `json:"advanceInfo"`
	Extra struct {
		Callback string `json:"callback"`
		Param    string `json:"callback.param"`
		Type     int    `json:"callback.type"`
	} `json:"extra"`
}

// meizuAnswer is "接口响应规范": code is a string.
func meizuAnswer(w http.ResponseWriter, code, message string, value any, msgID string) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	out := map[string]any{"code": code, "message": message, "value": value, "redirect": ""}
	if msgID != "" {
		out["msgId"] = msgID
	}
	_ = json.NewEncoder(w).Encode(out) // a caller that is gone hears nothing
}

func (m *meizu) serve(s *Simulator, w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path != meizuPath:
		http.NotFound(w, r)
		return
	case r.Method != http.MethodPost:
		http.Error(w, "Method Not Allowed", http.StatusMethodNotAllowed)
		return
	case !strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded"):
		http.Error(w, "Unsupported Media Type", http.StatusUnsupportedMediaType)
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, meizuMaxBody+1))
	if err != nil {
		return // the caller is gone
	}
	if len(body) > meizuMaxBody {
		http.Error(w, "Request Entity Too Large", http.StatusRequestEntityTooLarge)
		return
	}
	s.requests.Add(1)
	form, err := url.ParseQuery(string(body))
	ids := strings.Split(form.Get("pushIds"), ",")
	set := s.settingsOf(r.Context(), ids[0])
	held := s.hold(r.Context(), set)
	p := meizuPush{form: form, ids: ids, rolled: set.roll()}
	code, message := "1005", "参数错误，请参考API文档"
	if err == nil {
		code, message = m.judge(s, r, &p)
	}
	one := Received{Payload: []byte(form.Get("messageJson")), Status: http.StatusOK, Latency: held}
	if len(p.account.Packages) == 1 {
		one.Topic = p.account.Packages[0]
	}
	if code != "" {
		for _, id := range ids {
			one.Token, one.Reason = id, code
			s.record(r.Context(), one)
		}
		retryAfter(w, set)
		meizuAnswer(w, code, message, "", "")
		return
	}
	one.ID = "NS" + strconv.FormatInt(m.next.Add(1), 10) + "_0_" + p.account.ID
	value := map[string][]string{}
	for _, id := range ids {
		bad := m.wrong(s, r, p, one.Topic, id)
		one.Token, one.Reason = id, bad
		s.record(r.Context(), one)
		if bad != "" {
			// "只返回推送非法的pushId，合法的pushId不予返回"
			shown := strings.TrimPrefix(bad, "device_")
			value[shown] = append(value[shown], id)
			continue
		}
		if p.message.Extra.Callback != "" {
			s.deliver(set, Delivered{Account: p.account, Token: id, VendorID: one.ID, URL: p.message.Extra.Callback, Param: p.message.Extra.Param, At: s.cfg.Now()})
		}
	}
	retryAfter(w, set)
	meizuAnswer(w, "200", "", value, one.ID)
}

// meizuPush is one request.
type meizuPush struct {
	form    url.Values
	ids     []string
	account Account
	message meizuMessage
	rolled  string
	// registered is the receipt address in Meizu's console.
	registered string
}

// judge returns what is wrong with a whole request: "Api returnCode定义".
func (m *meizu) judge(s *Simulator, r *http.Request, p *meizuPush) (code, message string) {
	for _, k := range []string{"appId", "pushIds", "messageJson", "sign"} {
		if len(p.form[k]) > 1 {
			return "1005", "参数错误，请参考API文档"
		}
		if p.form.Get(k) == "" {
			return "110004", "参数不能为空"
		}
	}
	a, ok, err := s.cfg.Accounts.Account(r.Context(), p.form.Get("appId"))
	switch {
	case err != nil:
		return "1001", "系统错误"
	case !ok:
		return "110000", "appId不合法"
	}
	p.account, p.registered = a, s.registered(r.Context(), a, p.ids[0])
	if subtle.ConstantTimeCompare([]byte(meizuSign(p.form, a.Fields["app_secret"])), []byte(p.form.Get("sign"))) != 1 {
		return "1006", "签名认证失败"
	}
	if p.rolled != "" && !m.codes()[p.rolled] {
		return p.rolled, "refused by the settings"
	}
	if len(p.ids) > meizuMaxTargets {
		return "1005", "pushIds超过限制"
	}
	d := json.NewDecoder(strings.NewReader(p.form.Get("messageJson")))
	d.DisallowUnknownFields() // a misspelt member is found here and not on a phone
	if err := d.Decode(&p.message); err != nil {
		var wrong *json.UnmarshalTypeError
		if errors.As(err, &wrong) {
			return "1005", wrong.Field + "类型错误"
		}
		return "1005", "messageJson不合法"
	}
	if bad := m.check(p); bad != "" {
		return "1005", bad + "不合法"
	}
	return "", ""
}

// check returns the wrong member of a message.
func (m *meizu) check(p *meizuPush) string {
	in := p.message
	offLine, hours := 1, 24 // the defaults
	if in.PushTimeInfo.OffLine != nil {
		offLine = *in.PushTimeInfo.OffLine
	}
	if in.PushTimeInfo.ValidTime != nil {
		hours = *in.PushTimeInfo.ValidTime
	}
	chars := utf8.RuneCountInString
	switch {
	case in.NoticeBarInfo.NoticeMsgType != 0 && in.NoticeBarInfo.NoticeMsgType != 1:
		return "noticeMsgType"
	case in.NoticeBarInfo.NoticeBarType != 0 && in.NoticeBarInfo.NoticeBarType != 2:
		return "noticeBarType"
	case in.NoticeBarInfo.Title == "" || chars(in.NoticeBarInfo.Title) > 32:
		return "title"
	case in.NoticeBarInfo.Content == "" || chars(in.NoticeBarInfo.Content) > 100:
		return "content"
	case in.NoticeExpandInfo.Type == 1 && in.NoticeExpandInfo.Content == "":
		return "noticeExpandContent"
	case in.ClickTypeInfo.ClickType < 0 || in.ClickTypeInfo.ClickType > 3:
		return "clickType"
	case in.ClickTypeInfo.ClickType == 1 && in.ClickTypeInfo.Activity == "":
		return "activity"
	case in.ClickTypeInfo.ClickType == 2 && in.ClickTypeInfo.URL == "":
		return "url"
	case len(in.ClickTypeInfo.CustomAttribute) > 1000:
		return "customAttribute"
	case offLine != 0 && offLine != 1:
		return "offLine"
	case offLine == 1 && (hours < 1 || hours > 72):
		return "validTime"
	case in.AdvanceInfo.NotifyKey != "" && !m.notify.MatchString(in.AdvanceInfo.NotifyKey):
		return "notifyKey"
	}
	// "消息送达与回执": at most 128 and 64 bytes, and registered in the console.
	switch e := in.Extra; {
	case e.Callback == "" && (e.Param != "" || e.Type != 0):
		return "callback"
	case e.Callback == "":
		return ""
	case len(e.Callback) > 128 || !m.callback.MatchString(e.Callback) || e.Callback != p.registered:
		return "callback"
	case len(e.Param) > 64:
		return "callback.param"
	case e.Type < 0 || e.Type > 3:
		return "callback.type"
	}
	return ""
}

// wrong is what is wrong with one pushId, "" for nothing.
func (m *meizu) wrong(s *Simulator, r *http.Request, p meizuPush, topic, id string) string {
	if p.rolled != "" {
		return p.rolled
	}
	st, err := s.tokenCode(r.Context(), topic, id)
	switch about := m.codes()[st.Reason]; {
	case err != nil:
		return "501" // db_error
	case st.Reason != "" && !about:
		return "110002" // some other word for a token that does not exist
	case st.Reason == "" && len(id) < 32:
		return "110003" // pushIds have more than forty characters
	}
	return st.Reason
}

// meizuSign is "接口签名规范": the parameters but the signature itself, sorted by
// name, raw, followed by the secret.
func meizuSign(form url.Values, secret string) string {
	var names []string
	for k := range form {
		if k != "sign" {
			names = append(names, k)
		}
	}
	sort.Strings(names)
	var b bytes.Buffer
	for _, k := range names {
		b.WriteString(k)
		b.WriteByte('=')
		b.WriteString(form.Get(k))
	}
	b.WriteString(secret)
	sum := md5.Sum(b.Bytes()) //nolint:gosec // Meizu's signature is MD5
	return hex.EncodeToString(sum[:])
}

// receipt: "消息送达与回执". Arrivals and clicks are reported.
func (*meizu) receipt(_ *Simulator, p Delivered, event push.ReceiptEvent) (*http.Request, bool) {
	kind := map[push.ReceiptEvent]int{push.EventArrived: 1, push.EventClicked: 2}[event]
	if kind == 0 || p.URL == "" {
		return nil, false
	}
	cb, err := json.Marshal(map[string]any{p.VendorID + "-" + strconv.Itoa(kind): map[string]any{
		"param": p.Param, "type": kind, "targets": []string{p.Token},
	}})
	if err != nil {
		return nil, false
	}
	form := url.Values{"cb": {string(cb)}, "access_token": {hex.EncodeToString([]byte(p.Account.ID))}}
	req, err := http.NewRequest(http.MethodPost, p.URL, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, false
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded;charset=UTF-8")
	return req, true
}
