package models

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alexedwards/argon2id"
	"github.com/google/go-cmp/cmp"
)

func TestRights(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		rights Rights
		want   []Permission
	}{
		{"main", Rights{IsMain: true}, Permissions()},
		{"full", Rights{Role: RoleFull}, []Permission{PermView, PermPush, PermConfigure, PermAudit}},
		{"ops", Rights{Role: RoleOps}, []Permission{PermView, PermPush, PermAudit}},
		{"read", Rights{Role: RoleRead}, []Permission{PermView, PermAudit}},
		{"read with rights", Rights{Role: RoleRead, CanIM: true, CanContent: true}, []Permission{PermView, PermIM, PermContent, PermAudit}},
		{"nobody", Rights{}, nil},
	}
	for _, test := range tests {
		if d := cmp.Diff(test.want, test.rights.Granted()); d != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, d)
		}
	}
	some := Rights{Role: RoleFull, Products: []int64{7}}
	if !some.MayProduct(7) || some.MayProduct(8) || (Rights{}).MayProduct(0) {
		t.Error("product scope")
	}
	if !(Rights{AllProducts: true}).MayProduct(8) || !(Rights{IsMain: true}).MayProduct(8) {
		t.Error("all products")
	}
	if (Rights{IsMain: true}).May("nonsense") {
		t.Error("an unknown permission is granted")
	}
}

func TestCheckPassword(t *testing.T) {
	t.Parallel()
	tests := []struct{ password, key string }{
		{"ninechars", "errors.password.short"},
		{"密码密码密码密码密", "errors.password.short"},
		{"密码密码密码密码密码", ""},
		{strings.Repeat("ab", 65), "errors.password.long"},
		{strings.Repeat("ab", 64), ""},
		{"Lin.Ruoxi.1", "errors.password.is_name"},
		{"aaaaaaaaaaaa", "errors.password.one_character"},
		{"密密密密密密密密密密", "errors.password.one_character"},
		{"not\xff valid text", "errors.text_chars"},
		{"with spaces is fine", ""},
	}
	for _, test := range tests {
		err := checkPassword(test.password, "lin.ruoxi.1", "password")
		if test.key == "" && err != nil {
			t.Errorf("%q: %v", test.password, err)
		}
		if test.key != "" {
			refused(t, err, Invalid, test.key)
		}
	}
}

// The hash that stands in for unknown users must cost what real ones cost.
func TestUnknownUserTakesAsLong(t *testing.T) {
	t.Parallel()
	params, _, _, err := argon2id.DecodeHash(noUserHash)
	must(t, err)
	if d := cmp.Diff(hashParams(), params); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestMainAccount(t *testing.T) {
	eachDB(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		if has, err := s.HasMainAccount(ctx); err != nil || has {
			t.Fatalf("main account: %v, %v", has, err)
		}
		u, err := s.CreateMainAccount(ctx, MainAccount{Name: " 蓝讯 ", UserName: "lin", Password: testPassword})
		must(t, err)
		if u.AccountID < 100_000_001 || !u.IsMain {
			t.Errorf("account %d, main %v", u.AccountID, u.IsMain)
		}
		_, err = s.CreateMainAccount(ctx, MainAccount{Name: "other", UserName: "lin", Password: testPassword})
		refused(t, err, Conflict, "errors.user.name_taken")
		_, err = s.CreateMainAccount(ctx, MainAccount{UserName: "lin2", Password: testPassword})
		refused(t, err, Invalid, "errors.account.name_missing")

		who := u.Actor("::1")
		_, err = s.UpdateAccount(ctx, who, AccountSettings{Name: "蓝讯科技", TimeZone: "Mars/Olympus", Language: "en"})
		refused(t, err, Invalid, "errors.account.time_zone")
		_, err = s.UpdateAccount(ctx, who, AccountSettings{Name: "蓝讯科技", TimeZone: "UTC", Language: "en", ContentDays: 91})
		refused(t, err, Invalid, "errors.account.content_days")
		_, err = s.UpdateAccount(ctx, who, AccountSettings{Name: "蓝讯科技", TimeZone: "Asia/Singapore", Language: "en", ContentDays: 3})
		must(t, err)
		a, err := s.Account(ctx, who)
		must(t, err)
		if a.Name != "蓝讯科技" || a.ContentDays != 3 || a.Location().String() != "Asia/Singapore" {
			t.Errorf("account: %+v", a)
		}
		page, err := s.Audit(ctx, who, AuditFilter{Kind: AuditAccount})
		must(t, err)
		if len(page.Rows) != 2 || !strings.Contains(page.Rows[0].After, `"content_days":3`) || strings.Contains(page.Rows[0].After, "argon2") {
			t.Errorf("audit: %+v", page.Rows)
		}
	})
}

