package worker

import (
	"strconv"
	"sync"
	"time"

	"hongyan/models"
)

// merges is 会话合并: of one conversation, a device gets at most one alert in so many
// seconds. The first goes at once; those that follow wait for the end of that time,
// when the last of them goes out and says how many it stands for. What waits is on
// disk like everything else; this memory only says which one is the last. Should it
// be lost with its process, those that wait go out one by one: too many, never too
// few.
type merges struct {
	mu sync.Mutex
	m  map[mergeKey]*merge
}

type mergeKey struct {
	app, device  int64
	conversation string
}

type merge struct {
	until  time.Time // when the next alert may go
	last   string    // the message that will go then, "" for none
	sent   string    // the one that went last
	waited int       // messages that it stands for, itself included
}

func (m *merges) init() { m.m = map[mergeKey]*merge{} }

// fresh decides about a message that was just accepted: false, and until when it
// waits, while an alert of its conversation went out a moment ago. One that expires
// before it could go does not wait, and stands for none of those that do.
func (m *merges) fresh(k mergeKey, id string, expires, now time.Time, window time.Duration) (until time.Time, goes bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.m[k]
	if e == nil || !now.Before(e.until) && e.last == "" {
		m.m[k] = &merge{until: now.Add(window), sent: id}
		return time.Time{}, true
	}
	until = later(e.until, now) // now: the one that waits is about to go
	if !until.Before(expires) {
		return time.Time{}, true
	}
	e.last = id
	e.waited++
	return until, false
}

// due decides about a message whose wait is over: whether it goes, and how many
// messages it stands for.
func (m *merges) due(k mergeKey, id string, now time.Time, window time.Duration) (count int, goes bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.m[k]
	if e == nil {
		m.m[k] = &merge{until: now.Add(window), sent: id}
		return 1, true // another process knew
	}
	// Ids ascend: a later one that waits or went stands for this one.
	if id < e.last || id < e.sent {
		return 0, false
	}
	count = 1
	if e.last == id {
		count = e.waited
	}
	e.until, e.last, e.waited, e.sent = now.Add(window), "", 0, id
	return count, true
}

// tidy forgets what has ended.
func (m *merges) tidy(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for k, e := range m.m {
		// One that waits is due at until; should it never come back here (another
		// process took its batch), it is forgotten in time.
		if now.After(e.until) && (e.last == "" || now.Sub(e.until) > mergeForget) {
			delete(m.m, k)
		}
	}
}

// mergeForget is how long after its time a waiting message is still expected.
const mergeForget = time.Minute

// merged applies 会话合并 to a job that is about to go; true when it does not go now.
func (p *planner) merged(j *job, cfg *models.SendConfig) bool {
	m := &j.item.Message
	if cfg.Merge <= 0 || m.Kind != models.KindAlert || m.Conversation == "" {
		return false
	}
	k := mergeKey{m.AppID, j.from.DeviceID, m.Conversation}
	switch {
	case j.fresh:
		until, now := p.l.merges.fresh(k, m.ID, m.ExpiresAt, p.now, cfg.Merge)
		if now {
			return false
		}
		j.putOff(models.ReasonMerging, wholeSecond(until), p.now)
		j.merging = true
		return true
	case j.from.Merge && j.from.Tries == 0:
		count, now := p.l.merges.due(k, m.ID, p.now, cfg.Merge)
		if !now {
			j.settle(models.StateSkipped, models.ReasonMerged, p.now)
			return true
		}
		j.count = count
	}
	return false
}

// mergedText says before a text how many messages it stands for: "[3条] …".
func mergedText(text string, count int, language string) string {
	if count < 2 {
		return text
	}
	n := strconv.Itoa(count)
	if models.IsEnglish(language) {
		return "[" + n + "] " + text
	}
	return "[" + n + "条] " + text
}
