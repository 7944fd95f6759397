package handlers

import (
	"fmt"
	"strings"
	"testing"

	"hongyan/models"
	"hongyan/push"
	"hongyan/push/registry"
	"hongyan/views/locale"
)

// Everything that a channel's description brings to a page has words in both
// catalogs: the form, its fields, their choices and help, the classes, the codes and
// how receipts are set up.
func TestChannelWords(t *testing.T) {
	t.Parallel()
	catalogs, err := locale.Load()
	if err != nil {
		t.Fatal(err)
	}
	for _, spec := range registry.All() {
		if c := string(spec.Channel); models.HasReceipts(c) != (spec.ReceiptSetup != push.ReceiptNone) {
			t.Errorf("models and the spec of %s disagree on receipts", c)
		}
		for lang, catalog := range catalogs {
			for _, key := range channelKeys(spec) {
				if m := catalog[key]; strings.TrimSpace(m.Other) == "" {
					t.Errorf("%s: no words for %s", lang, key)
				}
			}
		}
	}
}

// channelKeys are the sentences that pages look up for a channel. The form of Apple's
// channel is written by hand, so it needs only its codes.
func channelKeys(spec push.Spec) []string {
	channel := string(spec.Channel)
	keys := []string{"channels." + channel}
	for code := range spec.Codes {
		keys = append(keys, "codes."+channel+"."+code)
	}
	if spec.Channel == push.APNs {
		return keys
	}
	base := "fields." + channel + "."
	keys = append(keys, base+"lede")
	if spec.ReceiptSetup != push.ReceiptNone {
		keys = append(keys, "receipts."+channel)
	}
	for _, f := range spec.Fields {
		if f.Kind == push.FieldEnv {
			continue
		}
		keys = append(keys, base+f.Key, base+f.Key+"_help")
		if f.Group == push.GroupClass {
			keys = append(keys, base+"class")
		}
		for _, choice := range f.Choices {
			keys = append(keys, base+f.Key+"."+choice)
		}
	}
	return keys
}

// The catalogs say nothing about fields, choices and codes that a channel does not
// have: a renamed field would leave its old words behind.
func TestNoStrayChannelWords(t *testing.T) {
	t.Parallel()
	catalogs, err := locale.Load()
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	built := map[string]bool{}
	for _, spec := range registry.All() {
		built[string(spec.Channel)] = true
		for _, key := range channelKeys(spec) {
			known[key] = true
		}
		for _, f := range spec.Fields {
			known[fmt.Sprintf("fields.%s.%s_fault", spec.Channel, f.Key)] = true
		}
	}
	for key := range catalogs[locale.Chinese] {
		section, rest, _ := strings.Cut(key, ".")
		channel, _, ok := strings.Cut(rest, ".")
		if section != "fields" && section != "codes" || !ok || !built[channel] {
			continue
		}
		if !known[key] {
			t.Errorf("%s belongs to nothing that the channel has", key)
		}
	}
}
