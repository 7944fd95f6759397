package handlers

import (
	"context"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"hongyan/models"
	"hongyan/push"
	"hongyan/views"
	c "hongyan/views/components"
	"hongyan/views/locale"
)

// vendorChannels are the channels of Android, HarmonyOS and the web, as pages show
// them.
func vendorChannels() []push.Channel {
	return []push.Channel{push.Huawei, push.Honor, push.Xiaomi, push.OPPO, push.Vivo, push.Meizu, push.Harmony, push.FCM, push.WebPush}
}

// vendorChannelName names a channel on pages: 华为官方推送通道.
func vendorChannelName(ctx context.Context, channel string) string {
	return locale.T(ctx, "channel.name", "Vendor", locale.T(ctx, "channels."+channel))
}

// imChannels are the vendor settings on the IM side.
func (h *console) imChannels(ctx echo.Context, k clock, m *models.IMApp) (views.ChannelsView, error) {
	std := ctx.Request().Context()
	v := views.ChannelsView{
		Title: locale.T(std, "channel.title"), Text: locale.T(std, "channel.im_text"), Empty: locale.T(std, "channel.im_empty"),
	}
	return v, h.channelCards(ctx, k, placeOfIM(m), true, nil, &v)
}

// appChannels are an app's 厂商通道.
func (h *console) appChannels(ctx echo.Context, k clock, p appPage) (views.ChannelsView, error) {
	std := ctx.Request().Context()
	may := p.Actor.May(models.PermConfigure)
	v := views.ChannelsView{Title: locale.T(std, "channel.title"), Text: locale.T(std, "channel.text"), Empty: locale.T(std, "channel.empty")}
	if !may {
		v.Empty = locale.T(std, "channel.empty_ask")
	}
	return v, h.channelCards(ctx, k, placeOfApp(p), may, &p, &v)
}

func (h *console) channelCards(ctx echo.Context, k clock, at credentialPlace, may bool, app *appPage, v *views.ChannelsView) error {
	std, who := ctx.Request().Context(), h.actor(ctx)
	rows, err := h.Store.Credentials(std, who, at.owner)
	if err != nil {
		return err
	}
	var did *figures // of an app; the IM side sends nothing
	if app != nil {
		if did, err = h.figures(std, k, *app, rows); err != nil {
			return err
		}
	}
	tested := testResults(ctx, at)
	has, tests := map[string]bool{}, 0
	for _, channel := range vendorChannels() {
		for i := range rows {
			r := &rows[i]
			spec, ok := h.spec(r.Channel)
			if push.Channel(r.Channel) != channel || !ok {
				continue
			}
			// The sandbox's key is no reason to hide the form for the vendor's own.
			if r.Environment != models.EnvironmentSandbox {
				has[r.Channel] = true
			}
			card := channelCard(std, k, r, &spec, did)
			if said, ok := tested[r.ID]; ok {
				card.Result, card.ResultLink = testWords(std, at, r.Channel, said)
			}
			if may {
				tests++
				if more := cardActs(&card, at, r); more != "" {
					v.More = append(v.More, c.Link{Label: locale.T(std, "channels."+r.Channel), Href: more})
				}
				if card.Receipt, err = h.receiptView(ctx, at, r, &spec); err != nil {
					return err
				}
			}
			v.Cards = append(v.Cards, card)
		}
	}
	for _, channel := range vendorChannels() {
		if _, ok := h.spec(string(channel)); ok && may && !has[string(channel)] {
			v.Add = append(v.Add, c.Link{Label: locale.T(std, "channels."+string(channel)), Href: at.base + "/credentials/" + string(channel) + "/new"})
		}
	}
	v.Count = channelCount(std, v.Cards)
	if tests > 1 {
		v.TestAll = at.base + "/credentials/test"
	}
	return nil
}

