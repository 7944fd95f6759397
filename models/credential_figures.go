package models

import (
	"context"
	"fmt"
)

// Quota is what a vendor said of a day's messages: how many it takes and how many it
// has counted. Limit 0 says nothing.
type Quota struct{ Limit, Used int64 }

// The index of batches has only what waits for a credential at all.
const selectWaiting = `SELECT credential_id, SUM(count) AS n FROM batches
	WHERE credential_id IN ? AND credential_id <> 0 AND app_id = ? GROUP BY credential_id`

// CredentialsWaiting returns how many messages wait for each of an app's credentials:
// for its repair, for the end of a used-up quota, or for another try. One without any
// is not in the answer.
func (s *Store) CredentialsWaiting(ctx context.Context, app AppScope, ids []int64) (map[int64]int64, error) {
	out := make(map[int64]int64, len(ids))
	if len(ids) == 0 {
		return out, nil
	}
	var rows []struct{ CredentialID, N int64 }
	err := app.db.read(ctx).Raw(selectWaiting, ids, app.appID).Scan(&rows).Error
	if err != nil {
		return nil, fmt.Errorf("models: credentials waiting: %w", err)
	}
	for _, r := range rows {
		out[r.CredentialID] = r.N
	}
	return out, nil
}
