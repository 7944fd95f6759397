package push

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode/utf16"
)

// Keys of a message's data that mean the same in every app.
const (
	// DataMessageID is the key of the message's id, which apps report receipts with.
	// It goes along whatever else must stay behind.
	DataMessageID = "hy_mid"
	// DataMore is the key of a JSON object, as a text, with what a channel cannot
	// carry under keys of their own.
	DataMore = "hy_more"
)

// DataLimits say what a channel takes of a message's data beside the size of the whole
// payload, each from the vendor's documentation. The zero value is no limit.
type DataLimits struct {
	// Pairs is the most keys, 0 for no limit.
	Pairs int
	// Chars is the most UTF-16 units of all keys and values, 0 for no limit.
	Chars int
	// Reserved reports whether a key is the vendor's own; nil for none.
	Reserved func(key string) bool
}

// Texts returns data for a vendor that takes texts only: other values become JSON, and
// what has no key of its own (reserved, without a name, or more than Pairs) goes into
// DataMore under its real name. The message's id comes first, then the shorter entries,
// those of one length by name. It fails with CodeTooLarge over Chars and with
// CodeBadContent for what is no JSON.
func (l DataLimits) Texts(data map[string]any) (map[string]string, *Result) {
	entries, fault := byLength(data)
	if fault != nil || len(entries) == 0 {
		return nil, fault
	}
	own, more := l.divide(entries)
	out := make(map[string]string, len(own)+1)
	for _, e := range own {
		out[e.name] = e.text
	}
	if len(more) > 0 {
		packed := make(map[string]any, len(more))
		for _, e := range more {
			packed[e.key] = data[e.key]
		}
		b, err := CompactJSON(packed)
		if err != nil {
			return nil, BadContent("the message holds data that is not JSON")
		}
		out[DataMore] = string(b)
	}
	chars := 0
	for k, v := range out {
		chars += len(utf16.Encode([]rune(k))) + len(utf16.Encode([]rune(v)))
	}
	if l.Chars > 0 && chars > l.Chars {
		return nil, &Result{Outcome: BadMessage, Code: CodeTooLarge, Text: fmt.Sprintf("the message's data is over %d characters", l.Chars)}
	}
	return out, nil
}

// divide tells the entries that have a key of their own from those that go into
// DataMore. An entry of that very name is among the latter if there are any.
func (l DataLimits) divide(entries []dataEntry) (own, more []dataEntry) {
	for _, e := range entries {
		if e.name == "" || l.Reserved != nil && l.Reserved(e.name) {
			more = append(more, e)
		} else {
			own = append(own, e)
		}
	}
	if len(more) > 0 || l.Pairs > 0 && len(own) > l.Pairs {
		if i := slices.IndexFunc(own, func(e dataEntry) bool { return e.name == DataMore }); i >= 0 {
			more = append(more, own[i])
			own = slices.Delete(own, i, i+1)
		}
	}
	room := l.Pairs
	if len(more) > 0 {
		room--
	}
	if l.Pairs > 0 && len(own) > room {
		own, more = own[:l.Pairs-1], append(more, own[l.Pairs-1:]...)
	}
	return own, more
}

// dataEntry is one of a message's data, with its name and value as vendors get them
// that take texts.
type dataEntry struct{ key, name, text string }

// byLength returns the entries in the order in which they are kept: the message's id,
// then the shorter ones, because what an app needs to find a message are ids; those of
// one length by name.
func byLength(data map[string]any) ([]dataEntry, *Result) {
	entries := make([]dataEntry, 0, len(data))
	for k, v := range data {
		text, ok := v.(string)
		if !ok {
			b, err := CompactJSON(v)
			if err != nil {
				return nil, BadContent("the message holds data that is not JSON")
			}
			text = string(b)
		}
		entries = append(entries, dataEntry{k, strings.ToValidUTF8(k, "\uFFFD"), strings.ToValidUTF8(text, "\uFFFD")})
	}
	rank := func(e dataEntry) int {
		if e.key == DataMessageID {
			return -1
		}
		return len(e.name) + len(e.text)
	}
	slices.SortFunc(entries, func(a, b dataEntry) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.key, b.key))
	})
	return entries, nil
}

// lessData returns data without its longest entry; false if only the message's id is
// left, or nothing.
func lessData(data map[string]any) (map[string]any, bool) {
	entries, fault := byLength(data)
	if fault != nil || len(entries) == 0 || entries[len(entries)-1].key == DataMessageID {
		return nil, false
	}
	entries = entries[:len(entries)-1]
	out := make(map[string]any, len(entries))
	for _, e := range entries {
		out[e.key] = data[e.key]
	}
	return out, true
}

// SendFitting is s.Send for messages whose data may be more than the channel carries.
// An alert is worth more than what it brings for the app: while it is too large, the
// longest entry of its data is left out, and the result of a target that it went to
// so has CodeDataCut. DataMessageID always goes along. A silent message is nothing but
// its data and stays whole.
func SendFitting(ctx context.Context, s Sender, m Message, targets []Target) []Result {
	results := s.Send(ctx, m, targets)
	all := len(m.Data)
	for m.Kind == Alert && len(results) == len(targets) {
		var part []Target
		var places []int
		for i := range results {
			if results[i].Code == CodeTooLarge { // was not sent
				part, places = append(part, targets[i]), append(places, i)
			}
		}
		data, ok := lessData(m.Data)
		if len(part) == 0 || !ok {
			break
		}
		m.Data = data
		again := s.Send(ctx, m, part)
		if len(again) != len(part) {
			break
		}
		for i, place := range places {
			results[place] = again[i]
			results[place].noteCut(all-len(data), all)
		}
	}
	return results
}

// noteCut says in the result of a message that was taken what it went without.
func (r *Result) noteCut(left, all int) {
	if r.Outcome != Accepted {
		return
	}
	text := fmt.Sprintf("%d of %d entries of the data did not fit and were left out", left, all)
	if r.Text != "" {
		text = r.Text + "; " + text
	}
	r.Code, r.Text = CodeDataCut, text
}
