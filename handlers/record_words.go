package handlers

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/a-h/templ"
	"github.com/labstack/echo/v4"

	"hongyan/models"
	"hongyan/views/locale"
)

// appID reads the app of the address; 0, which is nobody's, when it is no number.
func appID(e echo.Context) int64 {
	id, _ := strconv.ParseInt(e.Param("app"), 10, 64)
	return id
}

// words is a component of nothing but text.
func words(text string) templ.Component { return templ.Raw(templ.EscapeString(text)) }

// millis writes a moment of a timeline: today's to the millisecond, others with the day.
func (k clock) millis(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	if k.Date(t) == k.Date(k.now) {
		return t.In(k.zone).Format(layoutMillis)
	}
	return t.In(k.zone).Format("01-02 " + layoutMillis)
}

// channelName is what people call a channel.
func channelName(ctx context.Context, channel string) string {
	if name, ok := locale.Find(ctx, "channels."+channel); ok {
		return name
	}
	return channel
}

// codeWords explains a vendor's code, with the code behind the words; of a code that we
// do not know it says that.
func codeWords(ctx context.Context, channel, code string) string {
	words, known := locale.Code(ctx, channel, code, "")
	if known {
		words += " (" + code + ")"
	}
	return words
}

// sourceName names the bridge that a message came through.
func sourceName(ctx context.Context, source string) string {
	if source == models.SourceTest {
		return locale.T(ctx, "message.source_test")
	}
	if name, ok := locale.Find(ctx, "bridges."+source+".name"); ok {
		return name
	}
	return source
}

func messageKind(ctx context.Context, kind string) string {
	switch kind {
	case models.KindSilent:
		return locale.T(ctx, "message.kind_silent")
	case models.KindBadge:
		return locale.T(ctx, "message.kind_badge")
	}
	return locale.T(ctx, "message.kind_alert")
}

// deviceName is what tells a phone apart: its model, else its platform.
func deviceName(_ context.Context, d *models.Device) string {
	if name := strings.TrimSpace(d.Brand + " " + d.Model); name != "" {
		return name
	}
	return d.Platform
}
