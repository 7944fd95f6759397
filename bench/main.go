// Command bench measures the pipeline and prints every rate as a ratio to a bare
// sideshow/apns2 loop of the same run: absolute rates say more about the machine
// and its neighbours than about the program.
//
// What is compared takes turns, round by round, and the median counts. The load,
// the pipeline and the vendor's stand-in share one process and its processors;
// Postgres runs beside it with every commit on disk.
//
// What a frozen or throttling vendor does to the others is measured on the nine other
// channels, while the same callers hand in the same mix of messages for all ten: the
// tenth's messages are there in the comparison too, only that its vendor is well, so
// that the ratio is the harm done by its being unwell and not by its having messages.
// With -paced so many come a second, in equal groups, instead of as many as fit: what
// each message costs is then compared under one load, on a machine with other work too.
//
// Every channel and the healthy ones beside a broken one are measured in the first
// rounds only, since there are many of them. All vendors are stand-ins that say yes
// (sandbox/sink), as the rule-checking simulators cost more than what is measured.
//
// How long an IM server waits for its answer while the database is busy is timed at a
// fixed rate of requests, from when each was due (busy.go).
//
//	go run ./bench [-rounds 5] [-channels 3] [-seconds 2] [-paced 1000] [-rate 200] [-only sqlite|postgres] [-run regexp] [-postgres url]
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"time"

	"hongyan/internal/pgtest"
	"hongyan/push"
	"hongyan/sandbox/sink"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// settings are the command's flags.
type settings struct {
	rounds   int
	channels int
	paced    int
	seconds  float64
	only     string
	match    *regexp.Regexp
	rate     int
	profile  string
	postgres string
}

// GOGC of the measurements, and how much more than the processors GOMAXPROCS is: the
// bare loop runs as Go programs do, the product as its own defaults have it (config.go,
// config_values.go).
const (
	gogcBare  = 100
	gogcOurs  = 400
	spareOurs = 6
)

// inFlight is how many goroutines push in the loops without a database.
const inFlight = 200

func run(ctx context.Context, args []string, out io.Writer) error {
	var o settings
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.IntVar(&o.rounds, "rounds", 5, "rounds; the median of them counts")
	f.IntVar(&o.channels, "channels", 3, "rounds in which every channel is measured, for half as long each; 0 for none")
	f.IntVar(&o.paced, "paced", 0, "messages a second beside a broken vendor, in equal groups; 0 for as many as fit")
	f.Float64Var(&o.seconds, "seconds", 2, "length of one measurement")
	f.StringVar(&o.only, "only", "", "sqlite or postgres; empty for both")
	f.StringVar(&o.postgres, "postgres", "", "URL of an empty database to use instead of a server of our own")
	f.IntVar(&o.rate, "rate", 200, "requests a second of which the answers are timed while the database is busy")
	match := f.String("run", "", "only measurements whose name matches; the bare loop always runs")
	f.StringVar(&o.profile, "cpuprofile", "", "file for a profile of the run")
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	var err error
	if o.match, err = regexp.Compile(*match); err != nil {
		return err
	}
	b := &bench{settings: o, out: out, processors: runtime.GOMAXPROCS(0), span: time.Duration(o.seconds * float64(time.Second)), values: map[string][]sample{}}
	defer b.close()
	if err := b.open(ctx); err != nil {
		return err
	}
	fmt.Fprintf(out, "%d processors, %s, GOGC %d for the bare loop and %d for everything else, %d rounds of %v each\n",
		b.processors, runtime.Version(), gogcBare, gogcOurs, o.rounds, b.span)
	stop, err := profileTo(o.profile)
	if err != nil {
		return err
	}
	defer stop()
	for round := range o.rounds {
		began := time.Now()
		if err := b.round(ctx, round); err != nil {
			return err
		}
		fmt.Fprintf(out, "round %d: %v\n", round+1, time.Since(began).Round(time.Second))
	}
	b.print()
	b.printAnswers()
	return nil
}

// profileTo profiles the processor until stop, unless file is empty.
func profileTo(file string) (stop func(), err error) {
	if file == "" {
		return func() {}, nil
	}
	f, err := os.Create(file)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() {
		pprof.StopCPUProfile()
		_ = f.Close() // a profile cut short says so when it is read
	}, nil
}

// bench is one run.
type bench struct {
	processors int // as Go counts them
	settings
	out    io.Writer
	span   time.Duration
	lab    *lab
	sites  []*site
	values map[string][]sample
	closes []func()
}

func (b *bench) open(ctx context.Context) error {
	var err error
	if b.lab, err = newLab(); err != nil {
		return err
	}
	b.closes = append(b.closes, b.lab.close)
	dir, err := os.MkdirTemp("", "hongyan-bench-")
	if err != nil {
		return err
	}
	b.closes = append(b.closes, func() { _ = os.RemoveAll(dir) }) // what stays is below the system's temporary folder
	v, err := newVendors()
	b.closes = append(b.closes, v.close)
	if err != nil {
		return err
	}
	dsns := map[string]string{}
	if b.only != "postgres" {
		dsns["sqlite"] = dir + "/bench.db"
	}
	if b.only != "sqlite" {
		if dsns["postgres"] = b.postgres; b.postgres == "" {
			if dsns["postgres"], err = pgtest.Durable(); err != nil {
				return fmt.Errorf("postgres: %w", err)
			}
		}
	}
	for _, engine := range []string{"sqlite", "postgres"} {
		if dsns[engine] == "" {
			continue
		}
		s, err := newSite(ctx, engine, dsns[engine], b.lab)
		if err != nil {
			return fmt.Errorf("%s: %w", engine, err)
		}
		s.paced = b.paced
		b.sites = append(b.sites, s)
		b.closes = append(b.closes, s.close)
		if b.channels > 0 {
			if err := s.addChannels(ctx, v); err != nil {
				return fmt.Errorf("%s: %w", engine, err)
			}
		}
	}
	return nil
}

