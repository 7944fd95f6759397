package models

import (
	"context"
	"fmt"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// cpuMicros is the processor time this process has used so far.
func cpuMicros(b *testing.B) int64 {
	b.Helper()
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		b.Fatal(err)
	}
	return (r.Utime.Nano() + r.Stime.Nano()) / 1000
}

// eachEngine runs a benchmark on both engines.
func eachEngine(b *testing.B, fn func(b *testing.B, s *Store)) {
	b.Helper()
	for _, engine := range []Dialect{SQLite, Postgres} {
		b.Run(string(engine), func(b *testing.B) {
			fn(b, openTestStore(b, Options{Database: testDSN(b, engine), Now: time.Now}))
		})
	}
}

// report adds messages per second and processor time per message.
func report(b *testing.B, n int, cpu int64) {
	b.Helper()
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "msg/s")
	b.ReportMetric(float64(cpuMicros(b)-cpu)/float64(n), "cpu-us/msg")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkAccept measures single-message requests from many producers at once,
// handed over in memory as in a process that also works. Postgres is a test
// server, which does not wait for the disk; its processor time is outside.
func BenchmarkAccept(b *testing.B) {
	for _, producers := range []int{64, 256} {
		b.Run(fmt.Sprint(producers), func(b *testing.B) {
			eachEngine(b, func(b *testing.B, s *Store) {
				h := &holder{owner: "w", room: 1 << 40}
				f := seed(b, s, h)
				var n atomic.Int64
				cpu := cpuMicros(b)
				b.SetParallelism(producers / 2) // times GOMAXPROCS
				b.ResetTimer()
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						i := n.Add(1)
						m := Incoming{SourceID: fmt.Sprint(i), Account: fmt.Sprint("user", i%5000), Sender: "bob", Conversation: "g1", Content: Content{Title: "群聊", Body: "今天下午三点开会，别迟到。"}}
						if _, err := s.Accept(context.Background(), f.in, []Incoming{m}); err != nil {
							b.Error(err)
							return
						}
					}
				})
				report(b, b.N, cpu)
				b.ReportMetric(float64(b.N)/float64(max(len(h.taken), 1)), "msg/commit")
			})
		})
	}
}

// BenchmarkRecord measures recording groups of four batches of 64 messages that
// were all accepted by the vendor.
func BenchmarkRecord(b *testing.B) {
	const batches, size = 4, 64
	eachEngine(b, func(b *testing.B, s *Store) {
		h := &holder{owner: "w", room: 1 << 40}
		f := seed(b, s, h)
		for i := range b.N * batches {
			msgs := make([]Incoming, size)
			for j := range msgs {
				msgs[j] = message(fmt.Sprint(i, "-", j), fmt.Sprint("user", j))
			}
			f.accept(b, msgs...)
		}
		cpu := cpuMicros(b)
		b.ResetTimer()
		for i := range b.N {
			recs := make([]Recording, batches)
			for j := range recs {
				recs[j] = settled(h.taken[i*batches+j], 7, StateAccepted)
			}
			if _, lost, err := s.Record(context.Background(), "w", recs); err != nil || len(lost) > 0 {
				b.Fatal(lost, err)
			}
		}
		report(b, b.N*batches*size, cpu)
	})
}
