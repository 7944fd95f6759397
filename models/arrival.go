package models

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// Arrival is a request that came to an IM app, as 最近到达 on its page shows it.
type Arrival struct {
	ID      string `gorm:"primaryKey"` // UUIDv7: a greater one came later
	IMAppID int64  `gorm:"column:im_app_id"`
	At      time.Time
	Kind    string // one of Arrival…
	Sample  bool   // made by the console
	Status  int    // HTTP status of the answer, 0 where there is none
	Code    string // why it was refused, "" when it was not
	Detail  string // JSON: what fills the sentence of Code
	Counts  string // JSON: outcome to number
	Address string // where it came from
	Micros  int64  // from arrival to answer
	Bytes   int64  // of the body, -1 unknown
	Shape   string // the request with texts, tokens and secrets masked
	// Content is the sealed request with its texts, empty but for what came while the
	// operator asked for it; wiped at ContentUntil.
	Content      []byte `json:"-"`
	ContentUntil *time.Time
}

// TableName is GORM's hook.
func (Arrival) TableName() string { return "im_arrivals" }

// HasContent reports whether the texts are kept at that moment.
func (a *Arrival) HasContent(now time.Time) bool {
	return a.ContentUntil != nil && now.Before(*a.ContentUntil)
}

// Outcomes returns Counts as a map.
func (a *Arrival) Outcomes() map[string]int {
	var out map[string]int
	_ = json.Unmarshal([]byte(a.Counts), &out) // written by us; what is unreadable counts nothing
	return out
}

// Limits of what is shown of arrivals. They bound what a busy address costs: a request
// beyond them is counted and not listed.
const (
	// KeptArrivals is how many of an IM app's requests are kept.
	KeptArrivals = 50
	// ArrivalLife is how long they are kept.
	ArrivalLife = 24 * time.Hour
	// ContentTime is how long contents are shown after the operator asked.
	ContentTime = 10 * time.Minute
	// MaxShape is how long a masked request or a content may be, in bytes.
	MaxShape = 8 << 10

	goodPerFlush    = 3   // of one IM app, between two writes, which are a second apart
	badPerFlush     = 5   // likewise, of those that somebody should look at
	watchedPerFlush = 20  // of each while contents are asked for
	allPerFlush     = 200 // of all IM apps of a process
)

// arrivalBuffer holds arrivals until the intake's ticker writes them.
type arrivalBuffer struct {
	writing sync.Mutex // held while arrivals are written
	ids     idMaker

	mu   sync.Mutex // guards what follows
	seen map[int64]*arrivalQuota
	all  int
	rows []Arrival
}

// arrivalQuota is how many of an IM app's arrivals were taken since the last write.
type arrivalQuota struct{ good, bad int }

// WantArrival reports whether a request will be shown, and takes its place: only then
// is it worth masking. It costs a lock and no more.
func (s *Store) WantArrival(t *Trace) bool {
	if t.IMAppID == 0 { // nobody's
		return false
	}
	b := &s.intake.arrivals
	bad := t.Bad()
	b.mu.Lock()
	defer b.mu.Unlock()
	q := b.seen[t.IMAppID]
	if q == nil {
		if b.all >= allPerFlush {
			return false
		}
		if b.seen == nil {
			b.seen = map[int64]*arrivalQuota{}
		}
		q = &arrivalQuota{}
		b.seen[t.IMAppID] = q
	}
	n, most := &q.good, goodPerFlush
	if bad {
		n, most = &q.bad, badPerFlush
	}
	if !t.ContentUntil.IsZero() || t.Sample {
		most = watchedPerFlush
	}
	if *n >= most || b.all >= allPerFlush {
		return false
	}
	*n++
	b.all++
	return true
}

