package models

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func hookInput(name string, events ...string) AlertHookInput {
	if len(events) == 0 {
		events = AlertEvents()
	}
	return AlertHookInput{
		Name: name, Kind: HookDingTalk, URL: "https://oapi.dingtalk.com/robot/send?access_token=t0ken-in-address", Secret: "SECsign1ng", Events: events,
	}
}

func TestAlertHooks(t *testing.T) {
	eachDB(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		w := newWorld(t, s, "main")
		sub := w.sub(t, "sub", Rights{Role: RoleFull, AllProducts: true, CanIM: true, CanContent: true})
		_, err := s.CreateAlertHook(ctx, sub, hookInput("群"))
		refused(t, err, Forbidden, "errors.forbidden.main")
		_, err = s.AlertHooks(ctx, sub)
		refused(t, err, Forbidden, "")
		_, err = s.Alerts(ctx, sub, 0, 0, 10)
		refused(t, err, Forbidden, "")

		for key, change := range map[string]func(*AlertHookInput){
			"errors.alert.name_missing": func(in *AlertHookInput) { in.Name = " " },
			"errors.alert.kind":         func(in *AlertHookInput) { in.Kind = "slack" },
			"errors.alert.url_missing":  func(in *AlertHookInput) { in.URL = "" },
			"errors.alert.url":          func(in *AlertHookInput) { in.URL = "ftp://x.example.com/" },
			"errors.alert.url_https":    func(in *AlertHookInput) { in.URL = "http://x.example.com/" },
			"errors.alert.secret":       func(in *AlertHookInput) { in.Secret = "a\nb" },
			"errors.alert.secret_wecom": func(in *AlertHookInput) { in.Kind = HookWeCom },
			"errors.alert.events":       func(in *AlertHookInput) { in.Events = []string{AlertTest} },
		} {
			in := hookInput("群")
			change(&in)
			_, err := s.CreateAlertHook(ctx, w.main, in)
			refused(t, err, Invalid, key)
		}
		for _, bad := range []Secret{"https://", "https://user:pw@x.example.com/", "https://x.example.com/#f", "x.example.com", "https://x.example.com/" + Secret(strings.Repeat("a", maxHookURL))} {
			in := hookInput("群")
			in.URL = bad
			_, err := s.CreateAlertHook(ctx, w.main, in)
			refused(t, err, Invalid, "errors.alert.url")
		}

		h, err := s.CreateAlertHook(ctx, w.main, hookInput("群"))
		must(t, err)
		_, err = s.CreateAlertHook(ctx, w.main, hookInput("群"))
		refused(t, err, Conflict, "errors.alert.name_taken")
		if h.Host != "oapi.dingtalk.com" || !h.Signed() || !h.Enabled || h.Events != "paused,expiry,quota" {
			t.Errorf("created: %+v", h)
		}
		second, err := s.CreateAlertHook(ctx, w.main, hookInput("二群"))
		must(t, err)
		open := func(url, secret string) {
			t.Helper()
			target, err := s.AlertTarget(ctx, w.main, h.ID)
			must(t, err)
			if target.URL.Reveal() != url || target.Secret.Reveal() != secret || target.Account.Name != "main" {
				t.Errorf("opened %q, %q", target.URL.Reveal(), target.Secret.Reveal())
			}
		}
		old := "https://oapi.dingtalk.com/robot/send?access_token=t0ken-in-address"
		open(old, "SECsign1ng")

		// What is left empty stays; a secret goes when it is asked to.
		h, err = s.UpdateAlertHook(ctx, w.main, h.ID, AlertHookInput{Name: "值班群", Kind: HookGeneric, Events: []string{AlertQuota, AlertPaused}})
		must(t, err)
		if h.Kind != HookDingTalk || h.Events != "paused,quota" {
			t.Errorf("updated: %+v", h)
		}
		open(old, "SECsign1ng")
		_, err = s.UpdateAlertHook(ctx, w.main, h.ID, AlertHookInput{Name: "二群", Events: AlertEvents()})
		refused(t, err, Conflict, "errors.alert.name_taken")
		_, err = s.UpdateAlertHook(ctx, w.main, h.ID, AlertHookInput{Name: "值班群", URL: "https://robots.example.com/n3w-address", DropSecret: true, Events: AlertEvents()})
		must(t, err)
		open("https://robots.example.com/n3w-address", "")

		// A sealed address moved to another row does not open.
		exec(t, s.DB, "UPDATE alert_hooks SET url = (SELECT url FROM alert_hooks WHERE id = ?) WHERE id = ?", h.ID, second.ID)
		if _, err := s.AlertTarget(ctx, w.main, second.ID); err == nil {
			t.Error("a hook opened in another's place")
		}

		_, err = s.SetAlertHookEnabled(ctx, w.main, h.ID, true)
		refused(t, err, Conflict, "")
		h, err = s.SetAlertHookEnabled(ctx, w.main, h.ID, false)
		must(t, err)
		if h.Enabled {
			t.Error("still on")
		}
		refused(t, s.DeleteAlertHook(ctx, w.main, h.ID, "群"), Invalid, "errors.name_mismatch")
		must(t, s.DeleteAlertHook(ctx, w.main, h.ID, "值班群"))
		refused(t, s.DeleteAlertHook(ctx, w.main, h.ID, "值班群"), NotFound, "")

		page, err := s.Audit(ctx, w.main, AuditFilter{Kind: AuditAlertHook})
		must(t, err)
		var acts []string
		for _, r := range page.Rows {
			acts = append(acts, r.Action)
		}
		if want := []string{"delete", "disable", "update", "update", "create", "create"}; !slices.Equal(acts, want) {
			t.Errorf("audit %v, want %v", acts, want)
		}
		for _, secret := range []string{"t0ken-in-address", "SECsign1ng", "n3w-address"} {
			if d := dump(t, s, "alert_hooks") + dump(t, s, "audit_logs"); strings.Contains(d, secret) {
				t.Errorf("%s lies in the clear", secret)
			}
		}
		for i := range MaxHooks - 1 {
			_, err := s.CreateAlertHook(ctx, w.main, hookInput(fmt.Sprint("n", i)))
			must(t, err)
		}
		_, err = s.CreateAlertHook(ctx, w.main, hookInput("too many"))
		refused(t, err, Conflict, "errors.alert.many")
	})
}

