package models

import "slices"

// Permission is a right that a console route asks for. The words are stable: they
// stand in the site map and in the catalogs.
type Permission string

// The permissions of the console.
const (
	PermView      Permission = "view"      // see products, apps, plans, records
	PermPush      Permission = "push"      // plans and pushes
	PermConfigure Permission = "configure" // products, apps, credentials
	PermIM        Permission = "im"        // IM apps and authorizations
	PermContent   Permission = "content"   // titles and bodies of messages
	PermAudit     Permission = "audit"     // 操作日志, within the user's products
	PermUsers     Permission = "users"     // sub-accounts
	PermMain      Permission = "main"      // the account itself, SecretKey, 开通完整推送
)

// Permissions lists every permission.
func Permissions() []Permission {
	return []Permission{PermView, PermPush, PermConfigure, PermIM, PermContent, PermAudit, PermUsers, PermMain}
}

// Roles of a sub-account.
const (
	RoleFull = "full" // 全读写
	RoleOps  = "ops"  // 运营: push, no configuration
	RoleRead = "read" // 只读
)

// Roles lists the roles of sub-accounts, the strongest first.
func Roles() []string { return []string{RoleFull, RoleOps, RoleRead} }

// Rights is what a login may do, and with which products.
type Rights struct {
	IsMain      bool
	Role        string
	AllProducts bool
	CanIM       bool    `gorm:"column:can_im"`
	CanContent  bool    // may see titles and bodies
	Products    []int64 `gorm:"-"` // the chosen ones, unless AllProducts
}

// May reports whether r includes p. The main user may everything. Rights over IM
// and content are granted apart from the role.
func (r Rights) May(p Permission) bool {
	if r.IsMain {
		return slices.Contains(Permissions(), p)
	}
	switch p {
	case PermView, PermAudit:
		return slices.Contains(Roles(), r.Role)
	case PermPush:
		return r.Role == RoleFull || r.Role == RoleOps
	case PermConfigure:
		return r.Role == RoleFull
	case PermIM:
		return r.CanIM
	case PermContent:
		return r.CanContent
	case PermUsers, PermMain:
		return false
	}
	return false
}

// MayProduct reports whether the product is within r's scope.
func (r Rights) MayProduct(productID int64) bool {
	return r.IsMain || r.AllProducts || slices.Contains(r.Products, productID)
}

// Granted lists the permissions that r includes.
func (r Rights) Granted() []Permission {
	var out []Permission
	for _, p := range Permissions() {
		if r.May(p) {
			out = append(out, p)
		}
	}
	return out
}

// Actor is who reads or changes the control plane, and for which account: every
// function that touches an account's rows takes one, finds only rows of its
// account and products, and writes its name into the audit log. The zero Actor
// finds nothing and may nothing.
type Actor struct {
	AccountID int64
	UserID    int64 // 0 for the program itself
	Name      string
	IP        string
	Rights
}

// Actor returns the user as one who acts from an address.
func (u *User) Actor(ip string) Actor {
	return Actor{AccountID: u.AccountID, UserID: u.ID, Name: u.Name, IP: ip, Rights: u.Rights}
}

// SystemActor acts for the program: the command line and the worker. It may
// everything within the account.
func SystemActor(accountID int64) Actor {
	return Actor{AccountID: accountID, Name: systemName, Rights: Rights{IsMain: true}}
}

// systemName stands in the audit log for what no person did.
const systemName = "system"

// need fails with Forbidden, naming who can grant it, when a may not do p.
func (a Actor) need(p Permission) error {
	if a.May(p) {
		return nil
	}
	return &Error{Kind: Forbidden, Key: "errors.forbidden." + string(p)}
}

// needProduct fails with NotFound when the product is outside a's scope: what a
// user may not see does not exist for him.
func (a Actor) needProduct(productID int64) error {
	if a.MayProduct(productID) {
		return nil
	}
	return notFound("")
}
