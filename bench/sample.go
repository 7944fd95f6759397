package main

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// sample is one measurement.
type sample struct {
	rate     float64       // pushes or messages per second
	cpu      time.Duration // of this process, for each
	p50, p99 time.Duration // of the answer to a request; 0 when there is none
	most     time.Duration // the slowest answer, where it matters
	rss      int64         // peak resident memory in bytes
}

// meter takes the time and the processor time of a measurement.
type meter struct {
	began time.Time
	cpu   time.Duration
}

func startMeter() meter {
	resetPeak()
	return meter{began: time.Now(), cpu: cpuTime()}
}

// read returns the sample of n things done since the start.
func (m meter) read(n int64) sample {
	took := time.Since(m.began)
	s := sample{rate: float64(n) / took.Seconds(), rss: peakMemory()}
	if n > 0 {
		s.cpu = (cpuTime() - m.cpu) / time.Duration(n)
	}
	return s
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// resetPeak makes the kernel's high-water mark of memory start anew. Where that
// cannot be done the mark is the whole run's.
func resetPeak() {
	_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0)
}

func peakMemory() int64 {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(b) {
		if rest, ok := bytes.CutPrefix(line, []byte("VmHWM:")); ok {
			kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(string(rest)), " kB"), 10, 64)
			if err != nil {
				return 0
			}
			return kb << 10
		}
	}
	return 0
}

// quantile returns the q-th part of sorted durations.
func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

// median returns the middle of one figure over all rounds, and its extremes.
func median[T int64 | float64 | time.Duration](ss []sample, f func(sample) T) (mid, low, high T) {
	v := make([]T, len(ss))
	for i, s := range ss {
		v[i] = f(s)
	}
	slices.Sort(v)
	return v[len(v)/2], v[0], v[len(v)-1]
}

// ratio is the median over the rounds of a/b of the same round.
func ratio(a, b []sample) (mid, low, high float64) { return ratioOf(a, b, rate) }

// ratioOf is ratio for another figure.
func ratioOf(a, b []sample, f func(sample) float64) (mid, low, high float64) {
	var ss []sample
	for i := range min(len(a), len(b)) {
		ss = append(ss, sample{rate: f(a[i]) / max(f(b[i]), 1)})
	}
	return median(ss, rate)
}

func rate(s sample) float64 { return s.rate }

// row is a line of the table.
type row struct {
	label string
	value string // key of the measurement
	of    string // key of what it is compared with
	goal  float64
}

func (b *bench) rows() []row {
	rows := []row{
		{"bare apns2 loop, 200 goroutines", "bare", "bare", 0},
		{"push-only client, 200 goroutines", "push", "bare", 3},
		{"push-only client, GOGC 100 as the bare loop", "push, GOGC 100", "bare", 0},
	}
	for _, s := range b.sites {
		goal := 0.5
		if s.engine == "postgres" {
			goal = 0.45
		}
		rows = append(rows,
			row{s.engine + ": accepted to recorded, Store.Accept, 256 callers", s.engine + " accept to recorded", "bare", goal},
			row{s.engine + ": accepted to recorded, HTTP bridge, 256 connections", s.engine + " http to recorded 256", "bare", goal},
			row{s.engine + ": accepted to recorded, HTTP bridge, 64 connections", s.engine + " http to recorded 64", "bare", 0},
			row{s.engine + ": accepted to recorded, vendor answers after 50 ms", s.engine + " 50 ms vendor", "bare", 0},
			row{s.engine + ": accepted only, group commit / one commit per request", s.engine + " accept, grouped", s.engine + " accept, one by one", 5},
			row{s.engine + ": nine channels, the tenth is well too", s.engine + besideWell, "bare", 0},
			row{s.engine + ": nine channels, the same again / the first time", s.engine + besideWellAgain, s.engine + besideWell, 0},
			row{s.engine + ": nine channels, the tenth is frozen / is well", s.engine + besideFrozen, s.engine + besideWell, 0.9},
			row{s.engine + ": nine channels, the tenth throttles / is well", s.engine + besideThrottled, s.engine + besideWell, 0.9},
		)
		for _, a := range s.channels {
			for _, delay := range []time.Duration{0, slowVendor} {
				rows = append(rows, row{fmt.Sprintf("%s: %s, accepted to recorded, vendor answers after %v", s.engine, a.channel, delay), channelName(s, a.channel, delay), "bare", 0})
			}
		}
	}
	return rows
}

func (b *bench) print() {
	fmt.Fprintf(b.out, "\n%-68s %7s %13s %5s %10s %8s %7s %15s %8s\n", "median of rounds", "ratio", "(min-max)", "goal", "per second", "CPU us", "by CPU", "p50/p99 ms", "peak MB")
	for _, r := range b.rows() {
		v, of := b.values[r.value], b.values[r.of]
		if len(v) == 0 || len(of) == 0 {
			continue
		}
		mid, low, high := ratio(v, of)
		per, _, _ := median(v, rate)
		cpu, _, _ := median(v, func(s sample) time.Duration { return s.cpu })
		byCPU, _, _ := ratioOf(of, v, func(s sample) float64 { return float64(s.cpu) })
		p50, _, _ := median(v, func(s sample) time.Duration { return s.p50 })
		p99, _, _ := median(v, func(s sample) time.Duration { return s.p99 })
		rss, _, _ := median(v, func(s sample) int64 { return s.rss })
		goal, latency := "", ""
		if r.goal > 0 {
			goal = fmt.Sprint(r.goal)
		}
		if p99 > 0 {
			latency = fmt.Sprintf("%.1f / %.1f", ms(p50), ms(p99))
		}
		fmt.Fprintf(b.out, "%-68s %7.2f %13s %5s %10.0f %8.1f %7.2f %15s %8d\n", r.label, mid, fmt.Sprintf("(%.2f-%.2f)", low, high), goal,
			per, float64(cpu.Nanoseconds())/1000, byCPU, latency, rss>>20)
	}
	fmt.Fprintln(b.out, "\nCPU and memory are those of this process: load, pipeline and the vendor's stand-in together, without Postgres.")
	fmt.Fprintln(b.out, "By CPU is the same ratio in processor time for each: on a machine with other work, trust it more than the rates.")
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
