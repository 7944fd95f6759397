package handlers

import (
	"context"
	"strconv"
	"strings"
	"time"

	"hongyan/views/locale"
)

// clock writes moments as pages show them: in the account's zone, relative to now.
type clock struct {
	now  time.Time
	zone *time.Location
}

// Layouts of a moment.
const (
	layoutDate       = "2006-01-02"
	layoutDay        = "01-02 15:04"
	layoutSecond     = "01-02 15:04:05"
	layoutYearSecond = "2006-01-02 15:04:05"
	layoutTime       = "15:04:05"
	layoutMinute     = "2006-01-02 15:04"
	layoutFull       = "2006-01-02 15:04:05 -07:00"
)

// Ago writes how long ago t was, for up to a day, and a date beyond.
func (k clock) Ago(ctx context.Context, t time.Time) string {
	d := k.now.Sub(t)
	switch {
	case t.IsZero():
		return ""
	case d < 0:
		return k.Short(t)
	case d < time.Minute:
		return locale.T(ctx, "common.just_now")
	case d < time.Hour:
		return locale.Tn(ctx, "common.minutes_ago", int(d/time.Minute))
	case d < 24*time.Hour:
		return locale.Tn(ctx, "common.hours_ago", int(d/time.Hour))
	}
	return k.Short(t)
}

// Short writes a moment of today as "09:41:02", of this year as "11-23 09:41", and
// any other with its year.
func (k clock) Short(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	t, now := t.In(k.zone), k.now.In(k.zone)
	switch {
	case t.Format(layoutDate) == now.Format(layoutDate):
		return t.Format(layoutTime)
	case t.Year() == now.Year():
		return t.Format(layoutDay)
	}
	return t.Format(layoutMinute)
}

// Exact writes t to the second, with its year when that is not this one.
func (k clock) Exact(t time.Time) string {
	t = t.In(k.zone)
	if t.Year() == k.now.In(k.zone).Year() {
		return t.Format(layoutSecond)
	}
	return t.Format(layoutYearSecond)
}

// Date writes the day of t.
func (k clock) Date(t time.Time) string { return t.In(k.zone).Format(layoutDate) }

// Full writes t to the second with its zone, for a title.
func (k clock) Full(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.In(k.zone).Format(layoutFull)
}

// ISO writes t for machines.
func (k clock) ISO(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// midnight returns when the day that is so many days from today begins in the zone.
func (k clock) midnight(days int) time.Time {
	y, m, d := k.now.In(k.zone).Date()
	return time.Date(y, m, d+days, 0, 0, 0, 0, k.zone)
}

// day returns the moment when the day written as 2006-01-02 begins in the zone.
func (k clock) day(text string) (time.Time, bool) {
	t, err := time.ParseInLocation(layoutDate, text, k.zone)
	return t, err == nil
}

// thousands writes n with commas: 12345 as "12,345".
func thousands(n int64) string {
	digits := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, digits = "-", digits[1:]
	}
	var out strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			out.WriteByte(',')
		}
		out.WriteRune(d)
	}
	return sign + out.String()
}

// list joins words as the language of the page does.
func list(ctx context.Context, words []string) string {
	return strings.Join(words, locale.T(ctx, "common.list_separator"))
}

// agentWords names the browser and the system of a User-Agent, "" for unknown ones.
func agentWords(agent string) (name, system string) {
	for _, b := range []struct{ mark, name string }{
		// The order matters: most browsers also claim to be Chrome and Safari.
		{"MicroMessenger/", "WeChat"}, {"Edg/", "Edge"}, {"EdgA/", "Edge"}, {"OPR/", "Opera"},
		{"QQBrowser/", "QQBrowser"}, {"HuaweiBrowser/", "Huawei Browser"}, {"MiuiBrowser/", "Mi Browser"},
		{"Firefox/", "Firefox"}, {"FxiOS/", "Firefox"}, {"CriOS/", "Chrome"}, {"Chromium/", "Chromium"},
		{"Chrome/", "Chrome"}, {"Safari/", "Safari"}, {"curl/", "curl"},
	} {
		if strings.Contains(agent, b.mark) {
			name = b.name
			break
		}
	}
	for _, s := range []struct{ mark, name string }{
		{"iPhone", "iOS"}, {"iPad", "iPadOS"}, {"HarmonyOS", "HarmonyOS"}, {"OpenHarmony", "HarmonyOS"}, {"Android", "Android"},
		{"Windows", "Windows"}, {"Mac OS X", "macOS"}, {"CrOS", "ChromeOS"}, {"Linux", "Linux"},
	} {
		if strings.Contains(agent, s.mark) {
			system = s.name
			break
		}
	}
	return name, system
}
