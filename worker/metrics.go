package worker

import (
	"github.com/prometheus/client_golang/prometheus"

	"hongyan/push"
)

// metrics are what the worker tells Prometheus. Labels are channels, outcomes and
// names of upkeep: never an app, an account or a token.
type metrics struct {
	sends        *prometheus.CounterVec
	age          prometheus.Histogram
	record       prometheus.Histogram
	upkeep       *prometheus.HistogramVec
	recordErrors prometheus.Counter
	renewErrors  prometheus.Counter
	lost         prometheus.Counter
	panics       prometheus.Counter
	spilled      prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, w *Worker) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "hongyan", Subsystem: "worker", Name: name, Help: help})
	}
	gauge := func(name, help string, f func() int) prometheus.GaugeFunc {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "hongyan", Subsystem: "worker", Name: name, Help: help}, func() float64 { return float64(f()) })
	}
	histogram := func(name, help string, start float64) prometheus.HistogramOpts {
		return prometheus.HistogramOpts{Namespace: "hongyan", Subsystem: "worker", Name: name, Help: help, Buckets: prometheus.ExponentialBuckets(start, 2, 14)}
	}
	m := &metrics{
		sends: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "hongyan", Subsystem: "worker", Name: "sends_total", Help: "Attempts at the vendors by channel and outcome.",
		}, []string{"channel", "outcome"}),
		age:          prometheus.NewHistogram(histogram("batch_seconds", "From taking a batch to its last record.", 0.002)),
		record:       prometheus.NewHistogram(histogram("record_seconds", "Time of one recording transaction.", 0.001)),
		upkeep:       prometheus.NewHistogramVec(histogram("upkeep_seconds", "Time of one run of periodic work.", 0.01), []string{"name"}),
		recordErrors: counter("record_errors_total", "Recording transactions that failed and were tried again."),
		renewErrors:  counter("renew_errors_total", "Renewals of leases that failed."),
		lost:         counter("lost_batches_total", "Batches that another process took over while they were worked here."),
		panics:       counter("panics_total", "Panics that were caught."),
		spilled:      counter("spilled_messages_total", "Messages put back to disk because their credential is slow and has its share of the memory."),
	}
	if reg != nil {
		reg.MustRegister(m.sends, m.age, m.record, m.upkeep, m.recordErrors, m.renewErrors, m.lost, m.panics, m.spilled,
			gauge("messages", "Messages in memory.", w.messages),
			gauge("sends_in_flight", "Sends under way.", w.lines.flying),
			gauge("paused_credentials", "Credentials in use here that are paused.", w.lines.stopped))
	}
	return m
}

// messages is how many messages are in memory.
func (w *Worker) messages() int {
	n := 0
	for _, l := range w.lanes {
		l.mu.Lock()
		n += l.used
		l.mu.Unlock()
	}
	return n
}

// lineMetrics are one channel's counters, looked up once.
type lineMetrics [push.BadCredential + 1]prometheus.Counter

func (m *metrics) line(channel string) *lineMetrics {
	var lm lineMetrics
	for o := push.Accepted; o <= push.BadCredential; o++ {
		lm[o] = m.sends.WithLabelValues(channel, o.String())
	}
	return &lm
}

func (lm *lineMetrics) outcome(o push.Outcome) { lm[o].Inc() }
