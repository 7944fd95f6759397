package webpush

import (
	"context"
	"net/url"
	"testing"
	"time"

	"hongyan/push"
)

func TestKnown(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]bool{
		"https://fcm.googleapis.com/fcm/send/eAzL:APA91bH4-PaL_x":              true,
		"https://fcm.googleapis.com/wp/eAzL:APA91bH4":                          true,
		"https://FCM.googleapis.com:443/wp/eAzL":                               true,
		"https://updates.push.services.mozilla.com/wpush/v2/gAAAAABfzz-J_D2==": true,
		"https://web.push.apple.com/QGuQyavXutnMH":                             true,
		"https://fcm.googleapis.com/v1/projects/x/messages:send":               false,
		"https://fcm.googleapis.com/fcm/send":                                  false,
		"https://fcm.googleapis.com/fcm/send/../../v1/projects/x":              false,
		"https://fcm.googleapis.com/fcm/send/..%2f..%2fv1":                     false,
		"https://fcm.googleapis.com/fcm/send/x?key=1":                          false,
		"https://fcm.googleapis.com:8443/fcm/send/x":                           false,
		"https://fcm.googleapis.com.example.com/fcm/send/x":                    false,
		"https://notfcm.googleapis.com/fcm/send/x":                             false,
		"https://evil-push.services.mozilla.com.example/wpush/v2/x":            false,
		"https://push.services.mozilla.com.example.com/wpush/v2/x":             false,
		"https://wns2-par02p.notify.windows.com/w/?token=BQY":                  false,
		"https://push.example.com/x":                                           false,
		"https://web.push.apple.com.evil.example/QGuQ":                         false,
		"https://web.push.apple.com/a/../b":                                    false,
	} {
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		if known(u) != want {
			t.Errorf("%s: %v", raw, !want)
		}
	}
}

func FuzzParseSubscription(f *testing.F) {
	f.Add(`{"endpoint":"https://push.example.com/x","keys":{"p256dh":"BAAA","auth":"AAAA"}}`)
	f.Add(`{"endpoint":"https://[::1%25eth0]:1/x","keys":null}`)
	f.Add("\x00")
	f.Fuzz(func(t *testing.T, token string) {
		s, ok := parseSubscription(token)
		if !ok {
			return
		}
		u, err := url.Parse(s.Endpoint)
		if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil {
			t.Errorf("%q was taken", s.Endpoint)
		}
	})
}

func TestBrowsers(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]bool{
		"https://fcm.googleapis.com/wp/eAzL":                         true,
		"https://updates.push.services.mozilla.com/wpush/v2/gAAAAAB": true,
		"https://web.push.apple.com:443/QGuQyavXutnMH":               true,
		"https://wns2-par02p.notify.windows.com/w/?token=BQY":        true,
		"https://fcm.googleapis.com:81/wp/eAzL":                      false,
		"https://nobody.push.services.mozilla.com/wpush/v2/x":        false,
		"https://notify.windows.com.example.com/w/":                  false,
		"https://evilnotify.windows.com/w/":                          false,
		"https://push.example.com/x":                                 false,
	} {
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		if browsers(u) != want {
			t.Errorf("%s: %v", raw, !want)
		}
	}
}

// Strangers that never answer fill their own places; who finds none comes again later,
// and the credential is not slowed.
func TestStrangersPlaces(t *testing.T) {
	t.Parallel()
	s := &Sender{slots: push.NewSlots(4), strangers: push.NewSlots(1)}
	holds, release, done := make(chan struct{}), make(chan struct{}), make(chan push.Result)
	go func() {
		done <- s.stranger(context.Background(), func() push.Result {
			close(holds)
			<-release
			return push.Result{Outcome: push.Accepted}
		})
	}()
	<-holds
	if len(s.slots) != 0 {
		t.Errorf("%d of the shared places are taken", len(s.slots))
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	r := s.stranger(ctx, func() push.Result { t.Error("was sent"); return push.Result{} })
	if r.Outcome != push.Retry || r.Code != push.CodeTimeout || !r.DeviceOnly {
		t.Errorf("without a place: %+v", r)
	}
	close(release)
	if r := <-done; r.Outcome != push.Accepted || r.DeviceOnly || len(s.strangers) != 0 {
		t.Errorf("the one with a place: %+v, %d places are taken", r, len(s.strangers))
	}
}
