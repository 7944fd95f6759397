package models

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// fixture is an account with one app authorized to one IM app, written straight
// into the tables: these tests are about the data plane.
type fixture struct {
	s       *Store
	in      Ingest
	app     AppScope
	imAppID int64
	planID  int64
}

const testSecret = "test-ingest-secret"

func exec(t testing.TB, d *DB, q string, args ...any) {
	t.Helper()
	if err := d.write(context.Background(), func(tx *Tx) error { return tx.Exec(q, args...).Error }); err != nil {
		t.Fatal(err)
	}
}

// addApp adds an app of a region with a plan and an authorization.
func addApp(t testing.TB, s *Store, id int64, region, platform string) AppScope {
	t.Helper()
	now := s.Now()
	exec(t, s.DB, `INSERT INTO products (id, account_id, name, category, region, created_at, updated_at) VALUES (?, 1, ?, 'im', ?, ?, ?)`,
		id, fmt.Sprintf("product %d", id), region, now, now)
	exec(t, s.DB, `INSERT INTO apps (id, account_id, product_id, region, platform, name, access_key_hash, access_key, secret_key, created_at, updated_at)
		VALUES (?, 1, ?, ?, ?, 'app', ?, ?, ?, ?, ?)`, id, id, region, platform, []byte{1}, []byte{1}, []byte{1}, now, now)
	exec(t, s.DB, `INSERT INTO plans (id, account_id, app_id, kind, name, created_at, updated_at) VALUES (?, 1, ?, 'im', 'im', ?, ?)`, id+1, id, now, now)
	exec(t, s.DB, `INSERT INTO authorizations (account_id, im_app_id, product_id, app_id, plan_id, prev_state, created_by, created_at)
		VALUES (1, 1, ?, ?, ?, '', 1, ?)`, id, id, id+1, now)
	db, err := s.region(region)
	if err != nil {
		t.Fatal(err)
	}
	return AppScope{appID: id, accountID: 1, db: db}
}

func seedIMApp(t testing.TB, s *Store) {
	t.Helper()
	now := s.Now()
	hash := sha256.Sum256([]byte(testSecret))
	exec(t, s.DB, `INSERT INTO accounts (id, name, created_at) VALUES (1, 'account', ?)`, now)
	exec(t, s.DB, `INSERT INTO im_apps (id, account_id, name, sdk_app_id, bridge, secret_hash, allow_ips, created_at, updated_at)
		VALUES (1, 1, 'im', 1400000001, 'wukongim', ?, '10.0.0.0/8', ?, ?)`, hash[:], now, now)
}

// seed makes the fixture and starts accepting without a worker in the process.
func seed(t testing.TB, s *Store, h HandOver) *fixture {
	t.Helper()
	seedIMApp(t, s)
	f := &fixture{s: s, imAppID: 1}
	f.app = addApp(t, s, 1600000001, "ap-guangzhou", "ios")
	f.planID = 1600000002
	f.in = ingest(t, s)
	startAccepting(t, s, h)
	return f
}

func ingest(t testing.TB, s *Store) Ingest {
	t.Helper()
	in, err := s.IngestBySecret(context.Background(), testSecret)
	if err != nil {
		t.Fatal(err)
	}
	return in
}

func startAccepting(t testing.TB, s *Store, h HandOver) {
	t.Helper()
	s.StartAccepting(h)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := s.StopAccepting(ctx); err != nil {
			t.Error(err)
		}
	})
}

func message(source, account string) Incoming {
	return Incoming{SourceID: source, Account: account, Sender: "bob", Conversation: "c1", Content: Content{Title: "标题", Body: "hello " + source}}
}

func (f *fixture) accept(t testing.TB, msgs ...Incoming) Accepted {
	t.Helper()
	a, err := f.s.Accept(context.Background(), f.in, msgs)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func count(t testing.TB, d *DB, q string, args ...any) int {
	t.Helper()
	var n int
	if err := d.read(context.Background()).Raw("SELECT COUNT(*) FROM "+q, args...).Scan(&n).Error; err != nil {
		t.Fatal(err)
	}
	return n
}

func counter(t testing.TB, d *DB, metric string) int {
	t.Helper()
	var n int
	if err := d.read(context.Background()).Raw("SELECT COALESCE(SUM(n), 0) FROM counters WHERE metric = ?", metric).Scan(&n).Error; err != nil {
		t.Fatal(err)
	}
	return n
}

// holder takes every batch that it has room for.
type holder struct {
	mu       sync.Mutex
	owner    string
	room     int
	reserved int
	taken    []*Batch
	refused  int
	leaving  int // refused ones whose commit has not ended
}

func (h *holder) Owner() string { return h.owner }

func (h *holder) Reserve(_ *DB, n int) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.reserved+n > h.room {
		h.refused++
		h.leaving++
		return false
	}
	h.reserved += n
	return true
}

