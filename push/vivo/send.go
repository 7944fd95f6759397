package vivo

import (
	"context"
	"strconv"
	"sync/atomic"

	"hongyan/push"
)

// job is the targets of one request, by their places among those of Send.
type job struct {
	content content
	message *push.Message
	targets []push.Target
	places  []int
}

// Send implements push.Sender.
func (s *Sender) Send(ctx context.Context, m push.Message, targets []push.Target) []push.Result {
	c, refused := s.compose(m)
	if refused != nil {
		return push.Fill(len(targets), *refused)
	}
	out := make([]push.Result, len(targets))
	jobs := divide(c, &m, targets, out)
	push.Parallel(len(jobs), atOnce, func(i int) {
		for k, r := range s.send(ctx, jobs[i]) {
			out[jobs[i].places[k]] = r
		}
	})
	if c.Classification != s.class.classification { // each has a day's total of its own
		for i := range out {
			out[i].ClassOnly = out[i].Outcome == push.Throttled && out[i].Code == strconv.Itoa(codeQuota)
		}
	}
	return out
}

// divide makes jobs of at most maxTargets targets that want the same, and puts what
// is no regId straight into out.
func divide(c content, m *push.Message, targets []push.Target, out []push.Result) []job {
	var jobs []job
	open := map[bool]int{} // addBadge → the job that still has room
	for i, t := range targets {
		if !goodRegID(t.Token) {
			out[i] = push.Result{Outcome: push.BadTarget, Code: push.CodeBadToken, Text: "this is no regId of vivo"}
			continue
		}
		// vivo can add one to the number on the icon and nothing else.
		badge := m.Badge
		if t.Badge != nil {
			badge = t.Badge
		}
		add := badge != nil && *badge > 0
		k, ok := open[add]
		if !ok || len(jobs[k].targets) == maxTargets {
			k = len(jobs)
			open[add] = k
			jobs = append(jobs, job{content: c, message: m})
			jobs[k].content.AddBadge = add
		}
		jobs[k].targets = append(jobs[k].targets, t)
		jobs[k].places = append(jobs[k].places, i)
	}
	return jobs
}

// send sends a job, as a batch where vivo takes one.
func (s *Sender) send(ctx context.Context, j job) []push.Result {
	if len(j.targets) < minTargets || j.message.Singly || s.batchesUsedUp() {
		return s.singly(ctx, j)
	}
	if out, ok := s.batch(ctx, j); ok {
		return out
	}
	out := s.singly(ctx, j)
	if s.batchesUsedUp() {
		out[0].SinglyFor = push.UntilMidnight(s.http.Now())
	}
	return out
}

// batchesUsedUp reports whether vivo said today that no more batches are taken. Other
// senders of the credential know it by Message.Singly.
func (s *Sender) batchesUsedUp() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.http.Now().Before(s.singleUntil)
}

// batch stores the content and sends it to all targets; false when each must be sent
// for itself: no more batches today, or one bad regId that vivo does not name.
func (s *Sender) batch(ctx context.Context, j job) ([]push.Result, bool) {
	c := j.content
	c.RequestID = requestID(j.targets)
	stored, r, fault := s.call(ctx, pathSave, c)
	if fault != nil {
		return push.Fill(len(j.targets), *fault), true
	}
	if *stored.Result != codeOK {
		return s.batchRefused(stored, r, j)
	}
	if stored.TaskID == "" {
		return push.Fill(len(j.targets), noTask(r)), true
	}
	ids := make([]string, len(j.targets))
	for i, t := range j.targets {
		ids[i] = t.Token
	}
	l := list{AppID: c.AppID, RegIDs: ids, TaskID: string(stored.TaskID), RequestID: c.RequestID, PushMode: s.mode()}
	sent, r2, fault := s.call(ctx, pathList, l)
	r2.Elapsed += r.Elapsed
	if fault != nil {
		failed := *fault // others may have the same one
		failed.Elapsed += r.Elapsed
		return push.Fill(len(j.targets), failed), true
	}
	if *sent.Result != codeOK {
		return s.batchRefused(sent, r2, j)
	}
	// vivo names the task here again, or not.
	out := push.Fill(len(j.targets), push.Result{Outcome: push.Accepted, VendorID: string(stored.TaskID), Elapsed: r2.Elapsed})
	bad := make(map[string]push.Result, len(sent.InvalidUsers))
	for _, u := range sent.InvalidUsers {
		bad[u.UserID] = s.invalidResult(u, r2)
	}
	for i, t := range j.targets {
		if what, ok := bad[t.Token]; ok {
			out[i] = what
		}
	}
	return out, true
}

