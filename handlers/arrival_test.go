package handlers

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"hongyan/models"
	"hongyan/views/locale"
)

// latest returns the IM app's arrivals, newest first, as the store has them by now.
func (s *machineSite) latest() []models.Arrival {
	s.t.Helper()
	if err := s.store.FlushArrivals(context.Background()); err != nil {
		s.t.Fatal(err)
	}
	rows, err := s.store.LatestArrivals(context.Background(), s.who, s.imApp.ID)
	if err != nil {
		s.t.Fatal(err)
	}
	for i := range rows {
		a, err := s.store.ArrivalByID(context.Background(), s.who, s.imApp.ID, rows[i].ID)
		if err != nil {
			s.t.Fatal(err)
		}
		rows[i].Shape = a.Shape
	}
	return rows
}

// stored returns everything that stands in the arrivals' rows, as text.
func (s *machineSite) stored() string {
	s.t.Helper()
	if err := s.store.FlushArrivals(context.Background()); err != nil {
		s.t.Fatal(err)
	}
	rows, err := s.raw.Query("SELECT kind, code, detail, counts, address, shape, content FROM im_arrivals")
	if err != nil {
		s.t.Fatal(err)
	}
	defer rows.Close() //nolint:errcheck // Err below says it
	var all strings.Builder
	for rows.Next() {
		var f [6]string
		var content []byte
		if err := rows.Scan(&f[0], &f[1], &f[2], &f[3], &f[4], &f[5], &content); err != nil {
			s.t.Fatal(err)
		}
		all.WriteString(strings.Join(f[:], "\n") + "\n" + string(content) + "\n")
	}
	if err := rows.Err(); err != nil {
		s.t.Fatal(err)
	}
	return all.String()
}

// Requests are listed with what became of them, refused ones with the reason; texts,
// the secret and long opaque words are in no row.
func TestArrivalsListed(t *testing.T) {
	t.Parallel()
	eachMachine(t, "generic", Rates{}, func(t *testing.T, s *machineSite) {
		s.contract = nil // other addresses than its own, too
		const text, title = "geheime Nachricht", "Titel der Nachricht"
		const sealed = "MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkw"
		body := `{"id":"m-1","to":["bob","alice"],"from":"alice","title":"` + title + `","body":"` + text + `","data":{"key":"` + sealed + `","n":7},"unknown_word":"` + text + `"}`
		for _, c := range []struct {
			path, body string
			header     []string
			status     int
		}{
			{s.im("/messages"), body, []string{"Authorization", "Bearer " + sealed}, 202},
			{s.im("/messages"), body, nil, 202},
			{s.im("/messages"), `{"to":"bob", "body":"` + text, nil, 400},
			{s.im("/messages"), `{"body":"` + text + `"}`, nil, 400},
			{s.im("/wukongim?event=x"), body, nil, 404},
		} {
			if r := s.post(c.path, []byte(c.body), c.header...); r.status != c.status {
				t.Fatalf("%s: %d %s", c.path, r.status, r.body)
			}
			s.advance(time.Second)
		}
		got := s.latest()
		slices.Reverse(got)
		type row struct {
			kind, code string
			status     int
			counts     map[string]int
		}
		want := []row{
			{"alert", "", 202, map[string]int{"accepted": 1, "sender": 1}},
			{"alert", "", 202, map[string]int{"duplicate": 1, "sender": 1}},
			{"other", "bad_json", 400, map[string]int{"invalid": 1}},
			{"other", "required", 400, map[string]int{"invalid": 1}},
			{"other", "wrong_bridge", 404, map[string]int{"invalid": 1}},
		}
		if len(got) != len(want) {
			t.Fatalf("%d arrivals, want %d", len(got), len(want))
		}
		for i, w := range want {
			a := got[i]
			if a.Kind != w.kind || a.Code != w.code || a.Status != w.status || len(a.Outcomes()) != len(w.counts) || a.HasContent(s.clock()) {
				t.Errorf("%d: %s %q %d %s", i, a.Kind, a.Code, a.Status, a.Counts)
			}
			for outcome, n := range w.counts {
				if a.Outcomes()[outcome] != n {
					t.Errorf("%d: %s, want %v", i, a.Counts, w.counts)
				}
			}
		}
		first := got[0].Shape
		for _, has := range []string{"POST /im/:secret/messages", `"id": "m-1"`, `"bob"`, `"from": "alice"`, `"title": "••• 19"`, `"n": •••`, "Authorization: •••"} {
			if !strings.Contains(first, has) {
				t.Errorf("%q is not in\n%s", has, first)
			}
		}
		if !strings.Contains(got[2].Shape, "broken JSON") {
			t.Errorf("a broken body: %s", got[2].Shape)
		}
		all := s.stored()
		for _, private := range []string{text, title, sealed, s.secret} {
			if strings.Contains(all, private) {
				t.Errorf("a row holds %q", private)
			}
		}
	})
}

