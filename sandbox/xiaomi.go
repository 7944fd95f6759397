package sandbox

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"hongyan/push"
)

// xiaomi simulates MiPush's /v3/message/regid, after
// https://dev.mi.com/xiaomihyperos/documentation/detail?pId=1559 (API) and pId=1560
// (codes). An Account's ID is its AppSecret, by which alone requests name the app, or
// its package name with the AppSecret under Fields["app_secret"].
type xiaomi struct {
	patterns map[string]*regexp.Regexp
}

// miBody is the most a request may have, in bytes: a thousand ids and a message.
const miBody = 1 << 20

// codes implements vendor, by pId=1560; 200001 and 200002 by pId=1656.
func (*xiaomi) codes() map[string]bool {
	out := map[string]bool{
		"10029": true, // illegal device
		"65003": true, // device not found
	}
	for _, c := range []string{
		"-1", "1", "10001", "10002", "10003", "20301", "20607", "26003", "65029",
		"10008", "10012", "10016", "10017", "65009", "65011", "65014", "65015", "65036", "65037", "65038", "26004", "26006",
		"10027", "200002", "10034", "200001", "10031", "10036", "10037",
		"21301", "21302", "21303", "21305", "22000", "22006", "22007", "22022", "22102", "27001",
	} {
		out[c] = false
	}
	return out
}

// miRequest is a request on its way through the rules.
type miRequest struct {
	account Account
	form    url.Values
	tokens  []string
	set     Settings
	id      string
	// registered is the receipt address in Xiaomi's console.
	registered string
}

// serve implements vendor.
func (x *xiaomi) serve(s *Simulator, w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/v3/message/regid" && r.URL.Path != "/v2/message/regid" {
		http.NotFound(w, r)
		return
	}
	s.requests.Add(1)
	var b [9]byte
	_, _ = rand.Read(b[:]) // never fails, see crypto/rand
	q := miRequest{id: "sdm" + hex.EncodeToString(b[:])}
	code := x.read(s, w, r, &q)
	first := ""
	if len(q.tokens) > 0 {
		first = q.tokens[0]
	}
	q.set = s.settingsOf(r.Context(), first)
	latency := s.hold(r.Context(), q.set)
	bad := map[string]string{} // id → code
	if code == "" {
		code = x.judge(r.Context(), s, &q, bad)
	}
	for _, t := range q.tokens {
		reason := code
		if reason == "" {
			reason = bad[t]
		}
		s.record(r.Context(), Received{
			Topic: q.form.Get("restricted_package_name"), Token: t, ID: q.id, Payload: miPayload(q.form),
			Status: http.StatusOK, Reason: reason, Latency: latency,
		})
	}
	x.answer(w, &q, code, bad)
	if code != "" {
		return
	}
	for _, t := range q.tokens {
		if bad[t] == "" {
			s.deliver(q.set, Delivered{
				Account: q.account, Token: t, VendorID: q.id, At: s.cfg.Now(),
				URL: q.form.Get("extra.callback"), Param: q.form.Get("extra.callback.param"),
			})
		}
	}
}

// read takes the request apart; a code refuses it.
func (x *xiaomi) read(s *Simulator, w http.ResponseWriter, r *http.Request, q *miRequest) string {
	if r.Method != http.MethodPost {
		return "10012" // "illegal request": the API is POST only
	}
	if kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); strings.TrimSpace(kind) != "application/x-www-form-urlencoded" {
		return "10008"
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, miBody))
	if err != nil {
		return "65009"
	}
	if q.form, err = url.ParseQuery(string(body)); err != nil {
		return "10008"
	}
	if ids := q.form.Get("registration_id"); ids != "" {
		q.tokens = strings.Split(ids, ",")
	}
	return x.authorize(s, r, q)
}

// authorize: "the header field Authorization, as key=<APP_SECRET>; key must be in
// lower case" (pId=1559).
func (*xiaomi) authorize(s *Simulator, r *http.Request, q *miRequest) string {
	secret, ok := strings.CutPrefix(r.Header.Get("Authorization"), "key=")
	if !ok || secret == "" {
		return "21305"
	}
	pkg := q.form.Get("restricted_package_name")
	for _, id := range []string{secret, pkg} {
		if id == "" {
			continue
		}
		a, found, err := s.cfg.Accounts.Account(r.Context(), id)
		if err != nil {
			return "10001"
		}
		if found && (id == secret || subtle.ConstantTimeCompare([]byte(a.Fields["app_secret"]), []byte(secret)) == 1) {
			q.account = a
			if len(q.tokens) > 0 {
				q.registered = s.registered(r.Context(), a, q.tokens[0])
			}
			if pkg != "" && len(a.Packages) > 0 && !slices.Contains(a.Packages, pkg) {
				return "22022"
			}
			return ""
		}
	}
	return "21301"
}

