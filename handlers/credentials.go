package handlers

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/a-h/templ"
	"github.com/labstack/echo/v4"

	"hongyan/models"
	"hongyan/push"
	"hongyan/views"
	c "hongyan/views/components"
	"hongyan/web"
)

// Fields of an APNs credential, as push/apns names them.
const (
	apnsKind         = "kind"
	apnsP8           = "p8"
	apnsP12          = "p12"
	apnsKeyID        = "key_id"
	apnsTeamID       = "team_id"
	apnsPassword     = "password"
	apnsEnvironments = "environments"

	environmentAuto = "auto" // of the form: what the certificate says
)

// credentialForm is 上传证书 as the form sends it, without the file.
type credentialForm struct {
	Password    string `form:"password" trim:"no"`
	KeyID       string `form:"key_id"`
	TeamID      string `form:"team_id"`
	Environment string `form:"environment"`
}

// credentialPlace is whose credentials a request is about: those of an app, or the
// vendor settings of an IM app.
type credentialPlace struct {
	owner  models.CredentialOwner
	base   string // of addresses below the owner
	back   string // the page with the cards
	app    *models.AppView
	im     *models.IMApp
	bundle string // that certificates must fit, "" for any
	once   string // under which a test's result waits for the page
}

// appPlace is the app of the path.
func (h *console) appPlace(ctx echo.Context) (credentialPlace, error) {
	p, err := h.app(ctx)
	if err != nil {
		return credentialPlace{}, err
	}
	return placeOfApp(p), nil
}

func placeOfApp(p appPage) credentialPlace {
	return credentialPlace{
		owner: models.AppOwner(p.App.ID), base: p.Base, back: p.Base + "/config", app: p.App, bundle: p.App.PackageName,
		once: "test.app." + p.App.AccessID(),
	}
}

// imPlace is the IM app of the path.
func (h *console) imPlace(ctx echo.Context) (credentialPlace, error) {
	m, err := h.imAppOf(ctx)
	if err != nil {
		return credentialPlace{}, err
	}
	return placeOfIM(m), nil
}

func placeOfIM(m *models.IMApp) credentialPlace {
	return credentialPlace{
		owner: models.IMOwner(m.ID), base: imAppBase(m.ID), back: imAppBase(m.ID), im: m, once: "test.im." + number(m.ID),
	}
}

// place finds the owner that a credential route is about.
type place func(echo.Context) (credentialPlace, error)

// channel returns the spec of the path's channel, if this build has it and the owner
// can use it.
func (h *console) channel(ctx echo.Context, at credentialPlace) (push.Spec, error) {
	name := ctx.Param("channel")
	spec, ok := h.spec(name)
	if !ok || at.app != nil && !models.ChannelFits(name, at.app.Platform) {
		return push.Spec{}, &web.Error{Kind: web.KindNotFound}
	}
	return spec, nil
}

func (h *console) spec(channel string) (push.Spec, bool) {
	if h.Channels == nil {
		return push.Spec{}, false
	}
	return h.Channels(push.Channel(channel))
}

// credentialPage answers with the owner's page under a dialog.
func (h *console) credentialPage(ctx echo.Context, status int, at credentialPlace, dialog templ.Component) error {
	if at.im != nil {
		return h.imAppDialog(ctx, status, at.im, dialog)
	}
	return h.configDialog(ctx, status, dialog)
}

func credentialDialog(at credentialPlace, spec push.Spec, f credentialForm, faults c.FormErrors) templ.Component {
	return views.CredentialDialog(views.CredentialForm{
		Action: at.base + "/credentials/" + string(spec.Channel) + "/new", CloseURL: at.back, Bundle: at.bundle, IM: at.im != nil,
		Environment: f.Environment, KeyID: f.KeyID, TeamID: f.TeamID, Accept: ".p12,.pfx,.p8", Errors: faults,
	})
}

func (h *console) newCredential(where place) echo.HandlerFunc {
	return func(ctx echo.Context) error {
		at, err := where(ctx)
		if err != nil {
			return err
		}
		spec, err := h.channel(ctx, at)
		if err != nil {
			return err
		}
		if spec.Channel != push.APNs {
			return h.newChannel(ctx, at, spec)
		}
		return h.credentialPage(ctx, 200, at, credentialDialog(at, spec, credentialForm{Environment: ctx.QueryParam("env")}, nil))
	}
}