func TestSubAccounts(t *testing.T) {
	eachDB(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		w := newWorld(t, s, "main")
		in := UserInput{Name: "ops", Password: testPassword, Role: RoleOps, Products: []int64{w.product.ID, w.product.ID}}
		u, err := s.CreateUser(ctx, w.main, in)
		must(t, err)
		if d := cmp.Diff([]int64{w.product.ID}, u.Products); d != "" {
			t.Errorf("products (-want +got):\n%s", d)
		}
		_, err = s.CreateUser(ctx, w.main, in)
		refused(t, err, Conflict, "errors.user.name_taken")
		bad := in
		bad.Name, bad.Products = "x", []int64{w.product.ID + 99}
		_, err = s.CreateUser(ctx, w.main, bad)
		refused(t, err, Invalid, "errors.user.products")
		bad.Role = "god"
		_, err = s.CreateUser(ctx, w.main, bad)
		refused(t, err, Invalid, "errors.user.role")
		who := u.Actor("")
		_, err = s.CreateUser(ctx, who, UserInput{Name: "y", Password: testPassword, Role: RoleRead})
		refused(t, err, Forbidden, "errors.forbidden.users")

		in.Name, in.Role, in.CanIM = "operations", RoleRead, true
		_, err = s.UpdateUser(ctx, w.main, u.ID, in)
		must(t, err)
		users, err := s.Users(ctx, w.main)
		must(t, err)
		if len(users) != 1 || users[0].Name != "operations" || !users[0].CanIM || len(users[0].Products) != 1 {
			t.Errorf("users: %+v", users)
		}
		_, err = s.UpdateUser(ctx, w.main, w.main.UserID, in)
		refused(t, err, NotFound, "") // the main user is no sub-account
		refused(t, s.ResetPassword(ctx, w.main, w.main.UserID, "another password"), NotFound, "")
		must(t, s.ResetPassword(ctx, SystemActor(w.main.AccountID), w.main.UserID, "another password"))

		refused(t, s.DeleteUser(ctx, w.main, u.ID, "ops"), Invalid, "errors.name_mismatch")
		must(t, s.DeleteUser(ctx, w.main, u.ID, "operations"))
		refused(t, s.DeleteUser(ctx, w.main, u.ID, "operations"), NotFound, "")
	})
}

func hashOf(token string) [sha256.Size]byte { return sha256.Sum256([]byte(token)) }

func (w *world) login(name string) Login {
	return Login{AccountID: w.main.AccountID, Name: name, Password: testPassword, IP: "198.51.100.7", UserAgent: "test"}
}

