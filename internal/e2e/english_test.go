package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"hongyan/internal/browser"
)

// The seed once more, by somebody who reads English and holds a phone that prefers
// dark: through the drawer, with nothing running out of 390 px, and each page looked at
// on a desk in the light as well.
func TestJourneyInEnglish(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts the program and a browser")
	}
	s := newConsole(t, "sqlite")
	j := &journey{walker: newWalker(t, s, "en")}
	j.screen = view{"", 390, 844}
	j.views = []view{{"dark", 390, 844}, {"light", 1440, 900}}
	j.Size(390, 844)
	start := time.Now()
	for _, part := range []struct {
		name string
		walk func()
	}{
		{"setup", func() { j.setUp(s, mainName, mainPassword) }},
		{"product", j.englishProduct}, {"authorization", j.englishAuthorization}, {"configuration", j.englishConfiguration},
		{"offline message", j.englishMessage}, {"people", j.englishPeople}, {"release", j.englishRelease}, {"sign-in", j.englishSignIn},
	} {
		part.walk()
		t.Logf("%6.1f s: %s", time.Since(start).Seconds(), part.name)
	}
	t.Logf("%d pages", j.seen)
}

// menu opens the drawer and follows one of its entries.
func (j *journey) menu(label string) {
	j.t.Helper()
	j.clickIn("header", "Open navigation")
	j.Wait(`location.hash === "#nav" && document.getAnimations().length === 0`) // it slides in
	j.leave(func() { j.clickIn(".side", label) })
	j.look()
}

func (j *journey) englishProduct() {
	j.t.Helper()
	j.shows("Quick start", "0 of 7 done")
	j.leave(func() { j.clickIn("header", "Switch to dark theme") })
	if got := browser.Eval[string](j.Browser, `document.documentElement.dataset.theme`); got != "dark" {
		j.t.Errorf("theme %q after choosing the dark one", got)
	}
	j.menu("Products")
	j.shows("No products yet")
	j.dialog("New product")
	j.refuse("Create", "Not saved")
	j.write("name", "Whale Chat")
	j.choosesFirst("category")
	j.choose("region", "ap-guangzhou")
	j.untick("platforms", "android")
	j.choose("platforms", "ios")
	j.follow("Create")
	j.shows("Whale Chat", "iOS", "Not set up", "Configure")
}

func (j *journey) englishAuthorization() {
	j.t.Helper()
	j.menu("Authorizations")
	j.shows("There is no IM app yet")
	j.follow("New IM app")
	j.write("name", "Whale IM")
	j.choose("bridge", "wukongim")
	j.follow("Create")
	j.shows("Whale IM", "shown this once", "Not authorized yet")
	j.imApp = j.path()
	j.ingest = browser.Eval[string](j.Browser, `document.querySelector("[aria-labelledby=address-h] .codebox [data-copy]").dataset.copy`)
	j.menu("IM apps")
	j.shows("Not authorized, accepts nothing")

	j.menu("Authorizations")
	j.follow("IM authorization")
	j.shows("What an authorization does", "IM push only (free)")
	j.follow("Got it")
	j.dialog("New authorization")
	j.pick("im_app_id", "Whale IM")
	j.pick("product_id", "Whale Chat")
	app := browser.Eval[string](j.Browser, `document.querySelector("dialog:modal [name=app_id]:not([disabled])").value`)
	j.choose("app_id", app)
	j.app = "/apps/" + app
	j.look()
	j.follow("Submit")
	j.shows("Whale IM", "Whale Chat", "Release")
	j.menu("Products")
	j.shows("IM push only (free)")
	j.menu("Push plans")
	j.shows("IM messages", "Made by the IM authorization")
	j.follow("Details of IM messages")
	j.plan = j.path()
	j.shows("Planned", "Sent", "Arrived", "Clicked", "No records yet")
}

