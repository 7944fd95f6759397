package models

import (
	"context"
	"fmt"
	"slices"
)

// forgetIMUser removes what IM servers told about a user of the app: the tokens that
// they registered for him or for the devices that go with him, and, unless another app
// of the same IM app still has him, whether he was online and in which groups he is.
// Tokens of his devices in another app stay: that app's data was not asked for.
func (s *Store) forgetIMUser(ctx context.Context, app AppScope, account string) error {
	gone, err := app.tokensOf(ctx, account)
	if err != nil {
		return err
	}
	var ids []int64
	err = s.read(ctx).Raw("SELECT DISTINCT im_app_id FROM authorizations WHERE app_id = ? ORDER BY im_app_id", app.appID).Scan(&ids).Error
	if err != nil {
		return err
	}
	for _, id := range ids {
		in, err := s.loadIngest(ctx, "i.id = ?", id)
		if err != nil && KindOf(err) != NotFound {
			return err
		}
		in.imAppID = id // a deleted IM app may have left what it was told
		in.targets = slices.DeleteFunc(in.targets, func(t ingestTarget) bool { return t.scope.appID == app.appID })
		if err := s.forgetUserOf(ctx, in, account, gone); err != nil {
			return err
		}
	}
	return nil
}

// tokensOf returns the tokens, ours and the vendors', of the devices that no other
// account than this one is bound to.
func (a AppScope) tokensOf(ctx context.Context, account string) (tokens []string, err error) {
	err = a.db.read(ctx).Raw(`WITH alone AS (SELECT b.device_id FROM device_accounts b WHERE b.app_id = ? AND b.account = ?
			AND NOT EXISTS (SELECT 1 FROM device_accounts o WHERE o.device_id = b.device_id AND o.account <> b.account))
		SELECT token FROM devices WHERE id IN (SELECT device_id FROM alone)
		UNION SELECT token FROM routes WHERE device_id IN (SELECT device_id FROM alone)`, a.appID, account).Scan(&tokens).Error
	return tokens, err
}

// forgetUserOf does it for one IM app, of which in has the other apps.
func (s *Store) forgetUserOf(ctx context.Context, in Ingest, account string, gone []string) error {
	own, err := s.UserTokens(ctx, in, account)
	if err != nil {
		return err
	}
	msgs := make([]Incoming, len(own))
	for i, t := range own {
		msgs[i].Token = t.Token
	}
	fates, err := s.Locate(ctx, in, msgs)
	if err != nil {
		return err
	}
	own = slices.DeleteFunc(own, func(t UserToken) bool {
		return fates[slices.IndexFunc(msgs, func(m Incoming) bool { return m.Token == t.Token })] == TokenAlive
	})
	elsewhere, err := s.boundIn(ctx, in, account)
	if err != nil {
		return err
	}
	if len(own) > 0 {
		if _, err := s.DropUserTokens(ctx, in, account, own...); err != nil {
			return err
		}
	}
	return s.write(ctx, func(t *Tx) error {
		for part := range slices.Chunk(gone, liteKeys/2) {
			if err := t.Exec("DELETE FROM im_app_tokens WHERE im_app_id = ? AND token IN ?", in.imAppID, part).Error; err != nil {
				return err
			}
		}
		if elsewhere {
			return nil
		}
		for _, table := range []string{"im_presence", "im_group_members"} {
			if err := t.Exec("DELETE FROM "+table+" WHERE im_app_id = ? AND account = ?", in.imAppID, account).Error; err != nil {
				return fmt.Errorf("%s: %w", table, err)
			}
		}
		return nil
	})
}

// boundIn reports whether an account is bound to a device in an app of the IM app.
func (s *Store) boundIn(ctx context.Context, in Ingest, account string) (bool, error) {
	for _, t := range in.targets {
		var n int
		err := t.scope.db.read(ctx).Raw("SELECT COUNT(*) FROM (SELECT 1 FROM device_accounts WHERE app_id = ? AND account = ? LIMIT 1) x",
			t.scope.appID, account).Scan(&n).Error
		if err != nil || n > 0 {
			return n > 0, err
		}
	}
	return false, nil
}
