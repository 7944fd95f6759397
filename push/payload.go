package push

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// CompactJSON encodes v without a newline and without the escapes that HTML would
// need, which would count against a vendor's limit.
func CompactJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("push: payload: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// Fit returns as much of body as lets a payload have at most most bytes, where payload
// builds it around a body. It fails with CodeTooLarge when less than LeastBody is left for
// the body, and with CodeBadContent when the payload cannot be built.
func Fit(body string, most int, payload func(body string) ([]byte, error)) (string, *Result) {
	p, err := payload(body)
	if err != nil {
		return "", BadContent("the message holds data that is not JSON")
	}
	if len(p) <= most {
		return body, nil
	}
	bare, err := payload("")
	if err != nil || most-len(bare) < LeastBody {
		return "", tooLarge(most)
	}
	// A byte of text is one of JSON or six, so what fits is searched for.
	best, fits, tooLong := "", 0, len(body)
	for tooLong-fits > 1 {
		n := (fits + tooLong) / 2
		cut := CutBytes(body, n)
		if p, err = payload(cut + "…"); err != nil {
			return "", BadContent("the message holds data that is not JSON")
		}
		if len(p) > most {
			tooLong = n
			continue
		}
		if fits = n; cut != "" {
			best = cut + "…"
		}
	}
	if best == "" {
		return "", tooLarge(most)
	}
	return best, nil
}

func tooLarge(most int) *Result {
	return &Result{Outcome: BadMessage, Code: CodeTooLarge, Text: fmt.Sprintf("the payload is over %d bytes", most)}
}

// BadContent is the Result for a message that a channel cannot express.
func BadContent(text string) *Result {
	return &Result{Outcome: BadMessage, Code: CodeBadContent, Text: text}
}

// AlertText is a message's title and body for a vendor that wants both and knows no
// subtitle, cut to so many characters. A message with only one of the two says it
// twice, which is better than not at all; one with neither is no notification.
func AlertText(m *Message, titleRunes, bodyRunes int) (title, body string, fault *Result) {
	title, body = clean(m.Title), BodyText(m)
	switch {
	case title == "" && body == "":
		return "", "", BadContent("a notification needs a title or a body")
	case title == "":
		title = body
	case body == "":
		body = title
	}
	return CutRunes(title, titleRunes), CutRunes(body, bodyRunes), nil
}

// BodyText is a message's body for a vendor that knows no subtitle: the subtitle is its
// first line.
func BodyText(m *Message) string {
	sub, body := clean(m.Subtitle), clean(m.Body)
	if sub == "" || body == "" {
		return sub + body
	}
	return sub + "\n" + body
}

// clean makes valid UTF-8 without the space around it, so that blank text counts as
// none.
func clean(s string) string { return strings.TrimSpace(strings.ToValidUTF8(s, "\uFFFD")) }
