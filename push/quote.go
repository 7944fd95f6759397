package push

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of what is quoted of a vendor's words.
const (
	maxQuote  = 60 // runes
	quoteRun  = 4  // runes in a row that a secret must not share with a quotation
	shortPart = 3  // secrets shorter than this in bytes are in every sentence
)

// Quote returns what a vendor said about a code that no table explains, as far as it
// may be stored and shown: its first words up to a mark after which vendors repeat
// what was sent, and nothing at all when they share a piece with one of the secrets
// (tokens, keys, the message's texts).
func Quote(said string, secrets ...string) string {
	said = strings.TrimSpace(said)
	if !utf8.ValidString(said) {
		return ""
	}
	if i := strings.IndexFunc(said, func(r rune) bool {
		return r != ' ' && r != '_' && r != '-' && !unicode.IsLetter(r) && !unicode.IsDigit(r)
	}); i >= 0 {
		said = strings.TrimSpace(said[:i])
	}
	if utf8.RuneCountInString(said) > maxQuote {
		return ""
	}
	for _, s := range secrets {
		if len(s) >= shortPart && shareRun(said, s) {
			return ""
		}
	}
	return said
}

// saidMark stands between our explanation of a code and what the vendor said. None of
// the explanations of codes that no table has contains it, and no quotation does.
const saidMark = ": "

// WithSaid is a Result's Text for a code that no table explains, with what Quote let
// through of the vendor's words; SaidIn takes them out again.
func WithSaid(text, said string) string {
	if said == "" {
		return text
	}
	return text + saidMark + said
}

// SaidIn returns the vendor's words in a Text that WithSaid made, "" if there are none.
func SaidIn(text string) string {
	_, said, _ := strings.Cut(text, saidMark)
	return said
}

// shareRun reports whether a and b have quoteRun runes in a row in common, or one
// holds the whole of a shorter other.
func shareRun(a, b string) bool {
	ra, rb := []rune(a), []rune(b)
	n := min(quoteRun, len(ra), len(rb))
	if n == 0 {
		return false
	}
	for i := 0; i+n <= len(ra); i++ {
		if strings.Contains(b, string(ra[i:i+n])) {
			return true
		}
	}
	return false
}
