package models

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"gorm.io/gorm"
)

// User is a login: the main user of an account, or a 子账号.
type User struct {
	ID           int64 `gorm:"primaryKey"`
	AccountID    int64
	Name         string
	PasswordHash string `json:"-"`
	Rights
	Language          string     // the user's choice for the console, or ""
	IMNoticeSeenAt    *time.Time `gorm:"column:im_notice_seen_at"` // 知道了
	LastSeenAt        *time.Time // to the minute
	DisabledAt        *time.Time
	PasswordChangedAt time.Time
	CreatedAt         time.Time
	UpdatedAt         time.Time
}

// MaxUserName is the longest login name, in characters.
const MaxUserName = 64

// userProduct is a product that a sub-account may see.
type userProduct struct {
	UserID    int64 `gorm:"primaryKey;autoIncrement:false"`
	ProductID int64 `gorm:"primaryKey;autoIncrement:false"`
}

// TableName is GORM's hook.
func (userProduct) TableName() string { return "user_products" }

func (u *User) facts() facts {
	products := slices.Sorted(slices.Values(u.Products))
	return facts{
		"name": u.Name, "role": u.Role, "all_products": u.AllProducts, "products": products,
		"can_im": u.CanIM, "can_content": u.CanContent, "disabled": u.DisabledAt != nil,
	}
}

func userName(name string) (string, error) {
	return label(name, "name", "errors.user.name_missing", MaxUserName)
}

// UserInput is a sub-account as a form gives it.
type UserInput struct {
	Name        string
	Password    string // of a new one only
	Role        string
	AllProducts bool
	Products    []int64
	CanIM       bool
	CanContent  bool
}

// Check finds everything that is wrong with the form of a new sub-account.
func (in UserInput) Check() error {
	in, err := in.check()
	return errors.Join(err, checkPassword(in.Password, in.Name, "password"))
}

func (in UserInput) check() (UserInput, error) {
	name, err := userName(in.Name)
	err = errors.Join(err, unless(slices.Contains(Roles(), in.Role), invalid("role", "errors.user.role", nil)))
	in.Name = name
	in.Products = slices.Compact(slices.Sorted(slices.Values(in.Products)))
	if in.AllProducts {
		in.Products = nil
	}
	return in, err
}

// CreateUser creates a sub-account. Invalid (name, password, role, products);
// Conflict when the account has a user of the name; Forbidden without PermUsers.
func (s *Store) CreateUser(ctx context.Context, who Actor, in UserInput) (*User, error) {
	if err := who.need(PermUsers); err != nil {
		return nil, err
	}
	if err := in.Check(); err != nil {
		return nil, err
	}
	in, err := in.check()
	if err != nil {
		return nil, err
	}
	hash, err := s.hashPassword(ctx, in.Password)
	if err != nil {
		return nil, err
	}
	u := &User{AccountID: who.AccountID, PasswordHash: hash}
	err = s.change(ctx, who, PermUsers, "create user", func(t *Tx) error {
		now := t.now()
		u.PasswordChangedAt, u.CreatedAt, u.UpdatedAt = now, now, now
		in.apply(u)
		if err := t.Create(u).Error; err != nil {
			if duplicate(err) {
				return conflictField("name", "errors.user.name_taken")
			}
			if errors.Is(err, gorm.ErrForeignKeyViolated) { // only the command line takes an account's id
				return invalid("account", "errors.user.account", nil)
			}
			return err
		}
		if err := t.setProducts(who, u); err != nil {
			return err
		}
		return t.audit(who, entry{action: ActionCreate, kind: AuditUser, id: u.ID, name: u.Name, after: u.facts()})
	})
	if err != nil {
		return nil, err
	}
	return u, nil
}

func (in UserInput) apply(u *User) {
	u.Name = in.Name
	u.Rights = Rights{Role: in.Role, AllProducts: in.AllProducts, Products: in.Products, CanIM: in.CanIM, CanContent: in.CanContent}
}

// setProducts replaces a user's chosen products, all of which must be the account's.
func (t *Tx) setProducts(who Actor, u *User) error {
	if err := t.Where("user_id = ?", u.ID).Delete(&userProduct{}).Error; err != nil {
		return err
	}
	if len(u.Products) == 0 {
		return nil
	}
	var n int64
	err := t.Model(&Product{}).Where("account_id = ? AND deleted_at IS NULL AND id IN ?", who.AccountID, u.Products).Count(&n).Error
	if err != nil {
		return err
	}
	if int(n) != len(u.Products) {
		return invalid("products", "errors.user.products", nil)
	}
	rows := make([]userProduct, len(u.Products))
	for i, id := range u.Products {
		rows[i] = userProduct{UserID: u.ID, ProductID: id}
	}
	return t.Create(&rows).Error
}