// due returns what waits, as "event subject" by hook.
func due(t *testing.T, s *Store, w *world) map[int64][]string {
	t.Helper()
	page, err := s.Alerts(t.Context(), w.main, 0, 0, 100)
	must(t, err)
	out := map[int64][]string{}
	for _, a := range page.Rows {
		f := a.Subject()
		out[a.HookID] = append(out[a.HookID], fmt.Sprintf("%s %s %s %s %d", a.Event, f.Product, f.Channel, f.Code, f.Days))
	}
	return out
}

func TestAlertEvents(t *testing.T) {
	eachDBClock(t, func(t *testing.T, s *Store, clock *testClock) {
		ctx := t.Context()
		w := newWorld(t, s, "main")
		other := newWorld(t, s, "other")
		all, err := s.CreateAlertHook(ctx, w.main, hookInput("all"))
		must(t, err)
		some, err := s.CreateAlertHook(ctx, w.main, hookInput("some", AlertQuota))
		must(t, err)
		off, err := s.CreateAlertHook(ctx, w.main, hookInput("off"))
		must(t, err)
		_, err = s.SetAlertHookEnabled(ctx, w.main, off.ID, false)
		must(t, err)
		_, err = s.CreateAlertHook(ctx, other.main, hookInput("theirs"))
		must(t, err)
		saved, err := s.SaveCredentials(ctx, w.main, AppOwner(w.ios.ID), p8(EnvironmentProduction))
		must(t, err)
		k := saved[0]

		for range 2 { // the second refusal finds it paused
			_, err := s.PauseCredential(ctx, k.ID, k.Revision, "InvalidProviderToken", "words")
			must(t, err)
		}
		if got := due(t, s, w); len(got[all.ID]) != 1 || got[all.ID][0] != "paused 蓝鲸 apns InvalidProviderToken 0" || len(got[some.ID])+len(got[off.ID]) != 0 {
			t.Errorf("after a refusal: %v", got)
		}
		// Resumed and refused again is another occasion.
		must(t, s.ResumeCredential(ctx, w.main, AppOwner(w.ios.ID), k.ID))
		clock.Advance(time.Minute)
		_, err = s.PauseCredential(ctx, k.ID, k.Revision, "InvalidProviderToken", "")
		must(t, err)
		if got := due(t, s, w); len(got[all.ID]) != 2 {
			t.Errorf("after a second refusal: %v", got)
		}

		// A rest that is extended within the vendors' day is told once.
		for i := range 3 {
			_, err := s.RestCredential(ctx, k.ID, k.Revision, clock.Now().Add(time.Duration(i+1)*time.Minute), "dayLimit")
			must(t, err)
		}
		if got := due(t, s, w); len(got[all.ID]) != 3 || len(got[some.ID]) != 1 || got[some.ID][0] != "quota 蓝鲸 apns dayLimit 0" {
			t.Errorf("after a quota: %v", got)
		}
		clock.Advance(24 * time.Hour)
		_, err = s.RestCredential(ctx, k.ID, k.Revision, clock.Now().Add(time.Hour), "dayLimit")
		must(t, err)
		if got := due(t, s, w); len(got[some.ID]) != 2 {
			t.Errorf("a day later: %v", got)
		}
		if got := due(t, s, other); len(got) != 0 {
			t.Errorf("another account was told: %v", got)
		}
	})
}

