package models

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"
)

// SendRecord is one message with how it fared on each device (发送记录).
type SendRecord struct {
	Message
	// Deliveries is empty while the message waits for its first turn.
	Deliveries []Delivery `gorm:"-"`
}

// RecordFilter chooses send records. Zero fields choose everything.
type RecordFilter struct {
	PlanID   int64
	From, To time.Time // accepted in [From, To)
	Account  string
	SourceID string
	// State is a delivery state; records with at least one such delivery.
	State string
	// CredentialID: records with a delivery through this credential, of that state if
	// one is given.
	CredentialID int64
	// Before and After are message ids to page from: older than Before, or newer
	// than After. At most one is set.
	Before, After string
	// Limit is the page's size, 1 to MaxPage; 0 for MaxPage.
	Limit int
}

// MaxPage is the most rows one page of a list has.
const MaxPage = 100

// RecordPage is one page of send records, newest first. Newer and Older are the
// ids to pass as After and Before for the neighbouring pages, "" when there is
// none.
type RecordPage struct {
	Records      []SendRecord
	Newer, Older string
}

// SendRecords lists messages of the app by key, so that any page costs the same.
func (s *Store) SendRecords(ctx context.Context, app AppScope, f RecordFilter) (*RecordPage, error) {
	if f.Limit <= 0 || f.Limit > MaxPage {
		f.Limit = MaxPage
	}
	if err := f.clean(); err != nil {
		return nil, err
	}
	g := app.db.read(ctx)
	ids, err := f.find(g, app.appID)
	if err != nil {
		return nil, fmt.Errorf("models: send records: %w", err)
	}
	page := &RecordPage{}
	more := len(ids) > f.Limit // one more was asked for, to know whether there is
	ids = ids[:min(len(ids), f.Limit)]
	if f.After != "" {
		slices.Reverse(ids)
	}
	if len(ids) == 0 {
		return page, nil
	}
	if more || f.After != "" {
		page.Older = ids[len(ids)-1]
	}
	if f.Before != "" || f.After != "" && more {
		page.Newer = ids[0]
	}
	page.Records, err = loadRecords(g, app.appID, ids)
	return page, err
}

func (f *RecordFilter) clean() error {
	for field, id := range map[string]*string{"before": &f.Before, "after": &f.After} {
		if *id == "" {
			continue
		}
		u, err := uuid.Parse(*id)
		if err != nil {
			return invalid(field, "malformed", nil)
		}
		*id = u.String()
	}
	if f.Before != "" && f.After != "" {
		return invalid("before", "malformed", nil)
	}
	f.Account, f.SourceID = storable(f.Account), storable(f.SourceID)
	return nil
}

// find returns a page of message ids, from the index that the filter suits, and
// one more when there is a further page.
func (f *RecordFilter) find(g *gorm.DB, appID int64) (ids []string, err error) {
	column, q := "id", g.Table("messages").Where("app_id = ?", appID)
	if f.State != "" && f.Account == "" && f.SourceID == "" && f.State != StateAccepted {
		// Rare states are found from their own index, not by looking through every
		// message.
		column, q = "message_id", g.Table("deliveries").Where("app_id = ? AND state = ? AND state <> 'accepted'", appID, f.State)
		if f.CredentialID != 0 {
			q = q.Where("credential_id = ?", f.CredentialID)
		}
	} else if f.State != "" || f.CredentialID != 0 {
		q = q.Where("EXISTS (SELECT 1 FROM deliveries d WHERE d.message_id = messages.id AND (d.state = ? OR ? = '') AND (d.credential_id = ? OR ? = 0))",
			f.State, f.State, f.CredentialID, f.CredentialID)
	}
	if f.PlanID != 0 {
		q = q.Where("plan_id = ?", f.PlanID)
	}
	if f.Account != "" {
		q = q.Where("account = ?", f.Account)
	}
	if f.SourceID != "" {
		q = q.Where("source_id = ?", f.SourceID)
	}
	if !f.From.IsZero() {
		q = q.Where(column+" >= ?", idBound(f.From))
	}
	if !f.To.IsZero() {
		q = q.Where(column+" < ?", idBound(f.To))
	}
	order := " DESC"
	switch {
	case f.Before != "":
		q = q.Where(column+" < ?", f.Before)
	case f.After != "":
		q, order = q.Where(column+" > ?", f.After), ""
	}
	err = q.Distinct(column).Order(column+order).Limit(f.Limit+1).Pluck(column, &ids).Error
	return ids, err
}

