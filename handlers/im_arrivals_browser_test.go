package handlers

import (
	"net/http/httptest"
	"testing"

	"hongyan/internal/browser"
	"hongyan/models"
)

// The open list shows what arrives by itself, says so to screen readers, and leaves the
// focus where it is.
func TestArrivalsRefresh(t *testing.T) {
	s := newSite(t, models.SQLite, func(d *Deps) { d.PublicURL = "" })
	server := httptest.NewServer(s.Web)
	defer server.Close()
	owner := s.Account("main")
	im, secret := s.IMApp(owner, "Chat")
	s.arrive(secret, models.Arrival{Status: 200}, "", func(t *models.Trace) { t.Count(models.IngestAccepted, 1) })
	b := browser.New(t, "zh-CN")
	b.Size(1440, 900)
	signIn(b, server.URL, owner)
	b.Open(server.URL + imAppBase(im.ID) + "/live")
	b.Wait(`document.querySelectorAll("#arrivals tbody tr").length === 1`)
	first := browser.Eval[string](b, `(document.querySelector("#arrivals tbody a").focus(), document.activeElement.id)`)
	s.arrive(secret, models.Arrival{Status: 413}, "", func(t *models.Trace) { t.Code = "too_large" })
	b.Wait(`document.querySelectorAll("#arrivals tbody tr").length === 2`)
	if now := browser.Eval[string](b, `document.activeElement.id`); now != first || first == "" {
		t.Errorf("the focus went from %q to %q", first, now)
	}
	if text := browser.Eval[string](b, `document.querySelector("#arrivals-status[role=status]").textContent`); text == "" {
		t.Error("the status says nothing")
	}
	// It goes on after the list was replaced.
	s.arrive(secret, models.Arrival{Status: 200}, "", func(t *models.Trace) { t.Count(models.IngestDuplicate, 1) })
	b.Wait(`document.querySelectorAll("#arrivals tbody tr").length === 3`)
	for _, m := range b.Messages() {
		t.Error(m)
	}
}
