package sandbox

import (
	"context"
	"sync"
	"time"
)

// Account is an app at a vendor, as the vendor knows it.
type Account struct {
	// ID is what requests name the app by: app id, project id or client id.
	ID string
	// Fields are what the vendor gave the app, under the channel's own field keys.
	Fields map[string]string
	// Packages limits the app to package names; empty for any.
	Packages []string
	// ReceiptURL is the address entered in the vendor's console, "" for none.
	ReceiptURL string
}

// Accounts finds an app by its id; false when there is none. An error is a fault of
// the lookup, which a simulator answers as an internal error.
type Accounts interface {
	Account(ctx context.Context, id string) (Account, bool, error)
}

// MemoryAccounts is an Accounts in memory, safe for concurrent use.
type MemoryAccounts struct {
	mu sync.RWMutex
	m  map[string]Account
}

// Add registers an app, replacing one of the same id.
func (m *MemoryAccounts) Add(a Account) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.m == nil {
		m.m = map[string]Account{}
	}
	m.m[a.ID] = a
}

// Account implements Accounts.
func (m *MemoryAccounts) Account(_ context.Context, id string) (Account, bool, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	a, ok := m.m[id]
	return a, ok, nil
}

// Delivered is an accepted push that a receipt can be about.
type Delivered struct {
	Account  Account
	Token    string
	VendorID string
	// URL and Param are the receipt address and parameter that the message brought;
	// the address is the account's own where it brought none.
	URL, Param string
	At         time.Time
}
