package handlers

import (
	"bytes"
	"encoding/json"
	"strings"
	"unicode/utf8"

	"hongyan/models"
)

// jsonFields is an object whose fields are read one by one, for protocols whose callers
// send what their documents do not say: a field of a wrong type costs that field, and
// one nobody knows is still there to be passed on.
type jsonFields map[string]json.RawMessage

// readFields reads an object. Keys that differ only in case are different keys.
func readFields(body []byte) (jsonFields, error) {
	var f jsonFields
	if err := decodeJSON(body, &f); err != nil {
		return nil, err
	}
	if f == nil { // null
		return nil, &apiError{status: 400, code: codeWrongType}
	}
	return f, nil
}

// has reports whether a field is there and not null.
func (f jsonFields) has(name string) bool { return !absent(f[name]) }

// text returns a string field, or a number as it is written; "" for anything else.
func (f jsonFields) text(name string) string {
	s, err := textOrNumber(name, f[name])
	if err != nil {
		return ""
	}
	return s
}

// num returns a number, a quoted number or a boolean as 0 or 1; ok is false for
// anything else.
func (f jsonFields) num(name string) (n int64, ok bool) {
	raw := f[name]
	if absent(raw) {
		return 0, false
	}
	var v looseInt
	s := strings.Trim(string(raw), `"`)
	_ = v.UnmarshalJSON(raw) // never fails
	return int64(v), v != 0 || s == "0" || s == "false"
}

// is reports whether a number field has this value.
func (f jsonFields) is(name string, want int64) bool {
	n, ok := f.num(name)
	return ok && n == want
}

// object returns an object field, nil for anything else.
func (f jsonFields) object(name string) jsonFields {
	var o jsonFields
	if absent(f[name]) || json.Unmarshal(f[name], &o) != nil {
		return nil
	}
	return o
}

// list returns an array field; ok is false for anything else that is there.
func (f jsonFields) list(name string) (items []json.RawMessage, ok bool) {
	if absent(f[name]) {
		return nil, true
	}
	return items, json.Unmarshal(f[name], &items) == nil
}

// firstText returns the first of values that is not blank.
func firstText(values ...string) string {
	for _, v := range values {
		if cleanText(v) != "" {
			return v
		}
	}
	return ""
}

// rest returns the fields that are not among the known ones, as data for the app.
func (f jsonFields) rest(known ...string) map[string]any {
	var out map[string]any
	size := 0
next:
	for name, raw := range f {
		for _, k := range known {
			if k == name {
				continue next
			}
		}
		var v any = string(raw)
		ok := true
		if size += len(name) + len(raw); size <= tooLongForData {
			v, ok = plainValue(raw)
		}
		if ok {
			if out == nil {
				out = map[string]any{}
			}
			out[name] = v
		}
	}
	return out
}

// tooLongForData is the length of JSON that is no data for an app any more, however
// wastefully it is written. Nothing is gained by reading it.
const tooLongForData = 8 * models.MaxDataBytes

// plainValue reads any JSON but null for custom data. Numbers that the app would read
// changed become text.
func plainValue(raw json.RawMessage) (any, bool) {
	if len(raw) > tooLongForData {
		return string(raw), true // still too long
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var v any
	if dec.Decode(&v) != nil || v == nil {
		return nil, false
	}
	return exactValue(v), true
}

func exactValue(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			v[k] = exactValue(e)
		}
		return v
	case []any:
		for i, e := range v {
			v[i] = exactValue(e)
		}
		return v
	case json.Number:
		if !exactNumbers(v) {
			return v.String()
		}
	}
	return v
}

// appData is custom data for the app. Entries come in order of importance: what does
// not fit into MaxDataBytes is left out, and named for the log.
type appData struct {
	m    map[string]any
	size int
	over []string
}

// add takes an entry unless it is empty or does not fit.
func (d *appData) add(name string, v any) {
	switch x := v.(type) {
	case string:
		if x == "" {
			return
		}
		v = strings.ToValidUTF8(x, string(utf8.RuneError))
	case map[string]any:
		if len(x) == 0 {
			return
		}
	case nil:
		return
	}
	b, err := json.Marshal(v)
	if err != nil {
		return
	}
	if d.m == nil {
		d.m, d.size = map[string]any{}, 2
	}
	n := len(b) + len(name) + 4 // quotes, colon, comma
	if d.size+n > models.MaxDataBytes {
		d.over = append(d.over, name)
		return
	}
	d.size += n
	d.m[name] = v
}

// fault names what did not fit, "" for nothing.
func (d *appData) fault() string {
	if len(d.over) == 0 {
		return ""
	}
	return "data_too_long"
}

// addressAll makes a message of base for each account; the sender, repetitions and ids
// that cannot be kept are dropped. bad lists the latter.
func addressAll(in *intake, base *models.Incoming, accounts []string) (bad []string) {
	seen := make(map[string]struct{}, len(accounts))
	for _, id := range accounts {
		_, twice := seen[id]
		seen[id] = struct{}{}
		switch {
		case !validAccount(id):
			in.drop(models.IngestInvalid, 1)
			bad = append(bad, id)
		case id == base.Sender:
			in.drop(models.IngestSender, 1)
		case twice:
			in.drop(models.IngestDuplicate, 1)
		default:
			one := *base
			one.Account = id
			in.messages = append(in.messages, one)
		}
	}
	return bad
}

// textList reads an array of ids, or one id; numbers as they are written. ok is false
// when there is anything else in it.
func textList(raw json.RawMessage) (ids []string, ok bool) {
	if absent(raw) {
		return nil, true
	}
	items := []json.RawMessage{raw}
	if raw[0] == '[' {
		items = nil
		if json.Unmarshal(raw, &items) != nil {
			return nil, false
		}
	}
	for _, item := range items {
		id, err := textOrNumber("", item)
		if err != nil || absent(item) {
			return nil, false
		}
		ids = append(ids, id)
	}
	return ids, true
}
