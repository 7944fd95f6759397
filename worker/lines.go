package worker

import (
	"context"
	"errors"
	"sync"
	"time"

	"hongyan/models"
	"hongyan/push"
)

// lines are the credentials in use, by id. A credential whose revision changes
// gets a new line; the old one goes on with what it has and closes when idle.
type lines struct {
	w *Worker

	mu  sync.Mutex
	m   map[int64]*line
	old []*line
}

func (ls *lines) init(w *Worker) { ls.w, ls.m = w, map[int64]*line{} }

// get returns the line for an app's credential, nil when this build does not know
// its channel.
func (ls *lines) get(cfg *models.SendConfig, c *models.SendCredential) *line {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	l := ls.m[c.ID]
	if l != nil && l.cred.Revision == c.Revision && l.box == cfg.Sandbox && l.touch(cfg, c) {
		return l
	}
	spec, ok := ls.w.o.Registry(push.Channel(c.Channel))
	if !ok {
		return nil
	}
	if l != nil {
		ls.old = append(ls.old, l)
	}
	l = &line{w: ls.w, app: cfg.AppID, cred: *c, spec: spec, box: cfg.Sandbox, pkg: cfg.Package, m: ls.w.metrics.line(c.Channel)}
	most := ls.w.o.Limits.InFlight
	if n := spec.Limits.InFlight; n > 0 {
		most = min(most, n)
	}
	l.gov = governor{most: most, window: most}
	l.pace = newPace(spec.Rate)
	l.receiptOn, l.receipts = c.ReceiptOn, ls.w.receiptURL(cfg, &spec, c)
	l.bundle = bundleOf(&spec.Limits, l.receipts != "")
	l.paceLocked(c.Rate)
	l.restLocked(c.RestUntil)
	l.restClassesLocked(c.ClassRests)
	l.paused, l.used, l.checked = c.Paused, ls.w.sinceStart(), ls.w.sinceStart()
	ls.m[c.ID] = l
	return l
}

// touch notes that the line is about to be used and what its settings say; false
// when it is closed.
func (l *line) touch(cfg *models.SendConfig, c *models.SendCredential) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.used, l.checked = l.w.sinceStart(), l.w.sinceStart()
	l.paused, l.gone = c.Paused, false
	l.paceLocked(c.Rate)
	l.restLocked(c.RestUntil)
	l.restClassesLocked(c.ClassRests)
	l.learnReceiptsLocked(cfg, c)
	return !l.closing
}

// tidy closes lines that were replaced or have been idle for long.
func (ls *lines) tidy(now time.Duration) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	old := ls.old
	ls.old = nil
	for _, l := range old {
		if !l.closeAfter(now, idleClose/10) {
			ls.old = append(ls.old, l)
		}
	}
	for id, l := range ls.m {
		if l.closeAfter(now, idleClose) {
			delete(ls.m, id)
		}
	}
}

// closeAfter closes the line when it was not used for that long.
func (l *line) closeAfter(now, unused time.Duration) bool {
	l.mu.Lock()
	due := now-l.used >= unused
	l.mu.Unlock()
	return due && l.close(false)
}

// flying is how many sends are under way through all lines.
func (ls *lines) flying() int {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	n := 0
	for _, l := range ls.old {
		n += l.inFlight()
	}
	for _, l := range ls.m {
		n += l.inFlight()
	}
	return n
}

func (l *line) inFlight() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.flying
}

// stopped is how many credentials in use are paused.
func (ls *lines) stopped() int {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	n := 0
	for _, l := range ls.m {
		l.mu.Lock()
		if l.pausedLocked() {
			n++
		}
		l.mu.Unlock()
	}
	return n
}

// closeAll closes every line.
func (ls *lines) closeAll() {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	for _, l := range ls.old {
		l.close(true)
	}
	for _, l := range ls.m {
		l.close(true)
	}
	ls.old, ls.m = nil, map[int64]*line{}
}

// Codes that the worker adds to a vendor's and to package push's.
const (
	codeNoSandbox = "hy_no_sandbox" // no simulator runs in this process
	codePanic     = "hy_panic"      // the channel's own fault, not sent
)

var errNoSandbox = errors.New("worker: no simulator runs here")

// open returns the line's sender, made at the first send.
func (l *line) open(ctx context.Context) (push.Sender, error) {
	l.opening.Lock()
	defer l.opening.Unlock()
	if l.sender != nil {
		return l.sender, nil
	}
	o := push.Options{Environment: push.Environment(l.cred.Environment)}
	if l.spec.Channel == push.WebPush {
		// Its targets name the address to call. The others call the vendor's own, maybe
		// through a proxy, which a guarded dial does not take.
		o.DialControl = l.w.o.DialControl
	}
	if l.box {
		ok := false
		if l.w.o.Sandbox != nil {
			o, ok = l.w.o.Sandbox(l.spec.Channel)
		}
		if !ok {
			return nil, errNoSandbox
		}
	}
	o.Topic, o.Now = l.cred.PackageName, l.w.o.Now
	if o.Topic == "" {
		o.Topic = l.pkg
	}
	fields := make(map[string]string, len(l.cred.Fields))
	for k, v := range l.cred.Fields {
		fields[k] = v.Reveal()
	}
	s, err := l.spec.Open(ctx, fields, o)
	if err != nil {
		return nil, err
	}
	l.sender = s
	return s, nil
}
