package models

import (
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gorm.io/gorm/schema"
)

// tables are the structs that GORM reads whole rows into.
func tables() []any {
	return []any{
		&metaRow{}, &Account{}, &User{}, &userProduct{}, &Session{}, &loginAttempt{}, &setupToken{}, &Product{}, &App{},
		&Credential{}, &IMApp{}, &oldSecret{}, &Authorization{}, &Plan{}, &AuditLog{}, &groupMember{}, &AlertHook{}, &Alert{}, &Arrival{},
		&Device{}, &Route{}, &DeviceAccount{}, &topicRow{}, &Endpoint{}, &Message{}, &Delivery{}, &Attempt{},
	}
}

// The migrated tables and the structs have the same columns, and a column that may
// be NULL is one that the struct can hold.
func TestColumns(t *testing.T) {
	eachDB(t, func(t *testing.T, s *Store) {
		for _, table := range tables() {
			model, err := schema.Parse(table, &sync.Map{}, s.w.NamingStrategy)
			must(t, err)
			want := map[string]bool{}
			for _, f := range model.Fields {
				if f.DBName != "" {
					kind := f.FieldType.Kind().String()
					want[f.DBName] = kind == "ptr" || slices.Contains([]string{"bind_key", "prev_hash", "secret", "receipt_secret", "receipt_hash", "sdk_key"}, f.DBName)
				}
			}
			types, err := s.w.Migrator().ColumnTypes(table)
			must(t, err)
			got := map[string]bool{}
			for _, c := range types {
				nullable, _ := c.Nullable()
				// SQLite reports a primary key as nullable unless it is declared otherwise.
				if key, ok := c.PrimaryKey(); ok && key {
					nullable = false
				}
				got[c.Name()] = nullable
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("%s: struct (-) and table (+), with what may be NULL:\n%s", model.Table, d)
			}
		}
	})
}
