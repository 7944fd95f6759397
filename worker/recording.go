package worker

import (
	"time"

	"hongyan/models"
	"hongyan/push"
)

// restKey sorts open work: one batch per credential and due time.
type restKey struct {
	credential int64
	due        time.Time
	paused     bool
	rested     int64
	keep       bool
}

// builder makes one batch's recording.
type builder struct {
	rec    models.Recording
	counts map[models.Count]int64
	rests  map[restKey]int // index in rec.Rest
	// dues holds one due time for all retries of a credential after as many tries,
	// with its jitter, so that they stay together.
	dues map[dueKey]time.Time
	hour int64 // of the message hourOf
	of   *models.Item
}

type dueKey struct {
	credential int64
	tries      int
}

// build makes the recording of everything that has an end by now. keep leaves the
// open rest of the batch in this process's hands; otherwise it is handed back.
// False when there is nothing to do, or the batch is not ours any more.
func (k *work) build(keep bool) (models.Recording, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.lost || k.over || k.busy || k.unrecorded == 0 && len(k.jobs) > 0 {
		k.queued = false
		return models.Recording{}, false
	}
	k.busy = true
	b := &builder{counts: map[models.Count]int64{}, rests: map[restKey]int{}, dues: map[dueKey]time.Time{}}
	b.rec.Batch, b.rec.Tallies = k.batch, map[models.TallyKey]models.Tally{}
	b.rec.Deliveries = make([]models.Delivery, 0, k.unrecorded)
	for i := range k.jobs {
		j := &k.jobs[i]
		if !k.counted && j.planned {
			b.count(j, models.MetricPlanned, "")
		}
		switch j.phase {
		case ended:
			j.phase = recording
			b.end(j)
		case open:
			// Due since the batch was: were it due from now on, what was accepted after
			// it would be claimed before it, should this process die.
			b.rest(restKey{due: k.batch.DueAt, keep: keep}, j, j.from)
		}
	}
	for c, n := range b.counts {
		c.N = n
		b.rec.Counters = append(b.rec.Counters, c)
	}
	return b.rec, true
}

// uncounted returns the devices whose badges this batch has yet to record.
func (k *work) uncounted() []int64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.badges
}

// unbuild takes build back after a failure. The batch still counts as queued: it
// is with the recorder until its record is committed or it is lost.
func (k *work) unbuild() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.busy = false
	for i := range k.jobs {
		if k.jobs[i].phase == recording {
			k.jobs[i].phase = ended
		}
	}
}

// markRecordedLocked notes what a committed record held and returns how many
// jobs that were.
func (k *work) markRecordedLocked() int {
	n := 0
	for i := range k.jobs {
		if k.jobs[i].phase == recording {
			k.jobs[i].phase = recorded
			n++
		}
	}
	k.unrecorded -= n
	return n
}

// count adds one to a counter of a job's message.
func (b *builder) count(j *job, metric, reason string) {
	m := &j.item.Message
	if !m.Counted() {
		return
	}
	if b.of != j.item {
		b.of, b.hour = j.item, m.Hour()
	}
	b.counts[models.Count{
		AppID: m.AppID, PlanID: m.PlanID, Hour: b.hour, Sandbox: m.Sandbox, Channel: j.channel, Metric: metric, Reason: reason,
	}]++
}

