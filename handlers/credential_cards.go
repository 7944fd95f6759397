package handlers

import (
	"context"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"hongyan/models"
	"hongyan/push"
	"hongyan/views"
	c "hongyan/views/components"
	"hongyan/views/locale"
	"hongyan/web"
)

// environmentWord names an environment of credentials.
func environmentWord(ctx context.Context, e string) string {
	switch e {
	case models.EnvironmentDevelopment:
		return locale.T(ctx, "credentials.env_development")
	case models.EnvironmentSandbox:
		return locale.T(ctx, "common.sandbox")
	}
	return locale.T(ctx, "credentials.env_production")
}

// imCredentials are the vendor settings on the IM side.
func (h *console) imCredentials(ctx echo.Context, clock clock, m *models.IMApp) (views.CredentialsView, error) {
	std, at := ctx.Request().Context(), placeOfIM(m)
	v := views.CredentialsView{
		Title: locale.T(std, "credentials.im_title"), Text: locale.T(std, "credentials.im_text"),
		Empty: locale.T(std, "credentials.im_empty"), New: at.base + "/credentials/apns/new",
	}
	return v, h.credentialCards(ctx, clock, at, true, nil, &v)
}

// appCredentials are an app's 推送证书.
func (h *console) appCredentials(ctx echo.Context, clock clock, p appPage) (views.CredentialsView, error) {
	std, at := ctx.Request().Context(), placeOfApp(p)
	may := p.Actor.May(models.PermConfigure)
	v := views.CredentialsView{
		Title: locale.T(std, "credentials.title"), Text: locale.T(std, "credentials.text"), Empty: locale.T(std, "credentials.empty"),
	}
	if may {
		v.New = at.base + "/credentials/apns/new"
	} else {
		v.Empty = locale.T(std, "credentials.empty_ask")
	}
	return v, h.credentialCards(ctx, clock, at, may, &p, &v)
}

func (h *console) credentialCards(ctx echo.Context, clock clock, at credentialPlace, may bool, app *appPage, v *views.CredentialsView) error {
	std := ctx.Request().Context()
	rows, err := h.Store.Credentials(std, h.actor(ctx), at.owner)
	if err != nil {
		return err
	}
	var did *figures // of an app; the IM side sends nothing
	if app != nil {
		if did, err = h.figures(std, clock, *app, rows); err != nil {
			return err
		}
	}
	tested := testResults(ctx, at)
	for i := range rows {
		k := &rows[i]
		if k.Channel != string(push.APNs) {
			continue
		}
		card := credentialCard(std, clock, k, did)
		if code, ok := tested[number(k.ID)]; ok {
			card.Result, card.ResultLink = testWords(std, at, k.Channel, code)
		}
		if may {
			base := at.base + "/credentials/"
			card.Test, card.Delete = base+number(k.ID)+"/test", base+number(k.ID)+"/delete"
			if k.Environment != models.EnvironmentSandbox {
				card.Replace = base + k.Channel + "/new?env=" + k.Environment
			}
		}
		v.Cards = append(v.Cards, card)
	}
	return nil
}

// keyTested is where a request keeps what a test of one of its credentials said.
const keyTested = "hongyan.tested"

// testResults returns which credentials were just tested without a yes or no, and the
// codes. They are taken once for a page, whose sections share them.
func testResults(ctx echo.Context, at credentialPlace) map[string]string {
	text, ok := ctx.Get(keyTested).(string)
	if !ok {
		text = web.TakeOnce(ctx, at.once)
		ctx.Set(keyTested, text)
	}
	words := strings.Fields(text)
	out := make(map[string]string, len(words)/2)
	for i := 0; i+1 < len(words); i += 2 {
		out[words[i]] = words[i+1]
	}
	return out
}

// testWords tells of a test that said neither yes nor no, with the way to what it
// lacked if there is one.
func testWords(ctx context.Context, at credentialPlace, channel, code string) (string, c.Link) {
	if words, is := receiptWords(ctx, channel, code); is {
		return words, c.Link{}
	}
	if words, link, is := topicWords(ctx, at, channel, code); is {
		return words, link
	}
	return locale.T(ctx, "credentials.test_unknown", "Cause", causeWords(ctx, channel, code, code)), c.Link{}
}

// causeWords explains a vendor's code; text stands in where no sentence is known.
func causeWords(ctx context.Context, channel, code, text string) string {
	for _, key := range []string{"codes." + channel + "." + code, "codes." + code} {
		if words, ok := locale.Find(ctx, key); ok {
			return words
		}
	}
	return text
}

