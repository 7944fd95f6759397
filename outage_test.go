package main

import (
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"testing"
	"time"

	"hongyan/models"
	"hongyan/sandbox"
)

// eachEngine runs a test of processes on both databases.
func eachEngine(t *testing.T, test func(t *testing.T, engine string)) {
	t.Helper()
	if testing.Short() {
		t.Skip("starts processes")
	}
	t.Parallel()
	for _, engine := range []string{"sqlite", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			test(t, engine)
		})
	}
}

// While the vendor's host is gone messages are accepted and wait, also over a kill;
// when it is back they go out.
func TestDeadVendor(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		s := newScene(t, engine, 50)
		link := newWire(t, s.phones.address)
		srv := s.newServer(t, "hongyan", map[string]string{"SANDBOX_APNS_ADDR": link.address})
		w := newWitness(s)
		srv.start()
		tr := s.startTraffic(t, 4, 50, srv)
		time.Sleep(time.Second)
		if n := len(s.phones.messages()); n > 0 {
			t.Errorf("%d messages arrived over a wire that is cut", n)
		}
		link.join(t)
		if !waitFor(resumeWithin, func() bool { return len(s.phones.messages()) > 0 }) {
			t.Errorf("nothing arrived %s after the vendor was there", resumeWithin)
		}
		link.cut()
		time.Sleep(time.Second)
		w.kill(t, srv, 0)
		srv.start()
		time.Sleep(time.Second)
		tr.stop()
		if tr.refused > 0 {
			t.Errorf("%d requests were refused because the vendor was gone", tr.refused)
		}
		waiting := len(s.phones.missing(idsOf(tr.acked())))
		link.join(t)
		joined := time.Now()
		tr.awaitAll(90 * time.Second)
		s.awaitIdle(t)
		took := time.Since(joined)
		srv.now.stop()
		f := w.check(t, tr)
		w.checkRecords(t, tr)
		t.Logf("%s; %d waited when the vendor came back and had arrived after %s", f, waiting, took.Round(10*time.Millisecond))
		if waiting == 0 {
			t.Error("nothing waited for the vendor")
		}
	})
}

// A refused credential is paused with its cause and keeps its work, also over a
// restart; new messages are accepted meanwhile; after the repair everything goes on.
func TestRefusedCredential(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		s := newScene(t, engine, 50)
		wrong, _, err := sandbox.NewKey()
		if err != nil {
			t.Fatal(err)
		}
		s.open(t, func(ctx context.Context, st *models.Store) error { return s.saveKey(ctx, st, wrong) })
		srv, w := s.newServer(t, "hongyan", nil), newWitness(s)
		srv.start()
		tr := s.startTraffic(t, 4, 50, srv)
		s.awaitCredential(t, models.CredentialPaused)
		// The simulator's record is read behind what it answered.
		waitFor(5*time.Second, func() bool { return s.phones.refusals("InvalidProviderToken") > 0 })
		refusals := s.phones.refusals("InvalidProviderToken")
		time.Sleep(time.Second)
		srv.now.stop() // hands back what it holds
		srv.start()
		time.Sleep(time.Second)
		tr.stop()
		if more := s.phones.refusals("InvalidProviderToken") - refusals; refusals == 0 || more > refusals+50 {
			t.Errorf("%d pushes were refused until the credential was paused, and %d after that", refusals, more)
		}
		if n := len(s.phones.messages()); n > 0 {
			t.Errorf("%d messages arrived with a key that the vendor does not know", n)
		}
		waiting := len(tr.acked())
		// On SQLite a second process opens the database beside the server, as the
		// commands do.
		s.open(t, func(ctx context.Context, st *models.Store) error { return s.saveKey(ctx, st, s.key) })
		repaired := time.Now()
		tr.awaitAll(time.Minute)
		took := time.Since(repaired)
		s.awaitIdle(t)
		s.awaitCredential(t, models.CredentialWorking)
		srv.now.stop()
		f := w.check(t, tr)
		w.checkRecords(t, tr)
		t.Logf("%s; paused after %d refusals; %d waited for the repair and had arrived after %s", f, refusals, waiting, took.Round(10*time.Millisecond))
	})
}