// loadRecords loads messages in the order of ids with their deliveries.
func loadRecords(g *gorm.DB, appID int64, ids []string) ([]SendRecord, error) {
	var ms []Message
	if err := g.Find(&ms, "app_id = ? AND id IN ?", appID, ids).Error; err != nil {
		return nil, fmt.Errorf("models: messages: %w", err)
	}
	var ds []Delivery
	if err := g.Order("resolved_at, device_id").Find(&ds, "message_id IN ? AND app_id = ?", ids, appID).Error; err != nil {
		return nil, fmt.Errorf("models: deliveries: %w", err)
	}
	out := make([]SendRecord, 0, len(ms))
	at := make(map[string]int, len(ms))
	slices.SortFunc(ms, func(a, b Message) int { return slices.Index(ids, a.ID) - slices.Index(ids, b.ID) })
	for i, m := range ms {
		at[m.ID] = i
		out = append(out, SendRecord{Message: m})
	}
	for _, d := range ds {
		if i, ok := at[d.MessageID]; ok {
			out[i].Deliveries = append(out[i].Deliveries, d)
		}
	}
	return out, nil
}

// MessageDetail is everything kept about one message: its timeline.
type MessageDetail struct {
	SendRecord
	Attempts []Attempt // by device and number
	// HasContent says that title and body are kept; MessageContent reads them.
	HasContent bool
}

// MessageByID returns one message of the app with its deliveries and attempts.
// NotFound otherwise.
func (s *Store) MessageByID(ctx context.Context, app AppScope, id string) (*MessageDetail, error) {
	u, err := uuid.Parse(id)
	if err != nil {
		return nil, notFound("message")
	}
	id = u.String()
	g := app.db.read(ctx)
	records, err := loadRecords(g, app.appID, []string{id})
	if err != nil {
		return nil, err
	}
	if len(records) == 0 {
		return nil, notFound("message")
	}
	d := &MessageDetail{SendRecord: records[0]}
	if err := g.Order("device_id, n").Find(&d.Attempts, "message_id = ? AND app_id = ?", id, app.appID).Error; err != nil {
		return nil, fmt.Errorf("models: attempts: %w", err)
	}
	err = g.Raw("SELECT COUNT(*) > 0 FROM message_contents WHERE message_id = ? AND expires_at > ?", id, s.Now()).Scan(&d.HasContent).Error
	if err != nil {
		return nil, fmt.Errorf("models: content: %w", err)
	}
	return d, nil
}

// MessageContent returns what a message said, for accounts with 内容保留. The
// caller has checked the right to see it and writes the audit row. NotFound when
// it is not kept or its days are over.
func (s *Store) MessageContent(ctx context.Context, app AppScope, id string) (*Content, error) {
	u, err := uuid.Parse(id)
	if err != nil {
		return nil, notFound("content")
	}
	var row struct{ Content []byte }
	err = app.db.read(ctx).Raw("SELECT content FROM message_contents WHERE message_id = ? AND app_id = ? AND expires_at > ?",
		u.String(), app.appID, s.Now()).Take(&row).Error
	if errors.Is(err, gorm.ErrRecordNotFound) {
		return nil, notFound("content")
	}
	if err != nil {
		return nil, fmt.Errorf("models: content: %w", err)
	}
	return app.db.openContent(u.String(), row.Content)
}

// DeviceRecords returns the latest messages that went to a device, newest first,
// each with its delivery on that device only.
func (s *Store) DeviceRecords(ctx context.Context, app AppScope, deviceID int64, limit int) ([]SendRecord, error) {
	g := app.db.read(ctx)
	var ds []Delivery
	err := g.Order("message_id DESC").Limit(min(max(limit, 1), MaxPage)).
		Find(&ds, "device_id = ? AND app_id = ?", deviceID, app.appID).Error
	if err != nil {
		return nil, fmt.Errorf("models: device records: %w", err)
	}
	ids := make([]string, 0, len(ds))
	for _, d := range ds {
		ids = append(ids, d.MessageID)
	}
	if len(ids) == 0 {
		return nil, nil
	}
	records, err := loadRecords(g, app.appID, ids)
	for i := range records {
		records[i].Deliveries = slices.DeleteFunc(records[i].Deliveries, func(d Delivery) bool { return d.DeviceID != deviceID })
	}
	return records, err
}
