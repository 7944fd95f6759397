package worker

import (
	"context"
	"slices"
	"time"

	"hongyan/models"
	"hongyan/push"
)

const (
	// lookUpPause is how long a look-up that failed waits before it is tried again.
	lookUpPause = 500 * time.Millisecond
	// settingsTries is how often that is done for settings alone: half a minute.
	settingsTries = 60
	// settingsWait is when messages are looked at again whose app's settings could
	// not be read.
	settingsWait = 10 * time.Second
)

// maxDevices is how many devices of one account a message goes to, the newest
// bound: nobody carries more, and whoever binds thousands must not fill the
// worker's memory.
const maxDevices = 100

// findings are what was looked up for several batches: the devices and the apps'
// settings. An app without settings is gone.
type findings struct {
	accounts map[models.AccountKey][]models.Reach
	devices  map[int64]models.Reach
	apps     map[int64]*models.SendConfig
	failed   map[int64]bool // apps whose settings could not be read
}

// lookUp finds everything the batches need, with one query for accounts and one
// for devices. It tries until it succeeds; false when ctx ended first. Settings
// of single apps that cannot be read do not hold up the others, and settings that
// nobody can read hold everything up for half a minute, for order's sake.
func (l *lane) lookUp(ctx context.Context, works []*work) (*findings, bool) {
	for try := 1; ; try++ {
		f, err := l.settings(ctx, works)
		if err == nil || try >= settingsTries {
			err = l.devices(ctx, works, f)
		}
		if err == nil {
			return f, true
		}
		if ctx.Err() != nil {
			return nil, false
		}
		l.w.log.Warn("devices not looked up, will try again", "error", err)
		if !pause(ctx, lookUpPause) {
			return nil, false
		}
	}
}

// settings reads the settings of the batches' apps. The error says that none
// could be read.
func (l *lane) settings(ctx context.Context, works []*work) (*findings, error) {
	f := &findings{apps: map[int64]*models.SendConfig{}, failed: map[int64]bool{}}
	var last error
	for _, k := range works {
		for i := range k.items {
			id := k.items[i].Message.AppID
			if _, known := f.apps[id]; known {
				continue
			}
			cfg, err := l.w.control.SendConfig(ctx, id)
			if err != nil && models.KindOf(err) != models.NotFound {
				last, f.failed[id] = err, true
			}
			f.apps[id] = cfg
		}
	}
	if last != nil && len(f.failed) < len(f.apps) {
		l.w.log.Error("the settings of some apps could not be read, their messages wait", "apps", len(f.failed), "error", last)
		last = nil
	}
	return f, last
}

// devices looks up the devices of the batches' messages.
func (l *lane) devices(ctx context.Context, works []*work, f *findings) (err error) {
	var keys []models.AccountKey
	var ids []int64
	for _, k := range works {
		for i := range k.items {
			it := &k.items[i]
			switch {
			case it.Targets != nil:
				for _, t := range it.Targets {
					ids = append(ids, t.DeviceID)
				}
			case it.DeviceID != 0:
				ids = append(ids, it.DeviceID)
			default:
				keys = append(keys, accountOf(it))
			}
		}
	}
	// Before the look-up, not after: see badges.
	l.badges.purge()
	if len(keys) > 0 {
		if f.accounts, err = l.db.ReachAccounts(ctx, keys); err != nil {
			return err
		}
	}
	if len(ids) > 0 {
		slices.Sort(ids)
		f.devices, err = l.db.ReachDevices(ctx, slices.Compact(ids))
	}
	return err
}

func accountOf(it *models.Item) models.AccountKey {
	return models.AccountKey{AppID: it.Message.AppID, Type: it.Message.AccountType, Account: it.Message.Account}
}

// planner makes one batch's jobs.
type planner struct {
	l    *lane
	k    *work
	f    *findings
	now  time.Time
	msgs []push.Message // one per item
	// groups are the messages that several items share, by the group's id.
	groups map[string]*push.Message
	// counted are the devices whose badge this batch has counted up.
	counted map[int64]bool
	// lines keeps the batch's credentials at hand.
	lines map[int64]*line
}

