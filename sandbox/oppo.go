package sandbox

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"hongyan/push"
)

// oppo simulates OPPO Push: auth, unicast and unicast_batch, after its pages on
// https://open.oppomobile.com/new/developmentDoc/info: id=11234 (auth), 11235
// (addresses and return codes), 11236 (fields of a notification), 13189 (classes).
// An Account's ID is its AppKey; Fields["master_secret"] signs.
type oppo struct {
	mu   sync.Mutex
	sent map[string]bool // app_message_id and target, see oppoSeen
}

const (
	oppoPath = "/server/v1/"
	// oppoBody is the most a request may have, in bytes. OPPO states no limit.
	oppoBody = 8 << 20
	// oppoSkew is how far a timestamp may be off; the page says "the current time"
	// and SDKs assume ten minutes.
	oppoSkew = 10 * time.Minute
	// oppoSeen is how many ids are remembered before it starts anew.
	oppoSeen = 1 << 18
)

// codes implements vendor, by the return codes of id=11235 and of unicast (10000).
// 32 is what a repeated app_message_id gets.
func (*oppo) codes() map[string]bool {
	out := map[string]bool{"10000": true, "32": true}
	for _, c := range strings.Fields("-2 -1 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 33 34 40 41 51 55 59 67") {
		out[c] = false
	}
	return out
}

// oppoAuthCodes are those that the auth endpoint may give.
func oppoAuthCodes() []string {
	return strings.Fields("-2 -1 13 14 15 16 17 18 19 26 27 28 30 55")
}

// oppoRequest is a send on its way through the rules.
type oppoRequest struct {
	account  Account
	messages []oppoMessage
	batch    bool
	set      Settings
	codes    []string // of each message, "" for accepted
	ids      []string
}

// serve implements vendor.
func (o *oppo) serve(s *Simulator, w http.ResponseWriter, r *http.Request) {
	path, ok := strings.CutPrefix(r.URL.Path, oppoPath)
	if !ok || !slices.Contains([]string{"auth", "message/notification/unicast", "message/notification/unicast_batch"}, path) {
		http.NotFound(w, r)
		return
	}
	form, code := oppoForm(w, r)
	if path == "auth" {
		o.auth(s, w, r, form, code)
		return
	}
	s.requests.Add(1)
	q := oppoRequest{batch: path == "message/notification/unicast_batch"}
	if code == "" {
		code = o.read(r.Context(), s, form, &q)
	}
	first := ""
	if len(q.messages) > 0 {
		first = q.messages[0].target
	}
	q.set = s.settingsOf(r.Context(), first)
	latency := s.hold(r.Context(), q.set)
	if code == "" {
		code = o.judge(r.Context(), s, &q)
	}
	o.note(r.Context(), s, &q, code, latency)
	o.answer(w, &q, code)
	if code != "" {
		return
	}
	for i, m := range q.messages {
		if q.codes[i] == "" {
			s.deliver(q.set, Delivered{
				Account: q.account, Token: m.target, VendorID: q.ids[i], At: s.cfg.Now(),
				URL: m.text("call_back_url"), Param: m.text("call_back_parameter"),
			})
		}
	}
}

// oppoForm reads the request: POST, a form, UTF-8.
func oppoForm(w http.ResponseWriter, r *http.Request) (url.Values, string) {
	if r.Method != http.MethodPost {
		return nil, "12"
	}
	if kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); strings.TrimSpace(kind) != "application/x-www-form-urlencoded" {
		return nil, "25"
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, oppoBody))
	if err != nil {
		return nil, "41"
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, "25"
	}
	return form, ""
}

// auth hands out a token for a day: sign is the SHA-256 of app_key, timestamp in
// milliseconds and master_secret, in hex (id=11234).
func (o *oppo) auth(s *Simulator, w http.ResponseWriter, r *http.Request, form url.Values, code string) {
	set := s.settingsOf(r.Context(), "")
	s.hold(r.Context(), set)
	if code == "" {
		code = o.signed(r.Context(), s, form)
	}
	if rolled := set.roll(); code == "" && slices.Contains(oppoAuthCodes(), rolled) {
		code = rolled
	}
	if code != "" {
		retryAfter(w, set)
		oppoWrite(w, code, nil)
		return
	}
	oppoWrite(w, "0", map[string]any{"auth_token": s.issue(form.Get("app_key"), 24*time.Hour), "create_time": s.cfg.Now().UnixMilli()})
}

func (*oppo) signed(ctx context.Context, s *Simulator, form url.Values) string {
	key, stamp, sign := form.Get("app_key"), form.Get("timestamp"), form.Get("sign")
	switch {
	case key == "":
		return "15"
	case stamp == "":
		return "18"
	case sign == "":
		return "17"
	}
	a, found, err := s.cfg.Accounts.Account(ctx, key)
	if err != nil {
		return "-1"
	}
	if !found {
		return "14"
	}
	ms, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil || s.cfg.Now().Sub(time.UnixMilli(ms)).Abs() > oppoSkew {
		return "19"
	}
	want := sha256.Sum256([]byte(key + stamp + a.Fields["master_secret"]))
	if a.Fields["master_secret"] == "" || subtle.ConstantTimeCompare([]byte(sign), []byte(hex.EncodeToString(want[:]))) != 1 {
		return "16"
	}
	return ""
}