func (j *journey) englishConfiguration() {
	t := j.t
	t.Helper()
	file := filepath.Join(t.TempDir(), "whale.p12")
	if err := os.WriteFile(file, pushCertificate(t, bundleID, "secret", time.Now().AddDate(0, 0, 20)), 0o600); err != nil {
		t.Fatal(err)
	}
	j.menu("App settings")
	j.shows("No certificate yet", "IM push only (free)")
	j.write("package_name", "not a bundle id")
	j.follow("Save Bundle ID")
	j.shows("consists of letters, digits")
	j.write("package_name", bundleID)
	j.follow("Save Bundle ID")
	j.dialog("Upload a certificate")
	j.upload("file", file)
	j.write("password", "wrong")
	j.refuse("Upload and check", "The password does not open this file")
	j.upload("file", file)
	j.write("password", "secret")
	j.follow("Upload and check")
	j.shows("Uploaded certificates", "Production", "Development", bundleID)
	j.visit(j.app + "/config/full")
	j.visit(j.app + "/config/delete")
	j.shows("cannot be deleted")
	j.menu("Client integration")
}

func (j *journey) englishMessage() {
	j.t.Helper()
	j.menu("Sandbox inbox")
	j.fast = true // the page is looked at before and after
	j.follow("Turn on the sandbox")
	j.follow("Make a sandbox key")
	j.fast = false
	j.write("account", account)
	j.followIn("[aria-labelledby=phones-h]", "Add a virtual phone")
	j.post(captured)
	j.until(j.plan, `[aria-labelledby="records-h"]`, account, visible)
	j.until(j.plan, `[aria-labelledby="records-h"] tbody`, "Sent", 10*time.Second)
	j.look()
	j.follow("Trace of the message for " + account)
	j.shows("Accepted", "Devices found", "accepted it", "2124668323860844544")
	j.visit(j.app + "/test?account=" + account)
	j.shows("carries IM pushes only (free)")
	j.open(j.imApp)
	j.look()
	j.shows("Accepted", "WuKongIM")
	j.menu("Diagnosis")
	j.write("q", account)
	j.follow("Search")
	j.shows(account, "This device")

	// A tap on the phone's notification is a click in the plan. What it says is Chinese.
	j.open(j.app + "/sandbox")
	j.shows("你好，离线消息")
	j.leave(func() { j.Do(chromedp.Click(chromedp.CSS("main .notes button"))) })
	j.until(j.plan, `[aria-labelledby="records-h"] tbody`, "Clicked", 10*time.Second)
	j.look()
	j.menu("Quick start")
	j.shows("All 7 steps done")
}

func (j *journey) englishPeople() {
	j.t.Helper()
	j.menu("Sub-accounts")
	j.shows("No sub-accounts yet")
	j.dialog("New sub-account")
	j.write("name", "operator")
	j.write("password", subPassword)
	j.choose("role", "ops")
	j.look()
	j.follow("Create")
	j.shows("Sub-account operator created", "Operator")
	j.click("More actions: operator")
	j.dialog("Reset password")
	j.click("Cancel")
	j.Wait(`!document.querySelector("dialog")`)
	j.menu("Audit log")
	j.shows("operator")
	j.menu("Account settings")
	j.visit("/me")
	j.shows("Sessions", "This one")
}

func (j *journey) englishRelease() {
	j.t.Helper()
	j.visit("/authorizations?view=im")
	j.follow("Release " + strings.TrimPrefix(j.app, "/apps/"))
	j.follow("Release")
	j.shows("No authorizations yet")
	j.visit(j.app + "/plans")
	j.shows("Released")
	j.visit(j.imApp + "/delete")
}

func (j *journey) englishSignIn() {
	j.t.Helper()
	j.open("/me")
	j.Do(chromedp.Click(chromedp.CSS("header details.menu summary")))
	j.leave(func() { j.clickIn("header", "Sign out") })
	j.look()
	j.write("name", mainName)
	j.write("password", "not the password")
	j.follow("Sign in")
	j.shows("Tries left")
	j.follow("Sub-account")
	j.shows("Main account ID")
	j.open("/products")
	if got := j.path(); !strings.HasPrefix(got, "/login?next=") {
		j.t.Errorf("a stranger is led to %s", got)
	}
}
