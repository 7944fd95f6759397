package worker

import (
	"context"
	"slices"
	"time"

	"golang.org/x/time/rate"

	"hongyan/models"
	"hongyan/push"
)

// paceBurst is the part of a second's targets that may go at once.
const paceBurst = 10

// pace keeps one credential below the rate that its vendor or its operator allows.
// The rate is for all processes together, and each takes an equal share: what one
// does not use is not lent to another, which would take a write per push.
type pace struct {
	published int // the vendor's rule, 0 for none
	allowed   float64
	limiter   *rate.Limiter // nil for no limit
	waking    bool
}

func newPace(published int) pace { return pace{published: published} }

func (p *pace) limited() bool { return p.limiter != nil }

// set changes the rate: what the operator says, else the vendor's rule, shared by so
// many processes.
func (p *pace) set(operator int64, processes int) {
	total := float64(p.published)
	if operator > 0 {
		total = float64(operator)
	}
	share := total / float64(max(processes, 1))
	if share == p.allowed {
		return
	}
	p.allowed = share
	if share <= 0 {
		p.limiter = nil
		return
	}
	burst := max(int(share)/paceBurst, 1)
	if p.limiter == nil {
		p.limiter = rate.NewLimiter(rate.Limit(share), burst)
		return
	}
	p.limiter.SetLimit(rate.Limit(share))
	p.limiter.SetBurst(burst)
}

// paceLocked takes over the rate that the settings say.
func (l *line) paceLocked(operator int64) { l.pace.set(operator, int(l.w.share.Load())) }

// mayLocked takes a turn of the credential's rate for each of a job's targets. When
// there are none it has the queue looked at again as soon as there are.
func (l *line) mayLocked(j *job) bool {
	p := &l.pace
	if p.limiter == nil {
		return true
	}
	n := min(j.size(), p.limiter.Burst())
	now := time.Now()
	if p.limiter.AllowN(now, n) {
		// What a large request has beyond a burst is owed: nothing goes before it is paid.
		for owed := j.size() - n; owed > 0; owed -= n {
			p.limiter.ReserveN(now, min(owed, n))
		}
		return true
	}
	if !p.waking {
		p.waking = true
		// At least a burst's time, so that a slow rate does not wake for every target.
		wait := max(time.Duration(float64(n)*float64(time.Second)/p.allowed), 5*time.Millisecond)
		time.AfterFunc(wait, l.wake)
	}
	return false
}

func (l *line) wake() {
	l.mu.Lock()
	l.pace.waking = false
	l.mu.Unlock()
	l.startMore()
}

// restLocked takes over a rest that another process was told of.
func (l *line) restLocked(until time.Time) {
	if now := l.w.o.Now(); until.After(now) && until.After(l.gov.restUntil) {
		l.gov.rest(now, until.Sub(now), models.ReasonThrottled)
	}
}

// restJobLocked puts a job off until the vendor takes more. A daily quota is worth a
// detour; who has none waits for it, or for another revision of the credential.
func (l *line) restJobLocked(j *job, reason string, until, now time.Time) {
	switch {
	case l.replaced:
		// The new revision's quota may be another one.
		j.putOff(models.ReasonRetry, wholeSecond(now.Add(rerouteWait)), now)
	case until.Sub(now) < quotaWait:
		j.putOff(reason, until, now)
	case !j.turn(now):
		j.putOff(reason, until, now)
		j.rested = l.cred.Revision
	}
}

// rested tells the other processes that the vendor's quota is used up.
func (l *line) rested(ctx context.Context, until time.Time, code string) {
	replaced, err := l.w.control.RestCredential(context.WithoutCancel(ctx), l.cred.ID, l.cred.Revision, until, code)
	if err != nil {
		l.unnoted(err)
	}
	l.mu.Lock()
	l.replaced = l.replaced || replaced
	l.restLocked(until) // also where the governor took it for an older setback
	l.mu.Unlock()
}

// receiptURL is the address for a credential's receipts, "" for none.
func (w *Worker) receiptURL(cfg *models.SendConfig, spec *push.Spec, c *models.SendCredential) string {
	if w.o.ReceiptURL == nil || c.Receipt == "" {
		return ""
	}
	if spec.ReceiptSetup != push.ReceiptMessage && spec.ReceiptSetup != push.ReceiptBoth {
		return ""
	}
	if spec.ReceiptSetup == push.ReceiptBoth && !c.ReceiptOn {
		return "" // the vendor would refuse the message
	}
	url := w.o.ReceiptURL(cfg.Region, c.Channel, c.Receipt, cfg.Sandbox)
	if len(url) > push.MaxReceiptURL {
		return "" // the console says so where the address is shown
	}
	return url
}

// learnReceiptsLocked takes over whether messages carry the receipt address. How many
// targets go in one request stays as it was: channels that ask for activation report
// each of them.
func (l *line) learnReceiptsLocked(cfg *models.SendConfig, c *models.SendCredential) {
	if c.ReceiptOn != l.receiptOn {
		l.receiptOn, l.receipts = c.ReceiptOn, l.w.receiptURL(cfg, &l.spec, c)
	}
}

// receiptRefused has a message tried again without the receipt address that the
// vendor refused it for, and sends none to the vendor from now on. False when that was
// not the reason.
func (l *line) receiptRefused(ctx context.Context, j *job, r *push.Result, now time.Time) bool {
	if !slices.Contains(l.spec.ReceiptRefused, r.Code) || !j.reported {
		return false
	}
	l.mu.Lock()
	first := l.receipts != ""
	l.receiptOn, l.receipts = false, ""
	l.mu.Unlock()
	if first {
		l.w.log.Warn("the vendor refused the receipt address, messages go without it", "credential", l.cred.ID, "channel", l.cred.Channel, "app", l.app, "code", r.Code)
		if err := l.w.control.ReceiptsRefused(context.WithoutCancel(ctx), l.cred.ID, l.cred.Revision, r.Code); err != nil {
			l.w.log.Warn("a refused receipt address was not noted", "credential", l.cred.ID, "error", err)
		}
	}
	j.putOff(models.ReasonRetry, wholeSecond(now.Add(rerouteWait)), now)
	return true
}

// count asks how many processes work on the lane's database.
func (l *lane) count(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, renewTimeout)
	defer cancel()
	n, err := l.db.Beat(ctx, l.w.o.Owner)
	if err != nil {
		l.w.log.Warn("working processes not counted, will try again", "error", err)
		return
	}
	l.w.share.Store(int32(min(max(n, 1), 1000))) //nolint:gosec // bounded
}
