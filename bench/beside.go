package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"hongyan/models"
	"hongyan/push"
	"hongyan/push/registry"
	"hongyan/sandbox/sink"
	"hongyan/worker"
)

// channelsWorking runs f with a worker for all channels, and stops it.
func (s *site) channelsWorking(ctx context.Context, f func() (sample, error)) (out sample, err error) {
	w := worker.New(worker.Options{Store: s.store, Registry: registry.New().Lookup, Sandbox: s.stand, Log: slog.New(slog.DiscardHandler)})
	if err := w.Start(ctx); err != nil {
		return sample{}, err
	}
	s.store.StartAccepting(w)
	d := s.store.Databases()[0]
	for !w.Reserve(d, 0) && err == nil {
		w.Left(d)
		err = tick(ctx)
	}
	w.Forget(d, 0)
	if err == nil {
		out, err = f()
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
	defer cancel()
	for _, e := range []error{s.store.StopAccepting(stop), w.Stop(stop)} {
		if err == nil {
			err = e
		}
	}
	return out, err
}

// through accepts single messages of one channel and waits until all are recorded.
func (s *site) through(ctx context.Context, c push.Channel, delay, span time.Duration) (sample, error) {
	return s.channelsWorking(ctx, func() (sample, error) {
		s.delay(delay)
		defer s.delay(0)
		var one []*channelApp
		for _, a := range s.channels {
			if a.channel == c {
				one = append(one, a)
			}
		}
		if _, err := s.spread(ctx, one, one, span/2); err != nil { // warm, with its connections
			return sample{}, err
		}
		return s.spread(ctx, one, one, span)
	})
}

func (s *site) delay(d time.Duration) {
	s.lab.sink.SetDelay(d)
	for _, v := range s.vendors {
		v.SetDelay(d)
	}
}

// beside measures the messages of the healthy channels while those of all are accepted
// and one may be broken. The broken one's are waited for afterwards.
func (s *site) beside(ctx context.Context, span time.Duration, breakIt func(v *sink.Vendor, on bool)) (sample, error) {
	return s.channelsWorking(ctx, func() (sample, error) {
		var healthy []*channelApp
		var sick *channelApp
		for _, a := range s.channels {
			if a.channel == broken {
				sick = a
			} else {
				healthy = append(healthy, a)
			}
		}
		if _, err := s.spread(ctx, s.channels, s.channels, 200*time.Millisecond); err != nil { // warm
			return sample{}, err
		}
		breakIt(s.vendors[broken], true)
		out, err := s.steady(ctx, healthy, span)
		breakIt(s.vendors[broken], false)
		if err != nil {
			return sample{}, err
		}
		// A new revision is not held up by what was found out about the old one.
		if _, err := s.store.SaveCredentials(ctx, s.who, sick.owner, sick.keys); err != nil {
			return sample{}, err
		}
		return out, s.caughtUp(ctx, sick, s.sent[sick.channel].Load())
	})
}

// settle is how long the load of steady runs before it counts: a worker takes a moment
// to see that a vendor stands still.
const settle = 3 * vendorTimeout

// steady accepts messages of all channels in turn, and measures how many of counted are
// recorded a second once that has run for a while.
func (s *site) steady(ctx context.Context, counted []*channelApp, span time.Duration) (sample, error) {
	var next atomic.Int64
	done := make(chan error, 1)
	go func() {
		one := func(_, _ int) error {
			n := next.Add(1) - 1
			return s.acceptFor(ctx, s.channels[int(n)%len(s.channels)])
		}
		if s.paced > 0 {
			done <- groups(s.paced, settle+span, one)
			return
		}
		_, _, err := load(256, settle+span, one)
		done <- err
	}()
	t := time.NewTimer(settle)
	defer t.Stop()
	<-t.C
	m := startMeter()
	before, err := s.acceptedOf(ctx, counted)
	if err != nil {
		return sample{}, errors.Join(err, <-done)
	}
	if err := <-done; err != nil {
		return sample{}, err
	}
	after, err := s.acceptedOf(ctx, counted)
	if err != nil {
		return sample{}, err
	}
	out := m.read(after - before)
	for _, a := range counted {
		if err := s.caughtUp(ctx, a, s.sent[a.channel].Load()); err != nil {
			return sample{}, err
		}
	}
	return out, nil
}

// groupEvery is how often a group of messages comes: seldom enough that one is a good
// part of what a commit takes.
const groupEvery = 100 * time.Millisecond

// groups has one called perSecond times a second for span, many at once.
func groups(perSecond int, span time.Duration, one func(caller, i int) error) error {
	t := time.NewTicker(groupEvery)
	defer t.Stop()
	size := max(int(int64(perSecond)*int64(groupEvery)/int64(time.Second)), 1)
	for i := range int(span / groupEvery) {
		var failed atomic.Pointer[error]
		var wg sync.WaitGroup
		for c := range size {
			wg.Go(func() {
				if err := one(c, i); err != nil {
					failed.Store(&err)
				}
			})
		}
		wg.Wait()
		if err := failed.Load(); err != nil {
			return *err
		}
		<-t.C
	}
	return nil
}

// acceptedOf is how many messages of the apps are recorded as accepted.
func (s *site) acceptedOf(ctx context.Context, apps []*channelApp) (n int64, err error) {
	for _, a := range apps {
		now := time.Now()
		st, err := s.store.PlanStats(ctx, a.scope, models.StatsFilter{PlanID: a.plan, From: now.AddDate(0, 0, -1), To: now, Zone: time.UTC, Sandbox: true})
		if err != nil {
			return 0, err
		}
		n += st.Total.Accepted
	}
	return n, nil
}

// spread accepts messages of apps in turn for span and waits until those of counted
// are recorded; only theirs make the rate.
func (s *site) spread(ctx context.Context, apps, counted []*channelApp, span time.Duration) (sample, error) {
	var next atomic.Int64
	before := int64(0)
	for _, a := range counted {
		before += s.sent[a.channel].Load()
	}
	m := startMeter()
	_, took, err := load(256, span, func(_, _ int) error {
		n := next.Add(1) - 1
		return s.acceptFor(ctx, apps[int(n)%len(apps)])
	})
	if err != nil {
		return sample{}, err
	}
	after := int64(0)
	for _, a := range counted {
		n := s.sent[a.channel].Load()
		after += n
		if err := s.caughtUp(ctx, a, n); err != nil {
			return sample{}, err
		}
	}
	out := m.read(after - before)
	out.p50, out.p99 = quantile(took, 0.5), quantile(took, 0.99)
	return out, nil
}

func (s *site) acceptFor(ctx context.Context, a *channelApp) error {
	n := s.serial.Add(1)
	_, err := s.store.Accept(ctx, a.ingest, []models.Incoming{{
		SourceID: fmt.Sprint(n), Account: user(int(n % channelUsers)), Sender: "alice", Conversation: fmt.Sprint("c-", n%100),
		Content: models.Content{Title: "Alice", Body: "Are you coming to the meeting at three?", Sound: "default"},
	}})
	if err == nil {
		s.sent[a.channel].Add(1)
	}
	return err
}

// caughtUp waits until as many messages of an app are recorded as accepted by its
// vendor.
func (s *site) caughtUp(ctx context.Context, a *channelApp, want int64) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for {
		now := time.Now()
		st, err := s.store.PlanStats(ctx, a.scope, models.StatsFilter{PlanID: a.plan, From: now.AddDate(0, 0, -1), To: now, Zone: time.UTC, Sandbox: true})
		if err != nil {
			return err
		}
		if n := st.Total.Failed + st.Total.Expired + st.Total.Skipped; n > 0 {
			return fmt.Errorf("%s: %d messages were not sent", a.channel, n)
		}
		if st.Total.Accepted >= want {
			return nil
		}
		if err := tick(ctx); err != nil {
			return fmt.Errorf("%s: %d of %d recorded: %w", a.channel, st.Total.Accepted, want, err)
		}
	}
}
