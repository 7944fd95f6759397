package handlers

import (
	"bytes"
	"encoding/json"
	"math/big"
	"net/http"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"hongyan/models"
)

// Limits of fields that only the generic bridge takes from outside.
const (
	maxWordBytes = 64 // collapse key (APNs refuses longer), category, sound, conversation type
	defaultSound = "default"
)

// genericBodies splits a body into its messages and says whether it was an array.
func genericBodies(body []byte) (messages []json.RawMessage, array bool, err error) {
	body = bytes.TrimSpace(bytes.TrimPrefix(body, []byte("\xef\xbb\xbf")))
	if len(body) == 0 {
		return nil, false, &apiError{status: http.StatusBadRequest, code: "bad_json"}
	}
	if body[0] != '[' {
		return []json.RawMessage{body}, false, nil
	}
	if err := decodeJSON(body, &messages); err != nil {
		return nil, true, err
	}
	switch {
	case len(messages) == 0:
		return nil, true, &apiError{status: http.StatusBadRequest, code: "empty"}
	case len(messages) > maxGenericMessages:
		return nil, true, &apiError{status: http.StatusBadRequest, code: "too_many_messages", data: limitData(maxGenericMessages)}
	}
	return messages, true, nil
}

// genericKey is the dedupe key of a message without an id: the request's
// Idempotency-Key, told apart by position in an array.
func genericKey(key string, i int, array bool) string {
	if key == "" || !array {
		return key
	}
	return key + "#" + strconv.Itoa(i)
}

func genericIndex(i int) string { return "[" + strconv.Itoa(i) + "]" }

// genericBody is one message as it comes in. Fields of more than one type are raw.
type genericBody struct {
	ID           json.RawMessage `json:"id"`
	From         json.RawMessage `json:"from"`
	To           json.RawMessage `json:"to"`
	AccountType  int             `json:"account_type"`
	Conversation struct {
		ID   string `json:"id"`
		Type string `json:"type"`
		Name string `json:"name"`
	} `json:"conversation"`
	Title             string          `json:"title"`
	Subtitle          string          `json:"subtitle"`
	Body              string          `json:"body"`
	Kind              string          `json:"kind"`
	Silent            bool            `json:"silent"`
	Badge             *int            `json:"badge"`
	Sound             *string         `json:"sound"`
	Collapse          string          `json:"collapse"`
	Category          string          `json:"category"`
	MutableContent    bool            `json:"mutable_content"`
	InterruptionLevel string          `json:"interruption_level"`
	Priority          string          `json:"priority"`
	TTL               *int64          `json:"ttl"`
	ExpiresAt         *string         `json:"expires_at"`
	Data              json.RawMessage `json:"data"`
}

// genericDraft is a message being understood.
type genericDraft struct {
	now        time.Time
	language   string
	fallbackID string

	body       genericBody
	base       models.Incoming
	senderName string
	to         []string
}

// read checks every field. Its error is an *apiError that names the field.
func (d *genericDraft) read(raw []byte) error {
	if err := decodeJSON(raw, &d.body); err != nil {
		return err
	}
	for _, step := range []func() error{d.identity, d.recipients, d.look, d.life, d.data} {
		if err := step(); err != nil {
			return err
		}
	}
	d.text()
	return nil
}

// identity reads id, from and conversation.
func (d *genericDraft) identity() error {
	id, err := textOrNumber("id", d.body.ID)
	if err != nil {
		return err
	}
	if id == "" {
		id = d.fallbackID
	}
	if id = oneLine(id); len(id) > models.MaxSourceID {
		return fieldLimit("too_long", "id", models.MaxSourceID)
	}
	d.base.SourceID = id

	var from struct {
		ID   string `json:"id"`
		Name string `json:"name"`
	}
	switch {
	case absent(d.body.From):
	case d.body.From[0] == '{':
		if err := decodeJSON(d.body.From, &from); err != nil {
			return apiErrorOf(err).below("from")
		}
	default:
		if from.ID, err = textOrNumber("from", d.body.From); err != nil {
			return err
		}
	}
	d.base.Sender, d.senderName = oneLine(from.ID), from.Name
	if utf8.RuneCountInString(d.base.Sender) > models.MaxAccountRunes {
		return fieldLimit("too_long", "from", models.MaxAccountRunes)
	}
	if len(d.body.Conversation.Type) > maxWordBytes {
		return fieldLimit("too_long", "conversation.type", maxWordBytes)
	}
	d.base.Conversation = cutRunes(oneLine(d.body.Conversation.ID), maxNameRunes)
	return nil
}