// subUser reads one of the account's sub-accounts and keeps it unchanged.
func (t *Tx) subUser(who Actor, id int64) (*User, error) {
	var u User
	err := t.locked().Where("account_id = ? AND id = ? AND NOT is_main", who.AccountID, id).Take(&u).Error
	if err != nil {
		return nil, found(err, "")
	}
	return &u, t.Model(&userProduct{}).Where("user_id = ?", id).Order("product_id").Pluck("product_id", &u.Products).Error
}

// UpdateUser saves a sub-account's name and rights; its password stays. Invalid
// (name, role, products); Conflict when the name is taken; NotFound; Forbidden
// without PermUsers.
func (s *Store) UpdateUser(ctx context.Context, who Actor, id int64, in UserInput) (*User, error) {
	in, err := in.check()
	if err != nil {
		return nil, err
	}
	var u *User
	err = s.change(ctx, who, PermUsers, "update user", func(t *Tx) error {
		if u, err = t.subUser(who, id); err != nil {
			return err
		}
		before := u.facts()
		in.apply(u)
		u.UpdatedAt = t.now()
		err := t.Select("name", "role", "all_products", "can_im", "can_content", "updated_at").Updates(u).Error
		if duplicate(err) {
			return conflictField("name", "errors.user.name_taken")
		}
		if err != nil {
			return err
		}
		if err := t.setProducts(who, u); err != nil {
			return err
		}
		return t.audit(who, entry{action: ActionUpdate, kind: AuditUser, id: u.ID, name: u.Name, before: before, after: u.facts()})
	})
	if err != nil {
		return nil, err
	}
	return u, nil
}

// SetUserDisabled forbids or allows a sub-account to sign in; forbidding ends its
// sessions. NotFound; Forbidden without PermUsers.
func (s *Store) SetUserDisabled(ctx context.Context, who Actor, id int64, disabled bool) error {
	return s.change(ctx, who, PermUsers, "disable user", func(t *Tx) error {
		u, err := t.subUser(who, id)
		if err != nil {
			return err
		}
		if (u.DisabledAt != nil) == disabled {
			return nil
		}
		before, action := u.facts(), ActionEnable
		now := t.now()
		u.DisabledAt, u.UpdatedAt = nil, now
		if disabled {
			u.DisabledAt, action = &now, ActionDisable
			if err := t.endSessions(id, 0); err != nil {
				return err
			}
		}
		if err := t.Select("disabled_at", "updated_at").Updates(u).Error; err != nil {
			return err
		}
		return t.audit(who, entry{action: action, kind: AuditUser, id: id, name: u.Name, before: before, after: u.facts()})
	})
}

// DeleteUser deletes a sub-account and its sessions; typed must be its name. The
// audit log keeps its name. Invalid (name); NotFound; Forbidden without PermUsers.
func (s *Store) DeleteUser(ctx context.Context, who Actor, id int64, typed string) error {
	return s.change(ctx, who, PermUsers, "delete user", func(t *Tx) error {
		u, err := t.subUser(who, id)
		if err != nil {
			return err
		}
		if err := confirmName(typed, u.Name); err != nil {
			return err
		}
		if err := t.endSessions(id, 0); err != nil {
			return err
		}
		if err := t.Delete(&User{}, id).Error; err != nil {
			return err
		}
		return t.audit(who, entry{action: ActionDelete, kind: AuditUser, id: id, name: u.Name, before: u.facts()})
	})
}

// ResetPassword gives a sub-account a new password and ends its sessions. The
// program itself may reset the main user's too. Invalid (password); NotFound;
// Forbidden without PermUsers.
func (s *Store) ResetPassword(ctx context.Context, who Actor, id int64, password string) error {
	if err := who.need(PermUsers); err != nil {
		return err
	}
	u, err := s.UserByID(ctx, who, id)
	if err != nil {
		return err
	}
	if u.IsMain && who.UserID != 0 {
		return notFound("") // the main user changes it with the old one
	}
	if err := checkPassword(password, u.Name, "password"); err != nil {
		return err
	}
	return s.setPassword(ctx, who, u, password, 0)
}

