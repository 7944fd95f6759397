package push

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// intentEnd closes an Android intent's address.
const intentEnd = "end"

// IntentPattern is the form of an Android intent's address, for Field.Pattern.
const IntentPattern = `intent:[^\s]*#Intent;[^\s]*end`

// Intent returns an Android intent's address with data as its string extras, the keys
// in order, so that the app finds them when the notification is tapped. Values that
// are no strings become JSON.
func Intent(address string, data map[string]any) (string, error) {
	if len(data) == 0 {
		return address, nil
	}
	keys := make([]string, 0, len(data))
	for k := range data {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	var b strings.Builder
	b.WriteString(strings.TrimSuffix(address, intentEnd))
	for _, k := range keys {
		v, ok := data[k].(string)
		if !ok {
			raw, err := json.Marshal(data[k])
			if err != nil {
				return "", fmt.Errorf("push: intent: %w", err)
			}
			v = string(raw)
		}
		// Android decodes both with Uri.decode, which takes a + for itself.
		b.WriteString("S." + intentEscape(k) + "=" + intentEscape(v) + ";")
	}
	b.WriteString(intentEnd)
	return b.String(), nil
}

func intentEscape(s string) string {
	return strings.ReplaceAll(url.QueryEscape(strings.ToValidUTF8(s, "\uFFFD")), "+", "%20")
}