func (s *Sender) batchRefused(a answer, r push.Reply, j job) ([]push.Result, bool) {
	switch *a.Result {
	case codeBatchQuota:
		// Calling again today would lower the app's quota ([api] 1.1).
		now := s.http.Now()
		s.mu.Lock()
		s.singleUntil = now.Add(push.UntilMidnight(now))
		s.mu.Unlock()
		return nil, false
	case codeBadRegID:
		return nil, false
	}
	return push.Fill(len(j.targets), s.refusal(a, r, secretsOf(j, j.targets)...)), true
}

// noTask is the result of a yes that lacks what it is about.
func noTask(r push.Reply) push.Result {
	return push.Result{Outcome: push.Retry, Code: push.CodeBadReply, Text: "vivo stored the message without naming it", Elapsed: r.Elapsed}
}

// singly sends to each target for itself. Once vivo says that the day's total is used
// up, the others are not tried.
func (s *Sender) singly(ctx context.Context, j job) []push.Result {
	out := make([]push.Result, len(j.targets))
	var usedUp atomic.Pointer[push.Result]
	push.Parallel(len(j.targets), atOnce, func(i int) {
		if r := usedUp.Load(); r != nil {
			out[i] = *r
			out[i].Elapsed = 0
			return
		}
		a, r, fault := s.one(ctx, j, j.targets[i])
		switch {
		case fault != nil:
			out[i] = *fault
		case a.InvalidUser != nil && a.InvalidUser.Status > 1:
			out[i] = s.invalidResult(*a.InvalidUser, r)
		case *a.Result == codeOK && a.InvalidUser != nil && a.InvalidUser.Status == 1:
			out[i] = s.invalidResult(*a.InvalidUser, r)
		case *a.Result != codeOK:
			out[i] = s.refusal(a, r, secretsOf(j, j.targets[i:i+1])...)
		default:
			out[i] = push.Result{Outcome: push.Accepted, VendorID: string(a.TaskID), Elapsed: r.Elapsed}
		}
		if fault == nil && *a.Result == codeQuota {
			usedUp.Store(&out[i])
		}
	})
	return out
}

// one sends to one target, with the address for its receipt. Receipts exist for
// single pushes in formal mode only ([api] 1.4).
func (s *Sender) one(ctx context.Context, j job, t push.Target) (answer, push.Reply, *push.Result) {
	c := j.content
	c.RegID, c.RequestID, c.PushMode = t.Token, requestID([]push.Target{t}), s.mode()
	if url := j.message.ReceiptURL; url != "" && len(url) <= push.MaxReceiptURL && !s.test {
		c.Extra = &extras{Callback: url, Param: push.CutBytes(t.Ref, maxParam)}
	}
	return s.call(ctx, pathSend, c)
}

// mode is vivo's pushMode, 1 for the devices registered for tests.
func (s *Sender) mode() int {
	if s.test {
		return 1
	}
	return 0
}

// secretsOf is what vivo's words must not be quoted with.
func secretsOf(j job, targets []push.Target) []string {
	out := []string{j.message.Title, j.message.Body, j.message.ReceiptURL}
	for _, t := range targets {
		out = append(out, t.Token)
	}
	for _, v := range j.content.ClientCustomMap {
		out = append(out, v)
	}
	return out
}
