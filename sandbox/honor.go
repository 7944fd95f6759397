package sandbox

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"hongyan/push"
)

// honor simulates Honor's push service. An Account's ID is the client id, which asks
// for access tokens; its field app_id is what sends are addressed to. Sources:
// [send] https://developer.honor.com/cn/docs/11002/reference/downlink-message and Honor's
// article on its server interface, https://my.oschina.net/u/5873522/blog/10140231
// [qps] TPNS 厂商通道QPS限制说明: 80200021 over 3000 requests a second
// [hms] Huawei's list of codes, which the 80xxxxxx ones resemble: Honor's own list was
// not found, so which fault gives which of them is inferred.
type honor struct{}

// Limits by [send]; the size by [hms].
const (
	honorTokens  = 1000
	honorPayload = 4096
	honorTTL     = 15 * 24 * 3600 // seconds
	honorLife    = time.Hour
)

func (honor) codes() map[string]bool {
	out := map[string]bool{"expireTokens": true, "failTokens": true}
	for _, c := range strings.Fields("80100000 80100001 80100003 80100004 80200001 80200003 80200021 80300007 80300008 80300010 81000001 " +
		"400 401 403 404 429 500 502 503 sendResult") {
		out[c] = false
	}
	return out
}

func (h honor) serve(s *Simulator, w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/auth/token" {
		s.grant(w, r, honorLife, "client_secret", func(what string) {
			// RFC 6749 section 5.2; Honor's own text shows no refusal.
			answerJSON(w, http.StatusUnauthorized, map[string]string{"error": "invalid_client", "error_description": "invalid " + what})
		})
		return
	}
	app, ok := strings.CutPrefix(r.URL.Path, "/api/v1/")
	app, send := strings.CutSuffix(app, "/sendMessage")
	if !ok || !send || app == "" || strings.Contains(app, "/") || r.Method != http.MethodPost {
		plainAnswer(w, http.StatusNotFound)
		return
	}
	s.requests.Add(1)
	q := &honorRequest{bulk: bulk{id: requestID(s.cfg.Now())}}
	body, err := readBody(r)
	if err != nil {
		plainAnswer(w, http.StatusRequestEntityTooLarge)
		return
	}
	shape := q.parse(body)
	first := ""
	if len(q.tokens) > 0 {
		first = q.tokens[0]
	}
	q.set = s.settingsOf(r.Context(), first)
	q.held = s.hold(r.Context(), q.set)
	code := h.authorize(s, r, app, &q.account)
	if code == "" {
		code = shape
	}
	if code == "" {
		code = q.check(len(body))
	}
	each, whole, err := s.judge(r.Context(), &q.bulk)
	if err != nil {
		code = "81000001"
	} else if code == "" {
		code = whole
	}
	h.answer(s, w, r, q, code, each)
}

// authorize judges the headers of [send].
func (honor) authorize(s *Simulator, r *http.Request, app string, into *Account) string {
	if stamp := r.Header.Get("timestamp"); len(stamp) != 13 || strings.Trim(stamp, "0123456789") != "" {
		return "80100001" // a Unix time in milliseconds
	}
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok || token == "" || !strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
		return "80200001"
	}
	owner, known, live := s.bearer(token)
	if !known {
		return "80200001"
	}
	if !live {
		return "80200003"
	}
	a, found, err := s.cfg.Accounts.Account(r.Context(), owner)
	switch {
	case err != nil:
		return "81000001"
	case !found || a.Fields["app_id"] != app:
		return "80200001"
	}
	*into = a
	return ""
}

// answer records the pushes and writes what [send] has for them.
func (honor) answer(s *Simulator, w http.ResponseWriter, r *http.Request, q *honorRequest, code string, each map[string]string) {
	lists := map[string][]string{"failTokens": {}, "expireTokens": {}}
	if code == "" {
		for _, t := range distinct(q.tokens) {
			if each[t] != "" {
				lists[each[t]] = append(lists[each[t]], t)
			}
		}
	}
	// The inferred codes come with 200, as every answer of [send] that has one.
	status := http.StatusOK
	if n := statusOf(code); n != 0 {
		status = n
	}
	s.recordBulk(r.Context(), &q.bulk, status, func(t string) string {
		if code == "" {
			return each[t]
		}
		return code
	})
	if code != "" {
		retryAfter(w, q.set)
	}
	data := map[string]any{"sendResult": code == "" && len(each) < len(distinct(q.tokens)), "requestId": q.id}
	for name, list := range lists {
		data[name] = list
	}
	switch {
	case statusOf(code) != 0:
		plainAnswer(w, status)
	case code == "", code == "sendResult":
		answerJSON(w, status, map[string]any{"code": 200, "message": "Success", "data": data})
	default:
		n, _ := strconv.Atoi(code) // one of codes
		answerJSON(w, status, map[string]any{"code": n, "message": "refused", "data": nil})
	}
}

