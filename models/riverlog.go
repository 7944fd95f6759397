package models

import (
	"context"
	"log/slog"
)

// RiverLog returns the logger for River. What it says at Info is routine, several
// lines a minute of an idle process, and becomes Debug; warnings and errors stay.
func RiverLog(log *slog.Logger) *slog.Logger { return slog.New(riverHandler{log.Handler()}) }

// riverHandler writes Info as Debug.
type riverHandler struct{ slog.Handler }

// Enabled implements slog.Handler.
func (h riverHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.Handler.Enabled(ctx, riverLevel(level))
}

// Handle implements slog.Handler.
func (h riverHandler) Handle(ctx context.Context, r slog.Record) error {
	r.Level = riverLevel(r.Level)
	if !h.Handler.Enabled(ctx, r.Level) {
		return nil
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h riverHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return riverHandler{h.Handler.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler.
func (h riverHandler) WithGroup(name string) slog.Handler {
	return riverHandler{h.Handler.WithGroup(name)}
}

func riverLevel(level slog.Level) slog.Level {
	if level == slog.LevelInfo {
		return slog.LevelDebug
	}
	return level
}