func TestSessions(t *testing.T) {
	eachDBClock(t, func(t *testing.T, s *Store, clock *testClock) {
		ctx := t.Context()
		w := newWorld(t, s, "main")
		sub := w.sub(t, "sub", Rights{Role: RoleRead, AllProducts: true})
		u, token, err := s.SignIn(ctx, w.login("sub"))
		must(t, err)
		if u.ID != sub.UserID {
			t.Fatalf("signed in as %d", u.ID)
		}
		_, other, err := s.SignIn(ctx, w.login("sub"))
		must(t, err)
		stay := w.login("sub")
		stay.Stay = true
		_, staying, err := s.SignIn(ctx, stay)
		must(t, err)

		sess, got, err := s.SessionByHash(ctx, hashOf(token))
		must(t, err)
		if got.ID != u.ID || got.Role != RoleRead {
			t.Errorf("session's user: %+v", got)
		}
		clock.Advance(30 * time.Second)
		if again, _, err := s.SessionByHash(ctx, hashOf(token)); err != nil || !again.LastSeenAt.Equal(sess.LastSeenAt) {
			t.Errorf("touched within a minute: %v, %v", again.LastSeenAt, err)
		}
		for range 13 { // used every hour: never idle
			clock.Advance(time.Hour)
			_, _, err = s.SessionByHash(ctx, hashOf(token))
			must(t, err)
		}
		_, _, err = s.SessionByHash(ctx, hashOf(other))
		refused(t, err, Unauthorized, "") // idle for 13 hours
		_, _, err = s.SessionByHash(ctx, hashOf(staying))
		must(t, err)

		list, err := s.Sessions(ctx, sub)
		must(t, err)
		if len(list) != 2 {
			t.Errorf("%d living sessions, want 2", len(list))
		}
		refused(t, s.RevokeSession(ctx, w.main, sess.ID), NotFound, "") // another user's
		n, err := s.RevokeOtherSessions(ctx, sub, sess.ID)
		must(t, err)
		if n != 2 { // the idle one and the staying one
			t.Errorf("revoked %d", n)
		}
		for range 24 * 7 {
			clock.Advance(time.Hour)
			_, _, _ = s.SessionByHash(ctx, hashOf(token))
		}
		_, _, err = s.SessionByHash(ctx, hashOf(token))
		refused(t, err, Unauthorized, "") // over seven days, however busy
		must(t, s.SweepControl(ctx))
		if n := count(t, s.DB, "login_sessions"); n != 0 {
			t.Errorf("%d sessions left after the sweep", n)
		}
	})
}

func TestSessionsEnd(t *testing.T) {
	eachDB(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		w := newWorld(t, s, "main")
		sub := w.sub(t, "sub", Rights{Role: RoleRead, AllProducts: true})
		signIn := func() string {
			_, token, err := s.SignIn(ctx, w.login("sub"))
			must(t, err)
			return token
		}
		ended := func(what, token string) {
			_, _, err := s.SessionByHash(ctx, hashOf(token))
			if KindOf(err) != Unauthorized {
				t.Errorf("after %s: %v", what, err)
			}
		}
		token := signIn()
		must(t, s.SignOut(ctx, hashOf(token)))
		ended("sign-out", token)

		token, keep := signIn(), signIn()
		kept, _, err := s.SessionByHash(ctx, hashOf(keep))
		must(t, err)
		refused(t, s.ChangePassword(ctx, sub, "wrong", "a new password", kept.ID), Unauthorized, "errors.password.wrong")
		refused(t, s.ChangePassword(ctx, sub, testPassword, testPassword, kept.ID), Invalid, "errors.password.same")
		must(t, s.ChangePassword(ctx, sub, testPassword, "a new password", kept.ID))
		ended("password change", token)
		if _, _, err := s.SessionByHash(ctx, hashOf(keep)); err != nil {
			t.Errorf("the session that changed the password: %v", err)
		}
		must(t, s.ResetPassword(ctx, w.main, sub.UserID, testPassword))
		ended("password reset", keep)

		token = signIn()
		must(t, s.SetUserDisabled(ctx, w.main, sub.UserID, true))
		ended("disabling", token)
		_, _, err = s.SignIn(ctx, w.login("sub"))
		refused(t, err, Unauthorized, "errors.login.disabled")
		must(t, s.SetUserDisabled(ctx, w.main, sub.UserID, false))
		token = signIn()
		must(t, s.DeleteUser(ctx, w.main, sub.UserID, "sub"))
		ended("deletion", token)
	})
}

// Sign-ins, page views and a reset of one user at once end well on both engines.
func TestSessionsAtOnce(t *testing.T) {
	eachDBClock(t, func(t *testing.T, s *Store, clock *testClock) {
		ctx := t.Context()
		w := newWorld(t, s, "main")
		sub := w.sub(t, "sub", Rights{Role: RoleRead, AllProducts: true})
		_, token, err := s.SignIn(ctx, w.login("sub"))
		must(t, err)
		clock.Advance(2 * touchEvery)
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() {
				in := w.login("sub")
				in.IP = fmt.Sprintf("198.51.100.%d", i)
				if _, _, err := s.SignIn(ctx, in); err != nil && KindOf(err) != Unauthorized {
					t.Error(err)
				}
			})
			wg.Go(func() {
				if _, _, err := s.SessionByHash(ctx, hashOf(token)); err != nil && KindOf(err) != Unauthorized {
					t.Error(err)
				}
			})
		}
		wg.Go(func() {
			if err := s.ResetPassword(ctx, w.main, sub.UserID, "another password"); err != nil {
				t.Error(err)
			}
		})
		wg.Wait()
		if n := count(t, s.DB, "login_sessions"); n != 0 {
			t.Errorf("%d sessions outlive the reset", n)
		}
	})
}

