package models

import (
	"time"
)

// Limits of one message, in runes or bytes as named. Longer text is cut at
// acceptance: a vendor would refuse or cut it anyway.
const (
	MaxAccountRunes = 100      // an end user's id, spec/console.md 1.1
	MaxSourceID     = 128      // bytes of an IM server's message id
	MaxTitleRunes   = 128      // longest any vendor shows is 50
	MaxBodyRunes    = 2048     // APNs takes 4 KB in all
	MaxDataBytes    = 2 * 1024 // custom data handed to the app, as JSON
)

// DataMessageID is the key in Content.Data under which the app in the phone finds
// the message's id, which it reports receipts with (device API). The worker puts
// it there when sending; no request may use the key.
const DataMessageID = "hy_mid"

// How long a message stays worth delivering, unless its request says otherwise.
const (
	DefaultLife = 72 * time.Hour
	MaxLife     = 7 * 24 * time.Hour
)

// Content is what a message says and how the phone should show it. It is sealed
// at rest and never logged.
type Content struct {
	Title string `json:"t,omitempty"`
	// Speaker is who says it, and in which group, as people know them: what remains
	// to be shown when an app lets the vendor see the sender only.
	Speaker           string         `json:"sp,omitempty"`
	Subtitle          string         `json:"st,omitempty"`
	Body              string         `json:"b,omitempty"`
	Badge             *int           `json:"bd,omitempty"` // the request's unread count, if it carried one
	KeepBadge         bool           `json:"kb,omitempty"` // without a count: the number on the icon stays as it is
	Sound             string         `json:"s,omitempty"`
	CollapseKey       string         `json:"ck,omitempty"`
	ThreadID          string         `json:"th,omitempty"`
	Category          string         `json:"c,omitempty"`
	MutableContent    bool           `json:"mc,omitempty"`
	InterruptionLevel string         `json:"il,omitempty"`
	LowPriority       bool           `json:"lp,omitempty"`
	Data              map[string]any `json:"d,omitempty"`
	// ChannelIDs names the notification channel on the phone for a vendor (push.Channel).
	ChannelIDs map[string]string `json:"ci,omitempty"`
	// Classes says how a vendor is to classify the message: for a push.Channel, values by
	// the keys of its credential's fields.
	Classes map[string]map[string]string `json:"cl,omitempty"`
}

// Message kinds, equal to push.Kind's values.
const (
	KindAlert  = "alert"
	KindSilent = "silent"
	KindBadge  = "badge"
)

// Incoming is one offline message for one user, as a bridge understood it.
type Incoming struct {
	// SourceID is the IM server's id of the message; together with the account or
	// the device it is the dedupe key. "" means the request cannot be recognised again.
	SourceID    string
	Kind        string
	Account     string
	AccountType int
	// Token addresses one device instead of an account, by the token that the IM
	// server has for it. Store.Locate finds its Devices, without which the message
	// reaches nobody.
	Token string
	// Topic addresses the devices that the IM app's server subscribed to it;
	// Store.EachSubscriber finds the Devices.
	Topic        string
	Devices      []DeviceAt
	Sender       string
	Conversation string
	// ExpiresAt is zero for DefaultLife; later than MaxLife is cut.
	ExpiresAt time.Time
	Content   Content
	// IOS replaces title and sound for apps on iOS, where a request says others for
	// them; nil for the same.
	IOS *Variant
}

// Variant is what one platform shows and plays instead.
type Variant struct{ Title, Sound string }

// Message is the kept record of one offline message: everything but its content.
type Message struct {
	ID           string    `gorm:"primaryKey" json:"id"` // UUIDv7
	AppID        int64     `json:"a"`
	IMAppID      int64     `gorm:"column:im_app_id" json:"im"`
	PlanID       int64     `json:"p"`
	Source       string    `json:"s"` // bridge id, or "test"
	SourceID     string    `json:"si"`
	Kind         string    `json:"k"`
	Account      string    `json:"u"`
	AccountType  int       `json:"ut,omitempty"`
	Sender       string    `json:"f,omitempty"`
	Conversation string    `json:"c,omitempty"`
	Sandbox      bool      `json:"sb,omitempty"`
	AcceptedAt   time.Time `json:"at"`
	ExpiresAt    time.Time `json:"ex"`
}

// Item is one message inside a Batch: what remains to be done for it.
type Item struct {
	Message Message `json:"m"`
	Content Content `json:"c"`
	// Targets is nil until the message's devices were looked up; a batch split
	// off for later carries exactly the targets that are still open.
	Targets []OpenTarget `json:"t,omitempty"`
	// Group is the id of the request's first message that says the same to somebody
	// else, "" for none. What one group says may go to a vendor in one request, under
	// this id: such a request has one text for all of its targets.
	Group string `json:"g,omitempty"`
	// DeviceID limits an unresolved message to one device (a test push); 0 for
	// every device of the account.
	DeviceID int64 `json:"dv,omitempty"`
}

