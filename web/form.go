package web

import (
	"errors"
	"fmt"
	"mime"
	"net/http"
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/go-playground/locales"
	"github.com/go-playground/locales/en"
	"github.com/go-playground/locales/zh"
	ut "github.com/go-playground/universal-translator"
	"github.com/go-playground/validator/v10"
	entrans "github.com/go-playground/validator/v10/translations/en"
	zhtrans "github.com/go-playground/validator/v10/translations/zh"
	"github.com/labstack/echo/v4"

	"hongyan/views/components"
	"hongyan/views/locale"
)

// Tags of a form struct: form names the field, label is the key of its label (for
// messages), validate holds the rules, and trim:"no" keeps outer spaces.
const (
	tagForm  = "form"
	tagLabel = "label"
	tagTrim  = "trim"
)

// Bind reads the body's form values into a form struct, in which every exported
// field has a form tag, and trims outer spaces. A struct without those tags, such
// as a model, is refused: it would let a browser set any field.
func Bind(c echo.Context, form any) error {
	v := reflect.ValueOf(form)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		return fmt.Errorf("web: bind: %T is not a pointer to a form struct", form)
	}
	v = v.Elem()
	for _, f := range reflect.VisibleFields(v.Type()) {
		if f.IsExported() && !f.Anonymous && f.Tag.Get(tagForm) == "" {
			return fmt.Errorf("web: bind: field %s of %T has no form tag", f.Name, form)
		}
	}
	if err := bodyOnly(c); err != nil {
		return fmt.Errorf("web: bind: %w", err)
	}
	if err := (&echo.DefaultBinder{}).BindBody(c, form); err != nil {
		return fmt.Errorf("web: bind: %w", err)
	}
	for _, f := range reflect.VisibleFields(v.Type()) {
		if len(f.Index) == 1 && f.Type.Kind() == reflect.String && f.Tag.Get(tagTrim) != "no" {
			field := v.Field(f.Index[0])
			field.SetString(strings.TrimSpace(field.String()))
		}
	}
	return nil
}

// bodyOnly parses the form and forgets what the address says: Echo would mix the
// query into the fields. A body that is no form is refused.
func bodyOnly(c echo.Context) error {
	r := c.Request()
	kind, _, err := mime.ParseMediaType(r.Header.Get(echo.HeaderContentType))
	if err != nil || (kind != echo.MIMEApplicationForm && kind != echo.MIMEMultipartForm) {
		return echo.ErrUnsupportedMediaType
	}
	if _, err := c.FormParams(); err != nil {
		var tooLarge *echo.HTTPError
		if errors.As(err, &tooLarge) {
			return tooLarge
		}
		return echo.NewHTTPError(http.StatusBadRequest).SetInternal(err)
	}
	r.Form = r.PostForm
	return nil
}

// formChecker validates in one language. The library caches names per validator, so
// each language has its own.
type formChecker struct {
	validate *validator.Validate
	words    ut.Translator
}

func newFormCheckers(bundle *locale.Bundle) (map[string]*formChecker, error) {
	out := map[string]*formChecker{}
	for lang, kit := range map[string]struct {
		rules    locales.Translator
		register func(*validator.Validate, ut.Translator) error
	}{
		locale.Chinese: {zh.New(), zhtrans.RegisterDefaultTranslations},
		locale.English: {en.New(), entrans.RegisterDefaultTranslations},
	} {
		words, found := ut.New(kit.rules, kit.rules).GetTranslator(kit.rules.Locale())
		if !found {
			return nil, fmt.Errorf("web: no validation messages in %s", lang)
		}
		v := validator.New(validator.WithRequiredStructEnabled())
		l := bundle.Localizer(lang)
		v.RegisterTagNameFunc(func(f reflect.StructField) string {
			if key := f.Tag.Get(tagLabel); key != "" {
				return l.T(key)
			}
			return f.Tag.Get(tagForm)
		})
		if err := kit.register(v, words); err != nil {
			return nil, fmt.Errorf("web: validation messages in %s: %w", lang, err)
		}
		if err := ownWords(v, words, l); err != nil {
			return nil, err
		}
		out[lang] = &formChecker{validate: v, words: words}
	}
	return out, nil
}

// ownWords replaces the library's sentences for the usual rules by ours, which say
// the limit and what was entered.
func ownWords(v *validator.Validate, words ut.Translator, l *locale.Localizer) error {
	sentence := func(_ ut.Translator, f validator.FieldError) string {
		key, now := "errors.check_"+f.Tag(), any(nil)
		text, isText := f.Value().(string)
		switch f.Tag() {
		case "max", "min":
			if isText {
				key, now = key+"_chars", utf8.RuneCountInString(text)
			}
		case "lte", "gte":
			key = map[string]string{"lte": "errors.check_max", "gte": "errors.check_min"}[f.Tag()]
		case "eqfield":
			key = "errors.check_equal"
		case "http_url":
			key = "errors.check_url"
		}
		return l.T(key, "Label", f.Field(), "Limit", f.Param(), "Now", now)
	}
	for _, tag := range []string{"required", "max", "min", "lte", "gte", "eqfield", "email", "http_url"} {
		none := func(ut.Translator) error { return nil }
		if err := v.RegisterTranslation(tag, words, none, sentence); err != nil {
			return fmt.Errorf("web: validation message %s: %w", tag, err)
		}
	}
	return nil
}

// Validate checks a form struct against its validate tags and returns one message
// per field in the request's language, or nil.
func Validate(c echo.Context, form any) components.FormErrors {
	s, ok := c.Get(keyServer).(*Server)
	if !ok {
		return nil
	}
	checker := s.forms[locale.Lang(c.Request().Context())]
	err := checker.validate.Struct(form)
	var faults validator.ValidationErrors
	if !errors.As(err, &faults) {
		return nil
	}
	t := reflect.Indirect(reflect.ValueOf(form)).Type()
	out := components.FormErrors{}
	for _, f := range faults {
		name := f.StructField()
		if field, ok := t.FieldByName(name); ok {
			name = field.Tag.Get(tagForm)
		}
		if out[name] == "" {
			out[name] = f.Translate(checker.words)
		}
	}
	return out
}

// joined is Faults for several errors: the first message of each field counts.
func joined(c echo.Context, errs []error) (components.FormErrors, error) {
	out := components.FormErrors{}
	for _, one := range errs {
		faults, err := Faults(c, one)
		if err != nil {
			return nil, err
		}
		for field, text := range faults {
			if _, there := out[field]; !there {
				out[field] = text
			}
		}
	}
	return out, nil
}

// Faults sorts what an act on models returned: a fault of the input becomes a form
// message (under "" when it belongs to no field), anything else is returned as err.
// With a nil error it returns nil, nil.
func Faults(c echo.Context, err error) (components.FormErrors, error) {
	if err == nil {
		return nil, nil
	}
	if several, ok := err.(interface{ Unwrap() []error }); ok { //nolint:errorlint // only what was joined at the top
		return joined(c, several.Unwrap())
	}
	e := classify(err)
	switch {
	case e.Key == "":
		return nil, err
	case e.Kind == KindInvalid, e.Kind == KindConflict, e.Kind == KindTooLarge, e.Kind == KindTooMany:
		return components.FormErrors{e.Field: T(c, e.Key, e.Data)}, nil
	default:
		return nil, err
	}
}
