package models

import (
	"context"
	"strings"
	"testing"
)

const (
	testP256dh = "BNcRdreALRFXTkOOUHK1EtK2wtaz5Ry4YfYCA_0QTpQtUbVlUls0VJXg7A8u-Ts1XbjhazAkj7I99e8QcYP7DkM"
	testSub    = `{"endpoint":"https://push.example.net/v2/one?a=1&b=2","keys":{"p256dh":"` + testP256dh + `","auth":"tBHItJI5svbpez7KI4CCXg"}}`
)

// The same subscription is the same token, however a browser or a library writes it.
func TestSubscriptionIsOneToken(t *testing.T) {
	padded := strings.NewReplacer("-", "+", "_", "/").Replace(testP256dh) + "="
	spellings := map[string]string{
		"as it is kept":     testSub,
		"other order":       `{"keys":{"auth":"tBHItJI5svbpez7KI4CCXg","p256dh":"` + testP256dh + `"},"endpoint":"https://push.example.net/v2/one?a=1&b=2"}`,
		"over lines":        "{\n  \"endpoint\": \"https://push.example.net/v2/one?a=1&b=2\",\n\t\"keys\": {\"p256dh\": \"" + testP256dh + "\", \"auth\": \"tBHItJI5svbpez7KI4CCXg\"}\r\n}",
		"more fields":       `{"endpoint":"https://push.example.net/v2/one?a=1&b=2","expirationTime":null,"keys":{"p256dh":"` + testP256dh + `","auth":"tBHItJI5svbpez7KI4CCXg"}}`,
		"escaped":           `{"endpoint":"https:\/\/push.example.net\/v2\/one?a=1\u0026b=2","keys":{"p256dh":"` + testP256dh + `","auth":"tBHItJI5svbpez7KI4CCXg"}}`,
		"plain base64":      `{"endpoint":"https://push.example.net/v2/one?a=1&b=2","keys":{"p256dh":"` + padded + `","auth":"tBHItJI5svbpez7KI4CCXg=="}}`,
		"with spaces round": "  " + testSub + "\n",
	}
	eachDB(t, func(t *testing.T, s *Store) {
		f, ctx := seed(t, s, nil), context.Background()
		var last Registered
		for name, text := range spellings {
			last = register(t, s, f.app, Registration{Platform: "android", Routes: []RouteInput{{Channel: "web", Environment: "production", Token: text}}})
			if d := info(t, s, f.app, last.Device.ID); len(d.Routes) != 1 || d.Routes[0].Token != testSub {
				t.Errorf("%s: kept %+v", name, d.Routes)
			}
		}
		if n := count(t, s.DB, "routes"); n != 1 {
			t.Errorf("%d routes of one subscription", n)
		}
		if at, err := s.FindSandboxRoute(ctx, "web", spellings["over lines"]); err != nil || at.DeviceID != last.Device.ID {
			t.Errorf("found by another spelling: %+v %v", at, err)
		}
		register(t, s, f.app, Registration{Platform: "android", Routes: []RouteInput{{Channel: "web", Environment: "production", Token: strings.Replace(testSub, "one", "two", 1)}}})
		if n := count(t, s.DB, "routes"); n != 2 {
			t.Errorf("%d routes of two subscriptions", n)
		}
	})
}

// What is no subscription is none, and other channels' tokens are left alone.
func TestNoSubscription(t *testing.T) {
	for _, text := range []string{
		"", "x", "null", "[]", `{"endpoint":"https://push.example.net/x"}`,
		strings.Replace(testSub, "https://", "http://", 1), strings.Replace(testSub, "https://push.example.net", "", 1),
		strings.Replace(testSub, "/v2/one", "/v2/o ne", 1), strings.Replace(testSub, "/v2/one", "/v2/ö", 1),
		strings.Replace(testSub, testP256dh, "", 1), strings.Replace(testSub, "tBHItJI5svbpez7KI4CCXg", "", 1),
	} {
		if got, ok := CanonicalSubscription(text); ok {
			t.Errorf("%q became %q", text, got)
		}
		if got := canonicalToken("web", text); got != text {
			t.Errorf("the token %q became %q", text, got)
		}
	}
	if got := canonicalToken("fcm", " {} "); got != " {} " {
		t.Errorf("another channel's token became %q", got)
	}
}

func TestShortToken(t *testing.T) {
	for _, c := range [][3]string{
		{"web", testSub, "push.example.net…=1&b=2"}, {"web", "nonsense", "…nsense"},
		{"apns", "aabbccddeeff0011", "…ff0011"}, {"hw", "abc", "…abc"},
	} {
		if got := ShortToken(c[0], c[1]); got != c[2] {
			t.Errorf("%s %s is shown as %s", c[0], c[1], got)
		}
	}
}
