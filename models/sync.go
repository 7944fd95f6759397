package models

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// SyncItem is a vendor setting of the IM side that an app could take over.
type SyncItem struct {
	Channel     string
	Environment string
	PackageName string
	SourceID    int64
	SourceRev   int64
	// CredentialID is the copy that an earlier revision gave, 0 for an empty slot.
	CredentialID int64
	Info         CredentialInfo
	SavedAt      time.Time // on the IM side
}

// slot is a place for a credential.
type slot struct{ channel, environment, packageName string }

func (c *Credential) slot() slot { return slot{c.Channel, c.Environment, c.PackageName} }

// imCredentials returns the IM side's vendor settings that suit an app: those for
// its platform, and of certificates only those for its bundle.
func (t *Tx) imCredentials(imAppID int64, app *App) ([]Credential, error) {
	var rows []Credential
	err := t.Where("owner_kind = ? AND owner_id = ?", ownerIM, imAppID).Order("id").Find(&rows).Error
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(rows, func(c Credential) bool { return !suits(&c, app) }), nil
}

func suits(c *Credential, app *App) bool {
	if !ChannelFits(c.Channel, app.Platform) {
		return false
	}
	bundle := c.Facts().BundleID
	return app.PackageName == "" || bundle == "" || bundle == app.PackageName
}

func (t *Tx) appCredentials(appID int64) (map[slot]Credential, error) {
	var rows []Credential
	if err := t.locked().Where("owner_kind = ? AND owner_id = ?", ownerApp, appID).Order("id").Find(&rows).Error; err != nil {
		return nil, err
	}
	out := map[slot]Credential{}
	for _, c := range rows {
		out[c.slot()] = c
	}
	return out, nil
}

// fillEmpty copies vendor settings of the IM side into the slots that an app has
// empty, and its package name if the app has none: 数据已自动同步. It returns how many
// it copied.
func (s *Store) fillEmpty(t *Tx, who Actor, im *IMApp, app *App) (int, error) {
	if err := t.takePackage(im.ID, app); err != nil {
		return 0, err
	}
	sources, err := t.imCredentials(im.ID, app)
	if err != nil {
		return 0, err
	}
	has, err := t.appCredentials(app.ID)
	if err != nil {
		return 0, err
	}
	n := 0
	for i := range sources {
		if _, full := has[sources[i].slot()]; full {
			continue
		}
		if err := s.copyCredential(t, who, &sources[i], app, nil); err != nil {
			return n, err
		}
		n++
	}
	if n == 0 {
		return 0, nil
	}
	return n, t.Model(&App{}).Where("id = ?", app.ID).UpdateColumn("synced_at", t.now()).Error
}

// takePackage gives an app without a package name the one that a certificate of the
// IM side is for, when there is only one.
func (t *Tx) takePackage(imAppID int64, app *App) error {
	if app.PackageName != "" {
		return nil
	}
	sources, err := t.imCredentials(imAppID, app)
	if err != nil {
		return err
	}
	var names []string
	for i := range sources {
		if b := sources[i].Facts().BundleID; b != "" && !slices.Contains(names, b) {
			names = append(names, b)
		}
	}
	if len(names) != 1 {
		return nil
	}
	if _, err := CheckPackage(app.Platform, names[0]); err != nil {
		return nil //nolint:nilerr // a certificate's odd subject must not stop the authorization
	}
	app.PackageName = names[0]
	return t.Model(&App{}).Where("id = ?", app.ID).UpdateColumn("package_name", app.PackageName).Error
}

// copyCredential copies a vendor setting into an app's slot: a new credential, or in
// place of an older copy.
func (s *Store) copyCredential(t *Tx, who Actor, src *Credential, app *App, into *Credential) error {
	fields, err := s.openFields(src)
	if err != nil {
		return err
	}
	plain := make(map[string]string, len(fields))
	for k, v := range fields {
		plain[k] = v.Reveal()
	}
	now := t.now()
	c := into
	if c == nil {
		c = &Credential{
			AccountID: app.AccountID, OwnerKind: ownerApp, OwnerID: app.ID, Channel: src.Channel,
			Environment: src.Environment, PackageName: src.PackageName, CreatedAt: now, Sealed: []byte{},
		}
	}
	c.Kind, c.Info, c.NotAfter, c.SavedBy, c.UpdatedAt = src.Kind, src.Info, src.NotAfter, who.Name, now
	c.Source, c.SourceID, c.SourceRev = SourceIM, &src.ID, &src.Revision
	c.replaced(s.sameFields(c, plain), false)
	c.Revision++
	c.resume(false, now)
	c.Rate, c.DailyQuota = src.Rate, src.DailyQuota
	return s.storeCredential(t, c, plain)
}

