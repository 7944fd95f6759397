package models

import (
	"context"
	"crypto/sha256"
	"fmt"
	"testing"
	"time"
)

// An acknowledgement that names no server finds its message among any number of IM
// apps, and only that message's IM app is loaded.
func TestAcknowledgeNamedAmongMany(t *testing.T) {
	eachDBClock(t, func(t *testing.T, s *Store, c *testClock) {
		f, ctx := seed(t, s, nil), context.Background()
		const most = 130
		for i := 2; i <= most; i++ {
			hash := sha256.Sum256(fmt.Append(nil, "secret ", i))
			exec(t, s.DB, `INSERT INTO im_apps (id, account_id, name, sdk_app_id, bridge, secret_hash, created_at, updated_at)
				VALUES (?, 1, ?, ?, 'wukongim', ?, ?, ?)`, i, fmt.Sprint("im", i), 1400000001+i, hash[:], s.Now(), s.Now())
			exec(t, s.DB, "INSERT INTO im_app_names (bridge, name, im_app_id) VALUES ('wukongim', ?, ?)", fmt.Sprint("server", i), i)
			app := addApp(t, s, 1600000001+int64(10*i), "ap-guangzhou", "ios")
			exec(t, s.DB, "UPDATE authorizations SET im_app_id = ? WHERE app_id = ?", i, app.appID)
		}
		in, err := s.IngestBySecret(ctx, fmt.Sprint("secret ", most))
		must(t, err)
		f.in = in
		f.accept(t, message("the id", "alice"))
		var asked []int64
		may := func(yes bool) func(Ingest) bool {
			return func(in Ingest) bool {
				asked = append(asked, in.imAppID)
				return yes
			}
		}
		acknowledge := func(id string, yes bool, want int) {
			t.Helper()
			if n, err := s.AcknowledgeNamed(ctx, "wukongim", id, time.Time{}, may(yes)); err != nil || n != want {
				t.Errorf("%q told %d new, want %d: %v", id, n, want, err)
			}
		}
		acknowledge("the id", false, 0)
		acknowledge("the id", true, 1)
		acknowledge("the id", true, 0)
		acknowledge("no such", true, 0)
		acknowledge("", true, 0)
		if fmt.Sprint(asked) != fmt.Sprint([]int64{most, most, most}) {
			t.Errorf("asked about the IM apps %v", asked)
		}
		c.Advance(earlyLife + time.Minute)
		acknowledge("the id", true, 0)
		if len(asked) != 3 {
			t.Error("a message that has long expired was looked up")
		}
	})
}
