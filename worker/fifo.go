package worker

// fifo is jobs that wait, first come, first served.
type fifo struct {
	jobs []*job
	head int // where they begin
}

func (f *fifo) waits() bool { return f.head < len(f.jobs) }

func (f *fifo) push(j *job) {
	if len(f.jobs) == cap(f.jobs) && f.head > len(f.jobs)/2 {
		// Instead of growing: under a load that never ends it is never empty.
		n := copy(f.jobs, f.jobs[f.head:])
		clear(f.jobs[n:])
		f.jobs, f.head = f.jobs[:n], 0
	}
	f.jobs = append(f.jobs, j)
}

// first returns the job that has waited longest, or nil.
func (f *fifo) first() *job {
	if !f.waits() {
		return nil
	}
	return f.jobs[f.head]
}

// pop takes the job that has waited longest, or returns nil.
func (f *fifo) pop() *job {
	j := f.first()
	if j == nil {
		return nil
	}
	f.jobs[f.head] = nil
	if f.head++; f.head == len(f.jobs) {
		f.jobs, f.head = f.jobs[:0], 0
	}
	return j
}