// end records what became of one job.
func (b *builder) end(j *job) {
	if j.again {
		b.rest(restKey{due: j.due}, j, j.from)
		return
	}
	m, r := &j.item.Message, &j.result
	ms := int(r.Elapsed.Milliseconds())
	d := models.Delivery{
		MessageID: m.ID, DeviceID: j.from.DeviceID, AppID: m.AppID, PlanID: m.PlanID, Channel: j.channel,
		State: j.state, Reason: j.reason, Code: r.Code, Detail: r.Text, VendorID: r.VendorID,
		Attempts: j.tries, Ms: ms, ResolvedAt: j.from.ResolvedAt, At: j.at,
	}
	if j.line != nil {
		d.CredentialID = j.line.cred.ID
	}
	b.rec.Deliveries = append(b.rec.Deliveries, d)
	if j.tried && (r.Outcome != push.Accepted || j.tries > 1) {
		b.rec.Attempts = append(b.rec.Attempts, models.Attempt{
			MessageID: m.ID, DeviceID: j.from.DeviceID, N: j.tries, AppID: m.AppID, Channel: j.channel,
			Outcome: r.Outcome.String(), Code: r.Code, Detail: r.Text, Ms: ms, At: j.at,
		})
	}
	if !j.retire.IsZero() {
		b.rec.Retired = append(b.rec.Retired, models.RetiredRoute{RouteID: j.from.RouteID, Code: r.Code, Before: j.retire})
	}
	b.tally(j)
	if !j.notifyOff.IsZero() {
		b.rec.NotifyOff = append(b.rec.NotifyOff, models.SwitchedOff{AppID: m.AppID, DeviceID: j.from.DeviceID, At: j.notifyOff})
	}
	switch j.state {
	case models.StateAccepted:
		b.count(j, models.MetricAccepted, "")
	case models.StateFailed:
		b.count(j, models.MetricFailed, j.reason)
	case models.StateExpired:
		b.count(j, models.MetricExpired, j.reason)
	case models.StateSkipped:
		b.count(j, models.MetricSkipped, j.reason)
	case models.StatePending:
		b.later(j)
	}
}

// tally adds a result to the tally of the credential that it came through. What is to
// be tried again through the same one has no end yet; what went on over another route
// because the vendor took it for no good has.
func (b *builder) tally(j *job) {
	if j.line == nil || !j.tried || !j.item.Message.Counted() {
		return
	}
	var one models.Tally
	refused := j.result.Outcome == push.BadTarget || j.result.Outcome == push.BadMessage
	switch {
	case j.state == models.StateAccepted:
		one.Accepted = 1
	case j.state == models.StateFailed, j.detoured && refused:
		one.Failed = 1
	default:
		return
	}
	key := models.TallyKey{AppID: j.item.Message.AppID, CredentialID: j.line.cred.ID, Hour: models.HourOf(j.at)}
	sum := b.rec.Tallies[key]
	b.rec.Tallies[key] = models.Tally{Accepted: sum.Accepted + one.Accepted, Failed: sum.Failed + one.Failed}
}

// later puts a job that was put off into the batch that carries it on.
func (b *builder) later(j *job) {
	key := restKey{due: j.due, paused: j.paused, rested: j.rested}
	if !j.detoured && !j.merging { // those find theirs when the batch is planned
		key.credential = j.line.cred.ID
	}
	if j.reason == models.ReasonRetry && j.tried {
		dk := dueKey{key.credential, j.tries}
		due, ok := b.dues[dk]
		if !ok {
			due = j.at.Add(jitter(j.due.Sub(j.at)))
			b.dues[dk] = due
		}
		key.due = due
	}
	t := j.from
	t.Attempts, t.Tries = j.attempts, j.tries
	t.Merge, t.Count = t.Merge || j.merging, j.count
	if j.detoured {
		t.RouteID, t.Avoid = 0, j.from.RouteID
	}
	b.rest(key, j, t)
}

// rest adds a target of a job's message to the batch of that key.
func (b *builder) rest(key restKey, j *job, t models.OpenTarget) {
	i, ok := b.rests[key]
	if !ok {
		i = len(b.rec.Rest)
		b.rests[key] = i
		b.rec.Rest = append(b.rec.Rest, models.Rest{CredentialID: key.credential, DueAt: key.due, Paused: key.paused, RestRevision: key.rested, Keep: key.keep})
	}
	rest := &b.rec.Rest[i]
	// A message's jobs follow each other.
	if n := len(rest.Items); n > 0 && rest.Items[n-1].Message.ID == j.item.Message.ID {
		rest.Items[n-1].Targets = append(rest.Items[n-1].Targets, t)
		return
	}
	it := models.Item{Message: j.item.Message, Content: j.item.Content, Group: j.item.Group, DeviceID: j.item.DeviceID}
	if t.DeviceID != 0 { // else its devices are still to be chosen
		it.Targets = []models.OpenTarget{t}
	}
	rest.Items = append(rest.Items, it)
}
