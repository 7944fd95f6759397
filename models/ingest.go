package models

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"gorm.io/gorm"
)

// Ingest is an authenticated IM app's right to hand over messages. Only
// IngestBySecret makes one.
type Ingest struct {
	imAppID     int64
	accountID   int64
	sdkAppID    int64
	bridge      string
	allowIPs    string
	contentDays int
	language    string
	addressing  string
	sdkKey      Secret
	sample      bool
	targets     []ingestTarget
	// contentUntil is until when the operator wants to see contents of what arrives.
	contentUntil time.Time
	trace        *Trace
}

// ingestTarget is one app that the IM app is authorized to push to.
type ingestTarget struct {
	scope    AppScope
	planID   int64
	platform string
	sandbox  bool
}

// IMAppID returns the IM app's id.
func (i Ingest) IMAppID() int64 { return i.imAppID }

// AccountID returns the main account that owns the IM app.
func (i Ingest) AccountID() int64 { return i.accountID }

// SDKAppID returns the number that the IM app is known by to its own server.
func (i Ingest) SDKAppID() int64 { return i.sdkAppID }

// Bridge returns which bridge the IM app is for; any other must refuse it.
func (i Ingest) Bridge() string { return i.bridge }

// AllowIPs returns the operator's allow-list as entered; "" allows every address.
func (i Ingest) AllowIPs() string { return i.allowIPs }

// Language returns the language of the account's generic texts.
func (i Ingest) Language() string { return i.language }

// Addressing returns what its tokens are: AddressDevice or AddressVendor.
func (i Ingest) Addressing() string { return i.addressing }

// Sample reports whether this is the right to one sample message, of the sandbox.
func (i Ingest) Sample() bool { return i.sample }

// Authorized reports whether any app takes this IM app's messages.
func (i Ingest) Authorized() bool { return len(i.targets) > 0 }

// ingestLife is how long an authenticated IM app is remembered, so that a busy
// ingest address does not ask the control database for every request.
const ingestLife = time.Second

// maxIngestCache bounds the memory that guessed secrets can take.
const maxIngestCache = 4096

// ingestKey is a secret's hash, or a name's: whoever sends a secret chooses its
// bytes, so that only the flag keeps the two apart.
type ingestKey struct {
	named bool
	hash  [sha256.Size]byte
}

type ingestEntry struct {
	in  Ingest
	err error
	at  time.Time
}

// ingestCache remembers recent answers of IngestBySecret. version tells an
// answer that was read before a change from one read after it.
type ingestCache struct {
	mu      sync.Mutex
	m       map[ingestKey]ingestEntry
	version int
}

// IngestBySecret finds the IM app whose current secret, or an earlier one within
// its 24 hours, is given. A change made elsewhere is seen within a second.
// NotFound when there is none.
func (s *Store) IngestBySecret(ctx context.Context, secret string) (Ingest, error) {
	if strings.HasPrefix(secret, samplePrefix) {
		return s.loadSample(ctx, secret, s.Now())
	}
	hash := sha256.Sum256([]byte(secret))
	return s.cachedIngest(ctx, ingestKey{hash: hash}, func(now time.Time) (Ingest, error) {
		return s.loadIngest(ctx, `i.secret_hash = ? OR (i.prev_hash = ? AND i.prev_expires_at > ?)
			OR i.id = (SELECT o.im_app_id FROM im_app_old_secrets o WHERE o.hash = ? AND o.expires_at > ?)`,
			hash[:], hash[:], now, hash[:], now)
	})
}

