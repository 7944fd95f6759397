package handlers

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/a-h/templ"
	"github.com/labstack/echo/v4"

	"hongyan/models"
	"hongyan/push"
	"hongyan/views"
	c "hongyan/views/components"
	"hongyan/views/locale"
	"hongyan/web"
)

// Names of the form's own inputs beside the channel's fields.
const (
	inputPackage = "package_name"
	inputRate    = "rate"
	inputQuota   = "daily_quota"
	// fieldPrefix keeps a channel's fields apart from them.
	fieldPrefix = "f_"
)

// channelInput is a channel's form as it was sent, or as it is shown first.
type channelInput struct {
	at      credentialPlace
	spec    push.Spec
	values  map[string]string
	pkg     string
	rate    string
	quota   string
	present *models.Credential // the one that is edited, or nil
	more    bool               // for one more package, which has to be named
	secrets map[string]models.Secret
	files   map[string]upload
}

// fieldLabel is what a page calls a channel's field.
func fieldLabel(ctx context.Context, channel, key string) string {
	for _, name := range []string{"fields." + channel + "." + key, "fields." + key} {
		if label, ok := locale.Find(ctx, name); ok {
			return label
		}
	}
	return key
}

// slot loads what is saved for the channel and package, if anything is.
func (h *console) slot(ctx echo.Context, in *channelInput) error {
	rows, err := h.Store.Credentials(ctx.Request().Context(), h.actor(ctx), in.at.owner)
	if err != nil {
		return err
	}
	for i := range rows {
		r := &rows[i]
		if r.Channel != string(in.spec.Channel) || r.Environment != models.EnvironmentProduction {
			continue
		}
		if r.PackageName == in.pkg && (!in.more || in.pkg != "") {
			if in.present, in.secrets, err = h.Store.CredentialFields(ctx.Request().Context(), h.actor(ctx), in.at.owner, r.ID); err != nil {
				return err
			}
		}
	}
	return nil
}

// newChannel shows a channel's form, with what is saved and no secret.
func (h *console) newChannel(ctx echo.Context, at credentialPlace, spec push.Spec) error {
	in := &channelInput{at: at, spec: spec, pkg: ctx.QueryParam("package"), more: ctx.QueryParam("more") != "", values: map[string]string{}}
	if err := h.slot(ctx, in); err != nil {
		return err
	}
	if in.present != nil {
		for key, v := range in.secrets {
			in.values[key] = v.Reveal()
		}
		if in.present.Rate > 0 {
			in.rate = strconv.FormatInt(in.present.Rate, 10)
		}
		if in.present.DailyQuota > 0 {
			in.quota = strconv.FormatInt(in.present.DailyQuota, 10)
		}
	}
	return h.credentialPage(ctx, 200, at, in.dialog(ctx.Request().Context(), nil))
}

// readChannel reads what the form sent: an empty secret or file keeps what is saved.
func (h *console) readChannel(ctx echo.Context, at credentialPlace, spec push.Spec) (*channelInput, error) {
	in := &channelInput{
		at: at, spec: spec, values: map[string]string{}, files: map[string]upload{}, more: ctx.QueryParam("more") != "",
		pkg: strings.TrimSpace(ctx.FormValue(inputPackage)), rate: strings.TrimSpace(ctx.FormValue(inputRate)),
		quota: strings.TrimSpace(ctx.FormValue(inputQuota)),
	}
	if err := h.slot(ctx, in); err != nil {
		return in, err
	}
	for _, f := range spec.Fields {
		value := ctx.FormValue(fieldPrefix + f.Key)
		switch f.Kind {
		case push.FieldFile:
			file, err := uploaded(ctx, fieldPrefix+f.Key, maxCredentialFile)
			if err != nil {
				return in, err
			}
			value = string(file.data)
			if file.name != "" {
				in.files[f.Key] = file
			}
		case push.FieldSecret:
		default:
			value = strings.TrimSpace(value)
		}
		if kept, ok := in.secrets[f.Key]; ok && value == "" && (f.Kind == push.FieldSecret || f.Kind == push.FieldFile) {
			value = kept.Reveal()
		}
		if value != "" {
			in.values[f.Key] = value
		}
	}
	return in, nil
}

