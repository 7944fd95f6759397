// Package push is the vendor-neutral contract between the worker and the phone
// vendors' push services: what a message and a target are, how a credential is
// described, and the six ways one attempt can end.
//
// Its sub-packages, one per vendor, import only this package. Nothing here knows
// a database, a log, a tenant or a retry policy: a Sender answers one question,
// "what should happen to this target next?", and the worker decides when.
package push

import (
	"context"
	"syscall"
	"time"
)

// Channel names a vendor's push service. The values appear in tables, URLs and
// the server API and never change.
type Channel string

// The channels of spec/vendors.md. A channel is usable once registry knows it.
const (
	APNs    Channel = "apns"
	FCM     Channel = "fcm"
	Huawei  Channel = "hw"
	Honor   Channel = "honor"
	Xiaomi  Channel = "xm"
	OPPO    Channel = "oppo"
	Vivo    Channel = "vivo"
	Meizu   Channel = "mz"
	Harmony Channel = "harmony"
	WebPush Channel = "web"
)

// Environment separates the vendor's development and production services.
type Environment string

// The two environments. Vendors without the distinction use Production.
const (
	Production  Environment = "production"
	Development Environment = "development"
)

// Kind says what a phone should do with a message.
type Kind string

// Alert shows a notification, Silent wakes the app without showing anything,
// Badge only sets the number on the icon.
const (
	Alert  Kind = "alert"
	Silent Kind = "silent"
	Badge  Kind = "badge"
)

// Message is what one send says, apart from whom it goes to. Text is already
// reduced by the app's privacy setting and is never logged.
type Message struct {
	Kind     Kind
	Title    string
	Subtitle string
	Body     string
	// Badge is the number on the icon; nil leaves it alone, 0 clears it.
	Badge *int
	// Sound is a sound file's name, "default" for the system's, "" for none.
	Sound string
	// CollapseKey makes a later message with the same key replace this one on the phone.
	CollapseKey string
	// ThreadID groups notifications of one conversation.
	ThreadID string
	// Category selects the app's registered notification actions.
	Category string
	// MutableContent lets a notification service extension change the
	// notification (and report its arrival).
	MutableContent bool
	// InterruptionLevel is passive, active, time-sensitive, critical or "".
	InterruptionLevel string
	// HighPriority asks for delivery now rather than when the phone finds it cheap.
	HighPriority bool
	// ExpiresAt is when the message loses its worth. Zero means the vendor's
	// default; a moment not after Now means "try once, do not store".
	ExpiresAt time.Time
	// Data is handed to the app beside the notification. Values must be
	// marshalable by encoding/json; keys must not be "aps".
	Data map[string]any
	// ReceiptURL is where the vendor shall report what became of the message, at
	// most MaxReceiptURL bytes; "" for nowhere. Vendors whose address is entered
	// in their own console ignore it.
	ReceiptURL string
	// ChannelIDs names the phone's notification channel for a vendor, in place of the
	// credential's.
	ChannelIDs map[Channel]string
}

// Target is one device's address at the vendor.
type Target struct {
	// Token is the vendor's device token.
	Token string
	// Topic is the bundle id or package name the token belongs to.
	Topic string
	// ID is a UUID that stays the same over every attempt for this message and
	// device. Vendors that take a caller's id receive it.
	ID string
	// Badge, when set, overrides Message.Badge for this target: a badge
	// belongs to a device, not to a message.
	Badge *int
	// Ref comes back with the vendor's receipts, at most MaxRef bytes of URL-safe
	// base64; "" for none. In a request with several targets the first one's is
	// sent, and a receipt's Token tells them apart.
	Ref string
}

// Outcome is how one attempt for one target ended.
type Outcome uint8

// The six outcomes. The zero value is invalid on purpose: a Sender must decide.
const (
	_ Outcome = iota
	// Accepted: the vendor said yes for this target.
	Accepted
	// Retry: network, timeout, 5xx or an unreadable reply; the same attempt may
	// succeed later. Whether the vendor took the message may be unknown.
	Retry
	// Throttled: rate or daily quota; wait (RetryAfter when the vendor said how
	// long) and slow this credential only. Uses up no attempt.
	Throttled
	// BadTarget: dead, foreign or uninstalled token.
	BadTarget
	// BadMessage: the payload was refused and always will be.
	BadMessage
	// BadCredential: key, permission or certificate refused.
	BadCredential
)

