package handlers

import (
	"maps"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"hongyan/internal/browser"
	"hongyan/models"
	"hongyan/push"
	"hongyan/push/registry"
)

// channelSite has an app without any vendor channel and one with a card in each state.
func channelSite(t *testing.T) (s *site, owner models.Actor, paths map[string]string) {
	t.Helper()
	s = newSite(t, models.SQLite)
	owner, app, v := androidSite(s, "main")
	_, empty := s.Product(owner, "蓝鲸企业聊", models.PlatformAndroid)
	base, own, values := appBase(app.ID), models.AppOwner(app.ID), channelValues(t)
	for _, spec := range registry.All() {
		if good, ok := values[spec.Channel]; ok && spec.Channel != push.WebPush {
			v.Submit(base+"/credentials/"+string(spec.Channel)+"/new", channelForm(good)...).To(base + "/config")
		}
	}
	other := maps.Clone(values[push.Vivo])
	other["app_id"] = "105638"
	v.Submit(base+"/credentials/vivo/new?more=1", channelForm(other, "package_name", "cn.lanxun.whale.vivo")...).To(base + "/config")
	say := func(channel push.Channel, code string) models.Credential {
		k, _ := s.channelRow(owner, own, channel, "")
		if _, err := s.Store.CredentialTested(t.Context(), owner, own, k.ID, k.Revision, code, "refused"); err != nil {
			t.Fatal(err)
		}
		return k
	}
	oppo := say(push.OPPO, "11")
	mz := say(push.Meizu, "")
	s.Clock.Advance(2 * time.Minute) // within one, a success is noted once
	if err := s.Store.CredentialWorked(t.Context(), mz.ID, mz.Revision, models.Quota{Limit: 1000, Used: 960}); err != nil {
		t.Fatal(err)
	}
	if err := s.Store.SetReceipts(t.Context(), owner, app.ID, mz.ID, true); err != nil {
		t.Fatal(err)
	}
	xm := say(push.Xiaomi, "")
	if _, err := s.Store.RestCredential(t.Context(), xm.ID, xm.Revision, s.Clock.Now().Add(5*time.Hour), "200001"); err != nil {
		t.Fatal(err)
	}
	in := authorized(t, s, owner, app)
	handOver(t, s, in, "zhangwei_0412", "lina")
	parked(t, s, app, xm, s.Clock.Now().Add(5*time.Hour), 49870, 130, "lina")
	handOver(t, s, in, "wangfang")
	parked(t, s, app, oppo, time.Time{}, 1204, 3, "wangfang")
	paths = map[string]string{
		"waiting": base + "/credentials/" + number(xm.ID) + "/waiting", "waiting-none": base + "/credentials/" + number(mz.ID) + "/waiting",
		"empty": appBase(empty[0].ID) + "/config", "cards": base + "/config",
		"more": base + "/credentials/vivo/new?more=1", "kept": base + "/credentials/mz/new",
	}
	for _, spec := range registry.All() {
		if spec.Channel != push.APNs {
			paths["form-"+string(spec.Channel)] = appBase(empty[0].ID) + "/credentials/" + string(spec.Channel) + "/new"
		}
	}
	return s, owner, paths
}

// The vendor channels in a real browser, empty and in each state, with every form: axe
// finds nothing, the browser refuses nothing, nothing runs out of the page.
func TestChannelsInTheBrowser(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts a browser")
	}
	s, owner, paths := channelSite(t)
	srv := httptest.NewServer(s.Web)
	t.Cleanup(srv.Close)
	b := browser.New(t, "zh-CN")
	signIn(b, srv.URL, owner)
	for _, look := range []struct {
		name, lang, theme string
		width             int64
	}{{"zh-light-1440", "zh-CN", "light", 1440}, {"en-dark-390", "en", "dark", 390}, {"en-dark-320", "en", "dark", 320}} {
		browser.Eval[bool](b, `fetch("/preferences", {method: "POST", body: new URLSearchParams({theme: "`+look.theme+`", lang: "`+look.lang+`"})}).then((r) => r.ok)`)
		b.Size(look.width, 900)
		for _, name := range slices.Sorted(maps.Keys(paths)) {
			// The forms are made of the same parts: each in two of the looks.
			if strings.HasPrefix(name, "form-") && look.theme == "light" != (look.width == 1440) {
				continue
			}
			b.Open(srv.URL + paths[name])
			at := look.name + " " + name
			if over := browser.Eval[int](b, `document.documentElement.scrollWidth - innerWidth`); over > 0 {
				t.Errorf("%s: runs %d px out of the page", at, over)
			}
			for _, fault := range b.Axe() {
				t.Errorf("%s: %s", at, fault)
			}
			for _, m := range b.Messages() {
				if !strings.HasPrefix(m, "info:") && !strings.HasPrefix(m, "debug:") {
					t.Errorf("%s: console: %s", at, m)
				}
			}
			if *configPictures != "" {
				if err := os.WriteFile(filepath.Join(*configPictures, name+"-"+look.name+".png"), b.Picture(), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}
