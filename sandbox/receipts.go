package sandbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"hongyan/push"
)

// Report has the vendor report about one accepted push, as it would on its own.
func (s *Simulator) Report(ctx context.Context, p Delivered, event push.ReceiptEvent) error {
	if s.cfg.Receipts == nil {
		return errors.New("sandbox: receipts are off")
	}
	if p.URL == "" {
		p.URL = s.registered(ctx, p.Account, p.Token)
	}
	req, ok := s.vendor.receipt(s, p, event)
	if !ok || p.URL == "" {
		return nil
	}
	res, err := s.cfg.Receipts.Do(req.WithContext(ctx))
	if err != nil {
		return fmt.Errorf("sandbox: %s: receipt: %w", s.cfg.Channel, err)
	}
	defer res.Body.Close() //nolint:errcheck // only its status counts
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("sandbox: %s: receipt: status %d", s.cfg.Channel, res.StatusCode)
	}
	return nil
}

// registered is the receipt address entered in the vendor's console for the app that a
// token belongs to.
func (s *Simulator) registered(ctx context.Context, a Account, token string) string {
	if s.cfg.ReceiptURL == nil {
		return a.ReceiptURL
	}
	return s.cfg.ReceiptURL(ctx, token)
}

// origin is what subscriptions to Web Push begin with.
func (s *Simulator) origin() string {
	if s.cfg.Origin != "" {
		return s.cfg.Origin
	}
	return s.URL()
}

// deliver reports that an accepted push arrived, when the settings ask for it.
func (s *Simulator) deliver(set Settings, p Delivered) {
	if !set.Receipts || s.cfg.Receipts == nil {
		return
	}
	s.running.Go(func() {
		ctx, cancel := context.WithTimeout(s.ctx, 10*time.Second)
		defer cancel()
		_ = s.Report(ctx, p, push.EventArrived) // a vendor does not repeat a lost one either
	})
}
