package push

import (
	"strings"
	"testing"
)

func TestQuote(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		said    string
		secrets []string
		want    string
	}{
		{"title不合法", nil, "title不合法"},
		{" 消息内容包含敏感词：某词", nil, "消息内容包含敏感词"},
		{`regId "12345678" unknown`, nil, "regId"},
		{"regId 12345678901 unknown", []string{"12345678901"}, ""},
		{"不合法的内容 明天三点见", []string{"我们明天三点见面"}, ""},
		{"title too long", []string{"hi"}, "title too long"},
		{"title too long", []string{"", "说说"}, "title too long"},
		{"内容 晚安呀", []string{"晚安呀"}, ""},
		{strings.Repeat("x", 100), nil, ""},
		{"\xff", nil, ""},
		{"", nil, ""},
	} {
		if got := Quote(c.said, c.secrets...); got != c.want {
			t.Errorf("Quote(%q, %q) = %q, want %q", c.said, c.secrets, got, c.want)
		}
	}
}