// With the switch on, texts are kept, sealed, and nothing else: no token, secret or
// signature. They are gone when it ends, by itself or by hand, also from the rows.
func TestArrivalContent(t *testing.T) {
	t.Parallel()
	eachMachine(t, "generic", Rates{}, func(t *testing.T, s *machineSite) {
		const text, sealed = "geheime Nachricht", "MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkw"
		ctx := context.Background()
		send := func(id string) models.Arrival {
			t.Helper()
			s.advance(2 * time.Second) // another process would see the switch by now
			r := s.post(s.im("/messages"), []byte(`{"id":"`+id+`","to":["bob"],"body":"`+text+` `+sealed+` token=abc123","data":{"token":"abc123","sig":"x9","note":"hi there"},"secret":"`+sealed+`"}`),
				"Authorization", "Basic "+sealed)
			if r.status != http.StatusAccepted {
				t.Fatalf("%d %s", r.status, r.body)
			}
			return s.latest()[0]
		}
		read := func(a models.Arrival) (string, error) { return s.store.ArrivalContent(ctx, s.who, s.imApp.ID, a.ID) }
		before := send("m1")
		if _, err := s.store.ShowContent(ctx, s.who, s.imApp.ID, true); err != nil {
			t.Fatal(err)
		}
		if _, err := read(before); models.KindOf(err) != models.NotFound {
			t.Errorf("what came before the switch: %v", err)
		}
		during := send("m2")
		got, err := read(during)
		if err != nil || !strings.Contains(got, text) || !strings.Contains(got, "hi there") {
			t.Fatalf("%v\n%s", err, got)
		}
		for _, private := range []string{sealed, s.secret, "abc123", "x9"} {
			if strings.Contains(got, private) || strings.Contains(s.stored(), private) {
				t.Errorf("%q is shown or stored", private)
			}
		}
		if strings.Contains(s.stored(), text) {
			t.Error("a text rests unsealed")
		}
		// It ends by itself.
		s.advance(models.ContentTime)
		if _, err := read(during); models.KindOf(err) != models.NotFound {
			t.Errorf("after ten minutes: %v", err)
		}
		if s.count("im_arrivals WHERE content_until IS NOT NULL") != 1 {
			t.Error("nothing to wipe")
		}
		if err := s.store.SweepArrivals(ctx); err != nil {
			t.Fatal(err)
		}
		if n := s.count("im_arrivals WHERE content_until IS NOT NULL OR length(content) > 0"); n != 0 {
			t.Errorf("%d contents left after the sweep", n)
		}
		after := send("m3")
		if after.HasContent(s.clock()) {
			t.Error("content is kept after the switch ended")
		}
		// It ends by hand, also for what is still on its way to the database.
		if _, err := s.store.ShowContent(ctx, s.who, s.imApp.ID, true); err != nil {
			t.Fatal(err)
		}
		send("m4")
		s.advance(2 * time.Second)
		s.post(s.im("/messages"), []byte(`{"id":"m5","to":["bob"],"body":"`+text+`"}`))
		if _, err := s.store.ShowContent(ctx, s.who, s.imApp.ID, false); err != nil {
			t.Fatal(err)
		}
		s.latest()
		if n := s.count("im_arrivals WHERE content_until IS NOT NULL OR length(content) > 0"); n != 0 {
			t.Errorf("%d contents left after it was switched off", n)
		}
	})
}

