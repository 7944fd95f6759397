package worker

import "sync"

// chains keeps the messages of one device in order: only the first is on its
// way, the others wait behind it.
type chains struct {
	shards [chainShards]chainShard
}

const chainShards = 32

type chainShard struct {
	mu sync.Mutex
	m  map[int64]chain // by device
}

// chain is the jobs of one device, linked by their next.
type chain struct{ first, last *job }

func (c *chains) init() {
	for i := range c.shards {
		c.shards[i].m = map[int64]chain{}
	}
}

func (c *chains) shard(device int64) *chainShard { return &c.shards[uint64(device)%chainShards] }

// join puts j behind the device's older jobs, and behind the first in any case,
// which may be on its way; true when j is the first.
func (c *chains) join(j *job) bool {
	s := c.shard(j.from.DeviceID)
	s.mu.Lock()
	defer s.mu.Unlock()
	ch, busy := s.m[j.from.DeviceID]
	switch {
	case !busy:
		s.m[j.from.DeviceID] = chain{j, j}
		return true
	case ch.first == ch.last || !j.work.age.before(ch.last.work.age):
		ch.last.next = j
		s.m[j.from.DeviceID] = chain{ch.first, j}
	default:
		ch.squeezeIn(j)
	}
	return false
}

// squeezeIn puts j, which came late, before newer jobs. The numbers on the icon
// that were counted up move on by one job, so that they still ascend. Nobody reads
// them before leave has returned their job.
func (ch chain) squeezeIn(j *job) {
	p := ch.first
	for !j.work.age.before(p.next.work.age) {
		p = p.next // ends at the last, which is newer
	}
	j.next, p.next = p.next, j
	if !j.counted {
		return
	}
	for q := j.next; q != nil; q = q.next {
		if q.counted {
			j.badge, q.badge = q.badge, j.badge
			j = q
		}
	}
}

// leave takes the first job out and returns the next one, or nil.
func (c *chains) leave(j *job) *job {
	s := c.shard(j.from.DeviceID)
	s.mu.Lock()
	defer s.mu.Unlock()
	next := j.next
	if next == nil {
		delete(s.m, j.from.DeviceID)
	} else {
		s.m[j.from.DeviceID] = chain{next, s.m[j.from.DeviceID].last}
	}
	j.next = nil
	return next
}
