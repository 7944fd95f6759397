package push

import (
	"crypto/sha256"
	"encoding/base64"
	"maps"
	"slices"
)

// Class returns how the message itself wants a channel to classify it, nil when it says
// nothing: values by the keys of the channel's fields, "" left out. Only choices of
// GroupClass can be said; another field, or a value that is none of the choices, is a
// BadMessage that names the field. fields is asked for only when there is something to
// check.
func (m *Message) Class(c Channel, fields func() []Field) (map[string]string, *Result) {
	own := m.Classes[c]
	if len(own) == 0 {
		return nil, nil
	}
	known := fields()
	out := make(map[string]string, len(own))
	for key, value := range own {
		if value == "" {
			continue
		}
		i := slices.IndexFunc(known, func(f Field) bool { return f.Key == key && f.Group == GroupClass && f.Kind == FieldChoice })
		if i < 0 || known[i].Check(value) != nil {
			return nil, BadClass(key)
		}
		out[key] = value
	}
	return out, nil
}

// ClassTag is a short name, of URL-safe base64, for what the message itself says of its
// notification channel and class at a vendor: equal for equal ones, "" when it says
// nothing and the credential's hold.
func (m *Message) ClassTag(c Channel) string {
	id, own := m.ChannelIDs[c], m.Classes[c]
	if id == "" && len(own) == 0 {
		return ""
	}
	text := id
	for _, key := range slices.Sorted(maps.Keys(own)) {
		text += "\x00" + key + "\x00" + own[key]
	}
	sum := sha256.Sum256([]byte(text))
	return base64.RawURLEncoding.EncodeToString(sum[:6])
}

// BadClass is the Result for a message whose class has a value that the vendor does not
// know, or that does not fit its others.
func BadClass(key string) *Result {
	return BadContent("the message's own " + key + " is none that the vendor takes")
}