// Two processes with one database show each other's arrivals.
func TestArrivalsOfTwoProcesses(t *testing.T) {
	t.Parallel()
	eachMachine(t, "generic", Rates{}, func(t *testing.T, s *machineSite) {
		other := s.second()
		in, err := other.IngestBySecret(t.Context(), s.secret)
		if err != nil {
			t.Fatal(err)
		}
		trace := in.Traced(s.clock()).Trace()
		if !other.WantArrival(trace) {
			t.Fatal("the other process does not want it")
		}
		if err := other.AddArrival(trace, models.Arrival{At: s.clock(), Status: 200, Shape: "from the other"}, ""); err != nil {
			t.Fatal(err)
		}
		if err := other.FlushArrivals(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.advance(time.Second)
		s.post(s.im("/messages"), []byte(`{"id":"m1","to":["bob"],"body":"hi"}`))
		got := s.latest()
		if len(got) != 2 || got[1].Shape != "from the other" {
			t.Errorf("%d arrivals", len(got))
		}
	})
}

// A busy address lists a few requests a second, with room left for those that failed,
// and no more than fifty at all; the statistics have every one.
func TestArrivalsBounded(t *testing.T) {
	t.Parallel()
	eachMachine(t, "generic", Rates{}, func(t *testing.T, s *machineSite) {
		for range 30 {
			s.post(s.im("/messages"), []byte(`{"id":"same","to":["bob"],"body":"hi"}`))
		}
		for range 30 {
			s.post(s.im("/messages"), []byte(`{`))
		}
		// The intake writes once a second by itself, perhaps in between.
		if n := len(s.latest()); n < 8 || n > 30 {
			t.Errorf("%d of 60 requests are listed", n)
		}
		for range 20 {
			for range 5 {
				s.post(s.im("/messages"), []byte(`{`))
			}
			s.latest()
		}
		if n := s.count("im_arrivals"); n != models.KeptArrivals {
			t.Errorf("%d arrivals are kept, want %d", n, models.KeptArrivals)
		}
		s.stats()
		if n := s.count("im_app_stats WHERE outcome = 'request' AND n = 160"); n != 1 {
			t.Error("not every request was counted")
		}
		s.advance(models.ArrivalLife + time.Minute)
		if err := s.store.SweepArrivals(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := s.count("im_arrivals"); n != 0 {
			t.Errorf("%d arrivals after a day", n)
		}
	})
}

// A device's token is in no row, whether it is known, dead or unknown, and a refusal by
// the allow-list is told to the operator though the caller sees an unknown token.
func TestArrivalsOfTokens(t *testing.T) {
	t.Parallel()
	eachMachine(t, "matrix", Rates{}, func(t *testing.T, s *machineSite) {
		const token, event = "short-tok", "$event-1"
		body := []byte(`{"notification":{"event_id":"` + event + `","room_id":"!r:example.org","type":"m.room.message","sender":"@a:example.org","sender_display_name":"Major Tom","content":{"body":"hi ` + token + `","msgtype":"m.text"},"counts":{"unread":3},"devices":[{"app_id":"app.example","pushkey":"` + token + `","data":{}}]}}`)
		names := func(allow string) {
			t.Helper()
			in := models.IMAppInput{Name: "IM", Bridge: "matrix", Names: "app.example", AllowIPs: allow}
			if _, err := s.store.UpdateIMApp(t.Context(), s.who, s.imApp.ID, in, bridgeIDs()); err != nil {
				t.Fatal(err)
			}
		}
		names("")
		s.post("/_matrix/push/v1/notify", body)
		names("203.0.113.1")
		s.post("/_matrix/push/v1/notify", body)
		got := s.latest()
		if len(got) != 2 || got[0].Code != "address_not_allowed" || got[0].Outcomes()[models.IngestDenied] != 1 || got[1].Outcomes()[models.IngestUnknown] != 1 {
			t.Fatalf("%+v", got)
		}
		if !strings.Contains(got[1].Shape, event) || !strings.Contains(got[1].Shape, `"unread": 3`) {
			t.Errorf("ids and numbers are masked:\n%s", got[1].Shape)
		}
		for _, private := range []string{token, "Major Tom", "hi "} {
			if strings.Contains(s.stored(), private) {
				t.Errorf("a row holds %q", private)
			}
		}
	})
}

// What a refusal says on the page: why, in words, and what to do.
func TestArrivalWords(t *testing.T) {
	t.Parallel()
	bundle, err := locale.NewBundle(func(lang, key string) { t.Errorf("no sentence in %s for %s", lang, key) })
	if err != nil {
		t.Fatal(err)
	}
	ctx := locale.With(t.Context(), bundle.Localizer(locale.Chinese))
	for _, c := range []struct {
		code   string
		status int
		detail string
		why    string
		remedy string
	}{
		{"address_not_allowed", http.StatusForbidden, "null", "允许名单", "IP 白名单"},
		{"required", http.StatusBadRequest, `{"Field":"to[1]"}`, "缺少 to[1]", "原始请求"},
		{"too_many_items", http.StatusBadRequest, `{"Field":"devices","Limit":8}`, "devices 的个数超过了 8", "原始请求"},
		{"tim_usersig_key", http.StatusOK, "null", "UserSig 校验失败", "密钥"},
		{"unavailable", http.StatusServiceUnavailable, "null", "暂时不能保存", "磁盘"},
		{codeAnswered, http.StatusUnauthorized, "null", "401", "原始请求"},
	} {
		why, remedy := arrivalWhy(ctx, &models.Arrival{Code: c.code, Status: c.status, Detail: c.detail, Counts: "{}"})
		if !strings.Contains(why, c.why) || !strings.Contains(remedy, c.remedy) {
			t.Errorf("%s: %q, %q", c.code, why, remedy)
		}
	}
}
