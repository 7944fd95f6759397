package sandbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
)

// huaweiMessage is the message of [send], the fields that a push may have. A field
// that is not here, or of another type, is 80100003.
type huaweiMessage struct {
	Token        []string `json:"token"`
	Topic        string   `json:"topic"`
	Condition    string   `json:"condition"`
	Data         string   `json:"data"`
	Notification *struct {
		Title string `json:"title"`
		Body  string `json:"body"`
		Image string `json:"image"`
	} `json:"notification"`
	Android struct {
		CollapseKey    *int           `json:"collapse_key"`
		Urgency        string         `json:"urgency"`
		Category       string         `json:"category"`
		TTL            string         `json:"ttl"`
		BiTag          string         `json:"bi_tag"`
		ReceiptID      string         `json:"receipt_id"`
		FastAppTarget  int            `json:"fast_app_target"`
		TargetUserType int            `json:"target_user_type"`
		Data           string         `json:"data"`
		Notification   *huaweiAndroid `json:"notification"`
	} `json:"android"`
}

type huaweiAndroid struct {
	Title         string            `json:"title"`
	Body          string            `json:"body"`
	Icon          string            `json:"icon"`
	Color         string            `json:"color"`
	Sound         string            `json:"sound"`
	DefaultSound  bool              `json:"default_sound"`
	Tag           string            `json:"tag"`
	ClickAction   *huaweiClick      `json:"click_action"`
	ChannelID     string            `json:"channel_id"`
	Importance    string            `json:"importance"`
	NotifyID      *int32            `json:"notify_id"`
	Group         string            `json:"group"`
	Image         string            `json:"image"`
	Style         int               `json:"style"`
	BigTitle      string            `json:"big_title"`
	BigBody       string            `json:"big_body"`
	AutoClear     int               `json:"auto_clear"`
	When          string            `json:"when"`
	Ticker        string            `json:"ticker"`
	Visibility    string            `json:"visibility"`
	Foreground    bool              `json:"foreground_show"`
	Inbox         []string          `json:"inbox_content"`
	Buttons       []json.RawMessage `json:"buttons"`
	ProfileID     string            `json:"profile_id"`
	Badge         *huaweiBadge      `json:"badge"`
	Vibrate       bool              `json:"use_default_vibrate"`
	Light         bool              `json:"use_default_light"`
	VibrateConfig []string          `json:"vibrate_config"`
	LightSettings json.RawMessage   `json:"light_settings"`
}

type huaweiClick struct {
	Type   int    `json:"type"`
	Intent string `json:"intent"`
	URL    string `json:"url"`
	Action string `json:"action"`
}

type huaweiBadge struct {
	Add   *int   `json:"add_num"`
	Set   *int   `json:"set_num"`
	Class string `json:"class"`
}

// strictly decodes one JSON value and refuses fields that the type does not have.
func strictly(data []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if d.More() {
		return errors.New("sandbox: more than one value")
	}
	return nil
}

// parse reads the body and says what is wrong with its structure, "" for nothing.
func (q *huaweiRequest) parse(body []byte) string {
	var outer struct {
		ValidateOnly bool            `json:"validate_only"`
		Message      json.RawMessage `json:"message"`
	}
	if strictly(body, &outer) != nil || json.Unmarshal(outer.Message, &q.bare) != nil || strictly(outer.Message, &q.m) != nil {
		return "80100003"
	}
	q.dry, q.tokens, q.ref = outer.ValidateOnly, q.m.Token, q.m.Android.BiTag
	q.payload, q.extra = withoutTokens(q.bare), len(q.bare["token"])
	return ""
}

// check applies the rules of [send] to a message of the right structure.
func (q *huaweiRequest) check(size int) string {
	m, a := &q.m, &q.m.Android
	switch {
	case m.Topic != "" || m.Condition != "":
		return "80100001" // exactly one kind of target, and ours are tokens
	case len(m.Token) == 0 || len(m.Token) > huaweiTokens:
		return "80300010"
	case size-q.extra > huaweiPayload:
		return "80300008"
	case a.Urgency != "" && a.Urgency != "HIGH" && a.Urgency != "NORMAL":
		return "80100001"
	case a.CollapseKey != nil && (*a.CollapseKey < -1 || *a.CollapseKey > 100):
		return "80100013"
	case a.Category != "" && !slices.Contains(huaweiCategories(), a.Category):
		return "80100001"
	}
	if code := huaweiTTLCode(a.TTL); code != "" {
		return code
	}
	if n := a.Notification; n != nil {
		return n.check(m)
	}
	if m.Notification != nil || m.Data == "" && a.Data == "" {
		return "80100003" // what an Android phone shows is in android.notification
	}
	return ""
}

// huaweiTTLCode judges a ttl such as "86400s": over 0 and at most 15 days.
func huaweiTTLCode(ttl string) string {
	if ttl == "" {
		return ""
	}
	n, err := strconv.Atoi(strings.TrimSuffix(ttl, "s"))
	switch {
	case err != nil || !strings.HasSuffix(ttl, "s") || n > huaweiTTL:
		return "80100001"
	case n <= 0:
		return "80100004"
	}
	return ""
}

func huaweiCategories() []string {
	return strings.Fields("IM VOIP SUBSCRIPTION TRAVEL HEALTH WORK ACCOUNT EXPRESS FINANCE DEVICE_REMINDER MAIL SYSTEM_REMINDER PLAY_VOICE MARKETING")
}

// check applies the rules of [send] to a notification.
func (n *huaweiAndroid) check(m *huaweiMessage) string {
	title, body := n.Title, n.Body
	if m.Notification != nil {
		title, body = title+m.Notification.Title, body+m.Notification.Body
	}
	switch {
	case title == "" || body == "":
		return "80100003"
	case n.ClickAction == nil:
		return "80100003"
	case n.Importance != "" && n.Importance != "LOW" && n.Importance != "NORMAL":
		return "80100001"
	case n.DefaultSound && n.Sound != "":
		return "80100001" // one or the other
	}
	switch c := n.ClickAction; c.Type {
	case 1:
		if (c.Intent == "") == (c.Action == "") {
			return "80100001"
		}
		if c.Intent != "" && (!strings.HasPrefix(c.Intent, "intent:") || !strings.HasSuffix(c.Intent, "end")) {
			return "80100001"
		}
	case 2:
		if !strings.HasPrefix(c.URL, "https://") {
			return "80100001"
		}
	case 3:
	default:
		return "80100001"
	}
	if b := n.Badge; b != nil {
		if b.Class == "" || b.Add != nil && (*b.Add < 1 || *b.Add > 99) || b.Set != nil && (*b.Set < 0 || *b.Set > 99) {
			return "80100003"
		}
	}
	return ""
}
