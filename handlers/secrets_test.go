package handlers

import (
	"bytes"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"hongyan/models"
	"hongyan/push"
	"hongyan/push/registry"
)

// No page in either language, and no line of the log, holds what was entered
// as a vendor's secret, a password, a device's token or secret, or, without the right
// to read it, what a message says. Secrets are searched for as they were entered and
// in pieces, so that half a private key is found too.
func TestPagesKeepSecrets(t *testing.T) {
	t.Parallel()
	s := newSite(t, models.SQLite)
	e := newEstate(t, s, "acme")
	private := map[string]string{"a password": testPassword, "a device's token": e.Token}
	maps.Copy(private, canaryKeys(t, s, e))
	for _, r := range roles(e.Product) {
		who, lang := e.Owner, "en"
		if r.rights != nil {
			who, lang = s.Sub(e.Owner, r.name, *r.rights), "zh"
		}
		if r.name != "main" && r.name != "ops-im" && r.name != "read" && r.name != "read-content" {
			continue // who sees no more than these
		}
		v := s.Login(who)
		v.Post("/preferences", "lang", lang, "back", "/me").To("/me")
		for path := range everyPage(t, s, e) {
			p := v.Get(path)
			if p.Status != http.StatusOK {
				continue // the walk judges statuses
			}
			for name, secret := range private {
				if holds(p.Body, secret) {
					t.Errorf("%s shows %s to %s", path, name, r.name)
				}
			}
			if !who.May(models.PermContent) && bytes.Contains(p.Body, []byte(estateBody)) {
				t.Errorf("%s shows %s what a message says", path, r.name)
			}
		}
	}
	for name, secret := range private {
		if holds(s.Log.Bytes(), secret) {
			t.Errorf("the log holds %s", name)
		}
	}
	if holds(s.Log.Bytes(), estateBody) {
		t.Error("the log holds what a message says")
	}
}

// canaryKeys saves keys of every channel for the app and the IM app, and returns the
// values that no page may show.
func canaryKeys(t *testing.T, s *site, e estate) map[string]string {
	t.Helper()
	private := map[string]string{}
	for _, spec := range registry.All() {
		fields := map[string]string{}
		for _, f := range spec.Fields {
			fields[f.Key] = "public-" + string(spec.Channel) + "-" + f.Key
			if f.Kind == push.FieldSecret || f.Kind == push.FieldFile {
				fields[f.Key] = strings.Repeat("canary."+string(spec.Channel)+"."+f.Key+".", 4)
				private["the "+f.Key+" of "+string(spec.Channel)] = fields[f.Key]
			}
		}
		in := models.CredentialInput{Channel: string(spec.Channel), Environment: models.EnvironmentProduction, Kind: string(spec.Channel), Fields: fields}
		for _, o := range []models.CredentialOwner{models.AppOwner(e.Android), models.IMOwner(e.IM)} {
			if o == models.AppOwner(e.Android) && !models.ChannelFits(in.Channel, models.PlatformAndroid) {
				continue
			}
			if _, err := s.Store.SaveCredentials(t.Context(), e.Owner, o, in); err != nil {
				t.Fatal(spec.Channel, err)
			}
		}
	}
	if len(private) < 10 {
		t.Fatalf("only %d secrets", len(private))
	}
	return private
}

// everyPage returns the addresses of all pages of an account.
func everyPage(t *testing.T, s *site, e estate) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	for _, r := range consoleRoutes(s) {
		if r.Method == http.MethodGet {
			out[fill(t, r.Path, e.Params)] = true
		}
	}
	for path := range e.Beside {
		out[path] = true
	}
	return out
}

// holds reports whether text contains the secret or a piece of sixteen bytes of it.
func holds(text []byte, secret string) bool {
	for piece := range slices.Chunk([]byte(secret), 16) {
		if len(piece) < 8 && len(secret) > 16 {
			continue // too short to mean anything
		}
		if bytes.Contains(text, piece) {
			return true
		}
	}
	return false
}