// cardActs are the addresses behind a card's buttons; more is where the channel gets
// keys for one more package, once it has its main ones.
func cardActs(card *views.ChannelCard, at credentialPlace, r *models.Credential) (more string) {
	base := at.base + "/credentials/"
	card.Test, card.Delete = base+number(r.ID)+"/test", base+number(r.ID)+"/delete"
	if r.Environment == models.EnvironmentSandbox {
		return ""
	}
	card.Edit = base + r.Channel + "/new"
	if r.PackageName == "" {
		return card.Edit + "?more=1"
	}
	card.Edit += "?package=" + r.PackageName
	return ""
}

// channelCount says how the channels are: 6 个可用 · 1 个已暂停 · 1 个未测试.
func channelCount(ctx context.Context, cards []views.ChannelCard) string {
	n, low := map[c.Tone]int{}, 0
	for i := range cards {
		if cards[i].Low != "" {
			low++
			continue
		}
		n[cards[i].Tone]++
	}
	var parts []string
	for _, part := range []struct {
		key  string
		tone c.Tone
	}{{"channel.count_ok", c.OK}, {"channel.count_paused", c.Bad}, {"channel.count_rest", c.Warn}, {"channel.count_untested", c.Mute}} {
		if n[part.tone] > 0 {
			parts = append(parts, locale.T(ctx, part.key, "N", n[part.tone]))
		}
	}
	if low > 0 {
		parts = append(parts, locale.T(ctx, "channel.count_low", "N", low))
	}
	return strings.Join(parts, " · ")
}

// textLimits says how much of a text a channel carries, "" where only the whole
// message is limited and nothing is known of that.
func textLimits(ctx context.Context, l push.Limits) string {
	switch {
	case l.TitleRunes > 0 && l.BodyRunes > 0 && l.Wide:
		return locale.T(ctx, "channel.limits_wide", "Title", l.TitleRunes, "Body", l.BodyRunes)
	case l.TitleRunes > 0 && l.BodyRunes > 0:
		return locale.T(ctx, "channel.limits_text", "Title", l.TitleRunes, "Body", l.BodyRunes)
	case l.PayloadBytes > 0:
		return locale.T(ctx, "channel.limits_bytes", "Bytes", thousands(int64(l.PayloadBytes)))
	}
	return ""
}

func channelCard(ctx context.Context, k clock, r *models.Credential, spec *push.Spec, did *figures) views.ChannelCard {
	info := r.Facts()
	card := views.ChannelCard{
		ID: number(r.ID), Mark: channelMark(ctx, r.Channel), Name: vendorChannelName(ctx, r.Channel), Note: channelNote(ctx, r.Channel, spec, info),
		Tone: c.Mute, State: locale.T(ctx, "credentials.untested"), StateIcon: "circle-dashed",
	}
	fact := func(key, value string) {
		if value != "" {
			card.Facts = append(card.Facts, c.Pair{Name: locale.T(ctx, key), Value: value})
		}
	}
	if r.Environment == models.EnvironmentSandbox {
		card.Name += " · " + locale.T(ctx, "common.sandbox")
	}
	fact("channel.package", r.PackageName)
	if did != nil {
		did.facts(ctx, r, fact)
		last := locale.T(ctx, "credentials.never")
		if r.LastOKAt != nil {
			last = k.Ago(ctx, *r.LastOKAt)
		}
		fact("credentials.last_ok", last)
		receiptFacts(ctx, k, r, spec, &card, fact)
	}
	switch {
	case r.Rate > 0:
		fact("channel.rate", locale.T(ctx, "channel.rate_span", "N", thousands(r.Rate)))
	case spec.Rate > 0:
		fact("channel.rate", locale.T(ctx, "channel.rate_default", "N", thousands(int64(spec.Rate))))
	}
	fact("channel.limits", textLimits(ctx, spec.Limits))
	fact("channel.saved", locale.T(ctx, "credentials.saved_span", "Name", r.SavedBy, "Time", k.Short(r.UpdatedAt)))
	if r.Source == models.SourceIM {
		fact("credentials.source", locale.T(ctx, "credentials.source_im"))
	}
	channelState(ctx, k, r, &card)
	if did != nil {
		did.state(ctx, r, &card)
	}
	return card
}

