package models

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
)

// What a token of an IM app is, for protocols that address devices by token.
const (
	AddressDevice = "device" // Hongyan's device token
	AddressVendor = "vendor" // a vendor's token, as the app registered it
)

// TokenFate says what is known of a token.
type TokenFate int

// The fates of a token. The zero value says the least.
const (
	// TokenUnknown: no authorized app has it. It may never have existed, or be
	// forgotten, or belong to an app of somebody else: no difference is shown.
	TokenUnknown TokenFate = iota
	// TokenDead: it was a device's, and the install or the vendor's address is gone.
	TokenDead
	// TokenAlive: a message for it is stored.
	TokenAlive
)

// DeviceAt is a device that a token stands for, in one of the authorized apps.
type DeviceAt struct {
	AppID, DeviceID int64
	// Account is the user of account type 0 on it, "" for none.
	Account string
}

// Locate looks up the tokens of messages that have one, sets their Devices, and
// returns the fate of each: TokenAlive too for a message to an account.
func (s *Store) Locate(ctx context.Context, in Ingest, msgs []Incoming) ([]TokenFate, error) {
	fates := make([]TokenFate, len(msgs))
	tokens := make([]string, 0, len(msgs))
	for i := range msgs {
		if msgs[i].Token == "" {
			fates[i] = TokenAlive
		} else {
			tokens = append(tokens, msgs[i].Token)
		}
	}
	if len(tokens) == 0 {
		return fates, nil
	}
	slices.Sort(tokens)
	found, err := s.locate(ctx, in, slices.Compact(tokens))
	if err != nil {
		return nil, fmt.Errorf("models: locate: %w", err)
	}
	for i := range msgs {
		m := &msgs[i]
		if m.Token == "" {
			continue
		}
		m.Devices = nil
		for _, f := range found[m.Token] {
			if f.dead {
				fates[i] = max(fates[i], TokenDead)
				continue
			}
			fates[i] = TokenAlive
			m.Devices = append(m.Devices, f.DeviceAt)
		}
	}
	return fates, nil
}

// NobodysIngest is the right of an IM app that does not exist. Looking for a token with
// it takes as long as with another and finds nothing.
func (s *Store) NobodysIngest() Ingest {
	return Ingest{addressing: AddressDevice, targets: []ingestTarget{{scope: AppScope{db: s.DB}}}}
}

// located is a device that a token stands for, or stood for.
type located struct {
	DeviceAt
	dead bool
}

// locate asks each database of the authorized apps once.
func (s *Store) locate(ctx context.Context, in Ingest, tokens []string) (map[string][]located, error) {
	apps := map[*DB][]int64{}
	for _, t := range in.targets {
		apps[t.scope.db] = append(apps[t.scope.db], t.scope.appID)
	}
	out := make(map[string][]located, len(tokens))
	for part := range slices.Chunk(tokens, liteKeys/2) {
		for d, ids := range apps {
			var err error
			if in.addressing == AddressVendor {
				err = d.locateVendor(ctx, ids, part, out)
			} else {
				err = d.locateDevice(ctx, ids, part, out)
			}
			if err != nil {
				return nil, err
			}
		}
	}
	for _, list := range out {
		slices.SortFunc(list, func(a, b located) int { return cmp.Compare(a.AppID, b.AppID) })
	}
	return out, nil
}

// locatedRow is what the look-ups return.
type locatedRow struct {
	AppID, DeviceID int64
	Account         string
	Token           string
	TokenHash       []byte
	Dead            bool
}

func (r *locatedRow) located() located {
	return located{DeviceAt{AppID: r.AppID, DeviceID: r.DeviceID, Account: r.Account}, r.Dead}
}

func (d *DB) locateDevice(ctx context.Context, apps []int64, tokens []string, out map[string][]located) error {
	var rows []locatedRow
	err := d.read(ctx).Raw(`SELECT d.app_id, d.id AS device_id, d.token, d.retired_at IS NOT NULL AS dead, COALESCE(a.account, '') AS account
		FROM devices d LEFT JOIN device_accounts a ON a.device_id = d.id AND a.account_type = 0
		WHERE d.token IN ? AND d.app_id IN ?`, tokens, apps).Scan(&rows).Error
	for i := range rows {
		out[rows[i].Token] = append(out[rows[i].Token], rows[i].located())
	}
	return err
}

// locateVendor finds routes by the token as it came and in lower case, the form that
// hexadecimal tokens are kept in. A token that two channels of an app have registered
// stands for both devices.
func (d *DB) locateVendor(ctx context.Context, apps []int64, tokens []string, out map[string][]located) error {
	of := make(map[[sha256.Size]byte][]string, 2*len(tokens))
	hashes := make([][]byte, 0, 2*len(tokens))
	for _, t := range tokens {
		forms := []string{t}
		if low := strings.ToLower(t); low != t {
			forms = append(forms, low)
		}
		for _, f := range forms {
			sum := sha256.Sum256([]byte(f))
			of[sum] = append(of[sum], t)
			hashes = append(hashes, sum[:])
		}
	}
	var rows []locatedRow
	err := d.read(ctx).Raw(`SELECT r.app_id, r.device_id, r.token_hash, (r.retired_at IS NOT NULL OR d.retired_at IS NOT NULL) AS dead,
			COALESCE(a.account, '') AS account
		FROM routes r JOIN devices d ON d.id = r.device_id
		LEFT JOIN device_accounts a ON a.device_id = d.id AND a.account_type = 0
		WHERE r.token_hash IN ? AND r.app_id IN ?`, hashes, apps).Scan(&rows).Error
	for i := range rows {
		for _, t := range of[[sha256.Size]byte(rows[i].TokenHash)] {
			l := rows[i].located()
			if !slices.Contains(out[t], l) {
				out[t] = append(out[t], l)
			}
		}
	}
	return err
}