func credentialCard(ctx context.Context, clock clock, k *models.Credential, did *figures) views.CredentialCard {
	info := k.Facts()
	card := views.CredentialCard{
		ID: number(k.ID), Name: environmentWord(ctx, k.Environment), Note: locale.T(ctx, "credentials.kind_p12"),
		Tone: c.Mute, State: locale.T(ctx, "credentials.untested"), StateIcon: "circle-dashed",
	}
	fact := func(key, value string) {
		if value != "" {
			card.Facts = append(card.Facts, c.Pair{Name: locale.T(ctx, key), Value: value})
		}
	}
	if k.Kind == apnsP8 {
		card.Note = locale.T(ctx, "credentials.kind_p8")
		fact("credentials.key_id", info.KeyID)
		fact("credentials.team_id", info.TeamID)
		if k.NotAfter == nil {
			fact("credentials.valid", locale.T(ctx, "credentials.valid_forever"))
		}
	} else {
		fact("credentials.subject", info.Subject)
		fact("credentials.bundle", info.BundleID)
		if k.NotAfter != nil && info.NotBefore != nil {
			fact("credentials.valid", locale.T(ctx, "credentials.valid_span", "From", clock.Date(*info.NotBefore), "To", clock.Date(*k.NotAfter)))
		}
	}
	fact("credentials.file_name", info.FileName)
	fact("credentials.saved_by", locale.T(ctx, "credentials.saved_span", "Name", k.SavedBy, "Time", clock.Short(k.UpdatedAt)))
	if k.Source == models.SourceIM {
		fact("credentials.source", locale.T(ctx, "credentials.source_im"))
	}
	if did != nil {
		did.facts(ctx, k, fact)
		last := locale.T(ctx, "credentials.never")
		if k.LastOKAt != nil {
			last = clock.Ago(ctx, *k.LastOKAt)
		}
		fact("credentials.last_ok", last)
	}
	credentialState(ctx, clock, k, &card)
	if did != nil && (card.Cause != "" || card.Rest != "") {
		q := did.queue(ctx, k)
		card.Queue = &q
	}
	return card
}

// credentialState puts the chip, the meter and the warnings on a card.
func credentialState(ctx context.Context, clock clock, k *models.Credential, card *views.CredentialCard) {
	now := clock.now
	switch {
	case k.State == models.CredentialPaused:
		card.Tone, card.State, card.StateIcon = c.Bad, locale.T(ctx, "credentials.paused"), "player-pause"
		card.Cause = causeWords(ctx, k.Channel, k.CauseCode, k.CauseText)
		card.CauseCode, card.CauseUntil = k.CauseCode, locale.T(ctx, "credentials.paused_text")
	case k.RestUntil != nil && k.RestUntil.After(now):
		card.Tone, card.State, card.StateIcon = c.Warn, locale.T(ctx, "channel.resting"), "clock"
		card.Rest = locale.T(ctx, "channel.rest_text", "Time", clock.Short(*k.RestUntil), "Code", k.RestCode)
	case k.State == models.CredentialWorking:
		card.Tone, card.State, card.StateIcon = c.OK, locale.T(ctx, "credentials.working"), "circle-check"
	}
	if k.NotAfter == nil {
		return
	}
	left := int(k.NotAfter.Sub(now) / (24 * time.Hour))
	total := 365
	if from := k.Facts().NotBefore; from != nil {
		total = max(1, int(k.NotAfter.Sub(*from)/(24*time.Hour)))
	}
	card.Meter = locale.T(ctx, "credentials.days", "Left", max(left, 0), "Total", total)
	card.MeterTone, card.MeterShare = c.OK, 100*float64(max(left, 0))/float64(total)
	step, near := ending(now, k.NotAfter)
	if !near {
		return
	}
	card.MeterTone = endTone(step)
	if card.Tone != c.Bad || step == 0 {
		card.Tone, card.State, card.StateIcon = endTone(step), endWords(ctx, now, *k.NotAfter), "clock"
	}
	switch step {
	case 0:
		card.Warning = locale.T(ctx, "credentials.expired_text")
	case 1:
		card.Warning = locale.T(ctx, "credentials.ends_text_day")
	case 7:
		card.Warning = locale.T(ctx, "credentials.ends_text_week")
	default:
		card.Warning = locale.T(ctx, "credentials.ends_text")
	}
}

// worst says in words which credential needs somebody, the worst first; nil when
// none does.
func worst(ctx context.Context, cards []views.CredentialCard) *c.Note {
	for _, card := range cards {
		if card.Cause != "" {
			return &c.Note{Tone: c.Bad, Title: locale.T(ctx, "credentials.alert_paused", "Name", card.Name), Text: card.Cause}
		}
	}
	for _, tone := range []c.Tone{c.Bad, c.Warn} {
		for _, card := range cards {
			if card.Warning != "" && card.Tone == tone {
				return &c.Note{Tone: tone, Title: locale.T(ctx, "credentials.alert_ends", "Name", card.Name, "State", card.State), Text: card.Warning}
			}
		}
	}
	return nil
}