// channelMark is the letter that stands for a vendor.
func channelMark(ctx context.Context, channel string) string {
	first, _ := utf8.DecodeRuneInString(locale.T(ctx, "channels."+channel))
	return string(first)
}

// channelNote is what the vendor knows us by: the first field that is no secret.
func channelNote(ctx context.Context, channel string, spec *push.Spec, info models.CredentialInfo) string {
	for _, f := range spec.Fields {
		if v := info.Shown[f.Key]; v != "" && f.Group == push.GroupKeys && f.Kind == push.FieldText {
			return fieldLabel(ctx, channel, f.Key) + " " + v
		}
	}
	return info.FileName
}

func receiptFacts(ctx context.Context, k clock, r *models.Credential, spec *push.Spec, card *views.ChannelCard, fact func(key, value string)) {
	if spec.ReceiptSetup == push.ReceiptNone {
		return
	}
	text := locale.T(ctx, "channel.receipt_never")
	switch {
	case r.ReceiptAt != nil && r.ReceiptCount == 0:
		text = locale.T(ctx, "channel.receipt_tested", "Time", k.Ago(ctx, *r.ReceiptAt))
	case r.ReceiptAt != nil:
		text = locale.T(ctx, "channel.receipt_span", "Time", k.Ago(ctx, *r.ReceiptAt), "N", thousands(r.ReceiptCount))
	}
	fact("channel.receipt", text)
	if r.ReceiptRefused > 0 {
		fact("channel.receipt_refused", thousands(r.ReceiptRefused))
	}
	vendor := locale.T(ctx, "channels."+r.Channel)
	switch {
	case r.Environment == models.EnvironmentSandbox: // its simulator knows the address
	case spec.ReceiptSetup == push.ReceiptBoth && r.ReceiptOnAt == nil:
		fact("channel.receipt_state", locale.T(ctx, "channel.receipt_off"))
		if card.Warning = locale.T(ctx, "channel.receipt_inactive", "Vendor", vendor); r.ReceiptOffCode != "" {
			card.Warning = locale.T(ctx, "channel.receipt_refused_by", "Vendor", vendor, "Code", r.ReceiptOffCode)
		}
	case spec.ReceiptSetup == push.ReceiptBoth:
		fact("channel.receipt_state", locale.T(ctx, "channel.receipt_on", "Name", r.ReceiptOnBy, "Time", k.Short(*r.ReceiptOnAt)))
	case r.ReceiptAt == nil && r.LastOKAt != nil && spec.ReceiptSetup != push.ReceiptMessage:
		card.Warning = locale.T(ctx, "channel.receipt_missing", "Vendor", vendor)
	}
}

// channelState puts the chip and the warnings on a card.
func channelState(ctx context.Context, k clock, r *models.Credential, card *views.ChannelCard) {
	switch {
	case r.State == models.CredentialPaused:
		card.Tone, card.State, card.StateIcon = c.Bad, locale.T(ctx, "credentials.paused"), "player-pause"
		card.Cause = causeWords(ctx, r.Channel, r.CauseCode, r.CauseText)
		card.Refused, card.CauseUntil = refusedWords(ctx, r), locale.T(ctx, "credentials.paused_text")
	case r.RestUntil != nil && r.RestUntil.After(k.now):
		card.Tone, card.State, card.StateIcon = c.Warn, locale.T(ctx, "channel.resting"), "clock"
		card.Rest = locale.T(ctx, "channel.rest_text", "Time", k.Short(*r.RestUntil), "Code", r.RestCode)
	case r.State == models.CredentialWorking:
		card.Tone, card.State, card.StateIcon = c.OK, locale.T(ctx, "credentials.working"), "circle-check"
	default:
		card.Text = locale.T(ctx, "channel.untested_text")
	}
	if until, rest := r.ClassesRest(k.now); rest && card.Rest == "" && card.Cause == "" {
		card.Rest = locale.T(ctx, "channel.rest_classes", "Time", k.Short(until))
	}
	if step, near := ending(k.now, r.NotAfter); near {
		card.Warning = locale.T(ctx, "channel.ends", "When", endWords(ctx, k.now, *r.NotAfter))
		if card.Tone != c.Bad {
			card.Tone, card.State, card.StateIcon = endTone(step), endWords(ctx, k.now, *r.NotAfter), "clock"
		}
		card.Ends = true
	}
}

