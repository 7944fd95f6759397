package models

import (
	"context"
	"fmt"
	"slices"

	"gorm.io/gorm/clause"
)

// GroupChange is a change of a group's members as an IM server told it.
type GroupChange struct {
	Group       string
	Join, Leave []string
	Destroyed   bool
}

// ChangeGroup keeps a change of a group's members. Members and groups whose ids cannot
// be kept are left out.
func (s *Store) ChangeGroup(ctx context.Context, in Ingest, c GroupChange) error {
	if !storableID(c.Group, MaxGroupRunes) {
		return nil
	}
	join := slices.DeleteFunc(slices.Clone(c.Join), func(a string) bool { return !storableID(a, MaxAccountRunes) })
	slices.Sort(join) // one order for everyone who writes
	err := s.write(ctx, func(t *Tx) error {
		if c.Destroyed {
			return t.Exec("DELETE FROM im_group_members WHERE im_app_id = ? AND group_id = ?", in.imAppID, c.Group).Error
		}
		for part := range slices.Chunk(slices.Compact(join), liteKeys) {
			if err := t.joinGroup(in.imAppID, c.Group, part); err != nil {
				return err
			}
		}
		for part := range slices.Chunk(c.Leave, liteKeys) {
			err := t.Exec("DELETE FROM im_group_members WHERE im_app_id = ? AND group_id = ? AND account IN ?", in.imAppID, c.Group, cleanAll(part)).Error
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return &Error{Kind: Unavailable, Key: "cannot_store", Err: fmt.Errorf("models: group: %w", err)}
	}
	return nil
}

func (t *Tx) joinGroup(imAppID int64, group string, accounts []string) error {
	rows := make([]groupMember, len(accounts))
	for i, a := range accounts {
		rows[i] = groupMember{imAppID, group, a}
	}
	return t.Clauses(clause.OnConflict{DoNothing: true}).Create(&rows).Error
}

// groupMember is a member of an IM server's group.
type groupMember struct {
	IMAppID int64  `gorm:"column:im_app_id;primaryKey;autoIncrement:false"`
	GroupID string `gorm:"primaryKey"`
	Account string `gorm:"primaryKey"`
}

// TableName is GORM's hook.
func (groupMember) TableName() string { return "im_group_members" }

// cleanAll makes ids comparable with stored ones: Postgres takes no NUL even to compare.
func cleanAll(ids []string) []string {
	out := make([]string, len(ids))
	for i, id := range ids {
		out[i] = storable(id)
	}
	return out
}

// GroupMembers returns a group's members, at most limit, with what is known about each:
// nothing for some. A group nobody told of has none.
func (s *Store) GroupMembers(ctx context.Context, in Ingest, group string, limit int) (accounts []string, known map[string][]Presence, err error) {
	var rows []presenceRow
	err = s.read(ctx).Raw(`SELECT m.account, COALESCE(p.platform, '') AS platform, COALESCE(p.state, 0) AS state, COALESCE(p.at, 0) AS at, COALESCE(p.seen, 0) AS seen
		FROM (SELECT account FROM im_group_members WHERE im_app_id = ? AND group_id = ? ORDER BY account LIMIT ?) m
		LEFT JOIN im_presence p ON p.im_app_id = ? AND p.account = m.account
		ORDER BY m.account, p.platform`, in.imAppID, storable(group), limit, in.imAppID).Scan(&rows).Error
	if err != nil {
		return nil, nil, fmt.Errorf("models: group: %w", err)
	}
	known = map[string][]Presence{}
	for _, r := range rows {
		if n := len(accounts); n == 0 || accounts[n-1] != r.Account {
			accounts = append(accounts, r.Account)
		}
		if r.State != 0 {
			known[r.Account] = append(known[r.Account], r.presence())
		}
	}
	return accounts, known, nil
}

// AudienceMember is one account that has a device.
type AudienceMember struct {
	AccountType int
	Account     string
}

// Audience returns the accounts that have a device in any app that takes the IM app's
// messages, each once, at most limit.
func (s *Store) Audience(ctx context.Context, in Ingest, limit int) ([]AudienceMember, error) {
	seen := map[AudienceMember]bool{}
	var all []AudienceMember
	for _, t := range in.targets {
		var rows []AudienceMember
		err := t.scope.db.read(ctx).Raw(`SELECT DISTINCT account_type, account FROM device_accounts WHERE app_id = ?
			ORDER BY account, account_type LIMIT ?`, t.scope.appID, limit).Scan(&rows).Error
		if err != nil {
			return nil, fmt.Errorf("models: audience: %w", err)
		}
		for _, r := range rows {
			if !seen[r] && len(all) < limit {
				seen[r] = true
				all = append(all, r)
			}
		}
	}
	return all, nil
}