// judge applies the message's rules, then the dice, then each id's state.
func (x *xiaomi) judge(ctx context.Context, s *Simulator, q *miRequest, bad map[string]string) string {
	if code := x.message(q); code != "" {
		return code
	}
	known := x.codes()
	if code := q.set.roll(); code != "" && !known[code] {
		return code
	}
	pkg := q.form.Get("restricted_package_name")
	for _, t := range q.tokens {
		st, err := s.tokenCode(ctx, pkg, t)
		if err != nil {
			return "10001"
		}
		code := st.Reason
		if code == "" {
			if rolled := q.set.roll(); known[rolled] {
				code = rolled
			}
		}
		if code != "" {
			bad[t] = code
		}
	}
	return miWhole(q.tokens, bad)
}

// miWhole is the code of a request that is left without a target. The documents do
// not say what it is: the ids' own where they agree, else "sending failed".
func miWhole(tokens []string, bad map[string]string) string {
	code := ""
	for _, t := range tokens {
		switch {
		case bad[t] == "":
			return ""
		case code == "":
			code = bad[t]
		case code != bad[t]:
			return "20301"
		}
	}
	return code
}

// answer writes MiPush's JSON. Refusals come with status 200 as well.
func (*xiaomi) answer(w http.ResponseWriter, q *miRequest, code string, bad map[string]string) {
	out := map[string]any{"trace_id": "X" + q.id, "result": "ok", "code": 0, "description": "成功"}
	if code == "" {
		data := map[string]any{"id": q.id, "day_quota": "50000", "day_acked": "0"}
		var ids []string
		for _, t := range q.tokens {
			if bad[t] != "" {
				ids = append(ids, t)
			}
		}
		if len(ids) > 0 {
			data["bad_regids"] = strings.Join(ids, ",")
		}
		out["data"], out["info"] = data, "Received push messages for "+strconv.Itoa(len(q.tokens)-len(ids))+" REGID"
	} else {
		n, _ := strconv.Atoi(code) // every code is a number
		out["result"], out["code"], out["description"], out["reason"] = "error", n, "失败", "refused"
		if code == "20301" && len(bad) > 0 {
			out["reason"] = "No valid targets!"
		}
		retryAfter(w, q.set)
	}
	w.Header().Set("Content-Type", "application/json;charset=UTF-8")
	_ = json.NewEncoder(w).Encode(out) // a caller that is gone needs no answer
}

// miPayload is the notification as JSON: every field but the ids.
func miPayload(form url.Values) []byte {
	m := map[string]string{}
	for k := range form {
		if k != "registration_id" {
			m[k] = form.Get(k)
		}
	}
	data, _ := json.Marshal(m) // strings only
	return data
}

// receipt implements vendor: a form with the field data (pId=1558, message receipts).
func (*xiaomi) receipt(s *Simulator, p Delivered, event push.ReceiptEvent) (*http.Request, bool) {
	kind, ok := map[push.ReceiptEvent]int{
		push.EventArrived: 1, push.EventClicked: 2, push.EventUninstalled: 16, push.EventNotifyOff: 32,
		push.EventOther: 64, push.EventDropped: 128, push.EventExpired: 1024,
	}[event]
	if !ok {
		return nil, false
	}
	about := map[string]any{
		"type": kind, "targets": p.Token, "timestamp": s.cfg.Now().UnixMilli(), "barStatus": "Enable",
	}
	if p.Param != "" {
		about["param"] = p.Param
	}
	if event == push.EventDropped {
		about["extra"] = map[string]string{"ack": "50000", "quota": "50000"}
	}
	data, err := json.Marshal(map[string]any{p.VendorID: about})
	if err != nil {
		return nil, false
	}
	req, err := http.NewRequest(http.MethodPost, p.URL, strings.NewReader(url.Values{"data": {string(data)}}.Encode()))
	if err != nil {
		return nil, false
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return req, true
}
