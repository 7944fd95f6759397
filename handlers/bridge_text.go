package handlers

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"hongyan/models"
)

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

// speaker names who says something and where, as IM users know them: "昵称" for a
// person, "昵称(群名称)" in a group, "(群名称)" without a name, "" without either.
func speaker(name, group string) string {
	name, group = cutRunes(oneLine(name), maxNicknameRunes), cutRunes(oneLine(group), maxNicknameRunes)
	if group != "" {
		group = "(" + group + ")"
	}
	return name + group
}

// withSpeaker decorates text with its speaker the way IM notifications do:
// "昵称：text", "昵称(群名称)：text", and for a group alone "(群名称):text".
func withSpeaker(speaker, text string) string {
	switch {
	case speaker == "":
		return text
	case strings.HasPrefix(speaker, "("):
		return speaker + ":" + text
	}
	return speaker + "：" + text
}

// fitContent cuts a content's texts to what is kept.
func fitContent(c *models.Content) {
	c.Title = cutRunes(oneLine(c.Title), models.MaxTitleRunes)
	c.Subtitle = cutRunes(oneLine(c.Subtitle), models.MaxTitleRunes)
	c.Body = cutRunes(cleanText(c.Body), models.MaxBodyRunes)
}

// validAccount reports whether an end user's id can be kept. Broken UTF-8 is read
// from JSON as U+FFFD: two different ids would become one, and one person would get
// the other's messages.
func validAccount(id string) bool {
	return id != "" && utf8.ValidString(id) && utf8.RuneCountInString(id) <= models.MaxAccountRunes &&
		!strings.ContainsFunc(id, unicode.IsControl) && !strings.ContainsRune(id, utf8.RuneError)
}

// How much is kept of a sender's and a conversation's id, and of their names.
const (
	maxNameRunes     = 128
	maxNicknameRunes = models.MaxTitleRunes/2 - 2
)