func (h *console) saveChannel(ctx echo.Context, at credentialPlace, spec push.Spec) error {
	std := ctx.Request().Context()
	in, err := h.readChannel(ctx, at, spec)
	refused := func(faults c.FormErrors) error {
		return h.credentialPage(ctx, 422, at, in.dialog(std, faults))
	}
	var saved models.CredentialInput
	if err == nil {
		saved, err = in.check(h.Now())
	}
	if err == nil && in.more && in.pkg == "" {
		return refused(c.FormErrors{inputPackage: web.T(ctx, "channel.fault_missing", "Field", web.T(ctx, "channel.package"))})
	}
	var rows []models.Credential
	if err == nil {
		rows, err = h.Store.SaveCredentials(std, h.actor(ctx), at.owner, saved)
	}
	var fault *push.FieldError
	if errors.As(err, &fault) {
		return refused(c.FormErrors{fieldPrefix + fault.Field: in.faultWords(std, fault)})
	}
	if err != nil {
		faults, err := formFaults(ctx, err)
		if err != nil {
			return err
		}
		return refused(faults)
	}
	detail := web.T(ctx, "credentials.saved_detail")
	switch {
	case at.im != nil:
		detail = web.T(ctx, "credentials.saved_im")
	case in.present != nil && in.present.RestUntil != nil && rows[0].RestUntil == nil:
		detail = web.T(ctx, "channel.saved_rest")
	case in.present != nil && in.present.ReceiptOnAt != nil && rows[0].ReceiptOnAt == nil:
		detail = web.T(ctx, "channel.saved_receipts")
	}
	web.Flash(ctx, web.T(ctx, "channel.saved_flash", "Name", vendorChannelName(std, string(spec.Channel))), detail)
	return web.SeeOther(ctx, at.back)
}

// check makes what models save of the form. The error is a *push.FieldError or a
// *models.Error.
func (in *channelInput) check(now time.Time) (models.CredentialInput, error) {
	out := models.CredentialInput{
		Channel: string(in.spec.Channel), Environment: models.EnvironmentProduction, PackageName: in.pkg, Fields: in.values,
		Kind: string(in.spec.Channel),
	}
	if in.pkg != "" {
		if _, err := models.CheckPackage(models.PlatformAndroid, in.pkg); err != nil {
			return out, err
		}
	}
	out.Rate, out.DailyQuota, out.SameApp = amount(in.rate), amount(in.quota), in.sameApp()
	info, err := in.spec.Inspect(in.values, in.at.bundle, now)
	if err != nil {
		return out, err
	}
	if info.Kind != "" {
		out.Kind = info.Kind
	}
	out.Info = models.CredentialInfo{Subject: info.Subject, Shown: in.shown()}
	if !info.NotAfter.IsZero() {
		out.NotAfter, out.Info.NotBefore = &info.NotAfter, &info.NotBefore
	}
	for key, f := range in.files {
		if in.values[key] != "" {
			out.Info.FileName = f.name
		}
	}
	if out.Info.FileName == "" && in.present != nil {
		out.Info.FileName = in.present.Facts().FileName
	}
	return out, nil
}

// amount reads a number that may be left out. What is none is refused with the limit.
func amount(text string) int64 {
	if text == "" {
		return 0
	}
	n, err := strconv.ParseInt(strings.ReplaceAll(text, ",", ""), 10, 64)
	if err != nil || n <= 0 {
		return -1
	}
	return n
}

// sameApp reports whether the keys are of the app at the vendor that those saved are
// of: what names it there is the same.
func (in *channelInput) sameApp() bool {
	names := 0
	for _, f := range in.spec.Fields {
		if f.Group != push.GroupKeys || f.Kind != push.FieldText || in.values[f.Key] == "" {
			continue
		}
		if names++; in.secrets[f.Key].Reveal() != in.values[f.Key] {
			return false
		}
	}
	return names > 0
}

// shown are the fields that are no secret.
func (in *channelInput) shown() map[string]string {
	out := map[string]string{}
	for _, f := range in.spec.Fields {
		if v := in.values[f.Key]; v != "" && (f.Kind == push.FieldText || f.Kind == push.FieldChoice) {
			out[f.Key] = v
		}
	}
	return out
}

// faultWords says what is wrong with a field, and what to do.
func (in *channelInput) faultWords(ctx context.Context, e *push.FieldError) string {
	label := fieldLabel(ctx, string(in.spec.Channel), e.Field)
	switch e.Code {
	case push.FieldMissing, push.FieldEmpty:
		return locale.T(ctx, "channel.fault_missing", "Field", label)
	case push.FieldTooLarge:
		return locale.T(ctx, "channel.fault_large", "Field", label)
	}
	i := slices.IndexFunc(in.spec.Fields, func(f push.Field) bool { return f.Key == e.Field })
	// By its own rules the value is fine, so the channel knows better what is wrong.
	if i >= 0 && in.spec.Fields[i].Check(in.values[e.Field]) == nil {
		if words, ok := locale.Find(ctx, "fields."+string(in.spec.Channel)+"."+e.Field+"_fault"); ok {
			return words
		}
	}
	if i >= 0 && in.spec.Fields[i].Kind == push.FieldFile {
		return locale.T(ctx, "channel.fault_file", "Field", label)
	}
	return locale.T(ctx, "channel.fault_invalid", "Field", label, "N", len([]rune(in.values[e.Field])))
}