// IngestByName finds the IM app of a bridge that has this app or server id among its
// names, for protocols whose address holds no secret. NotFound when there is none.
func (s *Store) IngestByName(ctx context.Context, bridge, name string) (Ingest, error) {
	if name == "" || len(name) > MaxIMName || storable(name) != name {
		return Ingest{}, notFound("im_app")
	}
	hash := sha256.Sum256([]byte(bridge + "\x00" + name))
	return s.cachedIngest(ctx, ingestKey{named: true, hash: hash}, func(time.Time) (Ingest, error) {
		in, err := s.loadIngest(ctx, "i.bridge = ? AND i.id = (SELECT n.im_app_id FROM im_app_names n WHERE n.bridge = ? AND n.name = ?)", bridge, bridge, name)
		if KindOf(err) == NotFound { // names can be guessed: this takes as long as one that is registered
			if _, err := s.ingestTargets(ctx, 0); err != nil {
				return Ingest{}, err
			}
		}
		return in, err
	})
}

// cachedIngest answers from what was loaded less than ingestLife ago, or loads.
func (s *Store) cachedIngest(ctx context.Context, key ingestKey, load func(now time.Time) (Ingest, error)) (Ingest, error) {
	now := s.Now()
	c := &s.intake.cache
	c.mu.Lock()
	e, ok := c.m[key]
	version := c.version
	c.mu.Unlock()
	if ok && now.Sub(e.at) < ingestLife && !now.Before(e.at) {
		return e.in, e.err
	}
	if err := ctx.Err(); err != nil {
		return Ingest{}, fmt.Errorf("models: ingest: %w", err)
	}
	in, err := load(now)
	if err != nil && KindOf(err) != NotFound {
		return Ingest{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.version == version {
		if c.m == nil || len(c.m) >= maxIngestCache {
			c.m = map[ingestKey]ingestEntry{}
		}
		c.m[key] = ingestEntry{in: in, err: err, at: now}
	}
	return in, err
}

// forgetIngest makes this process see a change of IM apps, authorizations, apps
// or accounts at once. Other processes see it within ingestLife.
func (s *Store) forgetIngest() {
	s.intake.cache.mu.Lock()
	defer s.intake.cache.mu.Unlock()
	s.intake.cache.m = nil
	s.intake.cache.version++
}

// loadIngest reads the control plane's tables with shapes of its own: it needs
// little of them, and often.
func (s *Store) loadIngest(ctx context.Context, cond string, args ...any) (Ingest, error) {
	var im struct {
		ID, AccountID        int64
		SDKAppID             int64 `gorm:"column:sdk_app_id"`
		Bridge               string
		AllowIPs             string `gorm:"column:allow_ips"`
		ContentDays          int
		Language, Addressing string
		SealedSDKKey         []byte `gorm:"column:sdk_key"`
		ContentUntil         *time.Time
	}
	err := s.read(ctx).Raw(`SELECT i.id, i.account_id, i.sdk_app_id, i.bridge, i.allow_ips, i.addressing, i.sdk_key, i.content_until, a.content_days, a.language
		FROM im_apps i JOIN accounts a ON a.id = i.account_id
		WHERE (`+cond+`) AND i.deleted_at IS NULL
		LIMIT 1`, args...).Take(&im).Error
	if errors.Is(err, gorm.ErrRecordNotFound) {
		return Ingest{}, notFound("im_app")
	}
	if err != nil {
		return Ingest{}, fmt.Errorf("models: ingest: %w", err)
	}
	in := Ingest{
		imAppID: im.ID, accountID: im.AccountID, sdkAppID: im.SDKAppID, bridge: im.Bridge, allowIPs: im.AllowIPs,
		contentDays: im.ContentDays, language: im.Language, addressing: im.Addressing,
	}
	if len(im.SealedSDKKey) > 0 {
		key, err := s.open(im.SealedSDKKey, sdkKeyPlace(im.ID))
		if err != nil {
			return Ingest{}, fmt.Errorf("models: ingest: sdk key: %w", err)
		}
		in.sdkKey = Secret(key)
	}
	if im.ContentUntil != nil {
		in.contentUntil = *im.ContentUntil
	}
	in.targets, err = s.ingestTargets(ctx, im.ID)
	return in, err
}

func (s *Store) ingestTargets(ctx context.Context, imAppID int64) ([]ingestTarget, error) {
	var rows []struct {
		AppID, PlanID, AccountID int64
		Region, Platform         string
		Sandbox                  bool
	}
	err := s.read(ctx).Raw(`SELECT z.app_id, z.plan_id, p.account_id, p.region, p.platform, p.sandbox
		FROM authorizations z JOIN apps p ON p.id = z.app_id
		WHERE z.im_app_id = ? AND z.released_at IS NULL AND p.deleted_at IS NULL
		ORDER BY z.id`, imAppID).Scan(&rows).Error
	if err != nil {
		return nil, fmt.Errorf("models: ingest: authorizations: %w", err)
	}
	targets := make([]ingestTarget, 0, len(rows))
	for _, r := range rows {
		db, err := s.region(r.Region)
		if err != nil {
			return nil, err
		}
		targets = append(targets, ingestTarget{
			scope:  AppScope{appID: r.AppID, accountID: r.AccountID, db: db},
			planID: r.PlanID, platform: r.Platform, sandbox: r.Sandbox,
		})
	}
	return targets, nil
}

// Outcomes of what an ingest address received, counted per IM app and hour.
const (
	IngestAccepted     = "accepted"
	IngestDuplicate    = "duplicate"
	IngestSender       = "sender"       // the sender himself
	IngestBadge        = "badge"        // badge-only
	IngestSkipped      = "skipped"      // nothing to push in it
	IngestUnauthorized = "unauthorized" // 未授权
	IngestInvalid      = "invalid"
	IngestRefused      = "refused" // could not be stored
	IngestDead         = "dead"    // for a token whose device is gone
	IngestUnknown      = "unknown" // for a token that no authorized app has
	IngestDenied       = "denied"  // not read: the address is not allowed, or too many requests
	// IngestRequest counts requests, whatever became of them; all others count messages.
	IngestRequest = "request"
)

type ingestCount struct {
	imAppID, hour int64
	outcome       string
}

// ingestStats collects counts in memory; the intake's ticker writes them.
type ingestStats struct {
	// writing is held while counts are written, so that a flush returns only after
	// what an earlier one had already taken is written too.
	writing sync.Mutex

	mu   sync.Mutex // guards what follows
	n    map[ingestCount]int64
	last map[int64]ingestLast
}

type ingestLast struct {
	at      time.Time
	outcome string
}

// CountIngest counts n messages (or requests) of an IM app by outcome, in
// memory; they reach the control database within a second while accepting.
func (s *Store) CountIngest(imAppID int64, outcome string, n int) {
	if n <= 0 || imAppID == 0 {
		return
	}
	now := s.Now()
	st := &s.intake.stats
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.n == nil {
		st.n, st.last = map[ingestCount]int64{}, map[int64]ingestLast{}
	}
	st.n[ingestCount{imAppID, HourOf(now), outcome}] += int64(n)
	if outcome != IngestRequest { // says nothing of what became of it
		st.last[imAppID] = ingestLast{now, outcome}
	}
}

// FlushIngest writes what CountIngest collected; when it returns nil, everything
// counted before the call is in the database. On failure nothing is lost: the
// counts stay for the next time.
func (s *Store) FlushIngest(ctx context.Context) error {
	st := &s.intake.stats
	st.writing.Lock()
	defer st.writing.Unlock()
	st.mu.Lock()
	n, last := st.n, st.last
	st.n, st.last = nil, nil
	st.mu.Unlock()
	if len(n) == 0 {
		return nil
	}
	err := s.write(ctx, func(t *Tx) error { return t.addIngestStats(n, last) })
	if err != nil {
		st.putBack(n, last)
		return fmt.Errorf("models: ingest statistics: %w", err)
	}
	return nil
}

// putBack merges counts that could not be written with those made since.
func (st *ingestStats) putBack(n map[ingestCount]int64, last map[int64]ingestLast) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.n == nil {
		st.n, st.last = n, last
		return
	}
	for k, v := range n {
		st.n[k] += v
	}
	for k, v := range last {
		if _, newer := st.last[k]; !newer {
			st.last[k] = v
		}
	}
}