func (h *holder) Take(_ *DB, b *Batch) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.taken = append(h.taken, b)
}

func (h *holder) Forget(_ *DB, n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.reserved -= n
}

func (h *holder) Left(*DB) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.leaving--
}

// The hand-over hears of the end of every commit whose batch it had no room for,
// whether it is stored or not.
func TestLeftAfterRefusal(t *testing.T) {
	eachDB(t, func(t *testing.T, s *Store) {
		h := &holder{owner: "w"}
		f := seed(t, s, h)
		left := func(want int) {
			t.Helper()
			h.mu.Lock()
			defer h.mu.Unlock()
			if h.refused != want || h.leaving != 0 || len(h.taken) != 0 {
				t.Errorf("%d batches refused, want %d; %d not heard of again, %d handed over", h.refused, want, h.leaving, len(h.taken))
			}
		}
		f.accept(t, message("1", "alice"))
		left(1)
		exec(t, s.DB, "ALTER TABLE river_job RENAME TO river_job_away") // behind the refusal
		if _, err := s.Accept(context.Background(), f.in, []Incoming{message("2", "alice")}); KindOf(err) != Unavailable {
			t.Errorf("stored without a table of jobs: %v", err)
		}
		left(2)
		exec(t, s.DB, "ALTER TABLE river_job_away RENAME TO river_job")
		if n := count(t, s.DB, "batches WHERE owner = ''"); n != 1 {
			t.Errorf("%d batches on disk, want 1", n)
		}
	})
}

func TestAcceptStoresEverythingOnce(t *testing.T) {
	eachDB(t, func(t *testing.T, s *Store) {
		f := seed(t, s, nil)
		first := f.accept(t, message("1", "alice"), message("1", "carol"), message("1", "alice"))
		if first.New != 2 || first.Duplicates != 1 || len(first.IDs) != 3 {
			t.Fatalf("accepted %+v, want 2 new and 1 duplicate", first)
		}
		if first.IDs[0] != first.IDs[2] || first.IDs[0] == first.IDs[1] {
			t.Errorf("ids %v: the duplicate must carry the first one's id", first.IDs)
		}
		again := f.accept(t, message("1", "carol"), message("2", "alice"))
		if again.IDs[0] != first.IDs[1] || again.New != 1 || again.Duplicates != 1 {
			t.Errorf("accepted again %+v, want the id %s and one new", again, first.IDs[1])
		}
		if n := count(t, s.DB, "messages"); n != 3 {
			t.Errorf("%d messages stored, want 3", n)
		}
		if n := counter(t, s.DB, MetricMessages); n != 3 {
			t.Errorf("counted %d messages, want 3", n)
		}
		if n := count(t, s.DB, "river_job WHERE kind = 'batch'"); n != 2 {
			t.Errorf("%d jobs, want one per batch", n)
		}
		bs, err := s.ClaimDue(context.Background(), "w1", LeaseTime, 10)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, b := range bs {
			for _, it := range b.Items {
				got = append(got, it.Message.Account+" "+it.Content.Body)
				if it.Message.AppID != f.app.appID || it.Message.PlanID != f.planID || it.Message.Source != "wukongim" {
					t.Errorf("batched %+v", it.Message)
				}
			}
		}
		if diff := cmp.Diff([]string{"alice hello 1", "carol hello 1", "alice hello 2"}, got); diff != "" {
			t.Errorf("batched (-want +got):\n%s", diff)
		}
	})
}

// TestGroupCommit proves that requests which wait together are stored together
// and that concurrent copies of one message are stored and batched once.
func TestGroupCommit(t *testing.T) {
	eachDB(t, func(t *testing.T, s *Store) {
		h := &holder{owner: "w1", room: 1 << 20}
		f := seed(t, s, h)
		const requests, copies = 200, 4
		ids := make([]map[string]bool, requests)
		for i := range ids {
			ids[i] = map[string]bool{}
		}
		var mu sync.Mutex
		var wg sync.WaitGroup
		for i := range requests * copies {
			wg.Go(func() {
				a, err := s.Accept(context.Background(), f.in, []Incoming{message(fmt.Sprint(i%requests), "alice")})
				if err != nil {
					t.Error(err)
					return
				}
				if count(t, s.DB, "messages WHERE app_id = ? AND id = ?", f.app.appID, a.IDs[0]) != 1 {
					t.Errorf("%s was acknowledged before its commit", a.IDs[0])
				}
				mu.Lock()
				defer mu.Unlock()
				ids[i%requests][a.IDs[0]] = true
			})
		}
		wg.Wait()
		for i, m := range ids {
			if len(m) != 1 {
				t.Errorf("message %d got %d ids", i, len(m))
			}
		}
		if n := count(t, s.DB, "messages"); n != requests {
			t.Errorf("%d messages, want %d", n, requests)
		}
		items := 0
		for _, b := range h.taken {
			items += len(b.Items)
		}
		if items != requests || h.reserved != requests {
			t.Errorf("handed over %d of %d reserved, want %d", items, h.reserved, requests)
		}
		if n := len(h.taken); n >= requests/2 {
			t.Errorf("%d transactions for %d requests: nothing was coalesced", n, requests)
		}
		if n := count(t, s.DB, "river_job"); n != 0 {
			t.Errorf("%d jobs beside the hand-over", n)
		}
	})
}