func (h *console) saveCredential(where place) echo.HandlerFunc {
	return func(ctx echo.Context) error {
		at, err := where(ctx)
		if err != nil {
			return err
		}
		spec, err := h.channel(ctx, at)
		if err != nil {
			return err
		}
		if spec.Channel != push.APNs {
			return h.saveChannel(ctx, at, spec)
		}
		var f credentialForm
		if err := web.Bind(ctx, &f); err != nil {
			return err
		}
		file, err := uploaded(ctx, "file", maxCredentialFile)
		if err != nil {
			return err
		}
		return h.storeCredential(ctx, at, spec, f, file)
	}
}

// maxCredentialFile is more than any channel's limit, so that a file just over it is
// still measured, in bytes.
const maxCredentialFile = 1 << 20

// upload is a file that a form sent.
type upload struct {
	name string
	data []byte
}

// uploaded reads a form's file; no file gives an empty one without a name.
func uploaded(ctx echo.Context, field string, limit int64) (upload, error) {
	head, err := ctx.FormFile(field)
	if errors.Is(err, http.ErrMissingFile) || errors.Is(err, http.ErrNotMultipart) {
		return upload{}, nil
	}
	if err != nil {
		return upload{}, err
	}
	f, err := head.Open()
	if err != nil {
		return upload{}, err
	}
	defer f.Close() //nolint:errcheck // only read
	data, err := io.ReadAll(io.LimitReader(f, limit))
	return upload{name: head.Filename, data: data}, err
}

// fields makes a channel's fields of the form: the file is a key when it looks like
// one, else a certificate.
func (f credentialForm) fields(file upload) map[string]string {
	out := map[string]string{apnsKind: apnsP12, apnsP12: string(file.data), apnsPassword: f.Password}
	if strings.HasSuffix(strings.ToLower(file.name), ".p8") || bytes.Contains(file.data, []byte("BEGIN PRIVATE KEY")) {
		out = map[string]string{apnsKind: apnsP8, apnsP8: string(file.data), apnsKeyID: f.KeyID, apnsTeamID: f.TeamID}
	}
	if f.Environment != "" && f.Environment != environmentAuto {
		out[apnsEnvironments] = f.Environment
	}
	return out
}

func (h *console) storeCredential(ctx echo.Context, at credentialPlace, spec push.Spec, f credentialForm, file upload) error {
	refused := func(faults c.FormErrors) error {
		return h.credentialPage(ctx, 422, at, credentialDialog(at, spec, f, faults))
	}
	if file.name == "" {
		return refused(c.FormErrors{"file": web.T(ctx, "credentials.fault_missing")})
	}
	fields := f.fields(file)
	info, err := spec.Inspect(fields, at.bundle, h.Now())
	if err != nil {
		var fault *push.FieldError
		if !errors.As(err, &fault) {
			return err
		}
		return refused(credentialFault(ctx, fault, info, at, file))
	}
	saved, err := h.Store.SaveCredentials(ctx.Request().Context(), h.actor(ctx), at.owner, credentialInputs(spec, fields, info, file.name)...)
	if err != nil {
		faults, err := formFaults(ctx, err)
		if err != nil {
			return err
		}
		return refused(faults)
	}
	detail := web.T(ctx, "credentials.saved_detail")
	if at.im != nil {
		detail = web.T(ctx, "credentials.saved_im")
	}
	web.Flash(ctx, web.Tn(ctx, "credentials.saved", len(saved)), detail)
	return web.SeeOther(ctx, at.back)
}

// credentialInputs makes one credential for each environment that the file is good
// for.
func credentialInputs(spec push.Spec, fields map[string]string, info push.CredentialInfo, name string) []models.CredentialInput {
	facts := models.CredentialInfo{
		Subject: info.Subject, BundleID: info.BundleID, KeyID: fields[apnsKeyID], TeamID: fields[apnsTeamID], FileName: name,
	}
	var ends *time.Time
	if !info.NotAfter.IsZero() {
		ends = &info.NotAfter
		facts.NotBefore = &info.NotBefore
	}
	var out []models.CredentialInput
	for _, e := range info.Environments {
		out = append(out, models.CredentialInput{
			Channel: string(spec.Channel), Environment: string(e), Kind: info.Kind, Fields: fields, Info: facts, NotAfter: ends,
			SameApp: true, // its bundle id stays, whatever the key
		})
	}
	return out
}

