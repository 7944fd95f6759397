package models

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAuditPages(t *testing.T) {
	eachDB(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		w := newWorld(t, s, "main")
		for range 7 {
			_, err := s.RotateBindKey(ctx, w.main, w.ios.ID)
			must(t, err)
		}
		all, err := s.Audit(ctx, w.main, AuditFilter{Action: ActionReset})
		must(t, err)
		if len(all.Rows) != 7 || all.Newer != 0 || all.Older != 0 {
			t.Fatalf("one page: %d rows, %d, %d", len(all.Rows), all.Newer, all.Older)
		}
		var ids []int64
		f := AuditFilter{Action: ActionReset, Limit: 3}
		var last AuditPage
		for {
			page, err := s.Audit(ctx, w.main, f)
			must(t, err)
			for _, r := range page.Rows {
				ids = append(ids, r.ID)
			}
			last = page
			if page.Older == 0 {
				break
			}
			f.Before = page.Older
		}
		want := []int64{}
		for _, r := range all.Rows {
			want = append(want, r.ID)
		}
		if d := cmp.Diff(want, ids); d != "" {
			t.Errorf("paging down (-want +got):\n%s", d)
		}
		up, err := s.Audit(ctx, w.main, AuditFilter{Action: ActionReset, Limit: 3, After: last.Newer})
		must(t, err)
		if up.Rows[0].ID != want[3] || up.Newer == 0 || up.Older != want[5] {
			t.Errorf("paging up: %+v", up)
		}
		if _, err := s.RenameApp(ctx, w.main, w.ios.ID, w.ios.Name); err != nil {
			t.Fatal(err)
		}
		page, err := s.Audit(ctx, w.main, AuditFilter{Kind: AuditApp, Action: ActionUpdate})
		must(t, err)
		if len(page.Rows) != 0 {
			t.Error("an update that changed nothing left a row")
		}
		_, err = s.RenameApp(ctx, w.main, w.ios.ID, "新名")
		must(t, err)
		page, err = s.Audit(ctx, w.main, AuditFilter{Kind: AuditApp, Action: ActionUpdate})
		must(t, err)
		if len(page.Rows) != 1 || page.Rows[0].Before != `{"name":"蓝鲸"}` || page.Rows[0].After != `{"name":"新名"}` || page.Rows[0].IP != "203.0.113.9" {
			t.Errorf("row: %+v", page.Rows)
		}
		people, err := s.AuditUsers(ctx, w.main)
		must(t, err)
		if d := cmp.Diff([]AuditPerson{{w.main.UserID, "main"}, {0, "system"}}, people); d != "" {
			t.Errorf("people (-want +got):\n%s", d)
		}
		mine, err := s.Audit(ctx, w.main, AuditFilter{UserID: new(int64)})
		must(t, err)
		if len(mine.Rows) != 1 || mine.Rows[0].TargetKind != AuditAccount {
			t.Errorf("the program's rows: %+v", mine.Rows)
		}
	})
}

func TestAuditScope(t *testing.T) {
	eachDB(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		w := newWorld(t, s, "main")
		other, _, err := s.CreateProduct(ctx, w.main, ProductInput{Name: "other", Category: "game", Region: "ap-guangzhou", Platforms: []string{PlatformIOS}})
		must(t, err)
		_, err = s.Authorize(ctx, w.main, w.im.ID, w.product.ID, w.ios.ID)
		must(t, err)
		newWorld(t, s, "stranger")
		kinds := func(r Rights) map[string]bool {
			t.Helper()
			r.Role = RoleRead
			page, err := s.Audit(ctx, Actor{AccountID: w.main.AccountID, UserID: 12345, Rights: r}, AuditFilter{})
			must(t, err)
			out := map[string]bool{}
			for _, row := range page.Rows {
				if row.AccountID != w.main.AccountID || !r.MayProduct(row.ProductID) && row.ProductID != 0 {
					t.Errorf("%+v sees %+v", r, row)
				}
				out[row.TargetKind] = true
			}
			return out
		}
		for _, test := range []struct {
			rights Rights
			want   map[string]bool
		}{
			{Rights{AllProducts: true}, map[string]bool{AuditProduct: true, AuditApp: true}},
			{Rights{AllProducts: true, CanIM: true}, map[string]bool{AuditProduct: true, AuditApp: true, AuditIMApp: true, AuditAuthorization: true}},
			{Rights{Products: []int64{w.product.ID}, CanIM: true}, map[string]bool{AuditProduct: true, AuditApp: true, AuditIMApp: true, AuditAuthorization: true}},
			{Rights{Products: []int64{other.ID}, CanIM: true}, map[string]bool{AuditProduct: true, AuditApp: true, AuditIMApp: true}},
			{Rights{}, map[string]bool{}},
		} {
			if d := cmp.Diff(test.want, kinds(test.rights)); d != "" {
				t.Errorf("%+v (-want +got):\n%s", test.rights, d)
			}
		}
		_, err = s.Audit(ctx, Actor{AccountID: w.main.AccountID}, AuditFilter{})
		refused(t, err, Forbidden, "errors.forbidden.audit")
	})
}

func TestContentViewIsAudited(t *testing.T) {
	eachDB(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		w := newWorld(t, s, "main")
		read := w.sub(t, "read", Rights{Role: RoleRead, AllProducts: true})
		refused(t, s.LogContentView(ctx, read, w.ios.ID, "m"), Forbidden, "errors.forbidden.content")
		must(t, s.LogContentView(ctx, w.main, w.ios.ID, "0193-m"))
		page, err := s.Audit(ctx, w.main, AuditFilter{Kind: AuditMessage})
		must(t, err)
		if len(page.Rows) != 1 || page.Rows[0].TargetID != "0193-m" || !strings.EqualFold(page.Rows[0].Action, ActionView) {
			t.Errorf("audit: %+v", page.Rows)
		}
	})
}
