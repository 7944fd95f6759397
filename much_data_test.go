package main

import (
	"fmt"
	"strings"
	"testing"

	"hongyan/models"
	"hongyan/push"
	"hongyan/push/registry"
)

// As much data as is accepted, with keys that vendors keep for themselves, fails on no
// channel, and the record says where something of it was left out.
func TestMuchData(t *testing.T) {
	t.Parallel()
	l := newChannelsLab(t)
	data := map[string]any{"from": "u1", "gcm": map[string]any{"style": "inbox"}, "message_type": "x", "": 1, "aps": 1}
	for i := range 20 {
		data[fmt.Sprint("k", i)] = strings.Repeat("x", 8*i)
	}
	for _, spec := range registry.All() {
		t.Run(string(spec.Channel), func(t *testing.T) {
			a := l.app(t, spec.Channel)
			account, _ := a.device()
			d, _ := a.say(account, models.Content{Title: "title-of-bob", Subtitle: "群", Body: strings.Repeat("body-of-bob ", 100), Data: data})
			if d.State != models.StateAccepted || (d.Code == push.CodeDataCut) != (d.Detail != "") || spec.Channel == push.Vivo && d.Code == "" {
				t.Errorf("%+v", d)
			}
		})
	}
}