func TestAcceptIsOneUnit(t *testing.T) {
	eachDB(t, func(t *testing.T, s *Store) {
		h := &holder{owner: "w1", room: 700}
		f := seed(t, s, h)
		msgs := make([]Incoming, 1200)
		for i := range msgs {
			msgs[i] = message(fmt.Sprint(i), "alice")
		}
		a := f.accept(t, msgs...)
		if a.New != len(msgs) {
			t.Fatalf("%d new, want %d", a.New, len(msgs))
		}
		if n := count(t, s.DB, "batches"); n != 3 {
			t.Errorf("%d batches, want 3", n)
		}
		if len(h.taken) != 2 || len(h.taken[0].Items) != MaxBatch || len(h.taken[1].Items) != 200 {
			t.Errorf("taken %d batches, want the two that fit into 700", len(h.taken))
		}
		if n := count(t, s.DB, "river_job"); n != 1 {
			t.Errorf("%d jobs, want one for the batch that nobody holds", n)
		}

		// A failure in the middle stores nothing and gives the reservation back.
		taken, reserved, messages := len(h.taken), h.reserved, count(t, s.DB, "messages")
		exec(t, s.DB, "ALTER TABLE batches RENAME TO batches_away")
		_, err := s.Accept(context.Background(), f.in, []Incoming{message("x", "alice"), message("y", "alice")})
		if KindOf(err) != Unavailable {
			t.Errorf("accept without a batches table: %v, want unavailable", err)
		}
		exec(t, s.DB, "ALTER TABLE batches_away RENAME TO batches")
		if count(t, s.DB, "messages") != messages || len(h.taken) != taken || h.reserved != reserved {
			t.Error("a failed commit left something behind")
		}
		if s.Refused() != 2 {
			t.Errorf("counted %d refused, want 2", s.Refused())
		}
		if again := f.accept(t, message("x", "alice"), message("y", "alice")); again.New != 2 {
			t.Errorf("accepted after the failure %+v, want 2 new", again)
		}
	})
}

func TestAcceptCleansAndRefuses(t *testing.T) {
	eachDB(t, func(t *testing.T, s *Store) {
		h := &holder{owner: "w1", room: 100}
		f := seed(t, s, h)
		dirty := message("a\x00b\xff", "ali\x00ce")
		dirty.Content.Title = strings.Repeat("标", MaxTitleRunes+5)
		dirty.ExpiresAt = s.Now().Add(30 * 24 * time.Hour)
		f.accept(t, dirty)
		it := h.taken[0].Items[0]
		if it.Message.SourceID != "ab\uFFFD" || it.Message.Account != "alice" {
			t.Errorf("kept %q %q", it.Message.SourceID, it.Message.Account)
		}
		if n := len([]rune(it.Content.Title)); n != MaxTitleRunes {
			t.Errorf("title of %d runes", n)
		}
		if d := it.Message.ExpiresAt.Sub(it.Message.AcceptedAt); d != MaxLife {
			t.Errorf("lives %v, want %v", d, MaxLife)
		}
		long := strings.Repeat("9", MaxSourceID) // equal up to the limit, not equal
		if a := f.accept(t, message(long+"1", "alice"), message(long+"2", "alice")); a.New != 2 {
			t.Errorf("long ids taken for equal: %+v", a)
		}
		for name, m := range map[string]Incoming{
			"account": {SourceID: "1"},
			"kind":    {Account: "a", Kind: "voice"},
			"data":    {Account: "a", Content: Content{Data: map[string]any{"x": strings.Repeat("y", MaxDataBytes)}}},
		} {
			_, err := s.Accept(context.Background(), f.in, []Incoming{m})
			if KindOf(err) != Invalid {
				t.Errorf("%s: %v, want invalid", name, err)
			}
		}
		_, err := s.Accept(context.Background(), Ingest{}, []Incoming{message("1", "a")})
		if KindOf(err) != Forbidden {
			t.Errorf("without authorization: %v, want forbidden", err)
		}
	})
}