func TestAlertExpiring(t *testing.T) {
	eachDBClock(t, func(t *testing.T, s *Store, clock *testClock) {
		ctx := t.Context()
		w := newWorld(t, s, "main")
		h, err := s.CreateAlertHook(ctx, w.main, hookInput("first"))
		must(t, err)
		save := func(environment string, left time.Duration) Credential {
			in := p8(environment)
			end := clock.Now().Add(left)
			in.NotAfter = &end
			saved, err := s.SaveCredentials(ctx, w.main, AppOwner(w.ios.ID), in)
			must(t, err)
			return saved[0]
		}
		const day = 24 * time.Hour
		save(EnvironmentProduction, 31*day)
		save(EnvironmentSandbox, day)
		var got []string
		for range 33 * 4 {
			must(t, s.AlertExpiring(ctx))
			clock.Advance(6 * time.Hour)
		}
		page, err := s.Alerts(ctx, w.main, 0, 0, 100)
		must(t, err)
		for _, a := range page.Rows {
			got = append(got, fmt.Sprint(a.Subject().Days, " ", int(a.Subject().Until.Sub(a.CreatedAt)/time.Hour)))
		}
		if want := []string{"1 24", "7 168", "30 720"}; !slices.Equal(got, want) {
			t.Errorf("told of %v (days, hours before), want %v", got, want)
		}

		// A replaced one starts anew, at the nearest step; a new hook is told as well.
		save(EnvironmentProduction, 5*day)
		must(t, s.AlertExpiring(ctx))
		second, err := s.CreateAlertHook(ctx, w.main, hookInput("second"))
		must(t, err)
		must(t, s.AlertExpiring(ctx))
		all := due(t, s, w)
		if len(all[h.ID]) != 4 || all[h.ID][0] != "expiry 蓝鲸 apns  7" || len(all[second.ID]) != 1 {
			t.Errorf("after a replacement: %v", all)
		}
		// Those of a deleted app are nobody's business.
		save(EnvironmentProduction, day)
		must(t, s.DeleteApp(ctx, w.main, w.ios.ID, w.ios.Name))
		must(t, s.AlertExpiring(ctx))
		if all := due(t, s, w); len(all[h.ID]) != 4 {
			t.Errorf("after the app was deleted: %v", all)
		}
		clock.Advance(alertLog + day)
		exec(t, s.DB, "UPDATE alerts SET state = ? WHERE hook_id = ?", AlertSent, h.ID)
		must(t, s.SweepAlerts(ctx))
		if all := due(t, s, w); len(all[h.ID]) != 0 || len(all[second.ID]) != 1 {
			t.Errorf("after the sweep: %v", all)
		}
	})
}