// makeJobs turns a batch into jobs: one for each device of each message, or one
// that says why there is none.
func (l *lane) makeJobs(k *work, f *findings) {
	p := &planner{
		l: l, k: k, f: f, now: l.w.o.Now(), msgs: make([]push.Message, len(k.items)),
		counted: map[int64]bool{}, lines: map[int64]*line{},
	}
	jobs := make([]job, 0, len(k.items)+8)
	for i := range k.items {
		jobs = p.item(jobs, i)
	}
	// Only now, when the slice does not move any more.
	for i := range jobs {
		if j := &jobs[i]; j.line != nil && j.target[0].Badge != nil {
			j.target[0].Badge = &j.badge
		}
	}
	badged := make([]int64, 0, len(p.counted))
	for id := range p.counted {
		badged = append(badged, id)
	}
	k.mu.Lock()
	k.jobs, k.badges = jobs, badged
	k.mu.Unlock()
}

// item adds the jobs of one message.
func (p *planner) item(jobs []job, i int) []job {
	it := &p.k.items[i]
	if it.Targets != nil {
		return p.openTargets(jobs, i)
	}
	cfg, failed := p.f.apps[it.Message.AppID], p.f.failed[it.Message.AppID]
	switch {
	case cfg == nil && !failed:
		return p.without(jobs, it, models.StateFailed, models.ReasonAppGone)
	case !p.now.Before(it.Message.ExpiresAt):
		return p.without(jobs, it, models.StateExpired, models.ReasonExpired)
	case failed:
		j := newJob(p.k, it, models.OpenTarget{})
		p.postpone(&j)
		return append(jobs, j)
	}
	var reach []models.Reach
	if it.DeviceID == 0 {
		reach = models.FanOut(cfg.Fanout, p.f.accounts[accountOf(it)])
		reach = reach[:min(len(reach), maxDevices)]
	} else if r, ok := p.f.devices[it.DeviceID]; ok && r.Device.AppID == it.Message.AppID {
		reach = []models.Reach{r}
	}
	if len(reach) == 0 {
		return p.without(jobs, it, models.StateSkipped, models.ReasonNoDevice)
	}
	for n := range reach {
		j := newJob(p.k, it, models.OpenTarget{DeviceID: reach[n].Device.ID, ResolvedAt: p.now})
		j.fresh = true
		p.choose(&j, i, cfg, &reach[n])
		// One that waits to be merged is planned when it goes.
		j.planned = j.state != models.StateSkipped && !j.merging
		jobs = append(jobs, j)
	}
	return jobs
}

// openTargets adds the jobs of a message whose devices were chosen before.
func (p *planner) openTargets(jobs []job, i int) []job {
	it := &p.k.items[i]
	cfg, failed := p.f.apps[it.Message.AppID], p.f.failed[it.Message.AppID]
	for _, t := range it.Targets {
		j := newJob(p.k, it, t)
		r, ok := p.f.devices[t.DeviceID]
		switch {
		case failed && !j.expired(p.now):
			p.postpone(&j)
		case failed:
			j.settle(models.StateExpired, models.ReasonExpired, p.now)
		case cfg == nil:
			j.settle(models.StateFailed, models.ReasonAppGone, p.now)
		case !ok:
			j.settle(models.StateFailed, models.ReasonUnknown, p.now)
		default:
			p.choose(&j, i, cfg, &r)
			j.planned = t.Merge && t.Tries == 0 && j.state != models.StateSkipped
		}
		jobs = append(jobs, j)
	}
	return jobs
}

// without adds an end that concerns no device.
func (p *planner) without(jobs []job, it *models.Item, state, reason string) []job {
	j := newJob(p.k, it, models.OpenTarget{ResolvedAt: p.now})
	j.settle(state, reason, p.now)
	return append(jobs, j)
}

// postpone has a message planned again later, without a trace in the records.
func (p *planner) postpone(j *job) {
	j.putOff("", wholeSecond(p.now.Add(settingsWait)), p.now)
	j.again = true
}

