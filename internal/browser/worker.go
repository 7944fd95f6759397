package browser

import (
	"context"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/serviceworker"
	"github.com/chromedp/chromedp"
)

// AllowNotifications answers yes to the question whether a site may show notifications.
func (b *Browser) AllowNotifications(origin string) {
	b.t.Helper()
	b.Do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, browser.SetPermission, browser.SetPermissionParams{
			Permission: &browser.PermissionDescriptor{Name: "notifications"}, Setting: browser.PermissionSettingGranted, Origin: origin,
		})
		return err
	}))
}

// DeliverPush gives the service worker of the page's site a push message, as the
// browser's push service would.
func (b *Browser) DeliverPush(origin, data string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	updates := chromedp.Events(ctx, serviceworker.WorkerRegistrationUpdated)
	b.Do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, serviceworker.Enable, cdp.Empty{})
		return err
	}))
	for update, err := range updates {
		if err != nil {
			b.t.Fatalf("browser: no service worker: %v", err)
		}
		for _, r := range update.Registrations {
			if r.IsDeleted || r.ScopeURL != origin+"/" {
				continue
			}
			b.Do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
				_, err := cdp.Call(ctx, t, serviceworker.DeliverPushMessage, serviceworker.DeliverPushMessageParams{
					Origin: origin, RegistrationID: r.RegistrationID, Data: data,
				})
				return err
			}))
			return
		}
	}
	b.t.Fatalf("browser: no service worker of %s", origin)
}

// Worker returns the service worker that runs, to evaluate expressions in. It is kept
// alive until the test ends.
func (b *Browser) Worker() *Browser {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	targets, err := chromedp.Targets(ctx)
	if err != nil {
		b.t.Fatalf("browser: targets: %v", err)
	}
	for _, t := range targets {
		if t.Type != "service_worker" {
			continue
		}
		worker, done := chromedp.NewContext(b.ctx, chromedp.WithTargetID(t.TargetID))
		b.t.Cleanup(done)
		// The first run attaches for as long as its context lives.
		if err := chromedp.Do(worker); err != nil {
			b.t.Fatalf("browser: service worker: %v", err)
		}
		return &Browser{t: b.t, ctx: worker}
	}
	b.t.Fatal("browser: no service worker runs")
	return nil
}