// AddArrival keeps a request that WantArrival took, in memory; it reaches the control
// database within a second while accepting. content is the request with its texts,
// "" unless the trace asks for it; it is sealed at once.
func (s *Store) AddArrival(t *Trace, a Arrival, content string) error {
	b := &s.intake.arrivals
	counts := map[string]int{}
	for _, c := range t.Counts {
		counts[c.Outcome] = c.N
	}
	data := maps.Clone(t.Data)
	if t.Field != "" {
		if data == nil {
			data = map[string]any{}
		}
		data["Field"] = t.Field
	}
	var err error
	if a.Counts, err = arrivalJSON(counts); err != nil {
		return err
	}
	if a.Detail, err = arrivalJSON(data); err != nil {
		return err
	}
	ids, err := b.ids.next(s.Now(), 1)
	if err != nil {
		return err
	}
	a.ID, a.IMAppID, a.Kind, a.Sample, a.Code = ids[0].String(), t.IMAppID, t.Kind, t.Sample, t.Code
	a.Address, a.Shape = firstBytes(a.Address, 64), firstBytes(a.Shape, MaxShape)
	a.Content, a.ContentUntil = []byte{}, nil
	if content != "" && !t.ContentUntil.IsZero() {
		if a.Content, err = s.seal([]byte(firstBytes(content, MaxShape)), arrivalPlace(a.ID)); err != nil {
			return err
		}
		until := t.ContentUntil
		a.ContentUntil = &until
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rows = append(b.rows, a)
	return nil
}

func arrivalPlace(id string) string { return "im_arrivals.content:" + id }

func arrivalJSON(v any) (string, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("models: arrival: %w", err)
	}
	return string(b), nil
}

// FlushArrivals writes what AddArrival took; when it returns nil, everything added
// before the call is in the database. What cannot be written is lost: it is for the
// eye, and the statistics hold the numbers.
func (s *Store) FlushArrivals(ctx context.Context) error {
	b := &s.intake.arrivals
	b.writing.Lock()
	defer b.writing.Unlock()
	b.mu.Lock()
	rows := b.rows
	b.rows, b.seen, b.all = nil, nil, 0
	b.mu.Unlock()
	if len(rows) == 0 {
		return nil
	}
	return failed("arrivals", s.write(ctx, func(t *Tx) error { return t.addArrivals(rows) }))
}

// addArrivals inserts rows and drops the oldest beyond those that are kept. The IM
// apps' rows are locked first, in order of id: whoever ends the showing of contents
// then comes before, and they are not written, or after, and wipes them.
func (t *Tx) addArrivals(rows []Arrival) error {
	apps := map[int64]*time.Time{}
	for i := range rows {
		apps[rows[i].IMAppID] = nil
	}
	ids := sortedKeys(apps, compareInt64)
	var living []IMApp
	if err := t.locked().Select("id", "content_until").Order("id").Find(&living, "id IN ? AND deleted_at IS NULL", ids).Error; err != nil {
		return err
	}
	clear(apps)
	for i := range living {
		apps[living[i].ID] = living[i].ContentUntil
	}
	now := t.now()
	rows = slices.DeleteFunc(slices.Clone(rows), func(a Arrival) bool { _, lives := apps[a.IMAppID]; return !lives })
	for i := range rows {
		a := &rows[i]
		if on := apps[a.IMAppID]; a.ContentUntil != nil && (on == nil || !now.Before(*on) || !now.Before(*a.ContentUntil)) {
			a.Content, a.ContentUntil = []byte{}, nil
		}
	}
	if len(rows) == 0 {
		return nil
	}
	if err := t.CreateInBatches(rows, KeptArrivals).Error; err != nil {
		return err
	}
	for id := range apps {
		err := t.Exec(`DELETE FROM im_arrivals WHERE im_app_id = ? AND id <= (
			SELECT id FROM im_arrivals WHERE im_app_id = ? ORDER BY id DESC LIMIT 1 OFFSET ?)`, id, id, KeptArrivals).Error
		if err != nil {
			return err
		}
	}
	return nil
}

// SweepArrivals is the upkeep that wipes contents whose time is over and removes what
// is older than a day.
func (s *Store) SweepArrivals(ctx context.Context) error {
	now := s.Now()
	old := idBound(now.Add(-ArrivalLife))
	var due int
	err := s.read(ctx).Raw("SELECT COUNT(*) FROM im_arrivals WHERE content_until <= ? OR id < ?", now, old).Scan(&due).Error
	if err != nil || due == 0 { // it looks first: mostly there is nothing
		return failed("sweep arrivals", err)
	}
	return failed("sweep arrivals", s.write(ctx, func(t *Tx) error {
		if err := t.wipeArrivals("content_until <= ?", now); err != nil {
			return err
		}
		return t.Exec("DELETE FROM im_arrivals WHERE id < ?", old).Error
	}))
}

