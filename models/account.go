package models

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Account is a 主账号: the tenant that owns everything.
type Account struct {
	ID       int64 `gorm:"primaryKey"`
	Name     string
	TimeZone string // days of statistics and times on pages
	Language string // of generic push texts
	// ContentDays is how long titles and bodies are kept once settled; 0 wipes them.
	ContentDays int
	CreatedAt   time.Time
}

// Limits of an account.
const (
	MaxAccountName = 60 // runes
	MaxContentDays = 90
)

// Languages that generic texts exist in.
const (
	LanguageChinese = "zh-CN"
	LanguageEnglish = "en"
)

// Languages lists them, the default first.
func Languages() []string { return []string{LanguageChinese, LanguageEnglish} }

// GenericText is what a phone shows for a message that says nothing readable, or
// whose text the vendor shall not see, in an account's language. It goes to a phone
// and not to a page, so it is no entry of the message catalog.
func GenericText(language string) string {
	if IsEnglish(language) {
		return "You have a new message"
	}
	return "收到一条新消息"
}

// IsEnglish reports whether texts for phones are English in a language.
func IsEnglish(language string) bool { return strings.HasPrefix(language, LanguageEnglish) }

// Location returns the account's time zone, UTC if the system does not know it.
func (a *Account) Location() *time.Location {
	loc, err := time.LoadLocation(a.TimeZone)
	if err != nil {
		return time.UTC
	}
	return loc
}

func (a *Account) facts() facts {
	return facts{"name": a.Name, "time_zone": a.TimeZone, "language": a.Language, "content_days": a.ContentDays}
}

// MainAccount is what a new main account needs.
type MainAccount struct {
	Name     string // of the company or team
	UserName string // what the main user signs in with
	Password string
}

// Check finds everything that is wrong with the form.
func (in MainAccount) Check() error {
	_, err := in.check()
	return err
}

// check trims the names and applies the rules; fields are account_name, name and
// password.
func (in MainAccount) check() (MainAccount, error) {
	name, err1 := label(in.Name, "account_name", "errors.account.name_missing", MaxAccountName)
	user, err2 := userName(in.UserName)
	err := errors.Join(err1, err2, checkPassword(in.Password, in.UserName, "password"))
	in.Name, in.UserName = name, user
	return in, err
}

// CreateMainAccount creates an account with its main user, as the command line
// does. Invalid (account_name, name, password); Conflict when another main user
// has the name.
func (s *Store) CreateMainAccount(ctx context.Context, in MainAccount) (*User, error) {
	in, err := in.check()
	if err != nil {
		return nil, err
	}
	hash, err := s.hashPassword(ctx, in.Password)
	if err != nil {
		return nil, err
	}
	var u *User
	err = s.write(ctx, func(t *Tx) error {
		u, err = t.createMain(in, hash, Actor{Name: systemName})
		return err
	})
	return u, failed("create main account", err)
}

// createMain writes the rows; by's account is the new one.
func (t *Tx) createMain(in MainAccount, hash string, by Actor) (*User, error) {
	now := t.now()
	a := Account{Name: in.Name, TimeZone: "Asia/Shanghai", Language: LanguageChinese, CreatedAt: now}
	if err := t.Create(&a).Error; err != nil {
		return nil, err
	}
	u := &User{
		AccountID: a.ID, Name: in.UserName, PasswordHash: hash,
		Rights:            Rights{IsMain: true, Role: RoleFull, AllProducts: true, CanIM: true, CanContent: true},
		PasswordChangedAt: now, CreatedAt: now, UpdatedAt: now,
	}
	if err := t.Create(u).Error; err != nil {
		if duplicate(err) {
			return nil, conflictField("name", "errors.user.name_taken")
		}
		return nil, err
	}
	by.AccountID = a.ID
	return u, t.audit(by, entry{action: ActionCreate, kind: AuditAccount, id: a.ID, name: a.Name, after: a.facts()})
}

// conflictField is a Conflict that a form shows beside one field.
func conflictField(field, key string) *Error {
	return &Error{Kind: Conflict, Field: field, Key: key}
}

// HasMainAccount reports whether first-run setup is over.
func (s *Store) HasMainAccount(ctx context.Context) (bool, error) {
	var ids []int64
	if err := s.read(ctx).Table("users").Where("is_main").Limit(1).Pluck("id", &ids).Error; err != nil {
		return false, fmt.Errorf("models: has main account: %w", err)
	}
	return len(ids) > 0, nil
}

// Account returns the actor's own account. NotFound.
func (s *Store) Account(ctx context.Context, who Actor) (*Account, error) {
	var a Account
	if err := s.read(ctx).Where("id = ?", who.AccountID).Take(&a).Error; err != nil {
		return nil, failed("account", found(err, ""))
	}
	return &a, nil
}

// AccountSettings are the parts of an account that its main user sets.
type AccountSettings struct {
	Name        string
	TimeZone    string // IANA name
	Language    string
	ContentDays int
}

// UpdateAccount saves the settings. Invalid (account_name, time_zone, language,
// content_days); Forbidden without PermMain.
func (s *Store) UpdateAccount(ctx context.Context, who Actor, in AccountSettings) (*Account, error) {
	name, err := label(in.Name, "account_name", "errors.account.name_missing", MaxAccountName)
	if err != nil {
		return nil, err
	}
	if _, err := time.LoadLocation(in.TimeZone); err != nil || in.TimeZone == "" || in.TimeZone == "Local" {
		return nil, invalid("time_zone", "errors.account.time_zone", nil)
	}
	if !slices.Contains(Languages(), in.Language) {
		return nil, invalid("language", "errors.account.language", nil)
	}
	if in.ContentDays < 0 || in.ContentDays > MaxContentDays {
		return nil, invalid("content_days", "errors.account.content_days", map[string]any{"Max": MaxContentDays})
	}
	var a Account
	err = s.change(ctx, who, PermMain, "update account", func(t *Tx) error {
		if err := t.locked().Where("id = ?", who.AccountID).Take(&a).Error; err != nil {
			return found(err, "")
		}
		before := a.facts()
		a.Name, a.TimeZone, a.Language, a.ContentDays = name, in.TimeZone, in.Language, in.ContentDays
		if err := t.Select("name", "time_zone", "language", "content_days").Updates(&a).Error; err != nil {
			return err
		}
		return t.audit(who, entry{action: ActionUpdate, kind: AuditAccount, id: a.ID, name: a.Name, before: before, after: a.facts()})
	})
	if err != nil {
		return nil, err
	}
	s.control.configs.clear()
	s.forgetIngest()
	return &a, nil
}
