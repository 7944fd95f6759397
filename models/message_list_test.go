package models

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestSendRecordsPages(t *testing.T) {
	eachDBClock(t, func(t *testing.T, s *Store, c *testClock) {
		f, ctx := seed(t, s, nil), context.Background()
		start := s.Now()
		var ids []string // oldest first
		for i := range 25 {
			state := StateAccepted
			if i%5 == 0 {
				state = StateFailed
			}
			ids = append(ids, f.sent(t, fmt.Sprint(i), 7, state).ID)
			c.Advance(time.Minute)
		}
		newest := slices.Clone(ids)
		slices.Reverse(newest)
		list := func(rf RecordFilter) ([]string, *RecordPage) {
			t.Helper()
			p, err := s.SendRecords(ctx, f.app, rf)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, r := range p.Records {
				got = append(got, r.ID)
				if len(r.Deliveries) != 1 || r.Account != "alice" {
					t.Errorf("record %+v", r)
				}
			}
			return got, p
		}
		for name, rf := range map[string]RecordFilter{"all": {}, "account": {Account: "alice"}, "plan": {PlanID: f.planID}} {
			rf.Limit = 10
			var seen []string
			for {
				got, p := list(rf)
				seen = append(seen, got...)
				if rf.Before = p.Older; p.Older == "" {
					break
				}
			}
			if diff := cmp.Diff(newest, seen); diff != "" {
				t.Errorf("%s: paging to older (-want +got):\n%s", name, diff)
			}
			rf.Before = ""
			last, p := list(RecordFilter{Limit: 10, Before: newest[19]})
			if len(last) != 5 || p.Older != "" || p.Newer != newest[20] {
				t.Fatalf("last page %v %q %q", last, p.Older, p.Newer)
			}
			rf.After = p.Newer
			back, p := list(rf)
			if diff := cmp.Diff(newest[10:20], back); diff != "" || p.Newer != newest[10] || p.Older != newest[19] {
				t.Errorf("%s: back to newer (-want +got):\n%s", name, diff)
			}
		}
		failed, p := list(RecordFilter{State: StateFailed, Limit: 3})
		if diff := cmp.Diff([]string{newest[4], newest[9], newest[14]}, failed); diff != "" || p.Older != newest[14] {
			t.Errorf("failed (-want +got):\n%s", diff)
		}
		if got, _ := list(RecordFilter{State: StateAccepted, Account: "alice"}); len(got) != 20 {
			t.Errorf("%d accepted of alice, want 20", len(got))
		}
		if got, _ := list(RecordFilter{SourceID: "7"}); len(got) != 1 || got[0] != ids[7] {
			t.Errorf("by source id: %v", got)
		}
		if got, _ := list(RecordFilter{From: start.Add(5 * time.Minute), To: start.Add(10 * time.Minute)}); len(got) != 5 || got[0] != ids[9] {
			t.Errorf("by time: %v", got)
		}
		for _, rf := range []RecordFilter{{Account: "bob"}, {PlanID: 1}, {State: StateSkipped}} {
			if got, p := list(rf); len(got) != 0 || p.Older != "" || p.Newer != "" {
				t.Errorf("%+v: %v", rf, got)
			}
		}
		if _, err := s.SendRecords(ctx, f.app, RecordFilter{Before: "x"}); KindOf(err) != Invalid {
			t.Errorf("malformed key: %v", err)
		}
		other := addApp(t, s, 1600000011, "ap-guangzhou", "ios")
		if p, err := s.SendRecords(ctx, other, RecordFilter{}); err != nil || len(p.Records) != 0 {
			t.Errorf("another app sees %v %v", p, err)
		}
		if _, err := s.MessageByID(ctx, other, ids[0]); KindOf(err) != NotFound {
			t.Errorf("another app sees the message: %v", err)
		}
		if rs, err := s.DeviceRecords(ctx, f.app, 7, 3); err != nil || len(rs) != 3 || rs[0].ID != newest[0] {
			t.Errorf("of the device: %v %v", rs, err)
		}
	})
}

func TestTimelineAndContent(t *testing.T) {
	eachDBClock(t, func(t *testing.T, s *Store, c *testClock) {
		f, ctx := seed(t, s, nil), context.Background()
		plain := f.accept(t, message("0", "alice")).IDs[0]
		exec(t, s.DB, "UPDATE accounts SET content_days = 3")
		s.forgetIngest()
		f.in = ingest(t, s)
		id := f.accept(t, message("1", "alice")).IDs[0]
		bs := claimAll(t, s.DB, "w")
		b := bs[len(bs)-1]
		rec := settled(b, 7, StateAccepted)
		for n := range 3 {
			rec.Attempts = append(rec.Attempts, Attempt{MessageID: id, DeviceID: 7, N: n + 1, AppID: f.app.appID, Channel: "apns", Outcome: "retry", Code: "503", Ms: 5, At: s.Now()})
		}
		if _, _, err := s.Record(ctx, "w", []Recording{rec}); err != nil {
			t.Fatal(err)
		}
		d, err := s.MessageByID(ctx, f.app, id)
		if err != nil || len(d.Attempts) != 3 || d.Attempts[2].N != 3 || len(d.Deliveries) != 1 || !d.HasContent {
			t.Errorf("timeline %+v %v", d, err)
		}
		got, err := s.MessageContent(ctx, f.app, id)
		if err != nil || got.Title != "标题" || got.Body != "hello 1" {
			t.Errorf("content %+v %v", got, err)
		}
		if _, err := s.MessageContent(ctx, f.app, plain); KindOf(err) != NotFound {
			t.Errorf("content of an account that keeps none: %v", err)
		}
		if n := count(t, s.DB, "message_contents WHERE content LIKE ?", []byte("%hello%")); n != 0 {
			t.Error("content is stored in the clear")
		}
		c.Advance(4 * 24 * time.Hour)
		if _, err := s.MessageContent(ctx, f.app, id); KindOf(err) != NotFound {
			t.Errorf("content after its days: %v", err)
		}
	})
}