// wipeArrivals removes kept contents.
func (t *Tx) wipeArrivals(where string, arg any) error {
	return t.Model(&Arrival{}).Where("content_until IS NOT NULL").Where(where, arg).
		UpdateColumns(map[string]any{"content": []byte{}, "content_until": nil}).Error
}

// ShowContent keeps the contents of what arrives at an IM app for the next ten minutes,
// or stops that and wipes what was kept. NotFound; Forbidden without PermIM or
// PermContent.
func (s *Store) ShowContent(ctx context.Context, who Actor, imAppID int64, on bool) (*IMApp, error) {
	if err := who.need(PermContent); err != nil {
		return nil, err
	}
	return s.changeIMApp(ctx, who, "show content", imAppID, []string{"content_until"}, func(t *Tx, m *IMApp) error {
		e := m.entry(ActionDisable)
		e.after = facts{"arrival_content": true}
		m.ContentUntil = nil
		if on {
			until := t.now().Add(ContentTime)
			e.action = ActionEnable
			m.ContentUntil = &until
		} else if err := t.wipeArrivals("im_app_id = ?", m.ID); err != nil {
			return err
		}
		return t.audit(who, e)
	})
}

// LatestArrivals returns the requests that came last to one of the account's IM apps, newest
// first, without their contents. NotFound; Forbidden without PermIM.
func (s *Store) LatestArrivals(ctx context.Context, who Actor, imAppID int64) ([]Arrival, error) {
	if _, err := s.IMAppByID(ctx, who, imAppID); err != nil {
		return nil, err
	}
	var rows []Arrival
	err := s.read(ctx).Omit("content", "shape").Order("id DESC").Limit(KeptArrivals).Find(&rows, "im_app_id = ?", imAppID).Error
	return rows, failed("arrivals", err)
}

// ArrivalByID returns one of them. NotFound; Forbidden without PermIM.
func (s *Store) ArrivalByID(ctx context.Context, who Actor, imAppID int64, id string) (*Arrival, error) {
	if _, err := s.IMAppByID(ctx, who, imAppID); err != nil {
		return nil, err
	}
	var a Arrival
	err := s.read(ctx).Omit("content").Where("im_app_id = ? AND id = ?", imAppID, storable(id)).Take(&a).Error
	if err != nil {
		return nil, failed("arrival", found(err, ""))
	}
	return &a, nil
}

// ArrivalContent returns a request with its texts, and writes down who saw them.
// NotFound when they are not kept or their time is over; Forbidden without PermIM or
// PermContent.
func (s *Store) ArrivalContent(ctx context.Context, who Actor, imAppID int64, id string) (string, error) {
	if err := who.need(PermContent); err != nil {
		return "", err
	}
	var plain []byte
	err := s.change(ctx, who, PermIM, "arrival content", func(t *Tx) error {
		m, err := t.imApp(who, imAppID)
		if err != nil {
			return err
		}
		var a Arrival
		err = t.Where("im_app_id = ? AND id = ? AND content_until > ?", imAppID, storable(id), t.now()).Take(&a).Error
		if err != nil {
			return found(err, "")
		}
		if plain, err = s.open(a.Content, arrivalPlace(a.ID)); err != nil {
			return err
		}
		e := m.entry(ActionView)
		e.after = facts{"arrival": a.ID}
		return t.audit(who, e)
	})
	return string(plain), err
}

// forgetArrivals removes the requests of the IM apps that an app was ever authorized to.
func (s *Store) forgetArrivals(ctx context.Context, app AppScope) error {
	if err := s.FlushArrivals(ctx); err != nil {
		return err
	}
	return s.write(ctx, func(t *Tx) error {
		return t.Exec("DELETE FROM im_arrivals WHERE im_app_id IN (SELECT im_app_id FROM authorizations WHERE app_id = ?)", app.appID).Error
	})
}
