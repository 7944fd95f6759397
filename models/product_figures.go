package models

import (
	"context"
	"fmt"
	"time"
)

// Arrivals returns how many deliveries of 即时通信IM消息 arrived between two moments, by
// app, for apps that Products returned to the actor; an app without that plan is left
// out. Hours are whole: those that begin within the range. An app in the sandbox counts
// the sandbox's, any other the real ones.
func (s *Store) Arrivals(ctx context.Context, products []ProductView, from, to time.Time) (map[int64]int64, error) {
	out := map[int64]int64{}
	for _, p := range products {
		for i := range p.Apps {
			a := &p.Apps[i]
			if a.IMPlanID == 0 {
				continue
			}
			scope, err := s.scope(&a.App)
			if err != nil {
				return nil, err
			}
			var n int64
			err = scope.db.read(ctx).Raw(`SELECT COALESCE(SUM(n), 0) FROM counters
				WHERE app_id = ? AND plan_id = ? AND hour >= ? AND hour < ? AND sandbox = ? AND metric = ?`,
				a.ID, a.IMPlanID, HourOf(from), HourOf(to), a.Sandbox, MetricArrived).Scan(&n).Error
			if err != nil {
				return nil, fmt.Errorf("models: arrivals: %w", err)
			}
			out[a.ID] = n
		}
	}
	return out, nil
}
