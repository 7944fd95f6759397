package worker

import (
	"context"
	"math"
	"time"

	"hongyan/models"
)

// How much of a slow credential's work may be in memory. All credentials share it:
// what one of them piles up there, because its vendor stands still, throttles or takes
// so many a second, the others could not have. The rest lies on disk and is not
// claimed before there is room for it.
const (
	// roomWindows is how many times what may be in flight, at least roomLeast.
	roomWindows = 8
	roomLeast   = 256
	// roomSeconds is how many seconds of a rate, at least roomPaced.
	roomSeconds = 4
	roomPaced   = 1000
	// muteAfter is how long a good many sends must go unanswered before the credential
	// counts as mute; that its vendor is down shows only when their time is up.
	muteAfter = 2 * time.Second
	// spillWait is when what had no room is due.
	spillWait = 2 * time.Second
)

// roomLocked is how many messages the line may have in memory, those in flight
// included; math.MaxInt for as many as come: then it is this process that is slow, and
// disk would not help.
func (l *line) roomLocked(now time.Duration) int {
	switch {
	case l.flying >= downWindow && now-l.quiet >= muteAfter:
		return 0
	case l.gov.downs > 0:
		// Not one more than tries it: each keeps the batch open that it came with, and
		// what others in there have come to must be recorded apart.
		return l.gov.window
	}
	n := math.MaxInt
	if l.gov.window < l.gov.most {
		n = l.gov.window + max(roomWindows*l.gov.window, roomLeast)
	}
	if l.pace.limited() {
		n = min(n, l.gov.window+max(int(roomSeconds*l.pace.allowed), roomPaced))
	}
	return n
}

// spill counts a job that is about to go through the line, or puts it off, to lie on
// disk, when there is no room for it in memory.
func (l *line) spill(j *job) bool {
	now := l.w.o.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if int(l.held.Load()) < l.roomLocked(l.w.sinceStart()) {
		l.held.Add(1)
		return false
	}
	reason := models.ReasonThrottled
	if l.gov.failures > 0 {
		reason = models.ReasonRetry
	}
	j.putOff(reason, wholeSecond(now.Add(spillWait)), now)
	l.w.metrics.spilled.Inc()
	return true
}

// slow is the state of a line that is slow.
type slow struct{ room, held int }

// slow returns the lines that are slow, by credential.
func (ls *lines) slow() map[int64]slow {
	wall, now := ls.w.o.Now(), ls.w.sinceStart()
	out := map[int64]slow{}
	ls.mu.Lock()
	defer ls.mu.Unlock()
	for id, l := range ls.m {
		l.mu.Lock()
		s := slow{l.roomLocked(now), int(l.held.Load())}
		// What rests for long may take another route of its device, or expire.
		if until, rests := l.gov.resting(wall); rests && until.Sub(wall) < quotaWait {
			s.room = 0
		}
		l.mu.Unlock()
		if s.room < math.MaxInt {
			out[id] = s
		}
	}
	return out
}

// rooms returns what the credentials that are slow still have room for.
func (l *lane) rooms() map[int64]int {
	lines := l.w.lines.slow()
	if len(lines) == 0 {
		return nil
	}
	held := map[int64]int{} // claimed for them, part of which is not planned yet
	for _, k := range l.works() {
		if _, ok := lines[k.cred]; ok {
			k.mu.Lock()
			held[k.cred] += k.size
			k.mu.Unlock()
		}
	}
	out := make(map[int64]int, len(lines))
	for id, s := range lines {
		out[id] = max(s.room-max(s.held, held[id]), 0)
	}
	return out
}

// full are the credentials that have no room left.
func (k look) full() (ids []int64) {
	for id, room := range k.rooms {
		if room <= 0 {
			ids = append(ids, id)
		}
	}
	return ids
}

// fitting returns those of the claimed batches that there is room for, and frees the
// others. A batch is not divided, so each credential may get a little more.
func (l *lane) fitting(ctx context.Context, batches []*models.Batch, k look) []*models.Batch {
	fit := make([]*models.Batch, 0, len(batches))
	var ids []int64
	for _, b := range batches {
		room, slow := k.rooms[b.CredentialID]
		switch {
		case !slow:
		case room <= 0 && !l.holds(b.ID):
			ids = append(ids, b.ID)
			continue
		default:
			k.rooms[b.CredentialID] = room - len(b.Items)
		}
		fit = append(fit, b)
	}
	if len(ids) == 0 {
		return batches
	}
	if err := l.db.ReleaseBatches(ctx, l.w.o.Owner, ids); err != nil {
		l.w.log.Warn("batches without room not freed, their leases run out", "batches", len(ids), "error", err)
	}
	return fit
}

// holds reports whether a batch is in hand already.
func (l *lane) holds(id int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.held[id] != nil
}