func TestLoginNames(t *testing.T) {
	eachDB(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		a, b := newWorld(t, s, "a"), newWorld(t, s, "b")
		for _, w := range []*world{a, b} {
			w.sub(t, "same", Rights{Role: RoleRead, AllProducts: true})
		}
		u, _, err := s.SignIn(ctx, b.login("same"))
		must(t, err)
		if u.AccountID != b.main.AccountID {
			t.Error("signed in to another account")
		}
		main := Login{Name: "a", Password: testPassword}
		if u, _, err = s.SignIn(ctx, main); err != nil || !u.IsMain {
			t.Errorf("main login: %+v, %v", u, err)
		}
		main.AccountID = a.main.AccountID
		_, _, err = s.SignIn(ctx, main)
		refused(t, err, Unauthorized, "") // main users do not sign in as sub-accounts
		_, _, err = s.SignIn(ctx, Login{Name: "same", Password: testPassword})
		refused(t, err, Unauthorized, "") // nor the other way round
	})
}

// Failures count per name and address: they slow the guesser down and nobody else.
func TestThrottle(t *testing.T) {
	eachDBClock(t, func(t *testing.T, s *Store, clock *testClock) {
		ctx := t.Context()
		newWorld(t, s, "main")
		guess := func(name, ip string) error {
			_, _, err := s.SignIn(ctx, Login{Name: name, Password: "a wrong guess", IP: ip})
			return err
		}
		var e *Error
		for left := freeTries - 1; left > 0; left-- {
			if err := guess("main", "192.0.2.1"); !errors.As(err, &e) || e.Kind != Unauthorized || e.Data["Left"] != left {
				t.Fatalf("want %d left, got %v %v", left, err, e.Data)
			}
		}
		last := guess("main", "192.0.2.1")
		refused(t, last, Unauthorized, "errors.login.wrong_last")
		if e := asError(t, last); e.Data["Minutes"] != 1 {
			t.Errorf("the last free try says %v", e.Data)
		}
		refused(t, guess("main", "192.0.2.1"), TooMany, "errors.login.throttled")
		_, _, err := s.SignIn(ctx, Login{Name: "main", Password: testPassword, IP: "192.0.2.1"})
		refused(t, err, TooMany, "") // not even with the right one
		_, _, err = s.SignIn(ctx, Login{Name: "main", Password: testPassword, IP: "192.0.2.2"})
		must(t, err) // the owner, elsewhere

		clock.Advance(firstWait)
		refused(t, guess("main", "192.0.2.1"), Unauthorized, "errors.login.wrong_last")
		clock.Advance(firstWait)
		refused(t, guess("main", "192.0.2.1"), TooMany, "") // now twice as long
		clock.Advance(firstWait)
		_, _, err = s.SignIn(ctx, Login{Name: "main", Password: testPassword, IP: "192.0.2.1"})
		must(t, err)
		if err := guess("main", "192.0.2.1"); !errors.As(err, &e) || e.Data["Left"] != freeTries-1 {
			t.Errorf("a success does not start over: %v", e.Data)
		}
		// An unknown name counts and answers the same.
		if err := guess("nobody", "192.0.2.9"); !errors.As(err, &e) || e.Key != "errors.login.wrong" || e.Data["Left"] != freeTries-1 {
			t.Errorf("unknown user: %v", err)
		}
	})
}