func TestStatsByDayAndChannel(t *testing.T) {
	eachDB(t, func(t *testing.T, s *Store) {
		f, ctx := seed(t, s, nil), context.Background()
		zone, err := time.LoadLocation("Asia/Shanghai")
		if err != nil {
			t.Fatal(err)
		}
		at := func(day, hour int) int64 { return HourOf(time.Date(2026, 11, day, hour, 30, 0, 0, zone)) }
		add := func(hour int64, sandbox bool, channel, metric, reason string, n int64) {
			t.Helper()
			err := s.writeHot(ctx, func(ctx context.Context, tx *Tx) error {
				return tx.addCounts(ctx, map[Count]int64{{AppID: f.app.appID, PlanID: f.planID, Hour: hour, Sandbox: sandbox, Channel: channel, Metric: metric, Reason: reason}: n})
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		for range 3 { // several slots of one counter on Postgres
			add(at(2, 0), false, "apns", MetricPlanned, "", 4)
		}
		add(at(2, 23), false, "apns", MetricAccepted, "", 7)
		add(at(2, 23), false, "apns", MetricFailed, ReasonBadToken, 2)
		add(at(3, 0), false, "fcm", MetricPlanned, "", 5)
		add(at(3, 5), false, "fcm", MetricExpired, ReasonExpired, 1)
		add(at(3, 5), false, "", MetricSkipped, ReasonNoDevice, 9)
		add(at(3, 5), true, "apns", MetricPlanned, "", 100)
		add(at(4, 0), false, "apns", MetricPlanned, "", 100)
		st, err := s.PlanStats(ctx, f.app, StatsFilter{PlanID: f.planID, Zone: zone,
			From: time.Date(2026, 11, 1, 12, 0, 0, 0, zone), To: time.Date(2026, 11, 3, 0, 0, 0, 0, zone)})
		if err != nil {
			t.Fatal(err)
		}
		apns := Funnel{Planned: 12, Accepted: 7, Failed: 2, FailedBy: map[string]int64{ReasonBadToken: 2}}
		fcm := Funnel{Planned: 5, Expired: 1}
		none := Funnel{Skipped: 9, SkippedBy: map[string]int64{ReasonNoDevice: 9}}
		day3 := fcm
		day3.Skipped, day3.SkippedBy = none.Skipped, none.SkippedBy
		day := func(n int) time.Time { return time.Date(2026, 11, n, 0, 0, 0, 0, zone) }
		want := &Stats{
			Total: Funnel{Planned: 17, Accepted: 7, Failed: 2, FailedBy: apns.FailedBy, Expired: 1, Skipped: 9, SkippedBy: none.SkippedBy},
			Channels: []ChannelFunnel{
				{Channel: "", Funnel: none}, {Channel: "apns", Funnel: apns}, {Channel: "fcm", Funnel: fcm},
			},
			Days: []DayFunnel{{Day: day(1)}, {Day: day(2), Funnel: apns}, {Day: day(3), Funnel: day3}},
		}
		if diff := cmp.Diff(want, st); diff != "" {
			t.Errorf("stats (-want +got):\n%s", diff)
		}
		if w := st.Total.Waiting(); w != 7 {
			t.Errorf("%d waiting, want 7", w)
		}
		st, err = s.PlanStats(ctx, f.app, StatsFilter{PlanID: f.planID, Zone: zone, From: day(3), To: day(3), DaysFrom: day(2)})
		if err != nil {
			t.Fatal(err)
		}
		want = &Stats{Total: day3, Channels: []ChannelFunnel{{Channel: "", Funnel: none}, {Channel: "fcm", Funnel: fcm}}, Days: want.Days[1:]}
		if diff := cmp.Diff(want, st); diff != "" {
			t.Errorf("stats of one day with the days before it (-want +got):\n%s", diff)
		}
		quiet := f.planID + 1
		add(at(3, 1), true, "apns", MetricAccepted, "", 1)
		trends, err := s.PlanTrends(ctx, f.app, []int64{f.planID, quiet}, StatsFilter{Zone: zone, From: day(2), To: day(3)})
		if err != nil {
			t.Fatal(err)
		}
		bare := func(f Funnel) Funnel {
			if f.FailedBy != nil {
				f.FailedBy = map[string]int64{"": f.Failed}
			}
			if f.SkippedBy != nil {
				f.SkippedBy = map[string]int64{"": f.Skipped}
			}
			return f
		}
		wantTrends := map[int64][]DayFunnel{
			f.planID: {{Day: day(2), Funnel: bare(apns)}, {Day: day(3), Funnel: bare(day3)}},
			quiet:    {{Day: day(2)}, {Day: day(3)}},
		}
		if diff := cmp.Diff(wantTrends, trends); diff != "" {
			t.Errorf("trends (-want +got):\n%s", diff)
		}
		if _, err := s.PlanStats(ctx, f.app, StatsFilter{From: day(1), To: day(3), DaysFrom: day(2)}); KindOf(err) != Invalid {
			t.Errorf("days that begin after the range: %v", err)
		}
		if _, err := s.PlanStats(ctx, f.app, StatsFilter{From: day(3), To: day(1)}); KindOf(err) != Invalid {
			t.Errorf("empty range: %v", err)
		}
	})
}