// read finds the sender and takes the messages apart.
func (o *oppo) read(ctx context.Context, s *Simulator, form url.Values, q *oppoRequest) string {
	token := form.Get("auth_token")
	if token == "" {
		return "29"
	}
	key, _, live := s.bearer(token)
	if !live {
		return "11"
	}
	a, found, err := s.cfg.Accounts.Account(ctx, key)
	switch {
	case err != nil:
		return "-1"
	case !found:
		return "28"
	}
	q.account = a
	name := "message"
	if q.batch {
		name = "messages"
	}
	if form.Get(name) == "" {
		return "40"
	}
	var raw []map[string]any
	if q.batch {
		if !oppoDecode(form.Get(name), &raw) {
			return "41"
		}
	} else {
		var m map[string]any
		if !oppoDecode(form.Get(name), &m) {
			return "41"
		}
		raw = append(raw, m)
	}
	// "At least one message", "at most 1000".
	if len(raw) == 0 || len(raw) > 1000 {
		return "41"
	}
	for _, m := range raw {
		one, code := oppoParse(m, a)
		if code != "" {
			return code
		}
		q.messages = append(q.messages, one)
	}
	return ""
}

func oppoDecode(text string, into any) bool {
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	d.UseNumber()
	return d.Decode(into) == nil && !d.More()
}

// judge throws the dice and looks at each target.
func (o *oppo) judge(ctx context.Context, s *Simulator, q *oppoRequest) string {
	known := o.codes()
	if code := q.set.roll(); code != "" && !known[code] {
		return code
	}
	q.codes, q.ids = make([]string, len(q.messages)), make([]string, len(q.messages))
	for i, m := range q.messages {
		var b [12]byte
		_, _ = rand.Read(b[:]) // never fails, see crypto/rand
		q.ids[i] = "ZngnvJIM7wQusNtbqYnpH6XX-1-1-" + hex.EncodeToString(b[:])
		st, err := s.tokenCode(ctx, "", m.target)
		if err != nil {
			return "-1"
		}
		rolled := q.set.roll()
		switch {
		case !oppoTarget(m.target):
			q.codes[i] = "10000"
		case st.Reason != "":
			q.codes[i] = st.Reason
		case known[rolled]:
			q.codes[i] = rolled
		case !o.fresh(m):
			q.codes[i] = "32"
		}
	}
	if !q.batch { // its one message's code is the answer's
		return q.codes[0]
	}
	return ""
}

// fresh remembers a message's app_message_id: "messages of the same app_message_id
// are pushed to the same target once only" (id=11236).
func (o *oppo) fresh(m oppoMessage) bool {
	id := m.text("app_message_id")
	if id == "" {
		return true
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	key := id + " " + m.target
	if o.sent[key] {
		return false
	}
	if len(o.sent) >= oppoSeen {
		clear(o.sent)
	}
	o.sent[key] = true
	return true
}

// note records every message before the answer goes out.
func (o *oppo) note(ctx context.Context, s *Simulator, q *oppoRequest, code string, latency time.Duration) {
	topic := ""
	if len(q.account.Packages) > 0 { // requests do not name the package
		topic = q.account.Packages[0]
	}
	for i, m := range q.messages {
		reason, id := code, ""
		if i < len(q.codes) {
			id = q.ids[i]
			reason = cmp.Or(reason, q.codes[i])
		}
		payload, _ := json.Marshal(m.notification) // came from JSON
		s.record(ctx, Received{Topic: topic, Token: m.target, ID: id, Payload: payload, Status: http.StatusOK, Reason: reason, Latency: latency})
	}
}

// answer writes what became of the messages.
func (*oppo) answer(w http.ResponseWriter, q *oppoRequest, code string) {
	if code != "" {
		retryAfter(w, q.set)
		oppoWrite(w, code, nil)
		return
	}
	var list []map[string]any
	for i, m := range q.messages {
		said := map[string]any{"messageId": q.ids[i], "registrationId": m.target}
		if q.codes[i] != "" {
			n, _ := strconv.Atoi(q.codes[i]) // every code is a number
			said["errorCode"], said["errorMessage"] = n, "refused"
		}
		list = append(list, said)
	}
	if !q.batch {
		delete(list[0], "registrationId")
		oppoWrite(w, "0", list[0])
		return
	}
	oppoWrite(w, "0", list)
}

// oppoWrite answers with status 200, as OPPO does with every code.
func oppoWrite(w http.ResponseWriter, code string, data any) {
	n, _ := strconv.Atoi(code) // every code is a number
	out := map[string]any{"code": n, "message": "Success"}
	if n != 0 {
		out["message"] = "refused"
	}
	if data != nil {
		out["data"] = data
	}
	w.Header().Set("Content-Type", "application/json;charset=UTF-8")
	_ = json.NewEncoder(w).Encode(out) // a caller that is gone needs no answer
}

// receipt implements vendor: a JSON array posted to call_back_url.
func (*oppo) receipt(s *Simulator, p Delivered, event push.ReceiptEvent) (*http.Request, bool) {
	kind, ok := map[push.ReceiptEvent]string{
		push.EventArrived: "push_arrive", push.EventUninstalled: "regid_invalid", push.EventDropped: "user_daily_limit",
	}[event]
	if !ok {
		return nil, false
	}
	data, err := json.Marshal([]map[string]any{{
		"messageId": p.VendorID, "taskId": p.VendorID, "appId": p.Account.ID, "registrationIds": p.Token,
		"eventTime": strconv.FormatInt(s.cfg.Now().UnixMilli(), 10), "param": p.Param, "eventType": kind,
	}})
	if err != nil {
		return nil, false
	}
	req, err := http.NewRequest(http.MethodPost, p.URL, bytes.NewReader(data))
	if err != nil {
		return nil, false
	}
	req.Header.Set("Content-Type", "application/json")
	return req, true
}