func TestThrottleAddress(t *testing.T) {
	eachDBClock(t, func(t *testing.T, s *Store, clock *testClock) {
		ctx := t.Context()
		try := func(name, ip string) error {
			_, err := s.take(ctx, triesOf(name, ip))
			return err
		}
		for i := range freeAddressTries {
			must(t, try(fmt.Sprintf("name %d", i), fmt.Sprintf("2001:db8::%x", i)))
		}
		refused(t, try("fresh", "2001:db8::ffff"), TooMany, "") // one /64
		must(t, try("fresh", "2001:db8:0:1::1"))
		clock.Advance(forgetTries + time.Hour)
		must(t, try("fresh", "2001:db8::ffff"))
		clock.Advance(2*forgetTries + time.Hour)
		must(t, s.SweepControl(ctx))
		if n := count(t, s.DB, "login_attempts"); n != 0 {
			t.Errorf("%d counters left after the sweep", n)
		}
	})
}

// Guesses in parallel get no more tries than one after the other.
func TestThrottleParallel(t *testing.T) {
	eachDB(t, func(t *testing.T, s *Store) {
		var wg sync.WaitGroup
		var mu sync.Mutex
		passed := 0
		for range 20 {
			wg.Go(func() {
				_, err := s.take(context.Background(), triesOf("main", "192.0.2.1"))
				mu.Lock()
				defer mu.Unlock()
				switch KindOf(err) {
				case TooMany:
				default:
					if err != nil {
						t.Error(err)
					}
					passed++
				}
			})
		}
		wg.Wait()
		if passed != freeTries {
			t.Errorf("%d of 20 tries passed, want %d", passed, freeTries)
		}
	})
}

func TestWait(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]time.Duration{
		1: 0, freeTries - 1: 0, freeTries: firstWait, freeTries + 1: 2 * firstWait, freeTries + 6: 64 * firstWait, freeTries + 7: maxWait, 1_000_000: maxWait,
	} {
		if got := wait(n, freeTries, maxWait); got != want {
			t.Errorf("after %d failures: %v, want %v", n, got, want)
		}
	}
}

func TestSetup(t *testing.T) {
	eachDBClock(t, func(t *testing.T, s *Store, clock *testClock) {
		ctx := t.Context()
		in := MainAccount{Name: "蓝讯", UserName: "lin", Password: testPassword}
		refused(t, s.CheckSetupToken(ctx, "guess"), Unauthorized, "errors.setup.bad_token")
		first, _, err := s.NewSetupToken(ctx, false)
		must(t, err)
		second, _, err := s.NewSetupToken(ctx, false)
		must(t, err)
		must(t, s.CheckSetupToken(ctx, first)) // opening it spends nothing
		must(t, s.CheckSetupToken(ctx, first))
		third, _, err := s.NewSetupToken(ctx, true)
		must(t, err)
		refused(t, s.CheckSetupToken(ctx, second), Unauthorized, "")
		clock.Advance(SetupLife)
		refused(t, s.CheckSetupToken(ctx, third), Unauthorized, "")
		_, err = s.SetUp(ctx, third, in, "")
		refused(t, err, Unauthorized, "")

		token, expires, err := s.NewSetupToken(ctx, true)
		must(t, err)
		if want := clock.Now().Add(SetupLife); !expires.Equal(want) {
			t.Errorf("expires %v, want %v", expires, want)
		}
		bad := in
		bad.Password = "short"
		_, err = s.SetUp(ctx, token, bad, "")
		refused(t, err, Invalid, "errors.password.short")
		u, err := s.SetUp(ctx, token, in, "192.0.2.1")
		must(t, err)
		if !u.IsMain {
			t.Error("setup made no main user")
		}
		_, err = s.SetUp(ctx, token, in, "")
		refused(t, err, Conflict, "errors.setup.done")
		_, _, err = s.NewSetupToken(ctx, true)
		refused(t, err, Conflict, "errors.setup.done")
	})
}

// Of many who submit the form at once, exactly one becomes the main account.
func TestSetupOnce(t *testing.T) {
	eachDB(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		tokens := make([]string, 4)
		for i := range tokens {
			token, _, err := s.NewSetupToken(ctx, false)
			must(t, err)
			tokens[i] = token
		}
		var wg sync.WaitGroup
		for i, token := range tokens {
			wg.Go(func() {
				_, _ = s.SetUp(ctx, token, MainAccount{Name: "x", UserName: fmt.Sprintf("u%d", i), Password: testPassword}, "")
			})
		}
		wg.Wait()
		if n := count(t, s.DB, "users WHERE is_main"); n != 1 {
			t.Errorf("%d main users, want 1", n)
		}
	})
}