// OpenTarget is one device that a message still has to reach.
type OpenTarget struct {
	DeviceID int64 `json:"d"`
	RouteID  int64 `json:"r"`
	// Attempts made so far that count against the retry limit.
	Attempts int `json:"n,omitempty"`
	// Tries made so far, of whatever outcome; they number the Attempt rows.
	Tries int `json:"y,omitempty"`
	// ResolvedAt is when the device was first chosen.
	ResolvedAt time.Time `json:"at"`
	// Avoid is the route whose vendor failed in a way that another route of the
	// device may help, 0 for none. It is set once: a message takes one detour.
	Avoid int64 `json:"v,omitempty"`
	// Merge says that the message waited for later ones of its conversation.
	Merge bool `json:"g,omitempty"`
	// Count is how many messages of its conversation it stands for, 0 for itself.
	Count int `json:"c,omitempty"`
}

// Batch is a unit of work: up to MaxBatch messages under one lease.
type Batch struct {
	ID           int64
	Generation   int
	CredentialID int64 // 0 for a batch fresh from acceptance
	DueAt        time.Time
	Items        []Item
}

// MaxBatch is the most messages in one batch.
const MaxBatch = 500

// Delivery states. A delivery moves forward only:
//
//	pending → accepted → arrived → clicked | cleared
//	pending → failed | expired | skipped
const (
	StatePending  = "pending"
	StateAccepted = "accepted"
	StateArrived  = "arrived"
	StateClicked  = "clicked"
	StateCleared  = "cleared"
	StateFailed   = "failed"
	StateExpired  = "expired"
	StateSkipped  = "skipped"
)

// Reasons why a delivery waits, failed or was skipped. They are the lines under
// the funnel, each with a sentence and a remedy in the catalog.
const (
	ReasonNoDevice     = "no_device"      // skipped: the account has no device
	ReasonNotifyOff    = "notify_off"     // skipped: notifications are switched off on the phone; failed: the vendor says so
	ReasonNoRoute      = "no_route"       // skipped: the device has no living vendor token
	ReasonNoCredential = "no_credential"  // failed: no key for the device's channel
	ReasonBadToken     = "bad_token"      // failed: dead token, retired
	ReasonTokenKept    = "token_kept"     // failed: the vendor did not reach the device, whose token may be good
	ReasonBadMessage   = "bad_message"    // failed: payload refused
	ReasonNotSent      = "not_sent"       // failed: the channel has no room or no form for it, no vendor saw it
	ReasonAttempts     = "attempts"       // failed: retries used up
	ReasonExpired      = "expired"        // expired before the vendor said yes
	ReasonPaused       = "paused"         // pending: the credential is paused
	ReasonThrottled    = "throttled"      // pending: the vendor asked to wait
	ReasonRetry        = "retry"          // pending: will be tried again
	ReasonMerging      = "merging"        // pending: waits for later messages of its conversation
	ReasonMerged       = "merged"         // skipped: a later message of its conversation stands for it
	ReasonDetour       = "detour"         // pending: goes through another route of the device
	ReasonAppGone      = "app_gone"       // failed: the app was deleted meanwhile
	ReasonUnknown      = "unknown_device" // failed: the device vanished between choice and send
)

// Delivery is how one message fared on one device.
type Delivery struct {
	MessageID    string `gorm:"primaryKey"`
	DeviceID     int64  `gorm:"primaryKey;autoIncrement:false"` // 0: an end that concerns no device
	AppID        int64
	PlanID       int64
	Channel      string
	CredentialID int64
	State        string
	Reason       string
	Code         string // the vendor's code, or one of push.Code…
	Detail       string // the vendor's words, safe to show
	VendorID     string
	Attempts     int
	Ms           int // the last attempt's duration
	ResolvedAt   time.Time
	At           time.Time // when it was settled, or last tried
	ArrivedAt    *time.Time
	ClickedAt    *time.Time
	ClearedAt    *time.Time
}

// Attempt is one try at the vendor, kept for every try but a first one that was
// accepted, which the Delivery itself tells.
type Attempt struct {
	MessageID string `gorm:"primaryKey"`
	DeviceID  int64  `gorm:"primaryKey;autoIncrement:false"`
	N         int    `gorm:"primaryKey;autoIncrement:false"`
	AppID     int64
	Channel   string
	Outcome   string // push.Outcome's name
	Code      string
	Detail    string
	Ms        int
	At        time.Time
}

// Counter metrics.
const (
	MetricPlanned  = "planned"  // 计划发送: chosen devices, without no_device and notify_off
	MetricAccepted = "accepted" // 实际发送
	MetricArrived  = "arrived"
	MetricClicked  = "clicked"
	MetricCleared  = "cleared"
	MetricFailed   = "failed"  // with reason
	MetricExpired  = "expired" // with reason
	MetricSkipped  = "skipped" // with reason no_device, notify_off, no_route, merged
	MetricMessages = "messages"
)
