package models

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"testing"
	"time"
)

// hwKeys are keys of a channel whose vendor reports, with a signing key of its own.
func hwKeys(signing string) CredentialInput {
	return CredentialInput{
		Channel: "hw", Environment: EnvironmentProduction, Kind: "hw",
		Fields: map[string]string{"app_id": "1", "app_secret": "s", "receipt_key": signing},
	}
}

// What a receipt is verified with is asked of the database once a second: a change
// counts at once in the process that makes it, and within a second in the others.
func TestReceiptsFromRemembered(t *testing.T) {
	eachDBClock(t, func(t *testing.T, s *Store, clock *testClock) {
		ctx := t.Context()
		w := newWorld(t, s, "main")
		owner, other := AppOwner(w.android.ID), anotherProcess(s)
		saved, err := s.SaveCredentials(ctx, w.main, owner, hwKeys("first"))
		must(t, err)
		secret, err := s.ReceiptSecret(ctx, w.main, owner, saved[0].ID)
		must(t, err)
		signing := func(s *Store) string {
			t.Helper()
			from, err := s.ReceiptsFrom(ctx, "hw", secret.Reveal())
			must(t, err)
			return from.Fields["receipt_key"].Reveal()
		}
		if a, b := signing(s), signing(other); a != "first" || b != "first" {
			t.Fatalf("keys %q and %q", a, b)
		}
		_, err = s.SaveCredentials(ctx, w.main, owner, hwKeys("second"))
		must(t, err)
		if k := signing(s); k != "second" {
			t.Errorf("%q in the process that changed it", k)
		}
		clock.Advance(cacheLife - time.Millisecond)
		if k := signing(other); k != "first" {
			t.Errorf("%q in another one before its second is over: nothing was remembered", k)
		}
		clock.Advance(time.Millisecond)
		if k := signing(other); k != "second" {
			t.Errorf("%q in another one after a second", k)
		}

		must(t, s.DeleteCredential(ctx, w.main, owner, saved[0].ID))
		_, err = s.ReceiptsFrom(ctx, "hw", secret.Reveal())
		refused(t, err, NotFound, "")
		clock.Advance(cacheLife)
		_, err = other.ReceiptsFrom(ctx, "hw", secret.Reveal())
		refused(t, err, NotFound, "")
	})
}

// Addresses that nobody has take no place, and one that comes to be is found at once.
func TestReceiptsFromGuessed(t *testing.T) {
	eachDB(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		w := newWorld(t, s, "main")
		owner := AppOwner(w.android.ID)
		saved, err := s.SaveCredentials(ctx, w.main, owner, hwKeys("k"))
		must(t, err)
		secret, err := s.ReceiptSecret(ctx, w.main, owner, saved[0].ID)
		must(t, err)
		_, err = s.ReceiptsFrom(ctx, "hw", secret.Reveal())
		must(t, err)
		for i := range 50 {
			_, err = s.ReceiptsFrom(ctx, "hw", fmt.Sprint("guess-", i))
			refused(t, err, NotFound, "")
			_, err = s.ReceiptsFrom(ctx, fmt.Sprint("channel-", i), secret.Reveal())
			refused(t, err, NotFound, "")
		}
		if n := len(s.control.receipts.m); n != 1 {
			t.Errorf("%d addresses remembered, want the one that exists", n)
		}
	})
}

// The memory is bounded: what has aged makes room, what is in use stays, and an answer
// read before a change is not remembered after it.
func TestReceiptCache(t *testing.T) {
	key := func(i int) receiptKey {
		var b [8]byte
		binary.LittleEndian.PutUint64(b[:], uint64(i)) //nolint:gosec // small
		return receiptKey{"hw", sha256.Sum256(b[:])}
	}
	var c receiptCache
	now := newTestClock().Now()
	_, version, _ := c.get(key(0), now)
	for i := range maxReceiptCache {
		c.put(key(i), Reporter{id: int64(i)}, now, version)
	}
	c.put(key(maxReceiptCache), Reporter{}, now, version)
	if _, _, ok := c.get(key(maxReceiptCache), now); ok || len(c.m) != maxReceiptCache {
		t.Errorf("one more than fits was remembered, %d in all", len(c.m))
	}
	if from, _, ok := c.get(key(7), now); !ok || from.id != 7 {
		t.Error("one in use was pushed out")
	}
	later := now.Add(cacheLife)
	if _, _, ok := c.get(key(7), later); ok {
		t.Error("remembered for longer than it may be")
	}
	c.put(key(maxReceiptCache), Reporter{id: 1}, later, version)
	if _, _, ok := c.get(key(maxReceiptCache), later); !ok || len(c.m) != 1 {
		t.Errorf("no room though all had aged, %d in all", len(c.m))
	}
	c.clear()
	c.put(key(1), Reporter{}, later, version)
	if _, _, ok := c.get(key(1), later); ok {
		t.Error("an answer from before a change was remembered after it")
	}
}

// BenchmarkReceiptsFrom measures what every report of a vendor begins with.
func BenchmarkReceiptsFrom(b *testing.B) {
	eachEngine(b, func(b *testing.B, s *Store) {
		ctx := context.Background()
		w := newWorld(b, s, "main")
		saved, err := s.SaveCredentials(ctx, w.main, AppOwner(w.android.ID), hwKeys("k"))
		must(b, err)
		secret, err := s.ReceiptSecret(ctx, w.main, AppOwner(w.android.ID), saved[0].ID)
		must(b, err)
		cpu := cpuMicros(b)
		b.ResetTimer()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, err := s.ReceiptsFrom(ctx, "hw", secret.Reveal()); err != nil {
					b.Error(err)
					return
				}
			}
		})
		report(b, b.N, cpu)
	})
}

// BenchmarkVendorReceipt measures a report of one arrival, which is what most vendors
// send: to find whose it is, and to write it. Postgres is a test server, which does
// not wait for the disk; its processor time is outside.
func BenchmarkVendorReceipt(b *testing.B) {
	eachEngine(b, func(b *testing.B, s *Store) {
		ctx := context.Background()
		h := &holder{owner: "w", room: 1 << 40}
		w := newWorld(b, s, "main")
		z, err := s.Authorize(ctx, w.main, w.im.ID, w.product.ID, w.android.ID)
		must(b, err)
		in, err := s.IngestBySecret(ctx, w.secret.Reveal())
		must(b, err)
		saved, err := s.SaveCredentials(ctx, w.main, AppOwner(w.android.ID), hwKeys("k"))
		must(b, err)
		secret, err := s.ReceiptSecret(ctx, w.main, AppOwner(w.android.ID), saved[0].ID)
		must(b, err)
		startAccepting(b, s, h)
		f := &fixture{s: s, in: in, imAppID: w.im.ID, planID: z.PlanID}
		ids := make([]string, b.N)
		for i := range ids {
			ids[i] = f.accept(b, message(fmt.Sprint(i), "user")).IDs[0]
			if _, _, err := s.Record(ctx, "w", []Recording{settled(h.taken[i], 7, StateAccepted)}); err != nil {
				b.Fatal(err)
			}
		}
		cpu := cpuMicros(b)
		b.ResetTimer()
		for _, id := range ids {
			from, err := s.ReceiptsFrom(ctx, "hw", secret.Reveal())
			if err != nil {
				b.Fatal(err)
			}
			if err := s.VendorReceipts(ctx, from, []VendorReceipt{{MessageID: id, DeviceID: 7, Event: EventArrived}}); err != nil {
				b.Fatal(err)
			}
			s.CountReceipts(from, 1, 0)
		}
		report(b, b.N, cpu)
	})
}
