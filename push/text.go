package push

import (
	"hash/fnv"
	"strings"
	"time"
	"unicode/utf8"
)

// CutRunes returns s cut to at most n characters, the last an ellipsis where
// something was cut off. No rune is split, and bytes that are no UTF-8 become
// U+FFFD. n ≤ 0 means no limit.
func CutRunes(s string, n int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if n <= 0 || utf8.RuneCountInString(s) <= n {
		return s
	}
	i := 0
	for range n - 1 {
		_, size := utf8.DecodeRuneInString(s[i:])
		i += size
	}
	return s[:i] + "…"
}

// runeWidth is how many half widths a rune counts where a vendor counts a Chinese
// character as two; everything but ASCII is taken for one, to be on the safe side.
func runeWidth(r rune) int {
	if r < utf8.RuneSelf {
		return 1
	}
	return 2
}

// CutWidth returns s cut to at most n half widths, the last two an ellipsis where
// something was cut off. No rune is split.
func CutWidth(s string, n int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	sum, keep := 0, 0
	for i, r := range s {
		if sum <= n-runeWidth('…') {
			keep = i
		}
		if sum += runeWidth(r); sum > n {
			return s[:keep] + "…"
		}
	}
	return s
}

// envelope is what a payload needs beside its texts, about.
const envelope = 512

// Cut returns what a channel of these limits makes of a title and a body, so that an
// operator can be warned before he sends. Where a vendor limits the whole payload alone
// it is about right: what else goes along is known only when sending.
func (l Limits) Cut(title, body string) (cutTitle, cutBody string) {
	cut := CutRunes
	if l.Wide {
		cut = func(s string, n int) string { return CutWidth(s, 2*n) }
	}
	if l.TitleRunes > 0 {
		title = cut(title, l.TitleRunes)
	}
	if l.BodyRunes > 0 {
		body = cut(body, l.BodyRunes)
	}
	if l.PayloadBytes > 0 {
		title = CutBytes(title, l.PayloadBytes/4)
		body = CutJSON(body, l.PayloadBytes-envelope-len(title))
	}
	return title, body
}

// CutBytes returns s cut to at most n bytes without splitting a rune.
func CutBytes(s string, n int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// NotifyID makes the number by which Android vendors let a later notification
// replace an earlier one: the same for the same key, positive, never 0. "" gives 0,
// which means no number.
func NotifyID(key string) int32 {
	if key == "" {
		return 0
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(key)) // never fails
	return int32(h.Sum32()&0x7fffffff) | 1
}

// chinaTime is the vendors' clock for daily quotas. China has no summer time.
func chinaTime() *time.Location { return time.FixedZone("Asia/Shanghai", 8*60*60) }

// UntilMidnight is the time left until the vendors' daily quotas start anew, at
// midnight in Shanghai, at least a minute.
func UntilMidnight(now time.Time) time.Duration {
	t := now.In(chinaTime())
	next := time.Date(t.Year(), t.Month(), t.Day()+1, 0, 0, 0, 0, t.Location())
	return max(next.Sub(now), time.Minute)
}

// TTL is how long a message is still worth, in whole seconds between least and most.
// A message without an end gets most; one that has lost its worth gets least.
func TTL(expires, now time.Time, least, most time.Duration) time.Duration {
	if expires.IsZero() {
		return most
	}
	return min(max(expires.Sub(now).Truncate(time.Second), least), most)
}

// CutJSON returns s cut at a rune, with an ellipsis where something was cut off, so
// that encoding/json without HTML escapes writes at most room bytes for it, quotes
// not counted. It returns "" when nothing fits.
func CutJSON(s string, room int) string {
	const ellipsis = "…"
	s = strings.ToValidUTF8(s, "\uFFFD")
	used, keep := 0, 0 // keep is how much of s fits together with an ellipsis
	for i, r := range s {
		used += jsonLen(r)
		if used > room {
			if keep == 0 {
				return ""
			}
			return s[:keep] + ellipsis
		}
		if used+len(ellipsis) <= room {
			keep = i + utf8.RuneLen(r)
		}
	}
	return s
}

// LeastBody is how many bytes of a body, as JSON, are worth more than data for the app:
// three dozen Chinese characters. Where a body must be cut to less than this, the message
// is too large as it is, and SendFitting leaves data out.
const LeastBody = 108

// CutBody is CutJSON for the body of an alert: it returns "" also where the body must be
// cut to less than LeastBody.
func CutBody(body string, room int) string {
	out := CutJSON(body, room)
	if room < LeastBody && out != strings.ToValidUTF8(body, "\uFFFD") {
		return ""
	}
	return out
}

// jsonLen is how many bytes encoding/json, not escaping HTML, writes for a rune.
func jsonLen(r rune) int {
	switch {
	case r == '"', r == '\\', r == '\n', r == '\r', r == '\t', r == '\b', r == '\f':
		return 2
	case r < 0x20, r == '\u2028', r == '\u2029':
		return 6
	}
	return utf8.RuneLen(r)
}

// Visible reports whether s is of visible ASCII alone, as ids and tokens are.
func Visible(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// maxVendorID is how many bytes of a vendor's message id are kept.
const maxVendorID = 200

// SaneID returns a message id that a vendor gave, "" for one that is longer than any
// vendor's or not of visible ASCII.
func SaneID(id string) string {
	if len(id) > maxVendorID || !Visible(id) {
		return ""
	}
	return id
}
