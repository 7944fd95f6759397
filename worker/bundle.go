package worker

import "hongyan/push"

// A message to a group chat is one message to many people. Where the vendor takes many
// targets in one request, the jobs of one batch that say the same through one line go
// together: one of them carries the others (job.more) from here to the record, where
// each has its own end again.

// bundler gathers neighbours that may go together.
type bundler struct{ first *job }

// add takes a job and returns the one that is ready to go instead, or nil.
func (b *bundler) add(j *job) *job {
	if b.first != nil && b.first.takes(j) {
		b.first.more = append(b.first.more, j)
		return nil
	}
	ready := b.first
	b.first = j
	return ready
}

// last returns the job that is still gathering, or nil.
func (b *bundler) last() *job {
	ready := b.first
	b.first = nil
	return ready
}

// takes reports whether other may go in the same request as j.
func (j *job) takes(other *job) bool {
	return j.msg == other.msg && j.line == other.line && j.work == other.work && j.size() < j.line.bundle
}

// size is how many targets the job stands for.
func (j *job) size() int { return 1 + len(j.more) }

// unbundle returns the job and those that went with it, each by itself again.
func (j *job) unbundle() []*job {
	jobs := append([]*job{j}, j.more...)
	j.more = nil
	return jobs
}

// each calls f for the job and those that go with it.
func (j *job) each(f func(*job)) {
	f(j)
	for _, other := range j.more {
		f(other)
	}
}

// bundleOf is the most targets of one request through a channel. A channel that reports
// each of them only when it is asked alone is asked alone while receipts are wanted.
func bundleOf(limits *push.Limits, receipts bool) int {
	switch {
	case limits.Batch == push.BatchAlways, limits.Batch == push.BatchSilent && !receipts:
		return limits.TargetsPerRequest
	}
	return 1
}
