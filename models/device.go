package models

import "time"

// Notification switch of a phone as it last reported it.
const (
	NotifyUnknown = 0
	NotifyOn      = 1
	NotifyOff     = 2
)

// Device is one install of an app. Its id ascends and is never reused.
type Device struct {
	ID         int64 `gorm:"primaryKey"`
	AppID      int64
	Token      string // 36 characters, random, what the app and the console call the device
	SecretHash []byte // SHA-256 of the secret that later calls for this token must show
	Platform   string
	Brand      string
	Model      string
	OSVersion  string `gorm:"column:os_version"`
	AppVersion string
	SDKVersion string `gorm:"column:sdk_version"`
	Language   string
	TimeZone   string
	Notify     int
	Badge      int
	// BadgeRevision counts how often the phone set the badge.
	BadgeRevision int64
	IsVirtual     bool // made by the sandbox's virtual phone
	RegisteredAt  time.Time
	LastSeenAt    time.Time
	RetiredAt     *time.Time
	RetiredCode   string
}

// Route is one vendor address of a device. A vendor token belongs to one device
// of an app.
type Route struct {
	ID           int64 `gorm:"primaryKey"`
	AppID        int64
	DeviceID     int64
	Channel      string
	Environment  string
	PackageName  string
	Token        string
	TokenHash    []byte // SHA-256 of Token
	RegisteredAt time.Time
	RetiredAt    *time.Time
	RetiredCode  string
}

// DeviceAccount binds an end user to a device: one account per account type.
type DeviceAccount struct {
	DeviceID    int64 `gorm:"primaryKey;autoIncrement:false"`
	AccountType int   `gorm:"primaryKey;autoIncrement:false"`
	Account     string
	AppID       int64
	BoundAt     time.Time
}

// Fan-out settings of an app: which of an account's devices get a message.
const (
	FanoutAll         = "all"          // 所有设备
	FanoutPerPlatform = "per_platform" // 每平台最近一台
	FanoutLatest      = "latest"       // 最近一台
)

// Text modes of an app: how much of a message the vendor gets to see.
const (
	TextFull    = "full"    // 全文
	TextSender  = "sender"  // 仅发送者
	TextGeneric = "generic" // 通用文案
)