// honorRequest is a request to sendMessage, [send].
type honorRequest struct {
	bulk
	m     honorMessage
	extra int // bytes of the body that are tokens
}

type honorMessage struct {
	Token        []string `json:"token"`
	Data         string   `json:"data"`
	Notification *struct {
		Title string `json:"title"`
		Body  string `json:"body"`
		Image string `json:"image"`
	} `json:"notification"`
	Android struct {
		TTL            string        `json:"ttl"`
		BiTag          string        `json:"biTag"`
		Data           string        `json:"data"`
		TargetUserType int           `json:"targetUserType"`
		Notification   *honorAndroid `json:"notification"`
	} `json:"android"`
}

type honorAndroid struct {
	Title      string `json:"title"`
	Body       string `json:"body"`
	Image      string `json:"image"`
	Style      int    `json:"style"`
	BigTitle   string `json:"bigTitle"`
	BigBody    string `json:"bigBody"`
	Importance string `json:"importance"`
	When       string `json:"when"`
	NotifyID   *int32 `json:"notifyId"`
	Tag        string `json:"tag"`
	Group      string `json:"group"`
	Click      *struct {
		Type   int    `json:"type"`
		Intent string `json:"intent"`
		URL    string `json:"url"`
		Action string `json:"action"`
	} `json:"clickAction"`
	Buttons []json.RawMessage `json:"buttons"`
	Badge   *struct {
		Add   *int   `json:"addNum"`
		Set   *int   `json:"setNum"`
		Class string `json:"badgeClass"`
	} `json:"badge"`
}

// parse reads the body and says what is wrong with its structure, "" for nothing.
func (q *honorRequest) parse(body []byte) string {
	var bare map[string]json.RawMessage
	if json.Unmarshal(body, &bare) != nil || strictly(body, &q.m) != nil {
		return "80100003"
	}
	q.tokens, q.ref, q.payload, q.extra = q.m.Token, q.m.Android.BiTag, withoutTokens(bare), len(bare["token"])
	return ""
}

// check applies the rules of [send] to a request of the right structure.
func (q *honorRequest) check(size int) string {
	a := &q.m.Android
	ttl, err := strconv.Atoi(strings.TrimSuffix(a.TTL, "s"))
	switch {
	case len(q.tokens) == 0 || len(q.tokens) > honorTokens:
		return "80300010"
	case size-q.extra > honorPayload:
		return "80300008"
	case a.TTL != "" && (err != nil || !strings.HasSuffix(a.TTL, "s") || ttl > honorTTL):
		return "80100001"
	case a.TTL != "" && ttl <= 0:
		return "80100004"
	case a.TargetUserType != 0 && a.TargetUserType != 1:
		return "80100001"
	}
	n := a.Notification
	if n == nil {
		if q.m.Notification != nil || q.m.Data == "" && a.Data == "" {
			return "80100003"
		}
		return ""
	}
	title, body := n.Title, n.Body
	if q.m.Notification != nil {
		title, body = title+q.m.Notification.Title, body+q.m.Notification.Body
	}
	switch {
	case title == "" || body == "" || n.Click == nil, len(n.Buttons) > 3, n.Style != 0 && n.Style != 1:
		return "80100003"
	case !slices.Contains([]string{"", "LOW", "NORMAL"}, n.Importance):
		return "80100001"
	case n.Badge != nil && (n.Badge.Class == "" || n.Badge.Set != nil && (*n.Badge.Set < 0 || *n.Badge.Set > 99)):
		return "80100001"
	}
	switch c := n.Click; {
	case c.Type == 1 && strings.HasPrefix(c.Intent, "intent:") && strings.HasSuffix(c.Intent, "end"):
	case c.Type == 1 && c.Action != "" && c.Intent == "":
	case c.Type == 2 && strings.HasPrefix(c.URL, "https://"):
	case c.Type == 3:
	default:
		return "80100001"
	}
	return ""
}

// receipt is Honor's report. The status of an arrival is the one that users of the
// service observed; Honor's list was not found, so no other event is reported.
func (honor) receipt(s *Simulator, p Delivered, event push.ReceiptEvent) (*http.Request, bool) {
	status, ok := eventCode(map[push.ReceiptEvent]int{push.EventArrived: 40000002, push.EventOther: 40000099}, event)
	if !ok {
		return nil, false
	}
	body, _ := json.Marshal(map[string]any{"statuses": []map[string]any{{ // plain types
		"token": p.Token, "biTag": p.Param, "appId": p.Account.Fields["app_id"], "status": status,
		"timestamp": s.cfg.Now().UnixMilli(), "requestId": p.VendorID,
	}}})
	req, err := http.NewRequest(http.MethodPost, p.URL, bytes.NewReader(body))
	if err != nil {
		return nil, false
	}
	req.Header.Set("Content-Type", "application/json")
	return req, true
}
