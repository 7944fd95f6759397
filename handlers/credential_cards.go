package handlers

import (
	"context"
	"encoding/json"
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
		if said, ok := tested[k.ID]; ok {
			card.Result, card.ResultLink = testWords(std, at, k.Channel, said)
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

// testAnswer is what a vendor said to a test, as the next page takes it: a code that is
// neither yes nor no, and words for one that no table explains.
type testAnswer struct {
	ID   int64  `json:"i"`
	Code string `json:"c"`
	Said string `json:"s,omitempty"`
}

// maxSaid bounds the words that are kept for one page, in bytes: they travel in a cookie.
const maxSaid = 500

// keepAnswers keeps what tests said for the next page.
func keepAnswers(ctx echo.Context, at credentialPlace, answers ...testAnswer) {
	room := maxSaid
	for i := range answers {
		a := &answers[i]
		if len(a.Said) > room {
			a.Said = ""
		}
		room -= len(a.Said)
	}
	if text, err := json.Marshal(answers); err == nil {
		web.KeepOnce(ctx, at.once, string(text))
	}
}

// testResults returns which credentials were just tested without a yes or no, and what
// was said. They are taken once for a page, whose sections share them.
func testResults(ctx echo.Context, at credentialPlace) map[int64]testAnswer {
	text, ok := ctx.Get(keyTested).(string)
	if !ok {
		text = web.TakeOnce(ctx, at.once)
		ctx.Set(keyTested, text)
	}
	var answers []testAnswer
	_ = json.Unmarshal([]byte(text), &answers) // what cannot be read tells of no test
	out := make(map[int64]testAnswer, len(answers))
	for _, a := range answers {
		out[a.ID] = a
	}
	return out
}

// testWords tells of a test that said neither yes nor no, with the way to what it
// lacked if there is one.
func testWords(ctx context.Context, at credentialPlace, channel string, a testAnswer) (string, c.Link) {
	if words, is := receiptWords(ctx, channel, a); is {
		return words, c.Link{}
	}
	if words, link, is := topicWords(ctx, at, channel, a.Code); is {
		return words, link
	}
	cause, _ := locale.Code(ctx, channel, a.Code, a.Said)
	return locale.T(ctx, "credentials.test_unknown", "Cause", cause), c.Link{}
}

// causeWords explains a vendor's code; of text, which came with it, only what the vendor
// said is shown, and only where no sentence explains the code.
func causeWords(ctx context.Context, channel, code, text string) string {
	words, _ := locale.Code(ctx, channel, code, push.SaidIn(text))
	return words
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
