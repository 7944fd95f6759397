package models

import (
	"context"
	"fmt"
	"unicode/utf8"
)

// Limits of tokens that an IM server registers for its users.
const (
	MaxUserTokens     = 100
	maxUserTokenBytes = 1024
)

// UserToken is a token of one user, as the IM server registered it. Kind is the
// server's word for what it is.
type UserToken struct {
	Kind, Token string
}

func (t UserToken) check(account string) error {
	switch {
	case account == "" || utf8.RuneCountInString(account) > MaxAccountRunes || storable(account) != account:
		return invalid("account", "message_account_long", map[string]any{"Max": MaxAccountRunes})
	case t.Token == "" || len(t.Token) > maxUserTokenBytes || storable(t.Token) != t.Token:
		return invalid("token", "too_long", map[string]any{"Max": maxUserTokenBytes})
	}
	return nil
}

// AddUserToken keeps a token for a user of the IM app; one that is there stays. The
// oldest beyond MaxUserTokens are forgotten.
func (s *Store) AddUserToken(ctx context.Context, in Ingest, account string, token UserToken) error {
	if err := token.check(account); err != nil {
		return err
	}
	err := s.write(ctx, func(t *Tx) error {
		err := t.Exec("INSERT INTO im_app_tokens (im_app_id, account, kind, token, created_at) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
			in.imAppID, account, token.Kind, token.Token, t.now()).Error
		if err != nil {
			return err
		}
		return t.Exec(`DELETE FROM im_app_tokens WHERE im_app_id = ? AND account = ? AND created_at < (SELECT MIN(n.created_at) FROM
			(SELECT created_at FROM im_app_tokens WHERE im_app_id = ? AND account = ? ORDER BY created_at DESC LIMIT ?) n)`,
			in.imAppID, account, in.imAppID, account, MaxUserTokens).Error
	})
	return wrapNil("models: add user token", err)
}

// DropUserTokens forgets tokens of a user of the IM app, all of them when none is
// given, and returns how many there were.
func (s *Store) DropUserTokens(ctx context.Context, in Ingest, account string, tokens ...UserToken) (n int64, err error) {
	err = s.write(ctx, func(t *Tx) error {
		if len(tokens) == 0 {
			r := t.Exec("DELETE FROM im_app_tokens WHERE im_app_id = ? AND account = ?", in.imAppID, account)
			n = r.RowsAffected
			return r.Error
		}
		for _, x := range tokens {
			r := t.Exec("DELETE FROM im_app_tokens WHERE im_app_id = ? AND account = ? AND kind = ? AND token = ?", in.imAppID, account, x.Kind, x.Token)
			n += r.RowsAffected
			if r.Error != nil {
				return r.Error
			}
		}
		return nil
	})
	return n, wrapNil("models: drop user tokens", err)
}

// UserTokens returns the tokens of a user of the IM app, newest first.
func (s *Store) UserTokens(ctx context.Context, in Ingest, account string) (tokens []UserToken, err error) {
	err = s.read(ctx).Raw("SELECT kind, token FROM im_app_tokens WHERE im_app_id = ? AND account = ? ORDER BY created_at DESC, token LIMIT ?",
		in.imAppID, account, 2*MaxUserTokens).Scan(&tokens).Error
	if err != nil {
		return nil, fmt.Errorf("models: user tokens: %w", err)
	}
	return tokens, nil
}