// refusedWords say who refused the keys, with the code: the vendor, or we ourselves
// when they could not be used.
func refusedWords(ctx context.Context, r *models.Credential) string {
	// Codes without a channel are ours, those of fields among them.
	if _, ours := locale.Find(ctx, "codes."+r.CauseCode); ours || strings.HasPrefix(r.CauseCode, "hy_") {
		return locale.T(ctx, "channel.unusable", "Code", r.CauseCode)
	}
	return locale.T(ctx, "channel.refused", "Vendor", locale.T(ctx, "channels."+r.Channel), "Code", r.CauseCode)
}

// receiptView is the address that the vendor reports to, for who may enter it there.
func (h *console) receiptView(ctx echo.Context, at credentialPlace, r *models.Credential, spec *push.Spec) (*views.ReceiptView, error) {
	// Simulators know the address without being told.
	if at.im != nil || spec.ReceiptSetup == push.ReceiptNone || len(r.ReceiptHash) == 0 || r.Environment == models.EnvironmentSandbox {
		return nil, nil //nolint:nilnil // no address is no view
	}
	std := ctx.Request().Context()
	secret, err := h.Store.ReceiptSecret(std, h.actor(ctx), at.owner, r.ID)
	if err != nil {
		return nil, err
	}
	base := h.publicURL(ctx)
	if region, err := h.Store.Region(at.app.Region); err == nil && region.Public != "" {
		base = region.Public
	}
	v := &views.ReceiptView{
		Name: vendorChannelName(std, r.Channel), URL: base + ReceiptPath(r.Channel, secret), How: locale.T(std, "receipts."+r.Channel),
	}
	switch {
	case h.PublicURL == "" && base == h.publicURL(ctx) && spec.ReceiptSetup != push.ReceiptConsole:
		v.Fault = locale.T(std, "channel.receipt_no_url")
	case len(v.URL) > push.MaxReceiptURL:
		v.Fault = locale.T(std, "channel.receipt_long", "Max", push.MaxReceiptURL)
	}
	if spec.ReceiptSetup == push.ReceiptBoth {
		vendor := locale.T(std, "channels."+r.Channel)
		v.Activate, v.Active = at.base+"/credentials/"+number(r.ID)+"/receipts", r.ReceiptOnAt != nil
		if v.Now = locale.T(std, "channel.activate_text", "Vendor", vendor); v.Active {
			v.Now = locale.T(std, "channel.deactivate_text", "Vendor", vendor)
		}
		v.Open = !v.Active
	}
	return v, nil
}

// ReceiptPath is the path of the address that a channel's vendor reports to.
func ReceiptPath(channel string, secret models.Secret) string {
	return "/receipts/" + channel + "/" + secret.Reveal()
}

// worstChannel says in words which channel needs somebody; nil when none does.
func worstChannel(ctx context.Context, cards []views.ChannelCard) *c.Note {
	i := slices.IndexFunc(cards, func(k views.ChannelCard) bool { return k.Cause != "" })
	if i >= 0 {
		return &c.Note{Tone: c.Bad, Title: locale.T(ctx, "channel.alert_paused", "Name", cards[i].Name), Text: cards[i].Cause}
	}
	for _, tone := range []c.Tone{c.Bad, c.Warn} {
		for _, k := range cards {
			if k.Ends && k.Tone == tone {
				return &c.Note{Tone: tone, Title: locale.T(ctx, "channel.alert_ends", "Name", k.Name), Text: k.Warning}
			}
		}
	}
	return nil
}
