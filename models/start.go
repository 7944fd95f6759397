package models

import (
	"context"
	"fmt"
	"slices"
)

// StartFacts is how far an account has come from nothing to its first push, as one
// user may see it. 快速开始 ticks its steps by them; nothing is ever ticked by hand.
type StartFacts struct {
	// App is the app that the guide speaks of: of the user's apps the one that has
	// come furthest, an iOS app before others; nil while there is none.
	App *AppView
	// IMApp is an IM app of the account, the app's own once authorized; nil while
	// there is none.
	IMApp *IMApp
	// Ready says that the app has a credential of the kind in use: the sandbox's key,
	// or a real one that is not paused.
	Ready bool
	// Device, Message and Accepted say that the app has a living device, took an
	// offline message, and that a push of it was accepted.
	Device, Message, Accepted bool
}

// Steps returns which of the guide's steps are done, in order.
func (f StartFacts) Steps() []bool {
	return []bool{f.App != nil, f.IMApp != nil, f.App != nil && f.App.Authorized(), f.Ready, f.Device, f.Message, f.Accepted}
}

// StartFacts looks up how far the actor's account has come; products are those that
// Products returned for him.
func (s *Store) StartFacts(ctx context.Context, who Actor, products []ProductView) (StartFacts, error) {
	f := StartFacts{App: startApp(products)}
	im, err := s.startIMApp(ctx, who, f.App)
	if err != nil || f.App == nil {
		f.IMApp = im
		return f, err
	}
	f.IMApp, f.Ready = im, usable(f.App)
	scope, err := s.scope(&f.App.App)
	if err != nil {
		return f, err
	}
	for _, fact := range []struct {
		is    *bool
		query string
	}{
		{&f.Device, "SELECT 1 FROM devices WHERE app_id = ? AND retired_at IS NULL LIMIT 1"},
		{&f.Message, "SELECT 1 FROM messages WHERE app_id = ? AND im_app_id <> 0 LIMIT 1"},
		{&f.Accepted, "SELECT 1 FROM counters WHERE app_id = ? AND metric = '" + MetricAccepted + "' LIMIT 1"},
	} {
		var found []int
		if err := scope.db.read(ctx).Raw(fact.query, f.App.ID).Scan(&found).Error; err != nil {
			return f, fmt.Errorf("models: start: %w", err)
		}
		*fact.is = len(found) > 0
	}
	return f, nil
}

// startIMApp returns the IM app that the app is authorized to, else the account's
// newest, else nil.
func (s *Store) startIMApp(ctx context.Context, who Actor, app *AppView) (*IMApp, error) {
	q := s.read(ctx).Where("account_id = ? AND deleted_at IS NULL", who.AccountID)
	if app != nil && app.Authorized() {
		q = q.Where("id = ?", app.IMAppID)
	}
	var found []IMApp
	if err := q.Order("id DESC").Limit(1).Find(&found).Error; err != nil {
		return nil, fmt.Errorf("models: start: %w", err)
	}
	if len(found) == 0 {
		return nil, nil //nolint:nilnil // "none yet" is one of the facts
	}
	return &found[0], nil
}

// startApp chooses the app that the guide speaks of.
func startApp(products []ProductView) *AppView {
	var best *AppView
	score := -1
	for p := range slices.Values(products) {
		for i := range p.Apps {
			a := &p.Apps[i]
			n := 0
			for bit, is := range []bool{a.Platform == PlatformIOS, usable(a), a.Authorized()} {
				if is {
					n += 1 << bit
				}
			}
			if n > score {
				best, score = a, n
			}
		}
	}
	return best
}

// usable reports whether the app has a credential of the kind in use that is not
// paused.
func usable(a *AppView) bool {
	return slices.ContainsFunc(a.Credentials, func(k CredentialAt) bool {
		return (k.Environment == EnvironmentSandbox) == a.Sandbox && k.State != CredentialPaused
	})
}