// tpnsCode is the TPNS code that belongs to a fault of a certificate.
func tpnsCode(code string) string {
	switch code {
	case push.FieldEmpty:
		return "1008012"
	case push.FieldNotCert, push.FieldNotP8:
		return "1008013"
	case push.FieldBundle:
		return "1008020"
	case push.FieldNotP12, push.FieldNoPrivateKey, push.FieldManyKeys, push.FieldKeyMismatch:
		return "1008021"
	case push.FieldWrongPassword:
		return "1008022"
	case push.FieldExpired, push.FieldNotYetValid, push.FieldEnvironment:
		return "1008023"
	}
	return ""
}

// credentialFault says under the right field what is wrong with a credential.
func credentialFault(ctx echo.Context, fault *push.FieldError, info push.CredentialInfo, at credentialPlace, file upload) c.FormErrors {
	field, text := "file", ""
	switch fault.Code {
	case push.FieldMissing, push.FieldInvalid:
		switch fault.Field {
		case apnsKeyID:
			field, text = "key_id", web.T(ctx, "credentials.fault_key_id")
		case apnsTeamID:
			field, text = "team_id", web.T(ctx, "credentials.fault_team_id")
		case apnsEnvironments:
			field, text = "environment", web.T(ctx, "errors.credential.environment")
		default:
			// An empty file is a field without a value.
			fault = &push.FieldError{Field: fault.Field, Code: push.FieldEmpty}
			text = web.T(ctx, "credentials.fault_empty")
		}
	case push.FieldEmpty:
		text = web.T(ctx, "credentials.fault_empty")
	case push.FieldTooLarge:
		text = web.T(ctx, "credentials.fault_large", "KB", len(file.data)>>10)
	case push.FieldNotCert:
		text = web.T(ctx, "credentials.fault_not_certificate")
	case push.FieldNotP8:
		text = web.T(ctx, "credentials.fault_not_p8")
	case push.FieldNotP12:
		text = web.T(ctx, "credentials.fault_not_p12")
	case push.FieldNoPrivateKey:
		text = web.T(ctx, "credentials.fault_no_key")
	case push.FieldManyKeys:
		text = web.T(ctx, "credentials.fault_many_keys")
	case push.FieldKeyMismatch:
		text = web.T(ctx, "credentials.fault_mismatch")
	case push.FieldWrongPassword:
		field, text = "password", web.T(ctx, "credentials.fault_password")
	case push.FieldExpired:
		text = web.T(ctx, "credentials.fault_expired", "Date", info.NotAfter.Format(layoutDate))
	case push.FieldNotYetValid:
		text = web.T(ctx, "credentials.fault_not_yet", "Date", info.NotBefore.Format(layoutDate))
	case push.FieldBundle:
		text = web.T(ctx, "credentials.fault_bundle", "Bundle", info.BundleID, "Package", at.bundle)
	case push.FieldEnvironment:
		field, text = "environment", web.T(ctx, "credentials.fault_environment")
	default:
		text = web.T(ctx, "credentials.fault_not_p12")
	}
	if code := tpnsCode(fault.Code); code != "" {
		text = web.T(ctx, "credentials.fault_coded", "Text", text, "Code", code)
	}
	return c.FormErrors{field: text}
}

// credential loads the credential of the path.
func (h *console) credential(ctx echo.Context, at credentialPlace) (*models.Credential, error) {
	id, err := idParam(ctx, "credential")
	if err != nil {
		return nil, err
	}
	return h.Store.CredentialByID(ctx.Request().Context(), h.actor(ctx), at.owner, id)
}

func (at credentialPlace) title(ctx echo.Context) string {
	if at.im != nil {
		return at.im.Name
	}
	return web.T(ctx, "config.title")
}
