package handlers

import (
	"net/http"
	"strings"
	"testing"

	"hongyan/models"
	"hongyan/push"
	"hongyan/push/registry"
)

// estate is an account that has one of everything, so that every address of the site
// map can be visited. A new path parameter needs a value here.
type estate struct {
	Owner models.Actor
	// Params maps the name of a path parameter to the account's value.
	Params map[string]string
	// Out is the same for another product of the account, where one has a value.
	Out     map[string]string
	Product int64
	// Android is the app beside the iOS one of Params, IM the IM app, Token the
	// device's token at the vendor.
	Android, IM int64
	Token       string
	// Beside are pages of the account that no route alone stands for, such as those of
	// an app of another platform, with the permission that they ask for.
	Beside map[string]models.Permission
}

// estateBody is what the message of an estate says.
const estateBody = "meet-me-at-the-lighthouse"

// fixed are path parameters that name no row of an account.
func fixed() map[string]string { return map[string]string{"channel": "apns"} }

// queries are what a page needs behind its path to have something to show.
func queries() map[string]string {
	return map[string]string{"/apps/:app/tools/delete": "?account=user-1", "/apps/:app/config/keys/reset": "?key=access", "/search": "?q=user-1"}
}

// newEstate builds one. All its names are ASCII, so that the English pages show no
// other letters.
func newEstate(t *testing.T, s *site, name string) estate {
	t.Helper()
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	e := estate{Owner: s.Account(name)}
	product, apps := s.Product(e.Owner, name+"-chat")
	other, otherApps := s.Product(e.Owner, name+"-other")
	app := apps[1] // iOS
	im, secret := s.IMApp(e.Owner, name+"-im")
	auth, err := s.Store.Authorize(ctx, e.Owner, im.ID, product.ID, app.ID)
	must(err)
	_, err = s.Store.SetPackage(ctx, e.Owner, app.ID, "com.example."+name)
	must(err)
	key := models.CredentialInput{Channel: "apns", Environment: models.EnvironmentProduction, Kind: "p8", Fields: map[string]string{"key": "k"}}
	keys, err := s.Store.SaveCredentials(ctx, e.Owner, models.AppOwner(app.ID), key)
	must(err)
	imKeys, err := s.Store.SaveCredentials(ctx, e.Owner, models.IMOwner(im.ID), key)
	must(err)
	e.Beside = vendorPages(s, e.Owner, apps[0].ID, im.ID)
	plan, err := s.Store.CreatePlan(ctx, e.Owner, app.ID, "News", "")
	must(err)
	otherPlan, err := s.Store.CreatePlan(ctx, e.Owner, otherApps[1].ID, "News", "")
	must(err)
	sub := s.Sub(e.Owner, name+"-sub", models.Rights{Role: models.RoleRead, AllProducts: true})
	scope, _, err := s.Store.ScopeForApp(ctx, e.Owner, app.ID)
	must(err)
	token := strings.Repeat(number(app.ID), 7)[:64]
	phone, err := s.Store.Register(ctx, scope, models.Registration{
		Platform: models.PlatformIOS, Model: "iPhone17,1", Notify: models.NotifyOn,
		Routes: []models.RouteInput{{Channel: "apns", Environment: models.EnvironmentProduction, PackageName: "com.example." + name, Token: token}},
	})
	must(err)
	dev, err := s.Store.AuthDevice(ctx, scope, phone.Device.Token, phone.Secret)
	must(err)
	must(s.Store.Bind(ctx, dev, []models.Binding{{Account: "user-1"}}))
	route, err := s.Store.FindSandboxRoute(ctx, "apns", token)
	must(err)
	must(s.Store.AddSandboxPush(ctx, route, models.SandboxPush{Channel: "apns", VendorID: "v", Status: http.StatusOK, Payload: []byte("{}"), At: s.Clock.Now()}))
	pushes, err := s.Store.SandboxPushes(ctx, scope, 0, 0, 1)
	must(err)
	s.Store.StartAccepting(nil)
	t.Cleanup(func() { _ = s.Store.StopAccepting(ctx) })
	in, err := s.Store.IngestBySecret(ctx, secret.Reveal())
	must(err)
	taken, err := s.Store.Accept(ctx, in, []models.Incoming{{
		SourceID: "m1", Kind: models.KindAlert, Account: "user-1", Sender: "user-2", Content: models.Content{Title: "user-2", Body: estateBody},
	}})
	must(err)
	trace := in.Traced(s.Clock.Now()).Trace()
	trace.Kind, trace.Code = models.ArrivalOther, "bad_json"
	must(s.Store.AddArrival(trace, models.Arrival{At: s.Clock.Now(), Status: http.StatusBadRequest, Shape: "POST /im/:secret"}, ""))
	must(s.Store.FlushArrivals(ctx))
	arrivals, err := s.Store.LatestArrivals(ctx, e.Owner, im.ID)
	must(err)
	s.Login(e.Owner)
	sessions, err := s.Store.Sessions(ctx, e.Owner)
	must(err)
	hook, err := s.Store.CreateAlertHook(ctx, e.Owner, models.AlertHookInput{
		Name: name + "-hook", Kind: models.HookGeneric, URL: "https://hooks.example.com/" + models.Secret(name), Events: models.AlertEvents(),
	})
	must(err)
	_, err = s.Store.PauseCredential(ctx, keys[0].ID, keys[0].Revision, "InvalidProviderToken", "")
	must(err)
	e.Product, e.Android, e.IM, e.Token = product.ID, apps[0].ID, im.ID, token
	e.Params = map[string]string{
		"product": number(product.ID), "app": app.AccessID(), "im": number(im.ID), "authorization": number(auth.ID),
		"credential": number(keys[0].ID), "im-credential": number(imKeys[0].ID), "plan": number(plan.ID), "user": number(sub.UserID), "session": number(sessions[0].ID),
		"device": number(phone.Device.ID), "message": taken.IDs[0], "push": number(pushes[0].ID),
		"hook": number(hook.ID), "arrival": arrivals[0].ID,
	}
	e.Out = map[string]string{"product": number(other.ID), "app": otherApps[1].AccessID(), "plan": number(otherPlan.ID)}
	return e
}

// vendorPages gives the Android app and the IM app keys of a vendor, and returns their
// pages: the cards, and the form of every channel.
func vendorPages(s *site, owner models.Actor, app, im int64) map[string]models.Permission {
	s.t.Helper()
	vivo := models.CredentialInput{
		Channel: "vivo", Environment: models.EnvironmentProduction, Kind: "vivo",
		Fields: channelValues(s.t)[push.Vivo], Info: models.CredentialInfo{Shown: map[string]string{"app_id": "105637"}},
	}
	for _, o := range []models.CredentialOwner{models.AppOwner(app), models.IMOwner(im)} {
		if _, err := s.Store.SaveCredentials(s.t.Context(), owner, o, vivo); err != nil {
			s.t.Fatal(err)
		}
	}
	pages := map[string]models.Permission{appBase(app) + "/config": models.PermView, imAppBase(im): models.PermIM}
	for _, spec := range registry.All() {
		if spec.Channel == push.APNs {
			continue
		}
		form := "/credentials/" + string(spec.Channel) + "/new"
		pages[appBase(app)+form], pages[imAppBase(im)+form] = models.PermConfigure, models.PermIM
	}
	return pages
}
