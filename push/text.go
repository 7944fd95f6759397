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