// awaitCredential waits until the app's credential has a state, which its page shows.
func (s *scene) awaitCredential(t *testing.T, state string) {
	t.Helper()
	var got, cause string
	if !waitFor(20*time.Second, func() bool {
		s.live(t, func(db *sql.DB) error {
			return db.QueryRow(`SELECT state, cause_code FROM credentials WHERE owner_kind = 'app' AND owner_id = $1`, s.appID).Scan(&got, &cause)
		})
		return got == state
	}) {
		t.Errorf("the credential is %s (%s), want %s", got, cause, state)
	}
	if paused := state == models.CredentialPaused; paused != (cause != "") {
		t.Errorf("the credential is %s with the cause %q", got, cause)
	}
}

// A disk that is nearly full, or a commit that fails, refuses a message with 503 and
// counts it, and nothing of it is sent; the next one is taken as soon as it can be.
func TestIntakeRefused(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		s := newScene(t, engine, 2)
		s.refuseCommits(t, engine, s.accounts[0])
		srv := s.newServer(t, "hongyan", nil)
		srv.start()
		client := newClient()
		t.Cleanup(client.CloseIdleConnections)
		post := func(want int, id, account string) {
			t.Helper()
			if status, _ := s.post(client, srv.address, []*posted{{id: id, account: account}}); status != want {
				t.Errorf("%s was answered %d, want %d", id, status, want)
			}
		}
		post(http.StatusServiceUnavailable, "broken", s.accounts[0])
		post(http.StatusAccepted, "good", s.accounts[1])
		refused := 1
		srv.now.stop()
		if engine == "sqlite" { // the guard watches the disk of DATA_DIR
			full := s.newServer(t, "full", map[string]string{"DISK_MIN_FREE": "1000TB"})
			full.start()
			for i := range 3 {
				client.CloseIdleConnections()
				if status, _ := s.post(client, full.address, []*posted{{id: fmt.Sprintf("full-%d", i), account: s.accounts[1]}}); status != http.StatusServiceUnavailable {
					t.Errorf("with a full disk a message was answered %d", status)
				}
				refused++
			}
			full.now.stop()
		}
		s.onDisk(t, func(db *sql.DB) error {
			var counted, stored int
			if err := db.QueryRow(`SELECT coalesce(sum(n), 0) FROM im_app_stats WHERE outcome = $1`, models.IngestRefused).Scan(&counted); err != nil {
				return err
			}
			err := db.QueryRow(`SELECT count(*) FROM messages`).Scan(&stored)
			if counted != refused || stored != 1 {
				t.Errorf("%d messages are counted as refused and %d stored, want %d and 1", counted, stored, refused)
			}
			return err
		})
		s.acceptCommits(t, engine)
		srv.start()
		post(http.StatusAccepted, "broken", s.accounts[0]) // the IM server tries again
		if !waitFor(resumeWithin, func() bool { return len(s.phones.of("broken")) == 1 && len(s.phones.of("good")) == 1 }) {
			t.Errorf("arrived: %v", s.phones.messages())
		}
		srv.now.stop()
	})
}

// refuseCommits makes every transaction fail that stores a message for an account.
func (s *scene) refuseCommits(t *testing.T, engine, account string) {
	t.Helper()
	s.exec(t, map[string][]string{
		"sqlite": {fmt.Sprintf(`CREATE TRIGGER refuse BEFORE INSERT ON messages WHEN NEW.account = '%s' BEGIN SELECT RAISE(ABORT, 'refused'); END`, account)},
		"postgres": {
			fmt.Sprintf(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.account = '%s' THEN RAISE 'refused'; END IF; RETURN NEW; END $$`, account),
			`CREATE TRIGGER refuse BEFORE INSERT ON messages FOR EACH ROW EXECUTE FUNCTION refuse()`,
		},
	}[engine])
}

func (s *scene) acceptCommits(t *testing.T, engine string) {
	t.Helper()
	s.exec(t, map[string][]string{"sqlite": {`DROP TRIGGER refuse`}, "postgres": {`DROP TRIGGER refuse ON messages`}}[engine])
}

// exec changes the database behind the program's back.
func (s *scene) exec(t *testing.T, statements []string) {
	t.Helper()
	s.live(t, func(db *sql.DB) error {
		for _, q := range statements {
			if _, err := db.Exec(q); err != nil {
				return err
			}
		}
		return nil
	})
}
