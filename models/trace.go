package models

import "time"

// Trace is what is noted of one request at an ingest address while it is under way. A
// bridge fills it as it goes; what the page of the IM app shows is made of it when the
// request is answered.
type Trace struct {
	IMAppID int64
	Began   time.Time
	// Kind says what the request was about, one of Arrival….
	Kind string
	// Counts is what was counted for the request, in order.
	Counts []OutcomeCount
	// Code, Field and Data say why the request was refused, as the answer does.
	Code, Field string
	Data        map[string]any
	// Body is the request's body, as far as it could be read; it is not copied.
	Body []byte
	// Tokens are the devices' tokens that the request named: they are shown nowhere.
	Tokens []string
	// Content says that the operator asked for contents of what arrives now, and until
	// when they are kept.
	ContentUntil time.Time
	// Sample marks a request that the console itself made.
	Sample bool
}

// OutcomeCount is how many messages (or requests) ended so.
type OutcomeCount struct {
	Outcome string
	N       int
}

// Count adds n outcomes.
func (t *Trace) Count(outcome string, n int) {
	for i := range t.Counts {
		if t.Counts[i].Outcome == outcome {
			t.Counts[i].N += n
			return
		}
	}
	t.Counts = append(t.Counts, OutcomeCount{outcome, n})
}

// Bad reports whether somebody should look at the request: it was refused, or a part
// of it reached nobody for a reason that can be mended.
func (t *Trace) Bad() bool {
	if t.Code != "" {
		return true
	}
	for _, c := range t.Counts {
		switch c.Outcome {
		case IngestUnauthorized, IngestInvalid, IngestRefused, IngestDenied, IngestUnknown:
			return true
		}
	}
	return false
}

// Traced begins the trace of a request and returns in, which from now on knows it.
func (i Ingest) Traced(now time.Time) Ingest {
	i.trace = &Trace{IMAppID: i.imAppID, Began: now, Sample: i.sample}
	if now.Before(i.contentUntil) {
		i.trace.ContentUntil = i.contentUntil
	}
	return i
}

// Trace returns the request's trace, nil for one that keeps none.
func (i Ingest) Trace() *Trace { return i.trace }

// What a request was about.
const (
	ArrivalAlert    = KindAlert
	ArrivalSilent   = KindSilent
	ArrivalBadge    = KindBadge
	ArrivalMixed    = "mixed"
	ArrivalReceipt  = "receipt"  // a phone or server acknowledged
	ArrivalToken    = "token"    // tokens or subscriptions registered or removed
	ArrivalRead     = "read"     // somebody read: the badge goes down
	ArrivalRecall   = "recall"   // a message was taken back
	ArrivalPresence = "presence" // who is online, who is in a group
	ArrivalOther    = "other"    // nothing that is pushed, or it could not be read
)
