package xiaomi_test

import (
	"context"
	"strings"
	"testing"

	"hongyan/push"
	"hongyan/push/pushtest/lab"
	"hongyan/push/xiaomi"
)

// TestQuotaOfChannel: a channel's used-up quota is the credential's only where it is the
// credential's channel; the app's is everybody's.
func TestQuotaOfChannel(t *testing.T) {
	l := newLab(t)
	account := l.Account
	account.Fields = map[string]string{"app_secret": secret} // any channel
	l = lab.New(t, xiaomi.Spec(), l.Fields, account)
	s := l.Open()
	for _, c := range []struct {
		code, channel string
		only          bool
	}{
		{"200001", "", false}, {"200001", "high_im", false}, {"200001", "marketing", true}, {"10034", "marketing", false}, {"10027", "marketing", false},
	} {
		m := hello()
		if c.channel != "" {
			m.ChannelIDs = map[push.Channel]string{push.Xiaomi: c.channel}
		}
		l.Say(c.code, 0)
		for _, r := range s.Send(context.Background(), m, targets(2)) {
			if r.Outcome != push.Throttled || r.Code != c.code || r.ClassOnly != c.only {
				t.Errorf("%s in %q: %+v", c.code, c.channel, r)
			}
		}
	}
}

// TestReportedQuota: a receipt says that the day is over, and of which channel, by what
// the message took along. A device's own limit has the same type and stops nobody.
func TestReportedQuota(t *testing.T) {
	l := newLab(t)
	l.Fields["channel_id"] = ""
	s := l.Open()
	to := target(1)
	to.Ref = strings.Repeat("r", push.MaxRef)
	param := func(channel string) string {
		m := hello()
		m.ReceiptURL = receiptURL
		if channel != "" {
			m.ChannelIDs = map[push.Channel]string{push.Xiaomi: channel}
		}
		if r := s.Send(context.Background(), m, []push.Target{to})[0]; r.Outcome != push.Accepted {
			t.Fatalf("%+v", r)
		}
		return lab.Last[map[string]string](l)["extra.callback.param"]
	}
	m := push.Message{ChannelIDs: map[push.Channel]string{push.Xiaomi: "high_im"}}
	own, tag := param("high_im"), m.ClassTag(push.Xiaomi)
	if plain := param(""); plain != to.Ref || own != to.Ref+"."+tag || len(own) > 64 {
		t.Fatalf("parameters %q and %q", plain, own)
	}
	for _, c := range []struct {
		kind, extra string
		over        bool
	}{
		{"128", `,"extra":{"ack":"50000","quota":"50000"}`, true},
		{"128", `,"extra":{"ack":50001,"quota":50000}`, true},
		{"128", `,"extra":{"ack":"49999","quota":"50000"}`, false},
		{"128", `,"extra":{"ack":"0","quota":"0"}`, false},
		{"128", `,"extra":{"quota":"50000"}`, false},
		{"128", ``, false},
		{"1", `,"extra":{"ack":"50000","quota":"50000"}`, false},
	} {
		got, err := parse(`{"m1":{"param":"` + own + `","type":` + c.kind + `,"targets":"t1"` + c.extra + `}}`)
		if err != nil || len(got.Receipts) != 1 {
			t.Fatalf("%+v, %v", got, err)
		}
		if r := got.Receipts[0]; r.DayOver != c.over || r.Class != tag || r.Ref != to.Ref {
			t.Errorf("%s%s: %+v", c.kind, c.extra, r)
		}
	}
	for _, odd := range []string{to.Ref + "." + strings.Repeat("x", 17), "a b"} {
		got, err := parse(`{"m1":{"param":"` + odd + `","type":128,"targets":"t1","extra":{"ack":"5","quota":"5"}}}`)
		if err != nil || got.Receipts[0].DayOver || got.Receipts[0].Ref != "" {
			t.Errorf("%q: %+v, %v", odd, got, err)
		}
	}
}
