package models

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"strings"
	"time"
	"unicode/utf8"
)

// More limits of one message. What is longer is cut, as with the limits above it
// in message.go, except for what would change its meaning when cut.
const (
	maxSenderRunes = 128
	maxWordBytes   = 128 // sound, thread, category, interruption level
	maxCollapse    = 64  // bytes, APNs' limit
)

// dedupeKeyBytes is how much of the hash is kept: 128 bits do not collide.
const dedupeKeyBytes = 16

type dedupeKey [dedupeKeyBytes]byte

// Check reports, as an Invalid with the field, why a message cannot be accepted:
// its user is missing or too long, its kind unknown or its custom data too big.
// Everything else is cut to size. Bridges drop and count such messages one by
// one; Accept refuses a request that holds one.
func (m *Incoming) Check() error {
	switch {
	case m.Token != "":
		if len(m.Token) > MaxVendorTokenBytes {
			return invalid("token", "too_long", map[string]any{"Max": MaxVendorTokenBytes})
		}
	case m.Topic != "": // its devices say who gets it
	case m.Account == "":
		return invalid("account", "message_account_missing", nil)
	case utf8.RuneCountInString(m.Account) > MaxAccountRunes:
		return invalid("account", "message_account_long", map[string]any{"Max": MaxAccountRunes})
	}
	return m.checkContent()
}

func (m *Incoming) checkContent() error {
	switch m.Kind {
	case "", KindAlert, KindSilent, KindBadge:
	default:
		return invalid("kind", "message_kind", nil)
	}
	if len(m.Content.Data) > 0 {
		b, err := json.Marshal(m.Content.Data)
		if err != nil {
			return invalid("data", "message_data", nil)
		}
		if len(b) > MaxDataBytes {
			return invalid("data", "message_data_long", map[string]any{"Max": MaxDataBytes})
		}
	}
	return nil
}

// clean returns the message with every text valid UTF-8, free of NUL (which
// Postgres refuses, and one bad text would fail everyone's commit) and cut to
// its limit, and with a kind and an expiry.
func (m Incoming) clean(now time.Time) Incoming {
	if m.Kind == "" {
		m.Kind = KindAlert
	}
	m.SourceID = shortID(storable(m.SourceID), MaxSourceID)
	m.Account = storable(m.Account)
	m.Sender = firstRunes(m.Sender, maxSenderRunes)
	m.Conversation = firstRunes(m.Conversation, maxSenderRunes)
	if m.IOS != nil { // a copy, because other messages of the request share it
		m.IOS = &Variant{Title: firstRunes(m.IOS.Title, MaxTitleRunes), Sound: firstBytes(m.IOS.Sound, maxWordBytes)}
	}
	c := &m.Content
	c.Title = firstRunes(c.Title, MaxTitleRunes)
	c.Subtitle = firstRunes(c.Subtitle, MaxTitleRunes)
	c.Speaker = firstRunes(c.Speaker, MaxTitleRunes)
	c.Body = firstRunes(c.Body, MaxBodyRunes)
	c.Sound = firstBytes(c.Sound, maxWordBytes)
	c.ThreadID = firstBytes(c.ThreadID, maxWordBytes)
	c.Category = firstBytes(c.Category, maxWordBytes)
	c.InterruptionLevel = firstBytes(c.InterruptionLevel, maxWordBytes)
	c.CollapseKey = shortID(storable(c.CollapseKey), maxCollapse)
	if last := now.Add(MaxLife); m.ExpiresAt.After(last) {
		m.ExpiresAt = last
	}
	if m.ExpiresAt.IsZero() {
		m.ExpiresAt = now.Add(DefaultLife)
	}
	m.ExpiresAt = m.ExpiresAt.UTC().Truncate(time.Microsecond)
	return m
}

// storable returns s as valid UTF-8 without NUL.
func storable(s string) string {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	if strings.IndexByte(s, 0) >= 0 {
		s = strings.ReplaceAll(s, "\x00", "")
	}
	return s
}

// firstRunes makes s storable and keeps its first n runes.
func firstRunes(s string, n int) string {
	s = storable(s)
	if len(s) <= n {
		return s
	}
	for i := range s {
		if n == 0 {
			return s[:i]
		}
		n--
	}
	return s
}

// firstBytes makes s storable and keeps at most n bytes of whole runes.
func firstBytes(s string, n int) string {
	s = storable(s)
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// shortID returns s, or a hash of it when it is longer than n bytes: an id that
// was cut could equal another one.
func shortID(s string, n int) string {
	if len(s) <= n {
		return s
	}
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])[:min(n, 2*len(sum))]
}

// dedupeKeyOf names one message for one user of one app, or for one device if
// that is not 0, whatever request carries it.
func dedupeKeyOf(imAppID, appID, deviceID int64, m *Incoming) (key dedupeKey) {
	b := make([]byte, 0, 160)
	b = binary.BigEndian.AppendUint64(b, uint64(imAppID)) //nolint:gosec // any bits will do
	b = binary.BigEndian.AppendUint64(b, uint64(appID))   //nolint:gosec // any bits will do
	b = binary.BigEndian.AppendUint32(b, uint32(m.AccountType))
	b = binary.BigEndian.AppendUint32(b, uint32(len(m.SourceID))) //nolint:gosec // at most MaxSourceID
	b = append(b, m.SourceID...)
	b = append(b, m.Account...)
	if deviceID != 0 { // after a NUL, which no account contains
		b = binary.BigEndian.AppendUint64(append(b, 0), uint64(deviceID)) //nolint:gosec // any bits will do
	}
	sum := sha256.Sum256(b)
	copy(key[:], sum[:])
	return key
}