func TestAlertOutbox(t *testing.T) {
	eachDBClock(t, func(t *testing.T, s *Store, clock *testClock) {
		ctx := t.Context()
		w := newWorld(t, s, "main")
		h, err := s.CreateAlertHook(ctx, w.main, hookInput("hook"))
		must(t, err)
		saved, err := s.SaveCredentials(ctx, w.main, AppOwner(w.ios.ID), p8(EnvironmentProduction))
		must(t, err)
		pause := func() {
			t.Helper()
			clock.Advance(time.Second)
			_, err := s.PauseCredential(ctx, saved[0].ID, saved[0].Revision, "x", "")
			must(t, err)
			must(t, s.ResumeCredential(ctx, w.main, AppOwner(w.ios.ID), saved[0].ID))
		}
		next := func() *DueAlert {
			t.Helper()
			list, err := s.DueAlerts(ctx, 10, 10)
			must(t, err)
			if len(list) == 0 {
				return nil
			}
			return &list[0]
		}
		pause()
		d := next()
		if d == nil || d.Target == nil || d.Target.URL == "" {
			t.Fatalf("due: %+v", d)
		}
		twin := d.Alert
		ours, err := s.TakeAlert(ctx, &d.Alert)
		must(t, err)
		again, err := s.TakeAlert(ctx, &twin)
		must(t, err)
		if !ours || again || next() != nil {
			t.Errorf("taken %v, taken twice %v", ours, again)
		}
		// The try of a process that died is made again; its late result counts no more.
		clock.Advance(alertTaken)
		e := next()
		if ours, err := s.TakeAlert(ctx, &e.Alert); err != nil || !ours {
			t.Fatalf("not taken over: %v", err)
		}
		must(t, s.EndAlert(ctx, &d.Alert, AlertResult{OK: true}))
		if page, err := s.Alerts(ctx, w.main, 0, 0, 1); err != nil || page.Rows[0].State != AlertWaiting {
			t.Errorf("a late result ended it: %+v, %v", page.Rows, err)
		}
		// The receiving side's wish to wait is heard, within bounds.
		must(t, s.EndAlert(ctx, &e.Alert, AlertResult{Code: "hy_status_429", Wait: 100 * time.Hour}))
		clock.Advance(59 * time.Minute)
		if next() != nil {
			t.Error("tried before its time")
		}
		clock.Advance(time.Minute)
		if next() == nil {
			t.Error("not tried in its time")
		}
		// Saving the hook makes it due, turning it off gives it up.
		pause()
		_, err = s.UpdateAlertHook(ctx, w.main, h.ID, AlertHookInput{Name: "hook", Events: AlertEvents()})
		must(t, err)
		if list, err := s.DueAlerts(ctx, 10, 10); err != nil || len(list) != 2 {
			t.Errorf("%d due after the hook was saved, %v", len(list), err)
		}
		// A hook's own queue is no longer than its share of a run.
		if list, err := s.DueAlerts(ctx, 10, 1); err != nil || len(list) != 1 {
			t.Errorf("%d due of one hook, want its share of 1, %v", len(list), err)
		}
		_, err = s.SetAlertHookEnabled(ctx, w.main, h.ID, false)
		must(t, err)
		page, err := s.Alerts(ctx, w.main, 0, 0, 1)
		must(t, err)
		if a := page.Rows[0]; next() != nil || a.State != AlertFailed || a.ErrorCode != AlertCodeOff || page.Older != a.ID {
			t.Errorf("off: %+v, %+v", a, page)
		}
		older, err := s.Alerts(ctx, w.main, page.Older, 0, 1)
		must(t, err)
		if len(older.Rows) != 1 || older.Newer != older.Rows[0].ID || older.Older != 0 {
			t.Errorf("older page: %+v", older)
		}
	})
}

func TestAlertWait(t *testing.T) {
	for tries, want := range map[int]time.Duration{1: 30 * time.Second, 2: time.Minute, 5: 8 * time.Minute, 8: time.Hour, 40: time.Hour} {
		for range 20 {
			if d := alertWait(tries); d < want || d >= want+want/5 {
				t.Errorf("after %d tries %v, want %v and up to a fifth more", tries, d, want)
			}
		}
	}
}