// setPassword stores a new password and ends the user's sessions but one.
func (s *Store) setPassword(ctx context.Context, who Actor, u *User, password string, keepSession int64) error {
	hash, err := s.hashPassword(ctx, password)
	if err != nil {
		return err
	}
	err = s.write(ctx, func(t *Tx) error {
		now := t.now()
		// The old hash guards against a change made meanwhile.
		res := t.Model(&User{}).Where("id = ? AND account_id = ? AND password_hash = ?", u.ID, who.AccountID, u.PasswordHash).
			Updates(map[string]any{"password_hash": hash, "password_changed_at": now, "updated_at": now})
		if err := updated(res); err != nil {
			return err
		}
		if err := t.endSessions(u.ID, keepSession); err != nil {
			return err
		}
		return t.audit(who, entry{action: ActionPassword, kind: AuditUser, id: u.ID, name: u.Name})
	})
	return failed("set password", err)
}

// ChangePassword gives the actor himself a new password and ends his other
// sessions. Unauthorized (password) when the current one is wrong; TooMany;
// Invalid (new_password).
func (s *Store) ChangePassword(ctx context.Context, who Actor, current, password string, session int64) error {
	u, err := s.VerifyPassword(ctx, who, current)
	if err != nil {
		return err
	}
	if err := checkPassword(password, u.Name, "new_password"); err != nil {
		return err
	}
	if password == current {
		return invalid("new_password", "errors.password.same", nil)
	}
	return s.setPassword(ctx, who, u, password, session)
}

// Users returns the account's sub-accounts by name. Forbidden without PermUsers.
func (s *Store) Users(ctx context.Context, who Actor) ([]User, error) {
	if err := who.need(PermUsers); err != nil {
		return nil, err
	}
	var users []User
	err := s.read(ctx).Where("account_id = ? AND NOT is_main", who.AccountID).Order("name, id").Find(&users).Error
	if err != nil {
		return nil, fmt.Errorf("models: users: %w", err)
	}
	var rows []userProduct
	err = s.read(ctx).Where("user_id IN (?)", s.read(ctx).Model(&User{}).Select("id").Where("account_id = ?", who.AccountID)).
		Order("product_id").Find(&rows).Error
	if err != nil {
		return nil, fmt.Errorf("models: users: %w", err)
	}
	products := map[int64][]int64{}
	for _, r := range rows {
		products[r.UserID] = append(products[r.UserID], r.ProductID)
	}
	for i := range users {
		users[i].Products = products[users[i].ID]
	}
	return users, nil
}

// UserByID returns a user of the account, with the products he may see. A user may
// read himself; others need PermUsers. NotFound.
func (s *Store) UserByID(ctx context.Context, who Actor, id int64) (*User, error) {
	if id != who.UserID {
		if err := who.need(PermUsers); err != nil {
			return nil, err
		}
	}
	var u User
	if err := s.read(ctx).Where("account_id = ? AND id = ?", who.AccountID, id).Take(&u).Error; err != nil {
		return nil, failed("user", found(err, ""))
	}
	return &u, s.loadProducts(ctx, &u)
}

// loadProducts fills in the products of a sub-account.
func (s *Store) loadProducts(ctx context.Context, u *User) error {
	if u.IsMain || u.AllProducts {
		return nil
	}
	err := s.read(ctx).Model(&userProduct{}).Where("user_id = ?", u.ID).Order("product_id").Pluck("product_id", &u.Products).Error
	return failed("user products", err)
}

// UserByLogin finds a user as sign-in would: a main user by name, or with an
// account id any user of that account. It is for the command line. NotFound.
func (s *Store) UserByLogin(ctx context.Context, accountID int64, name string) (*User, error) {
	q := s.read(ctx).Where("name = ? AND is_main", name)
	if accountID != 0 {
		q = s.read(ctx).Where("name = ? AND account_id = ?", name, accountID)
	}
	var u User
	if err := q.Take(&u).Error; err != nil {
		return nil, failed("user", found(err, "errors.user.unknown"))
	}
	return &u, s.loadProducts(ctx, &u)
}

// SetLanguage remembers the user's own choice of language. It changes nothing for
// anyone else, so it leaves no audit row. Invalid (language).
func (s *Store) SetLanguage(ctx context.Context, who Actor, language string) error {
	if !slices.Contains(Languages(), language) {
		return invalid("language", "errors.account.language", nil)
	}
	return s.setOwn(ctx, who, "language", language)
}

// SeeIMNotice remembers that the user has read the first-visit dialog of
// 云IM应用授权: 知道了. No audit row, as above.
func (s *Store) SeeIMNotice(ctx context.Context, who Actor) error {
	return s.setOwn(ctx, who, "im_notice_seen_at", s.Now())
}

func (s *Store) setOwn(ctx context.Context, who Actor, column string, value any) error {
	return failed("own setting", s.write(ctx, func(t *Tx) error {
		return t.Model(&User{}).Where("id = ? AND account_id = ?", who.UserID, who.AccountID).UpdateColumn(column, value).Error
	}))
}