// recipients reads to.
func (d *genericDraft) recipients() error {
	switch {
	case absent(d.body.To):
		return fieldError("required", "to")
	case d.body.To[0] == '[':
		var items []json.RawMessage
		if err := decodeJSON(d.body.To, &items); err != nil {
			return apiErrorOf(err).below("to")
		}
		if len(items) == 0 {
			return fieldError("required", "to")
		}
		if len(items) > maxGenericRecipients {
			return fieldLimit("too_many_items", "to", maxGenericRecipients)
		}
		for i, item := range items {
			if err := d.recipient("to"+genericIndex(i), item); err != nil {
				return err
			}
		}
	default:
		if err := d.recipient("to", d.body.To); err != nil {
			return err
		}
	}
	if d.body.AccountType < 0 || d.body.AccountType > models.MaxAccountType {
		return fieldRange("account_type", 0, models.MaxAccountType)
	}
	d.base.AccountType = d.body.AccountType
	return nil
}

func (d *genericDraft) recipient(field string, raw json.RawMessage) error {
	id, err := textOrNumber(field, raw)
	switch {
	case err != nil:
		return err
	case id == "":
		return fieldError("required", field)
	case !validAccount(id):
		return fieldLimit("bad_account", field, models.MaxAccountRunes)
	}
	d.to = append(d.to, id)
	return nil
}

// look reads how the phone shall show the message.
func (d *genericDraft) look() error {
	b, c := &d.body, &d.base.Content
	d.base.Kind = b.Kind
	switch {
	case b.Kind == "" && b.Silent:
		d.base.Kind = models.KindSilent
	case b.Kind == "":
		d.base.Kind = models.KindAlert
	case !slices.Contains([]string{models.KindAlert, models.KindSilent, models.KindBadge}, b.Kind):
		return fieldError("not_one_of", "kind")
	case b.Silent && b.Kind != models.KindSilent:
		return fieldError("contradicts", "silent")
	}
	if d.base.Kind == models.KindBadge && b.Badge == nil {
		return fieldError("required", "badge")
	}
	if b.Badge != nil && (*b.Badge < 0 || *b.Badge > models.MaxBadge) {
		return fieldRange("badge", 0, models.MaxBadge)
	}
	if !slices.Contains([]string{"", "high", "normal"}, b.Priority) {
		return fieldError("not_one_of", "priority")
	}
	if !slices.Contains([]string{"", "passive", "active", "time-sensitive", "critical"}, b.InterruptionLevel) {
		return fieldError("not_one_of", "interruption_level")
	}
	sound := defaultSound
	if b.Sound != nil {
		sound = *b.Sound
	}
	for _, f := range []struct{ name, value string }{{"sound", sound}, {"collapse", b.Collapse}, {"category", b.Category}} {
		if len(f.value) > maxWordBytes {
			return fieldLimit("too_long", f.name, maxWordBytes)
		}
	}
	if sound == "none" || d.base.Kind != models.KindAlert {
		sound = ""
	}
	c.Badge, c.Sound = b.Badge, oneLine(sound)
	c.CollapseKey, c.Category, c.ThreadID = oneLine(b.Collapse), oneLine(b.Category), d.base.Conversation
	c.MutableContent, c.InterruptionLevel = b.MutableContent, b.InterruptionLevel
	c.LowPriority = b.Priority == "normal"
	return nil
}