// choose picks the route and the credential for a job, or ends it.
func (p *planner) choose(j *job, i int, cfg *models.SendConfig, r *models.Reach) {
	m := &j.item.Message
	if j.fresh && r.Device.Notify == models.NotifyOff && m.Kind != models.KindSilent {
		j.settle(models.StateSkipped, models.ReasonNotifyOff, p.now)
		return
	}
	switch {
	case len(r.Routes) > 0:
	case j.fresh:
		j.settle(models.StateSkipped, models.ReasonNoRoute, p.now)
		return
	default: // its token died while the message waited
		j.settle(models.StateFailed, models.ReasonBadToken, p.now)
		return
	}
	rt, cred, other := pick(cfg, r.Routes, &j.from)
	j.channel, j.from.RouteID, j.detour = rt.Channel, rt.ID, other
	if !j.fresh && j.expired(p.now) {
		j.settle(models.StateExpired, models.ReasonExpired, p.now)
		return
	}
	if cred == nil {
		j.settle(models.StateFailed, models.ReasonNoCredential, p.now)
		return
	}
	ln, ok := p.lines[cred.ID]
	if !ok {
		ln = p.l.w.lines.get(cfg, cred)
		p.lines[cred.ID] = ln
	}
	if ln == nil {
		j.settle(models.StateFailed, models.ReasonNoCredential, p.now)
		return
	}
	j.line = ln
	topic := rt.PackageName
	if topic == "" {
		topic = cfg.Package
	}
	j.target[0] = push.Target{Token: rt.Token, Topic: topic, ID: targetID(m.ID, j.from.DeviceID)}
	if ln.spec.ReceiptSetup != push.ReceiptNone {
		j.target[0].Ref = models.ReceiptRef(m.ID, j.from.DeviceID)
	}
	if p.merged(j, cfg) {
		j.line = nil
		return
	}
	j.msg = p.message(i, cfg, ln)
	if cfg.Merge > 0 && m.Kind == models.KindAlert && m.Conversation != "" {
		own := *j.msg // on each device it may stand for another number
		own.Body = mergedText(own.Body, j.count, cfg.Language)
		own.CollapseKey, own.Collapses = hidden(cfg, m.Conversation), true
		j.msg = &own
	}
	p.badge(j, models.Badge{N: r.Device.Badge, Revision: r.Device.BadgeRevision})
}

// message returns what an item says through a line. Items of one group share it where
// the vendor takes many targets in one request.
func (p *planner) message(i int, cfg *models.SendConfig, ln *line) *push.Message {
	it := &p.k.items[i]
	if it.Group == "" || ln.bundle < 2 || cfg.Merge > 0 || cfg.TextMode == models.TextSender || cfg.TextMode == models.TextGeneric {
		// With its text hidden an app finds a message by its id, which must be its own.
		if p.msgs[i].Kind == "" {
			p.msgs[i] = compose(it, cfg, it.Message.ID)
		}
		return &p.msgs[i]
	}
	m := p.groups[it.Group]
	if m == nil {
		if p.groups == nil {
			p.groups = map[string]*push.Message{}
		}
		c := compose(it, cfg, it.Group)
		m = &c
		p.groups[it.Group] = m
	}
	return m
}

// badge decides the number on the icon: what the request says, else one more than
// before. A message that was put off shows the number as it is by now.
func (p *planner) badge(j *job, stored models.Badge) {
	c := &j.item.Content
	if j.item.Message.Kind == models.KindSilent {
		return
	}
	b := &p.l.badges
	n := b.now(j.from.DeviceID, stored)
	if j.fresh {
		switch {
		case c.Badge != nil:
			n.N = max(*c.Badge, 0)
		case j.item.Message.Kind == models.KindBadge:
			return // nothing to set; the vendor's package says so
		case c.KeepBadge:
			j.badge = n.N
			j.target[0].Badge = &j.badge
			return
		default:
			n.N++
			j.counted = true
		}
		b.set(j.from.DeviceID, n, !p.counted[j.from.DeviceID])
		p.counted[j.from.DeviceID] = true
	}
	j.badge = n.N
	j.target[0].Badge = &j.badge // pointed anew once the jobs stay where they are
}

// failAll gives a batch up that cannot be planned: each of its messages is
// recorded as failed.
func (l *lane) failAll(k *work) {
	now := l.w.o.Now()
	var jobs []job
	for i := range k.items {
		it := &k.items[i]
		targets := it.Targets
		if targets == nil {
			targets = []models.OpenTarget{{ResolvedAt: now}}
		}
		for _, t := range targets {
			jobs = append(jobs, newJob(k, it, t))
		}
	}
	for i := range jobs {
		jobs[i].settle(models.StateFailed, models.ReasonBadMessage, now)
		jobs[i].result.Code = codePanic
	}
	k.mu.Lock()
	k.jobs = jobs
	k.mu.Unlock()
	l.launch(k)
}
