package alert

import (
	"context"
	"strconv"
	"strings"
	"time"

	"hongyan/models"
	"hongyan/views/locale"
)

// note is what an alert says: the body of the generic format, and the source of the
// texts for robots.
type note struct {
	Version int       `json:"version"`
	ID      string    `json:"id,omitempty"` // the same in every try; none on a test
	Event   string    `json:"event"`
	At      time.Time `json:"at"`
	Account noteOwner `json:"account"`
	App     *noteApp  `json:"app,omitempty"`
	Channel string    `json:"channel,omitempty"`
	// Environment and Package say which of the app's credentials it is.
	Environment string     `json:"environment,omitempty"`
	Package     string     `json:"package,omitempty"`
	Code        string     `json:"code,omitempty"`
	DaysLeft    int        `json:"days_left,omitempty"`
	EndsAt      *time.Time `json:"ends_at,omitempty"`
	ResumesAt   *time.Time `json:"resumes_at,omitempty"`
	Title       string     `json:"title"`
	Text        string     `json:"text"`
	URL         string     `json:"url,omitempty"`
}

type noteOwner struct {
	ID   int64  `json:"id"`
	Name string `json:"name"`
}

type noteApp struct {
	ID       int64  `json:"id"`
	Product  string `json:"product"`
	Platform string `json:"platform"`
}

// note writes an alert in the language of ctx and the zone of its account.
func (s *Sender) note(ctx context.Context, t *models.AlertTarget, a *models.Alert) note {
	f := a.Subject()
	n := note{
		Version: 1, Event: a.Event, At: a.CreatedAt.UTC(), Account: noteOwner{t.Account.ID, t.Account.Name},
		Channel: f.Channel, Environment: f.Environment, Package: f.PackageName, Code: f.Code, DaysLeft: f.Days,
	}
	if a.ID != 0 {
		n.ID = strconv.FormatInt(a.ID, 10)
	}
	if f.AppID != 0 {
		n.App = &noteApp{f.AppID, f.Product, f.Platform}
		if s.o.PublicURL != "" {
			n.URL = s.o.PublicURL + "/apps/" + strconv.FormatInt(f.AppID, 10) + "/config"
		}
	}
	var until string
	if f.Until != nil {
		until = f.Until.In(t.Account.Location()).Format("2006-01-02 15:04 -07:00")
	}
	var last, advice string
	switch a.Event {
	case models.AlertPaused:
		n.Title, advice = locale.T(ctx, "alerts.note_paused"), locale.T(ctx, "alerts.note_paused_text")
	case models.AlertExpiry:
		n.Title, advice = locale.Tn(ctx, "alerts.note_expiry", f.Days), locale.T(ctx, "alerts.note_expiry_text")
		n.EndsAt, last = f.Until, locale.T(ctx, "alerts.note_ends", "Time", until)
	case models.AlertQuota:
		n.Title, advice = locale.T(ctx, "alerts.note_quota"), locale.T(ctx, "alerts.note_quota_text")
		n.ResumesAt, last = f.Until, locale.T(ctx, "alerts.note_resumes", "Time", until)
	default:
		n.Title, advice = locale.T(ctx, "alerts.note_test"), locale.T(ctx, "alerts.note_test_text", "Name", t.Hook.Name)
	}
	lines := []string{locale.T(ctx, "alerts.note_account", "Name", t.Account.Name)}
	if n.App != nil {
		lines = append(lines, locale.T(ctx, "alerts.note_app", "Name", f.Product+" · "+platform(f.Platform), "ID", f.AppID))
		lines = append(lines, locale.T(ctx, "alerts.note_channel", "Name", locale.T(ctx, "channels."+f.Channel), "Detail", credential(ctx, f)))
	}
	if f.Code != "" {
		lines = append(lines, locale.T(ctx, "alerts.note_cause", "Cause", cause(ctx, f)))
	}
	if last != "" {
		lines = append(lines, last)
	}
	n.Text = strings.Join(append(lines, advice), "\n")
	return n
}

// platform is the platform's own name, the same in every language.
func platform(p string) string {
	return map[string]string{models.PlatformIOS: "iOS", models.PlatformMacOS: "macOS", models.PlatformAndroid: "Android"}[p]
}

// credential says which of a channel's credentials it is.
func credential(ctx context.Context, f models.AlertFacts) string {
	words := map[string]string{
		models.EnvironmentDevelopment: locale.T(ctx, "credentials.env_development"),
		models.EnvironmentSandbox:     locale.T(ctx, "common.sandbox"),
		models.EnvironmentProduction:  locale.T(ctx, "credentials.env_production"),
	}[f.Environment]
	if f.PackageName != "" {
		words += " · " + f.PackageName
	}
	return words
}

// cause explains a vendor's code as the console does, and names it.
func cause(ctx context.Context, f models.AlertFacts) string {
	words, known := locale.Code(ctx, f.Channel, f.Code, "")
	if known {
		words += " (" + f.Code + ")"
	}
	return words
}
