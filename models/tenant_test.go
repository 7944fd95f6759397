package models

import (
	"context"
	"encoding/hex"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// victim is an account with one of everything, whose ids another account tries.
type victim struct {
	*world
	sub     int64
	session int64
	authz   int64
	imPlan  int64
	plan    int64
	appCred int64
	imCred  int64
	hook    int64
	arrival string
}

func newVictim(t testing.TB, s *Store) *victim {
	t.Helper()
	ctx := t.Context()
	v := &victim{world: newWorld(t, s, "victim")}
	v.sub = v.world.sub(t, "sub", Rights{Role: RoleFull, Products: []int64{v.product.ID}, CanIM: true}).UserID
	u, err := s.UserByID(ctx, v.main, v.main.UserID)
	must(t, err)
	token, err := s.StartSession(ctx, u, "", "")
	must(t, err)
	sess, _, err := s.SessionByHash(ctx, hashOf(token))
	must(t, err)
	v.session = sess.ID
	saved, err := s.SaveCredentials(ctx, v.main, IMOwner(v.im.ID), p8(EnvironmentProduction))
	must(t, err)
	v.imCred = saved[0].ID
	z, err := s.Authorize(ctx, v.main, v.im.ID, v.product.ID, v.ios.ID)
	must(t, err)
	v.authz, v.imPlan = z.ID, z.PlanID
	own, err := s.Credentials(ctx, v.main, AppOwner(v.ios.ID))
	must(t, err)
	v.appCred = own[0].ID
	_, err = s.PauseCredential(ctx, v.appCred, own[0].Revision, "x", "")
	must(t, err)
	hook, err := s.CreateAlertHook(ctx, v.main, AlertHookInput{Name: "hook", Kind: HookGeneric, URL: "https://hooks.example.com/x", Events: AlertEvents()})
	must(t, err)
	v.hook = hook.ID
	_, err = s.LogAlertTest(ctx, v.main, v.hook, AlertResult{OK: true})
	must(t, err)
	// Something to sync, so that nothing but the account is in the way.
	_, err = s.SaveCredentials(ctx, v.main, IMOwner(v.im.ID), p8(EnvironmentProduction))
	must(t, err)
	p, err := s.CreatePlan(ctx, v.main, v.ios.ID, "plan", "")
	must(t, err)
	v.plan = p.ID
	v.arrival = "0199a0b0-0000-7000-8000-000000000001"
	until := s.Now().Add(ContentTime)
	must(t, s.write(ctx, func(t *Tx) error {
		a := Arrival{ID: v.arrival, IMAppID: v.im.ID, At: s.Now(), Kind: KindAlert, ContentUntil: &until}
		if a.Content, err = s.seal([]byte("{}"), arrivalPlace(a.ID)); err != nil {
			return err
		}
		return t.Create(&a).Error
	}))
	return v
}

// nothing turns a list without rows into the answer of one that was not found.
func nothing[T any](rows []T, err error) error {
	if err == nil && len(rows) == 0 {
		return notFound("")
	}
	return err
}

// only drops a first result.
func only[T any](_ T, err error) error { return err }

// attempts calls every method of Store that takes an Actor, as who, with the
// victim's ids. Each must answer as if there were nothing. The test fails when a
// method is missing here.
func attempts(s *Store, who Actor, v *victim) map[string]func(ctx context.Context) error {
	app, im := AppOwner(v.ios.ID), IMOwner(v.im.ID)
	user := UserInput{Name: "x", Role: RoleRead, Products: []int64{v.product.ID}}
	return map[string]func(ctx context.Context) error{
		"AlertHooks":      func(ctx context.Context) error { return nothing(s.AlertHooks(ctx, who)) },
		"AlertHookByID":   func(ctx context.Context) error { return only(s.AlertHookByID(ctx, who, v.hook)) },
		"AlertTarget":     func(ctx context.Context) error { return only(s.AlertTarget(ctx, who, v.hook)) },
		"DeleteAlertHook": func(ctx context.Context) error { return s.DeleteAlertHook(ctx, who, v.hook, "hook") },
		"LogAlertTest":    func(ctx context.Context) error { return only(s.LogAlertTest(ctx, who, v.hook, AlertResult{OK: true})) },
		"SetAlertHookEnabled": func(ctx context.Context) error {
			return only(s.SetAlertHookEnabled(ctx, who, v.hook, false))
		},
		"UpdateAlertHook": func(ctx context.Context) error {
			return only(s.UpdateAlertHook(ctx, who, v.hook, AlertHookInput{Name: "x", Events: AlertEvents()}))
		},
		"Alerts": func(ctx context.Context) error {
			page, err := s.Alerts(ctx, who, 0, 0, 10)
			return nothing(page.Rows, err)
		},
		"AccessKey":      func(ctx context.Context) error { return only(s.AccessKey(ctx, who, v.ios.ID)) },
		"AddApp":         func(ctx context.Context) error { return only(s.AddApp(ctx, who, v.product.ID, PlatformMacOS, "")) },
		"ApplySync":      func(ctx context.Context) error { return only(s.ApplySync(ctx, who, v.ios.ID)) },
		"Authorizations": func(ctx context.Context) error { return nothing(s.Authorizations(ctx, who)) },
		"Authorize": func(ctx context.Context) error {
			return only(s.Authorize(ctx, who, v.im.ID, v.product.ID, v.android.ID))
		},
		"Candidates":    func(ctx context.Context) error { return nothing(s.Candidates(ctx, who)) },
		"CreatePlan":    func(ctx context.Context) error { return only(s.CreatePlan(ctx, who, v.ios.ID, "x", "")) },
		"Credentials":   func(ctx context.Context) error { return nothing(s.Credentials(ctx, who, app)) },
		"DeleteApp":     func(ctx context.Context) error { return s.DeleteApp(ctx, who, v.android.ID, v.android.Name) },
		"DeleteIMApp":   func(ctx context.Context) error { return s.DeleteIMApp(ctx, who, v.im.ID, v.im.Name) },
		"DeletePlan":    func(ctx context.Context) error { return s.DeletePlan(ctx, who, v.ios.ID, v.plan) },
		"DeleteProduct": func(ctx context.Context) error { return s.DeleteProduct(ctx, who, v.product.ID, v.product.Name) },
		"DeleteUser":    func(ctx context.Context) error { return s.DeleteUser(ctx, who, v.sub, "sub") },
		"DropOldSecret": func(ctx context.Context) error { return s.DropOldSecret(ctx, who, v.im.ID) },
		"IMAppByID":     func(ctx context.Context) error { return only(s.IMAppByID(ctx, who, v.im.ID)) },
		"IMAppNames": func(ctx context.Context) error {
			names, err := s.IMAppNames(ctx, who)
			if err == nil && len(names) == 0 {
				return notFound("")
			}
			return err
		},
		"LogUserDataDeletion": func(ctx context.Context) error { return s.LogUserDataDeletion(ctx, who, v.ios.ID) },
		"SampleSecret":        func(ctx context.Context) error { return only(s.SampleSecret(ctx, who, v.ios.ID)) },
		"SetSimulatorSettings": func(ctx context.Context) error {
			return s.SetSimulatorSettings(ctx, who, v.ios.ID, SimulatorSettings{})
		},
		"StartFacts": func(ctx context.Context) error {
			facts, err := s.StartFacts(ctx, who, nil)
			if err == nil && facts.IMApp == nil {
				return notFound("")
			}
			return err
		},
		"IMApps":          func(ctx context.Context) error { return nothing(s.IMApps(ctx, who)) },
		"LogContentView":  func(ctx context.Context) error { return s.LogContentView(ctx, who, v.ios.ID, "m") },
		"PendingSync":     func(ctx context.Context) error { return nothing(s.PendingSync(ctx, who, v.ios.ID)) },
		"Plans":           func(ctx context.Context) error { return nothing(s.Plans(ctx, who, v.ios.ID)) },
		"ProductByID":     func(ctx context.Context) error { return only(s.ProductByID(ctx, who, v.product.ID)) },
		"Products":        func(ctx context.Context) error { return nothing(s.Products(ctx, who, "")) },
		"Release":         func(ctx context.Context) error { return s.Release(ctx, who, v.authz) },
		"RenameApp":       func(ctx context.Context) error { return only(s.RenameApp(ctx, who, v.ios.ID, "x")) },
		"ResetAccessKey":  func(ctx context.Context) error { return only(s.ResetAccessKey(ctx, who, v.ios.ID)) },
		"ResetPassword":   func(ctx context.Context) error { return s.ResetPassword(ctx, who, v.sub, "another password") },
		"ResetSecretKey":  func(ctx context.Context) error { return only(s.ResetSecretKey(ctx, who, v.ios.ID, testPassword)) },
		"RevealSecretKey": func(ctx context.Context) error { return only(s.RevealSecretKey(ctx, who, v.ios.ID, testPassword)) },
		"RevokeSession":   func(ctx context.Context) error { return s.RevokeSession(ctx, who, v.session) },
		"RotateBindKey":   func(ctx context.Context) error { return only(s.RotateBindKey(ctx, who, v.ios.ID)) },
		"Sessions":        func(ctx context.Context) error { return nothing(s.Sessions(ctx, who)) },
		"SetDelivery": func(ctx context.Context) error {
			return only(s.SetDelivery(ctx, who, v.ios.ID, FanoutLatest, TextFull, 0))
		},
		"SetFullPush":     func(ctx context.Context) error { return only(s.SetFullPush(ctx, who, v.ios.ID, true)) },
		"SetPackage":      func(ctx context.Context) error { return only(s.SetPackage(ctx, who, v.ios.ID, "com.example.app")) },
		"SetSandbox":      func(ctx context.Context) error { return only(s.SetSandbox(ctx, who, v.ios.ID, true)) },
		"SetUserDisabled": func(ctx context.Context) error { return s.SetUserDisabled(ctx, who, v.sub, true) },
		"UpdatePlan":      func(ctx context.Context) error { return only(s.UpdatePlan(ctx, who, v.ios.ID, v.plan, "x", "")) },
		"UpdateUser":      func(ctx context.Context) error { return only(s.UpdateUser(ctx, who, v.sub, user)) },
		"UserByID":        func(ctx context.Context) error { return only(s.UserByID(ctx, who, v.sub)) },
		"Users":           func(ctx context.Context) error { return nothing(s.Users(ctx, who)) },
		"PlanByID": func(ctx context.Context) error {
			return only(s.PlanByID(ctx, who, v.ios.ID, v.imPlan))
		},
		"AuthorizationByID": func(ctx context.Context) error {
			return only(s.AuthorizationByID(ctx, who, v.authz))
		},
		"CredentialByID": func(ctx context.Context) error {
			return first(only(s.CredentialByID(ctx, who, app, v.appCred)), only(s.CredentialByID(ctx, who, im, v.imCred)))
		},
		"CredentialFields": func(ctx context.Context) error {
			_, _, err := s.CredentialFields(ctx, who, app, v.appCred)
			_, _, other := s.CredentialFields(ctx, who, im, v.imCred)
			return first(err, other)
		},
		"CredentialTested": func(ctx context.Context) error {
			return first(only(s.CredentialTested(ctx, who, app, v.appCred, 1, "", "")), only(s.CredentialTested(ctx, who, im, v.imCred, 2, "", "")))
		},
		"DeleteCredential": func(ctx context.Context) error {
			return first(s.DeleteCredential(ctx, who, app, v.appCred), s.DeleteCredential(ctx, who, im, v.imCred))
		},
		"ResumeCredential": func(ctx context.Context) error { return s.ResumeCredential(ctx, who, app, v.appCred) },
		"SaveCredentials": func(ctx context.Context) error {
			return first(only(s.SaveCredentials(ctx, who, app, p8(EnvironmentProduction))), only(s.SaveCredentials(ctx, who, im, p8(EnvironmentProduction))))
		},
		"IMAppStats": func(ctx context.Context) error {
			return only(s.IMAppStats(ctx, who, v.im.ID, time.Unix(0, 0), time.Now()))
		},
		"ReceiptSecret": func(ctx context.Context) error { return only(s.ReceiptSecret(ctx, who, app, v.appCred)) },
		"RotateIngestSecret": func(ctx context.Context) error {
			_, _, err := s.RotateIngestSecret(ctx, who, v.im.ID)
			return err
		},
		"ArrivalByID":    func(ctx context.Context) error { return only(s.ArrivalByID(ctx, who, v.im.ID, v.arrival)) },
		"ArrivalContent": func(ctx context.Context) error { return only(s.ArrivalContent(ctx, who, v.im.ID, v.arrival)) },
		"LatestArrivals": func(ctx context.Context) error { return nothing(s.LatestArrivals(ctx, who, v.im.ID)) },
		"SampleSecretOf": func(ctx context.Context) error { return only(s.SampleSecretOf(ctx, who, v.im.ID, v.ios.ID)) },
		"SetReceipts":    func(ctx context.Context) error { return s.SetReceipts(ctx, who, v.ios.ID, v.appCred, true) },
		"ShowContent":    func(ctx context.Context) error { return only(s.ShowContent(ctx, who, v.im.ID, true)) },
		"ScopeForApp": func(ctx context.Context) error {
			_, _, err := s.ScopeForApp(ctx, who, v.ios.ID)
			return err
		},
		"SetBindRequired": func(ctx context.Context) error {
			_, _, err := s.SetBindRequired(ctx, who, v.ios.ID, true)
			return err
		},
		"UpdateIMApp": func(ctx context.Context) error {
			return only(s.UpdateIMApp(ctx, who, v.im.ID, IMAppInput{Name: "x", Bridge: "generic"}, bridges()))
		},
		"UpdateProduct": func(ctx context.Context) error {
			return only(s.UpdateProduct(ctx, who, v.product.ID, ProductInput{Name: "x", Category: "game"}))
		},
		"CreateUser": func(ctx context.Context) error { // with the victim's product in scope
			in := user
			in.Password = testPassword
			return only(s.CreateUser(ctx, who, in))
		},
		"HasIMApp": func(ctx context.Context) error {
			if has, err := s.HasIMApp(ctx, who); has || err != nil {
				return err
			}
			return notFound("")
		},
		"Audit": func(ctx context.Context) error {
			page, err := s.Audit(ctx, who, AuditFilter{})
			return nothing(ofOthers(page.Rows, who), err)
		},
		"AuditUsers": func(ctx context.Context) error {
			people, err := s.AuditUsers(ctx, who)
			var others []AuditPerson
			for _, p := range people {
				if p.UserID == v.main.UserID {
					others = append(others, p)
				}
			}
			return nothing(others, err)
		},
	}
}

func ofOthers(rows []AuditLog, who Actor) []AuditLog {
	var out []AuditLog
	for _, r := range rows {
		if r.AccountID != who.AccountID {
			out = append(out, r)
		}
	}
	return out
}

// first returns the first of the errors that is not a refusal, else the last.
func first(errs ...error) error {
	for _, err := range errs {
		if !asIfAbsent(err) {
			return err
		}
	}
	return errs[len(errs)-1]
}

func asIfAbsent(err error) bool { return KindOf(err) == NotFound || KindOf(err) == Invalid }

// noIDs are the methods that take an Actor and nothing of anyone's: they can only
// reach the actor's own rows.
func noIDs() []string {
	return []string{
		"Account", "ChangePassword", "CreateAlertHook", "CreateIMApp", "CreateProduct", "RevokeOtherSessions", "SeeIMNotice", "SetLanguage",
		"UpdateAccount", "VerifyPassword",
	}
}

// actorMethods are the names of Store's methods that take an Actor.
func actorMethods() []string {
	var out []string
	store := reflect.TypeFor[*Store]()
	for m := range store.Methods() {
		for in := range m.Type.Ins() {
			if in == reflect.TypeFor[Actor]() {
				out = append(out, m.Name)
			}
		}
	}
	return out
}

// Nobody reads or changes anything of another account, whatever ids he sends: not
// its main user, not a sub-account with every right, not the program acting for
// the other account.
func TestOtherAccounts(t *testing.T) {
	eachDB(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		v := newVictim(t, s)
		u, err := s.CreateMainAccount(ctx, MainAccount{Name: "attacker", UserName: "attacker", Password: testPassword})
		must(t, err)
		main := u.Actor("192.0.2.66")
		sub := main
		sub.Rights = Rights{Role: RoleFull, AllProducts: true, CanIM: true, CanContent: true}
		greedy := main // claims the victim's products and user
		greedy.Products, greedy.UserID = []int64{v.product.ID}, u.ID
		before := accountRows(t, s, v)
		for name, who := range map[string]Actor{"main": main, "sub": sub, "greedy": greedy, "system": SystemActor(u.AccountID)} {
			covered := map[string]bool{}
			for _, n := range noIDs() {
				covered[n] = true
			}
			for method, try := range attempts(s, who, v) {
				covered[method] = true
				err := try(ctx)
				if forbidden := name == "sub" && KindOf(err) == Forbidden; !forbidden && !asIfAbsent(err) {
					if name == "system" && KindOf(err) == Unauthorized {
						continue // it has no password to repeat
					}
					t.Errorf("%s %s: got %v, want as if there were nothing", name, method, err)
				}
			}
			for _, m := range actorMethods() {
				if !covered[m] {
					t.Errorf("%s takes an Actor and is not tried with another account's ids", m)
				}
			}
		}
		if after := accountRows(t, s, v); after != before {
			t.Errorf("rows of the victim changed:\nbefore %s\nafter %s", before, after)
		}
		// The same ids do work for their owner, so the test can fail.
		for _, method := range []string{"PlanByID", "CredentialFields", "UserByID", "SetPackage", "ArrivalByID", "ArrivalContent", "LatestArrivals", "ShowContent", "SampleSecretOf", "Release"} {
			if err := attempts(s, v.main, v)[method](ctx); err != nil {
				t.Errorf("%s refuses the owner: %v", method, err)
			}
		}
	})
}

// accountRows is every row of the victim's account as text.
func accountRows(t testing.TB, s *Store, v *victim) string {
	t.Helper()
	var b strings.Builder
	for _, table := range []string{"users", "products", "apps", "credentials", "im_apps", "authorizations", "plans", "audit_logs", "alert_hooks", "alerts"} {
		var rows []map[string]any
		must(t, s.read(t.Context()).Table(table).Where("account_id = ?", v.main.AccountID).Order("id").Find(&rows).Error)
		for _, r := range rows {
			keys := make([]string, 0, len(r))
			for k := range r {
				keys = append(keys, k)
			}
			for _, k := range sortedStrings(keys) {
				b.WriteString(table + "." + k + "=" + textOf(r[k]) + "\n")
			}
		}
	}
	return b.String()
}

func sortedStrings(s []string) []string {
	slices.Sort(s)
	return s
}

func textOf(v any) string {
	if b, ok := v.([]byte); ok {
		return hex.EncodeToString(b)
	}
	return fmt.Sprint(v)
}