// life reads ttl and expires_at.
func (d *genericDraft) life() error {
	b := &d.body
	limit := int64(models.MaxLife / time.Second)
	switch {
	case b.TTL != nil && b.ExpiresAt != nil:
		return fieldError("contradicts", "expires_at")
	case b.TTL != nil:
		if *b.TTL < 1 || *b.TTL > limit {
			return fieldRange("ttl", 1, int(limit))
		}
		d.base.ExpiresAt = d.now.Add(time.Duration(*b.TTL) * time.Second)
	case b.ExpiresAt != nil:
		at, err := time.Parse(time.RFC3339, *b.ExpiresAt)
		if err != nil {
			return fieldError("bad_time", "expires_at")
		}
		if !at.After(d.now) {
			return fieldError("in_the_past", "expires_at")
		}
		// Later than MaxLife is cut, not refused: the caller's clock may be ahead.
		if last := d.now.Add(models.MaxLife); at.After(last) {
			at = last
		}
		d.base.ExpiresAt = at.UTC()
	}
	return nil
}

// data reads the custom data for the app.
func (d *genericDraft) data() error {
	if absent(d.body.Data) {
		return nil
	}
	if len(d.body.Data) > models.MaxDataBytes {
		return fieldLimit("too_long", "data", models.MaxDataBytes)
	}
	dec := json.NewDecoder(bytes.NewReader(d.body.Data))
	dec.UseNumber()
	var data map[string]any
	if err := dec.Decode(&data); err != nil {
		return fieldError("wrong_type", "data")
	}
	for _, name := range []string{"aps", models.DataMessageID} {
		if _, taken := data[name]; taken {
			return fieldError("reserved", "data."+name)
		}
	}
	if !exactNumbers(data) {
		// Such a number would reach the app changed: most readers of JSON, the app's
		// among them, keep 53 bits.
		return fieldError("inexact_number", "data")
	}
	d.base.Content.Data = data
	return nil
}

// text composes title and body by the rules of IM notifications.
func (d *genericDraft) text() {
	c := &d.base.Content
	if d.base.Kind == models.KindBadge {
		return
	}
	c.Title, c.Subtitle, c.Body = d.body.Title, d.body.Subtitle, cleanText(d.body.Body)
	if d.base.Kind == models.KindAlert {
		c.Speaker = speaker(d.senderName, d.body.Conversation.Name)
		if c.Body == "" {
			c.Body = models.GenericText(d.language)
		}
		if cleanText(c.Title) == "" {
			c.Body = withSpeaker(c.Speaker, c.Body)
		}
	}
	fitContent(c)
}

// address adds a message for each recipient.
func (d *genericDraft) address(in *intake) {
	first := map[string]int{}
	for _, id := range d.to {
		if id == d.base.Sender {
			in.drop(models.IngestSender, 1)
			in.at = append(in.at, -1)
			continue
		}
		at, twice := first[id]
		if !twice {
			one := d.base
			one.Account = id
			at = len(in.messages)
			first[id] = at
			in.messages = append(in.messages, one)
		} else {
			in.drop(models.IngestDuplicate, 1)
		}
		in.at = append(in.at, at)
	}
}

// absent reports whether a raw field is absent or null.
func absent(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }

// textOrNumber reads a string, or a number as it is written, so that ids beyond
// 2^53 keep their digits.
func textOrNumber(field string, raw json.RawMessage) (string, error) {
	if absent(raw) {
		return "", nil
	}
	var n json.Number
	if raw[0] != '"' && json.Unmarshal(raw, &n) == nil {
		return n.String(), nil
	}
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return "", fieldError("wrong_type", field)
	}
	return s, nil
}

// exactNumbers reports whether every number in v survives being read as a 64-bit float.
func exactNumbers(v any) bool {
	switch v := v.(type) {
	case map[string]any:
		for _, e := range v {
			if !exactNumbers(e) {
				return false
			}
		}
	case []any:
		return !slices.ContainsFunc(v, func(e any) bool { return !exactNumbers(e) })
	case json.Number:
		f, err := v.Float64()
		if err != nil {
			return false
		}
		if i, ok := new(big.Int).SetString(v.String(), 10); ok {
			back, _ := big.NewFloat(f).Int(nil)
			return back.Cmp(i) == 0
		}
	}
	return true
}
