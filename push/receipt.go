package push

import (
	"context"
	"errors"
	"net/http"
	"time"
)

// Limits that every vendor with receipts keeps: vivo, Xiaomi and Meizu take 128 bytes
// of address and 64 of parameter, OPPO 50 of parameter.
const (
	MaxReceiptURL = 128
	MaxRef        = 50
)

// ReceiptSetup says how a vendor learns our receipt address.
type ReceiptSetup string

// Ways a vendor learns the receipt address.
const (
	ReceiptNone    ReceiptSetup = ""        // the vendor reports nothing
	ReceiptConsole ReceiptSetup = "console" // entered in the vendor's console
	ReceiptMessage ReceiptSetup = "message" // sent along with every message
	// ReceiptBoth is entered in the vendor's console and sent along, and refused
	// with a message before it was entered. An operator says when it was.
	ReceiptBoth ReceiptSetup = "both"
)

// ReceiptProver is a Sender of a ReceiptBoth channel.
type ReceiptProver interface {
	// CheckReceipt is Check with a receipt address along: Accepted when the vendor
	// took it, BadMessage when it refused the request because of it.
	CheckReceipt(ctx context.Context, url string) Result
}

// ReceiptRequest is a vendor's report as it arrived.
type ReceiptRequest struct {
	Header http.Header
	Body   []byte // at most a few megabytes, not decoded
	// Fields is the credential that the address belongs to, with the fields of
	// GroupReceipt that verify the report.
	Fields map[string]string
	Now    time.Time
}

// ReceiptReport is what a verified request says, and what the vendor wants to hear.
type ReceiptReport struct {
	Receipts []Receipt
	// Answer is the body that the vendor takes for a yes, ContentType its type.
	Answer      []byte
	ContentType string
}

// Receipt is what a vendor says later about one message on one device.
type Receipt struct {
	// Ref is the Target.Ref that was sent, VendorID the vendor's message id, Token
	// the device; what the vendor does not tell is "".
	Ref      string
	VendorID string
	Token    string
	Event    ReceiptEvent
	// Code is the vendor's own status, as text.
	Code string
	// DayOver says that the day's quota is used up for messages of Class, a
	// Message.ClassTag, "" for the credential's own.
	DayOver bool
	Class   string
	// At is when it happened by the vendor's clock; zero if it does not say.
	At time.Time
}

// ReceiptEvent is what a receipt means.
type ReceiptEvent string

// Events of receipts.
const (
	EventArrived     ReceiptEvent = "arrived"
	EventClicked     ReceiptEvent = "clicked"
	EventUninstalled ReceiptEvent = "uninstalled" // the token is dead
	EventNotifyOff   ReceiptEvent = "notify_off"  // the user does not let the app show notifications
	EventDropped     ReceiptEvent = "dropped"     // over the vendor's frequency or quota
	EventExpired     ReceiptEvent = "expired"     // the phone was not reached in time
	EventReplaced    ReceiptEvent = "replaced"    // by a later message
	EventOther       ReceiptEvent = "other"       // the code says more
)

// ErrReceiptForged is returned by ParseReceipt when the signature that the vendor
// adds is missing or wrong.
var ErrReceiptForged = errors.New("push: receipt: wrong or missing signature")

// ErrReceiptShape is returned by ParseReceipt when a report cannot be read.
var ErrReceiptShape = errors.New("push: receipt: not in the vendor's format")