// dialog draws the form. Secrets and files are never sent back.
func (in *channelInput) dialog(ctx context.Context, faults c.FormErrors) templ.Component {
	channel := string(in.spec.Channel)
	form := views.ChannelForm{
		Title: vendorChannelName(ctx, channel), Lede: locale.T(ctx, "fields."+channel+".lede"), Errors: faults, CloseURL: in.at.back,
		Action: in.at.base + "/credentials/" + channel + "/new",
	}
	if in.more {
		form.Action += "?more=1"
	}
	if limits := textLimits(ctx, in.spec.Limits); limits != "" {
		form.Limits = locale.T(ctx, "channel.limits_form", "Limits", limits)
	}
	var keys, class, receipt views.ChannelGroup
	for _, f := range in.spec.Fields {
		if f.Kind == push.FieldEnv {
			continue
		}
		form.Files = form.Files || f.Kind == push.FieldFile
		input := in.input(ctx, f, faults)
		switch f.Group {
		case push.GroupClass:
			class.Title, class.Text = locale.T(ctx, "channel.class"), locale.T(ctx, "fields."+channel+".class")
			class.Inputs = append(class.Inputs, input)
		case push.GroupReceipt:
			receipt.Title, receipt.Text = locale.T(ctx, "channel.receipt"), locale.T(ctx, "receipts."+channel)
			receipt.Inputs = append(receipt.Inputs, input)
		default:
			keys.Inputs = append(keys.Inputs, input)
		}
	}
	for _, g := range []views.ChannelGroup{keys, class, receipt, in.scope(ctx, faults)} {
		if len(g.Inputs) > 0 {
			form.Groups = append(form.Groups, g)
		}
	}
	return views.ChannelDialog(form)
}

// scope are the inputs that every channel has: which package the keys are for, which
// a saved one does not change, and the rate.
func (in *channelInput) scope(ctx context.Context, faults c.FormErrors) views.ChannelGroup {
	g := views.ChannelGroup{Title: locale.T(ctx, "channel.scope")}
	if in.present == nil || in.pkg != "" {
		hint := "channel.package_hint"
		if in.more {
			hint = "channel.package_more"
		}
		g.Inputs = append(g.Inputs, c.Input{
			ID: "f-channel-package", Name: inputPackage, Label: locale.T(ctx, "channel.package"), Value: in.pkg, Mono: true, Auto: "off", Optional: !in.more, Required: in.more,
			ReadOnly: in.present != nil, Hint: locale.T(ctx, hint), Error: faults.Get(inputPackage),
		})
	}
	g.Inputs = append(g.Inputs, c.Input{
		Name: inputRate, Label: locale.T(ctx, "channel.rate"), Value: in.rate, Mode: "numeric", Auto: "off", Optional: true,
		Placeholder: rateDefault(in.spec.Rate), Hint: locale.T(ctx, "channel.rate_hint"), Error: faults.Get(inputRate),
	})
	if dailyQuota(string(in.spec.Channel)) {
		g.Inputs = append(g.Inputs, c.Input{
			Name: inputQuota, Label: locale.T(ctx, "channel.quota"), Value: in.quota, Mode: "numeric", Auto: "off", Optional: true,
			Hint: locale.T(ctx, "channel.quota_hint"), Error: faults.Get(inputQuota),
		})
	}
	return g
}

func rateDefault(rate int) string {
	if rate <= 0 {
		return ""
	}
	return strconv.Itoa(rate)
}

// input is one field of the channel.
func (in *channelInput) input(ctx context.Context, f push.Field, faults c.FormErrors) c.Input {
	channel, name := string(in.spec.Channel), fieldPrefix+f.Key
	_, kept := in.secrets[f.Key]
	out := c.Input{
		Name: name, Label: fieldLabel(ctx, channel, f.Key), Mono: true, Auto: "off", Error: faults.Get(name),
		Required: f.Required && !kept, Optional: !f.Required,
	}
	if help, ok := locale.Find(ctx, "fields."+channel+"."+f.Key+"_help"); ok {
		out.Hint = help
	}
	switch f.Kind {
	case push.FieldSecret:
		out.Kind, out.Auto = "password", "new-password"
	case push.FieldFile:
		out.Kind, out.Accept = "file", ".json"
	case push.FieldChoice:
		out.Kind, out.Mono, out.Optional, out.Value = "select", false, false, in.values[f.Key]
		for i, choice := range f.Choices {
			label := choice
			if words, ok := locale.Find(ctx, "fields."+channel+"."+f.Key+"."+choice); ok {
				label = words
			}
			out.Options = append(out.Options, c.Option{Value: choice, Label: label, Default: i == 0})
		}
		// Two are seen at a glance.
		if len(out.Options) == 2 {
			out.Kind, out.Two, out.Value = "radio", true, cmp.Or(out.Value, f.Choices[0])
		}
	default:
		out.Value, out.MaxLength = in.values[f.Key], f.MaxBytes
	}
	if kept && (f.Kind == push.FieldSecret || f.Kind == push.FieldFile) {
		out.Hint = strings.TrimSpace(locale.T(ctx, "channel.keep") + " " + out.Hint)
	}
	return out
}
