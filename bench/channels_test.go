package main

import (
	"testing"
	"time"

	"hongyan/push"
	"hongyan/push/registry"
)

// Every channel's own sender takes the stand-in's answer for its vendor's yes, with
// the keys and tokens of the measurement; and a throttled one for what it is.
func TestStandIns(t *testing.T) {
	v, err := newVendors()
	t.Cleanup(v.close)
	if err != nil {
		t.Fatal(err)
	}
	s := &site{vendors: v}
	for _, spec := range registry.All() {
		if spec.Channel == push.APNs {
			continue // its stand-in has a test of its own
		}
		t.Run(string(spec.Channel), func(t *testing.T) {
			t.Parallel()
			keys, err := s.channelKeys(spec.Channel)
			if err != nil {
				t.Fatal(err)
			}
			o, _ := s.stand(spec.Channel)
			o.Topic, o.Now, o.Environment = bundle, time.Now, push.Production
			sender, err := spec.Open(t.Context(), keys.Fields, o)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(sender.Close)
			token, err := s.phone(&channelApp{channel: spec.Channel, keys: keys}, 1)
			if err != nil {
				t.Fatal(err)
			}
			m := push.Message{Kind: push.Alert, Title: "Alice", Body: "hello", ExpiresAt: time.Now().Add(time.Hour)}
			send := func(want push.Outcome) {
				t.Helper()
				r := sender.Send(t.Context(), m, []push.Target{{Token: token, Topic: bundle, ID: "0199a0b0-0000-7000-8000-000000000001"}})
				if len(r) != 1 || r[0].Outcome != want {
					t.Errorf("%+v, want %s", r, want)
				}
			}
			send(push.Accepted)
			if spec.Channel == broken {
				v[spec.Channel].Throttle(1)
				send(push.Throttled)
				v[spec.Channel].Throttle(0)
			}
			v[spec.Channel].SetDelay(50 * time.Millisecond)
			began := time.Now()
			send(push.Accepted)
			if d := time.Since(began); d < 50*time.Millisecond {
				t.Errorf("answered after %v", d)
			}
		})
	}
}