func (b *bench) close() {
	for i := len(b.closes) - 1; i >= 0; i-- {
		b.closes[i]()
	}
}

// measure runs one measurement from a clean heap.
func (b *bench) measure(name string, gogc int, f func(span time.Duration) (sample, error)) error {
	if name != "bare" && !b.match.MatchString(name) {
		return nil
	}
	procs := b.processors
	if name != "bare" {
		procs += spareOurs
	}
	runtime.GOMAXPROCS(procs)
	debug.SetGCPercent(gogc)
	debug.FreeOSMemory()
	s, err := f(b.span)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	b.values[name] = append(b.values[name], s)
	return nil
}

// round measures everything once.
func (b *bench) round(ctx context.Context, n int) error {
	err := errors.Join(
		b.measure("bare", gogcBare, b.lab.bare),
		b.measure("push", gogcOurs, b.lab.push),
		b.measure("push, GOGC 100", gogcBare, b.lab.push),
	)
	if err != nil {
		return err
	}
	for _, s := range b.sites {
		if err := errors.Join(b.roundOn(ctx, s), b.answersOn(ctx, s)); err != nil {
			return err
		}
		if n < b.channels {
			if err := b.channelsOn(ctx, s, n); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *bench) roundOn(ctx context.Context, s *site) error {
	name := func(n string) string { return s.engine + " " + n }
	work := func(f func(time.Duration) (sample, error)) func(time.Duration) (sample, error) {
		return func(span time.Duration) (sample, error) { return s.working(ctx, f, span) }
	}
	return errors.Join(
		b.measure(name("accept to recorded"), gogcOurs, work(func(d time.Duration) (sample, error) { return s.direct(ctx, 256, d) })),
		b.measure(name("http to recorded 256"), gogcOurs, work(func(d time.Duration) (sample, error) { return s.http(256, d) })),
		b.measure(name("http to recorded 64"), gogcOurs, work(func(d time.Duration) (sample, error) { return s.http(64, d) })),
		b.measure(name("50 ms vendor"), gogcOurs, work(func(d time.Duration) (sample, error) {
			b.lab.sink.SetDelay(50 * time.Millisecond)
			defer b.lab.sink.SetDelay(0)
			return s.direct(ctx, 256, d)
		})),
		b.measure(name("accept, grouped"), gogcOurs, func(d time.Duration) (sample, error) { return s.acceptOnly(ctx, 0, 0, d) }),
		b.measure(name("accept, one by one"), gogcOurs, func(d time.Duration) (sample, error) { return s.acceptOnly(ctx, 1, s.writers(), d) }),
	)
}

// channelsOn measures every channel in round n, and the healthy ones beside a broken one.
func (b *bench) channelsOn(ctx context.Context, s *site, n int) error {
	for _, a := range s.channels {
		for _, delay := range []time.Duration{0, slowVendor} {
			err := b.measure(channelName(s, a.channel, delay), gogcOurs, func(d time.Duration) (sample, error) { return s.through(ctx, a.channel, delay, d/2) })
			if err != nil {
				return err
			}
		}
	}
	return b.besideOn(ctx, s, n)
}

// besideOn measures the nine healthy channels while the tenth is well or is not. The
// database grows from one measurement to the next, so each round begins with another.
func (b *bench) besideOn(ctx context.Context, s *site, n int) error {
	well := func(*sink.Vendor, bool) {}
	states := []struct {
		name    string
		breakIt func(v *sink.Vendor, on bool)
	}{
		{besideWell, well},
		{besideFrozen, func(v *sink.Vendor, on bool) { v.Freeze(on) }},
		{besideThrottled, func(v *sink.Vendor, on bool) {
			every := 0
			if on {
				every = throttleEvery
			}
			v.Throttle(every)
		}},
		{besideWellAgain, well},
	}
	for i := range states {
		st := states[(n+i)%len(states)]
		err := b.measure(s.engine+st.name, gogcOurs, func(d time.Duration) (sample, error) { return s.beside(ctx, 2*d, st.breakIt) })
		if err != nil {
			return err
		}
	}
	return nil
}

// slowVendor is how long a vendor takes to answer in the second measurement of each.
const slowVendor = 50 * time.Millisecond

// Names of the measurements of the nine healthy channels. The one beside a tenth that is
// well is made twice: how far its second differs from its first is how far chance goes.
const (
	besideWell      = " nine beside a healthy one"
	besideWellAgain = " nine beside a healthy one, again"
	besideFrozen    = " nine beside a frozen one"
	besideThrottled = " nine beside a throttled one"
)

func channelName(s *site, c push.Channel, delay time.Duration) string {
	return fmt.Sprintf("%s channel %s %dms", s.engine, c, delay.Milliseconds())
}
