package handlers

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"hongyan/models"
)

// genericText is what a phone shows for a message that says nothing readable:
// encrypted, empty, or of a kind that nobody described.
const genericText = "收到一条新消息"

// cleanText makes s storable and showable: valid UTF-8 without control characters
// (PostgreSQL refuses NUL in text, and one such message would fail the whole
// commit that it shares with others), and without space around it.
func cleanText(s string) string {
	s = strings.ToValidUTF8(s, string(utf8.RuneError))
	s = strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || !unicode.IsControl(r) {
			return r
		}
		return -1
	}, s)
	return strings.TrimSpace(s)
}

// cutRunes shortens s to at most limit runes, the last of which is then an ellipsis.
func cutRunes(s string, limit int) string {
	if len(s) <= limit || utf8.RuneCountInString(s) <= limit {
		return s
	}
	n := 0
	for i := range s {
		if n == limit-1 {
			return s[:i] + "…"
		}
		n++
	}
	return s
}

// oneLine is cleanText on one line.
func oneLine(s string) string {
	return cleanText(strings.NewReplacer("\r\n", " ", "\n", " ", "\t", " ").Replace(s))
}

// withSpeaker decorates text with who says it and where, as IM users know it:
// "昵称：text" from a person, "昵称(群名称)：text" in a group, and without a name
// "text" or "(群名称):text".
func withSpeaker(name, group, text string) string {
	name, group = oneLine(name), oneLine(group)
	switch {
	case name != "" && group != "":
		return name + "(" + group + ")：" + text
	case name != "":
		return name + "：" + text
	case group != "":
		return "(" + group + "):" + text
	}
	return text
}

// fitContent cuts a content's texts to what is kept.
func fitContent(c *models.Content) {
	c.Title = cutRunes(oneLine(c.Title), models.MaxTitleRunes)
	c.Subtitle = cutRunes(oneLine(c.Subtitle), models.MaxTitleRunes)
	c.Body = cutRunes(cleanText(c.Body), models.MaxBodyRunes)
}

// validAccount reports whether an end user's id can be kept.
func validAccount(id string) bool {
	return id != "" && utf8.ValidString(id) && utf8.RuneCountInString(id) <= models.MaxAccountRunes &&
		!strings.ContainsFunc(id, unicode.IsControl)
}

// maxNameRunes is how much is kept of a sender's and a conversation's id.
const maxNameRunes = 128
