package alert

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"hongyan/models"
	"hongyan/push"
)

// request is one POST of JSON.
type request struct {
	url    string
	header http.Header
	body   []byte
}

// format is how one kind of receiver is spoken to.
type format struct {
	request func(t *models.AlertTarget, n note, now time.Time) (request, error)
	// answer reads what came back. Text is the receiver's own words, not yet fit to be
	// shown.
	answer func(r push.Reply) models.AlertResult
}

func formats() map[string]format {
	return map[string]format{
		models.HookGeneric:  {generic, byStatus},
		models.HookWeCom:    {weCom, robot("errcode", "errmsg")},
		models.HookDingTalk: {dingTalk, robot("errcode", "errmsg")},
		// Older addresses answer StatusCode and StatusMessage.
		models.HookFeishu: {feishu, robot("code", "msg", "StatusCode", "StatusMessage")},
	}
}

// Headers of the generic format (README.md).
const (
	HeaderTimestamp = "X-Hongyan-Timestamp"
	HeaderSignature = "X-Hongyan-Signature"
)

// generic is our own JSON. With a secret it is signed like many webhooks are: the
// HMAC-SHA256 of timestamp, a dot and the body, in hex.
func generic(t *models.AlertTarget, n note, now time.Time) (request, error) {
	r, err := post(t.URL.Reveal(), n)
	if err != nil || t.Secret == "" {
		return r, err
	}
	stamp := strconv.FormatInt(now.Unix(), 10)
	mac := hmac.New(sha256.New, []byte(t.Secret.Reveal()))
	mac.Write(append([]byte(stamp+"."), r.body...))
	r.header[HeaderTimestamp] = []string{stamp}
	r.header[HeaderSignature] = []string{hex.EncodeToString(mac.Sum(nil))}
	return r, nil
}

// Longest texts, in bytes. 企业微信 documents 2048 for a text; the others take more, but
// nobody reads more in a chat.
const maxText = 2000

type textBody struct {
	Content string `json:"content"`
}

type textMessage struct {
	Type string   `json:"msgtype"`
	Text textBody `json:"text"`
}

// weCom: https://developer.work.weixin.qq.com/document/path/91770. The address holds the
// key; there is no signature.
func weCom(t *models.AlertTarget, n note, _ time.Time) (request, error) {
	return post(t.URL.Reveal(), textMessage{Type: "text", Text: textBody{n.chat()}})
}

// dingTalk: https://open.dingtalk.com/document/orgapp/customize-robot-security-settings.
// The signature is the HMAC-SHA256 of timestamp in milliseconds, a line feed and the
// secret, under the secret, and stands in the address.
func dingTalk(t *models.AlertTarget, n note, now time.Time) (request, error) {
	address := t.URL.Reveal()
	if t.Secret != "" {
		u, err := url.Parse(address)
		if err != nil {
			return request{}, err
		}
		stamp := strconv.FormatInt(now.UnixMilli(), 10)
		mac := hmac.New(sha256.New, []byte(t.Secret.Reveal()))
		mac.Write([]byte(stamp + "\n" + t.Secret.Reveal()))
		q := u.Query()
		q.Set("timestamp", stamp)
		q.Set("sign", base64.StdEncoding.EncodeToString(mac.Sum(nil)))
		u.RawQuery = q.Encode()
		address = u.String()
	}
	return post(address, textMessage{Type: "text", Text: textBody{n.chat()}})
}

type feishuText struct {
	Text string `json:"text"`
}

type feishuMessage struct {
	Timestamp string     `json:"timestamp,omitempty"`
	Sign      string     `json:"sign,omitempty"`
	Type      string     `json:"msg_type"`
	Content   feishuText `json:"content"`
}

// feishu: https://open.feishu.cn/document/client-docs/bot-v3/add-custom-bot. The
// signature is the HMAC-SHA256 of nothing under timestamp in seconds, a line feed and
// the secret, and stands in the body.
func feishu(t *models.AlertTarget, n note, now time.Time) (request, error) {
	m := feishuMessage{Type: "text", Content: feishuText{n.chat()}}
	if t.Secret != "" {
		m.Timestamp = strconv.FormatInt(now.Unix(), 10)
		mac := hmac.New(sha256.New, []byte(m.Timestamp+"\n"+t.Secret.Reveal()))
		m.Sign = base64.StdEncoding.EncodeToString(mac.Sum(nil))
	}
	return post(t.URL.Reveal(), m)
}

func post(address string, body any) (request, error) {
	b, err := json.Marshal(body)
	return request{
		url: address, body: b,
		header: http.Header{"Content-Type": {"application/json; charset=utf-8"}, "User-Agent": {"Hongyan"}},
	}, err
}

// chat is the note as one text for a group. Angle brackets make mentions in some of
// them, and names of products are not for that.
func (n note) chat() string {
	text := n.Title + "\n" + n.Text
	if n.URL != "" {
		text += "\n" + n.URL
	}
	return cut(strings.NewReplacer("<", "＜", ">", "＞").Replace(text), maxText)
}

// cut shortens a text to so many bytes without splitting a character.
func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	for most > 0 && !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most]
}

// Codes of ours for answers.
const (
	codeStatus = "hy_status_" // with the HTTP status behind it
	codeReply  = push.CodeBadReply
)

// byStatus believes the HTTP status. Its words may be anything and are not repeated.
func byStatus(r push.Reply) models.AlertResult {
	if r.Status >= 200 && r.Status < 300 {
		return models.AlertResult{OK: true}
	}
	return models.AlertResult{Code: codeStatus + strconv.Itoa(r.Status)}
}

// robot reads a robot's answer: JSON with a code, under the first of the names that is
// there, which is 0 for a yes. Robots answer refusals with status 200 too, so that an
// answer without a code is no yes.
func robot(names ...string) func(push.Reply) models.AlertResult {
	return func(r push.Reply) models.AlertResult {
		var answer map[string]json.RawMessage
		if err := json.Unmarshal(r.Body, &answer); err == nil {
			for i := 0; i+1 < len(names); i += 2 {
				var code json.Number
				raw, is := answer[names[i]]
				if !is || json.Unmarshal(raw, &code) != nil || code == "" {
					continue
				}
				if _, err := code.Int64(); err != nil {
					continue
				}
				if code == "0" && r.Status == http.StatusOK {
					return models.AlertResult{OK: true}
				}
				if code != "0" {
					var words string
					_ = json.Unmarshal(answer[names[i+1]], &words) // without words the code has to do
					return models.AlertResult{Code: code.String(), Text: strings.TrimPrefix(words, "description:")}
				}
			}
		}
		if r.Status != http.StatusOK {
			return models.AlertResult{Code: codeStatus + strconv.Itoa(r.Status)}
		}
		return models.AlertResult{Code: codeReply}
	}
}