// String returns the outcome's name as used in metrics and tests.
func (o Outcome) String() string {
	switch o {
	case Accepted:
		return "accepted"
	case Retry:
		return "retry"
	case Throttled:
		return "throttled"
	case BadTarget:
		return "bad_target"
	case BadMessage:
		return "bad_message"
	case BadCredential:
		return "bad_credential"
	}
	return "invalid"
}

// Result is what a vendor said about one target.
type Result struct {
	Outcome Outcome
	// VendorID is the vendor's id for this message, "" if it gave none.
	VendorID string
	// Code is the vendor's own code, such as "Unregistered" or "80300007", or one
	// of this package's Code… constants when the vendor never answered.
	Code string
	// Text is a short explanation safe to store and show: never a token, key,
	// title or body.
	Text string
	// RetryAfter is how long the vendor asked to wait; 0 if it did not say.
	RetryAfter time.Duration
	// DeadSince is when the vendor says the token died (APNs 410); zero if
	// unknown. A token registered again after that moment is alive.
	DeadSince time.Time
	// DeviceOnly marks a Throttled or a Retry that concerns this target alone, so that
	// the credential is not slowed.
	DeviceOnly bool
	// KeepToken marks a BadTarget whose token must not be retired, because the
	// fault may be ours (wrong environment or topic).
	KeepToken bool
	// Quota is what the vendor said by the way of the credential's day, zero for
	// nothing.
	Quota Quota
	// Elapsed is the time from handing the request to the connection to having the
	// whole answer, over all tries inside one Send; 0 if nothing was sent.
	Elapsed time.Duration
}

// Quota is a credential's daily quota as its vendor counts it. Limit 0 says nothing.
type Quota struct{ Limit, Used int64 }

// Codes for ends that no vendor stated. They share Result.Code with the
// vendors' own codes and are prefixed so that the two cannot be confused.
const (
	CodeNetwork    = "hy_network"     // connection failed or broke
	CodeTimeout    = "hy_timeout"     // no answer in time; the vendor may have taken the message
	CodeBadReply   = "hy_bad_reply"   // the answer could not be read
	CodeTooLarge   = "hy_too_large"   // payload over the channel's limit, not sent
	CodeBadToken   = "hy_bad_token"   // token not in the vendor's format, not sent
	CodeBadContent = "hy_bad_content" // message cannot be expressed on this channel, not sent
	CodeRefusedTLS = "hy_refused_tls" // the vendor ended TLS because of our certificate
	CodeSigning    = "hy_signing"     // our key could not sign a token, not sent
	CodeClosed     = "hy_closed"      // the sender was closed, not sent
	// CodeRefusedAddress: the target's own address must not be called, not sent.
	CodeRefusedAddress = "hy_refused_address"
)

// Sender sends through one credential. It is safe for concurrent use.
type Sender interface {
	// Send delivers m to every target and returns one Result per target in the
	// targets' order. It never panics on odd input and returns when ctx ends at
	// the latest, with Retry for targets that have no answer.
	Send(ctx context.Context, m Message, targets []Target) []Result
	// Check proves the credential with the vendor without sending to anyone.
	Check(ctx context.Context) Result
	// Close releases connections. Sends in flight may fail with Retry.
	Close()
}

// Batch says when a vendor takes several targets in one request.
type Batch uint8

// BatchNever: one request for each. BatchSilent: only while nobody asks for receipts.
// BatchAlways: with receipts too, which name the target's token.
const (
	BatchNever Batch = iota
	BatchSilent
	BatchAlways
)

// Limits of a channel, each from the vendor's documentation.
type Limits struct {
	TargetsPerRequest int // most targets in one Send
	// Batch says when the vendor takes several targets in one request at all. A Send to
	// several through a channel that never does makes a request for each.
	Batch        Batch
	PayloadBytes int // whole payload, 0 for no stated limit
	TitleRunes   int // 0 for no stated limit
	BodyRunes    int
	// Wide: the vendor counts half widths, so that these are Chinese characters and
	// twice as many others.
	Wide bool
	// InFlight is the most Sends at once through one credential, 0 for as many as
	// the worker likes.
	InFlight int
}