// pending compares the IM side's vendor settings with an authorized app's: copies of
// an older revision, and slots that are still empty. What the operator entered
// himself is never offered to be overwritten.
func (t *Tx) pending(imAppID int64, app *App) ([]SyncItem, map[int64]Credential, error) {
	sources, err := t.imCredentials(imAppID, app)
	if err != nil {
		return nil, nil, err
	}
	has, err := t.appCredentials(app.ID)
	if err != nil {
		return nil, nil, err
	}
	var items []SyncItem
	byID := map[int64]Credential{}
	for _, src := range sources {
		old, full := has[src.slot()]
		if full {
			copied := old.Source == SourceIM && old.SourceID != nil && old.SourceRev != nil
			if !copied || *old.SourceID == src.ID && *old.SourceRev >= src.Revision {
				continue
			}
			byID[old.ID] = old
		}
		byID[src.ID] = src
		items = append(items, SyncItem{
			Channel: src.Channel, Environment: src.Environment, PackageName: src.PackageName, SourceID: src.ID,
			SourceRev: src.Revision, CredentialID: old.ID, Info: src.Facts(), SavedAt: src.UpdatedAt,
		})
	}
	return items, byID, nil
}

// PendingSync returns what 同步 would carry over to an app from its IM app; nothing
// when the app is not authorized. NotFound; Forbidden without PermView.
func (s *Store) PendingSync(ctx context.Context, who Actor, appID int64) ([]SyncItem, error) {
	if err := s.viewApp(ctx, who, appID); err != nil {
		return nil, err
	}
	var app App
	if err := s.read(ctx).Where("account_id = ? AND id = ?", who.AccountID, appID).Take(&app).Error; err != nil {
		return nil, failed("pending sync", found(err, ""))
	}
	// Reads need no transaction; a Tx without one lends its queries.
	t := &Tx{DB: s.read(ctx), db: s.DB}
	im, err := t.authorizedTo(appID)
	if err != nil {
		return nil, fmt.Errorf("models: pending sync: %w", err)
	}
	if im == nil {
		return nil, nil
	}
	items, _, err := t.pending(im.ID, &app)
	return items, failed("pending sync", err)
}

// ApplySync is 同步: it carries over what PendingSync offers and resumes the
// credentials that it replaced. Conflict when there is nothing; NotFound; Forbidden
// without PermConfigure.
func (s *Store) ApplySync(ctx context.Context, who Actor, appID int64) (n int, err error) {
	var changed []Credential
	err = s.change(ctx, who, PermConfigure, "sync", func(t *Tx) error {
		app, err := t.app(who, appID)
		if err != nil {
			return err
		}
		im, err := t.authorizedTo(appID)
		if err != nil {
			return err
		}
		if im == nil {
			return conflict("errors.sync.nothing", nil)
		}
		items, byID, err := t.pending(im.ID, app)
		if err != nil {
			return err
		}
		if len(items) == 0 {
			return conflict("errors.sync.nothing", nil)
		}
		channels := []string{}
		for _, item := range items {
			src, into := byID[item.SourceID], (*Credential)(nil)
			if old, ok := byID[item.CredentialID]; ok {
				into = &old
			}
			if err := s.copyCredential(t, who, &src, app, into); err != nil {
				return err
			}
			if into != nil {
				changed = append(changed, *into)
			}
			channels = append(channels, item.Channel+" "+item.Environment)
		}
		n = len(items)
		if err := t.Model(&App{}).Where("id = ?", appID).UpdateColumn("synced_at", t.now()).Error; err != nil {
			return err
		}
		e := app.entry(ActionSync)
		e.after = facts{"im_app": im.Name, "credentials": channels}
		if err := t.audit(who, e); err != nil {
			return err
		}
		return t.settle(appID)
	})
	if err != nil {
		return 0, err
	}
	s.resumed(ctx, AppOwner(appID), changed...)
	return n, nil
}
