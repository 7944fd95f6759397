package push

import (
	"regexp"
	"slices"
)

// FieldKind tells a form how to draw and check a credential field.
type FieldKind string

// Kinds of credential fields.
const (
	FieldText   FieldKind = "text"
	FieldSecret FieldKind = "secret"
	FieldFile   FieldKind = "file"   // the uploaded bytes
	FieldEnv    FieldKind = "env"    // production, development or both
	FieldChoice FieldKind = "choice" // one of Choices
)

// Groups of fields, by what they are about.
const (
	GroupKeys    = ""        // what the vendor knows us by
	GroupClass   = "class"   // how the vendor classifies the messages; defaults of the app
	GroupReceipt = "receipt" // what receipts are verified with
)

// Field describes one field of a credential. A form finds its label and help under
// the catalog keys "fields.<channel>.<key>" and "fields.<channel>.<key>_help".
// The value of a text or choice field is no secret and may be shown again.
type Field struct {
	Key      string
	Kind     FieldKind
	Group    string
	Required bool
	// Pattern is a regular expression the whole value must match, "" for any.
	Pattern string
	// Choices are the values of a FieldChoice; the first is the default.
	Choices []string
	// MaxBytes limits the value.
	MaxBytes int
}

// FieldError says which credential field is wrong and why. Code is a stable
// word the console translates.
type FieldError struct {
	Field string
	Code  string
	Err   error
}

func (e *FieldError) Error() string {
	s := "push: field " + e.Field + ": " + e.Code
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *FieldError) Unwrap() error { return e.Err }

// Check returns what is wrong with a value for this field by its own rules, a
// *FieldError, or nil.
func (f Field) Check(value string) error {
	switch {
	case value == "" && f.Required:
		return &FieldError{Field: f.Key, Code: FieldMissing}
	case value == "":
		return nil
	case f.MaxBytes > 0 && len(value) > f.MaxBytes:
		return &FieldError{Field: f.Key, Code: FieldTooLarge}
	case f.Kind == FieldChoice:
		if !slices.Contains(f.Choices, value) {
			return &FieldError{Field: f.Key, Code: FieldInvalid}
		}
		return nil
	case f.Pattern == "":
		return nil
	}
	re, err := regexp.Compile("^(?:" + f.Pattern + ")$")
	if err != nil {
		return &FieldError{Field: f.Key, Code: FieldInvalid, Err: err}
	}
	if !re.MatchString(value) {
		return &FieldError{Field: f.Key, Code: FieldInvalid}
	}
	return nil
}