// Options are the parts of opening a Sender that belong to the installation.
type Options struct {
	// Endpoint overrides the vendor's address, for the sandbox and tests; "" for
	// the real one.
	Endpoint string
	// RootCAs is a PEM bundle trusted in addition to the system's, for the
	// sandbox and tests.
	RootCAs []byte
	// Environment selects the vendor's service.
	Environment Environment
	// Topic is the default bundle id or package name.
	Topic string
	// Timeout bounds one attempt; 0 for the channel's default.
	Timeout time.Duration
	// MaxConns is the most connections one Sender keeps open; 0 for the channel's
	// default. Connections are added only when the open ones are full.
	MaxConns int
	// Now is the clock; nil for time.Now.
	Now func() time.Time
	// DialControl judges every address before it is dialled, after names were
	// resolved; nil allows all. Channels whose targets bring their own address
	// (Web Push) refuse to open without one. It returns ErrAddressRefused.
	DialControl func(network, address string, c syscall.RawConn) error
}

// Spec describes a channel to the rest of the program. Credential forms, their
// validation, the API and the documentation derive from it.
type Spec struct {
	Channel Channel
	Fields  []Field
	Limits  Limits
	// Environments lists the services a credential can be for.
	Environments []Environment
	// Open returns a Sender for the credential's fields. The error is a
	// *FieldError when a field is at fault.
	Open func(ctx context.Context, fields map[string]string, o Options) (Sender, error)
	// Inspect reads a credential's fields as Open would, without a network, and
	// says what they contain, so that a form can show and check it before saving.
	// bundle is the app's bundle id or package name the credential must fit, "" to
	// skip that check; now is the moment at which dates are judged. The error is a
	// *FieldError; the info is filled as far as the file could be read even then.
	Inspect func(fields map[string]string, bundle string, now time.Time) (CredentialInfo, error)
	// Codes explains vendor codes: code → what it leads to and documentation link.
	Codes map[string]CodeInfo
	// Rate is how many targets a second the vendor takes from one credential by its
	// published rules, 0 where it publishes none.
	Rate int
	// ParseReceipt verifies and reads what the vendor reports to our receipt
	// address; nil for a channel without receipts.
	ParseReceipt func(ReceiptRequest) (ReceiptReport, error)
	// ReceiptSetup says how the vendor learns the receipt address.
	ReceiptSetup ReceiptSetup
	// ReceiptRefused are the codes by which the vendor refuses a message for nothing
	// but its receipt address, so that the same one without it may succeed.
	ReceiptRefused []string
}

// CredentialInfo is what a credential says about itself. It holds nothing secret.
type CredentialInfo struct {
	// Kind is the sort of credential where a channel has several, such as "p8".
	Kind string
	// Subject is the certificate's common name, "" if there is no certificate.
	Subject string
	// BundleID is the app the credential is for, "" when it is for any.
	BundleID string
	// Topics lists every topic named in the certificate, with BundleID.
	Topics []string
	// Environments lists the services the credential is good for.
	Environments []Environment
	// NotBefore and NotAfter bound its validity; zero when it does not expire.
	NotBefore, NotAfter time.Time
}

// CodeInfo is what is known about a vendor code.
type CodeInfo struct {
	Outcome Outcome
	// Doc is the vendor's page that defines the code.
	Doc string
}

// Codes of FieldError, stable words for the console and the API.
const (
	FieldMissing       = "missing"         // required and not given
	FieldInvalid       = "invalid"         // does not match the field's pattern
	FieldEmpty         = "empty"           // the uploaded file is empty
	FieldTooLarge      = "too_large"       // over the field's MaxBytes
	FieldNotCert       = "not_certificate" // neither a certificate nor a key store
	FieldNotP12        = "not_p12"         // a certificate, but not as .p12
	FieldWrongPassword = "wrong_password"  // the file's password is another
	FieldNoPrivateKey  = "no_private_key"  // certificate without its key
	FieldManyKeys      = "many_keys"       // several keys in one file
	FieldKeyMismatch   = "key_mismatch"    // key and certificate do not belong together
	FieldExpired       = "expired"         // certificate no longer valid
	FieldNotYetValid   = "not_yet_valid"   // certificate not valid yet
	FieldNotP8         = "not_p8"          // not a .p8 signing key
	FieldBundle        = "bundle_mismatch" // for another app
	FieldEnvironment   = "environment"     // not good for the chosen environment
)
