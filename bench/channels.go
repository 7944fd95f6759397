package main

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"hongyan/models"
	"hongyan/push"
	"hongyan/push/registry"
	"hongyan/sandbox"
	"hongyan/sandbox/sink"
	"hongyan/worker"
)

const (
	// channelUsers is how many end users each channel's app has, each with one phone.
	channelUsers = 500
	// noRate is a rate that nobody reaches: the vendors' published ones would be what
	// is measured.
	noRate = models.MaxRate
	// vendorTimeout is how long a send to a vendor that stands still takes: short, so
	// that a short run sees many end.
	vendorTimeout = 2 * time.Second
	// broken is the channel whose vendor stands still or throttles beside the others.
	broken = push.Huawei
	// throttleEvery is which push it then refuses.
	throttleEvery = 50
)

// vendors are the stand-ins of all vendors but Apple, whose is the lab's.
type vendors map[push.Channel]*sink.Vendor

func newVendors() (vendors, error) {
	v := vendors{}
	for _, spec := range registry.All() {
		if spec.Channel == push.APNs {
			continue
		}
		s, err := sink.StartVendor(spec.Channel)
		if err != nil {
			return v, err
		}
		v[spec.Channel] = s
	}
	return v, nil
}

func (v vendors) close() {
	for _, s := range v {
		s.Close()
	}
}

// channelApp is an app with keys of one channel.
type channelApp struct {
	channel push.Channel
	scope   models.AppScope
	plan    int64
	ingest  models.Ingest
	owner   models.CredentialOwner
	keys    models.CredentialInput
}

// addChannels makes an app for each channel on the site's database.
func (s *site) addChannels(ctx context.Context, v vendors) error {
	s.vendors = v
	for _, spec := range registry.All() {
		a, err := s.addChannel(ctx, spec.Channel)
		if err != nil {
			return fmt.Errorf("%s: %w", spec.Channel, err)
		}
		s.channels, s.sent[spec.Channel] = append(s.channels, a), new(atomic.Int64)
	}
	return nil
}

func (s *site) addChannel(ctx context.Context, c push.Channel) (*channelApp, error) {
	platform := models.PlatformAndroid
	if c == push.APNs {
		platform = models.PlatformIOS
	}
	p, apps, err := s.store.CreateProduct(ctx, s.who, models.ProductInput{Name: "bench " + string(c), Category: "social", Region: "ap-guangzhou", Platforms: []string{platform}})
	if err != nil {
		return nil, err
	}
	app := apps[0].ID
	if _, err := s.store.SetPackage(ctx, s.who, app, bundle); err != nil {
		return nil, err
	}
	if _, err := s.store.SetSandbox(ctx, s.who, app, true); err != nil {
		return nil, err
	}
	im, secret, err := s.store.CreateIMApp(ctx, s.who, models.IMAppInput{Name: "bench " + string(c), Bridge: "generic"}, []string{"generic"})
	if err != nil {
		return nil, err
	}
	z, err := s.store.Authorize(ctx, s.who, im.ID, p.ID, app)
	if err != nil {
		return nil, err
	}
	a := &channelApp{channel: c, plan: z.PlanID, owner: models.AppOwner(app)}
	if a.keys, err = s.channelKeys(c); err != nil {
		return nil, err
	}
	if _, err := s.store.SaveCredentials(ctx, s.who, a.owner, a.keys); err != nil {
		return nil, err
	}
	if a.scope, _, err = s.store.ScopeForApp(ctx, s.who, app); err != nil {
		return nil, err
	}
	if a.ingest, err = s.store.IngestBySecret(ctx, secret.Reveal()); err != nil {
		return nil, err
	}
	return a, s.channelPhones(ctx, a, platform)
}

// channelKeys are keys of a channel's form, made up: the stand-ins check nothing.
func (s *site) channelKeys(c push.Channel) (models.CredentialInput, error) {
	in := models.CredentialInput{Channel: string(c), Environment: models.EnvironmentSandbox, Kind: string(c), Rate: noRate}
	id, secret := "100000001", strings.Repeat("5a", 16)
	switch c {
	case push.APNs:
		in.Kind, in.Fields = "p8", s.lab.fields()
	case push.WebPush:
		key, err := ecdh.P256().GenerateKey(rand.Reader)
		if err != nil {
			return in, err
		}
		e := base64.RawURLEncoding
		in.Fields = map[string]string{
			"public_key": e.EncodeToString(key.PublicKey().Bytes()), "private_key": e.EncodeToString(key.Bytes()), "subject": "mailto:bench@hongyan.example",
		}
	case push.FCM, push.Harmony:
		file := map[string]string{
			"type": "service_account", "project_id": "bench-1", "private_key_id": secret, "client_email": "bench@bench-1.iam.gserviceaccount.com",
			"token_uri": "https://oauth2.googleapis.com/token",
		}
		if c == push.Harmony {
			file = map[string]string{"project_id": id, "key_id": secret, "sub_account": id}
		}
		key, err := rsa.GenerateKey(rand.Reader, 3072)
		if err != nil {
			return in, err
		}
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return in, err
		}
		file["private_key"] = string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
		text, err := json.Marshal(file)
		if err != nil {
			return in, err
		}
		in.Fields = map[string]string{"service_account": string(text)}
	case push.Honor:
		in.Fields = map[string]string{"app_id": id, "client_id": id, "client_secret": secret}
	case push.OPPO:
		in.Fields = map[string]string{"app_key": secret, "master_secret": secret}
	default:
		in.Fields = map[string]string{"app_id": id, "app_key": secret, "app_secret": secret}
	}
	switch c {
	case push.Huawei:
		delete(in.Fields, "app_key")
	case push.Xiaomi:
		in.Fields["app_key"] = id
	}
	return in, nil
}

// phone is a token of a channel's form.
func (s *site) phone(a *channelApp, i int) (string, error) {
	text := fmt.Sprintf("%064x", i+1)
	switch a.channel {
	case push.WebPush:
		return sandbox.WebPushSubscription(s.vendors[a.channel].URL(), a.keys.Fields["public_key"], text)
	case push.Vivo:
		return text[64-23:], nil
	case push.Meizu:
		return text[32:], nil
	case push.OPPO:
		return "CN_" + text[32:], nil
	}
	return text, nil
}

func (s *site) channelPhones(ctx context.Context, a *channelApp, platform string) error {
	environment := models.EnvironmentSandbox
	if a.channel == push.APNs {
		environment = string(push.Production)
	}
	return each(channelUsers, func(i int) error {
		token, err := s.phone(a, i)
		if err != nil {
			return err
		}
		r, err := s.store.Register(ctx, a.scope, models.Registration{
			Platform: platform, Notify: models.NotifyOn,
			Routes: []models.RouteInput{{Channel: string(a.channel), Environment: environment, PackageName: bundle, Token: token}},
		})
		if err != nil {
			return err
		}
		dev, err := s.store.AuthDevice(ctx, a.scope, r.Device.Token, r.Secret)
		if err != nil {
			return err
		}
		return s.store.Bind(ctx, dev, []models.Binding{{Account: user(i)}})
	})
}

// stand says where a channel's stand-in is.
func (s *site) stand(c push.Channel) (push.Options, bool) {
	if c == push.APNs {
		return s.lab.options(), true
	}
	v := s.vendors[c]
	return push.Options{Endpoint: v.URL(), RootCAs: v.RootCAs(), Timeout: vendorTimeout}, true
}

// channelsWorking runs f with a worker for all channels, and stops it.
func (s *site) channelsWorking(ctx context.Context, f func() (sample, error)) (out sample, err error) {
	w := worker.New(worker.Options{Store: s.store, Registry: registry.New().Lookup, Sandbox: s.stand, Log: slog.New(slog.DiscardHandler)})
	if err := w.Start(ctx); err != nil {
		return sample{}, err
	}
	s.store.StartAccepting(w)
	d := s.store.Databases()[0]
	for !w.Reserve(d, 0) && err == nil {
		w.Left(d)
		err = tick(ctx)
	}
	w.Forget(d, 0)
	if err == nil {
		out, err = f()
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
	defer cancel()
	for _, e := range []error{s.store.StopAccepting(stop), w.Stop(stop)} {
		if err == nil {
			err = e
		}
	}
	return out, err
}

// through accepts single messages of one channel and waits until all are recorded.
func (s *site) through(ctx context.Context, c push.Channel, delay, span time.Duration) (sample, error) {
	return s.channelsWorking(ctx, func() (sample, error) {
		s.delay(delay)
		defer s.delay(0)
		var one []*channelApp
		for _, a := range s.channels {
			if a.channel == c {
				one = append(one, a)
			}
		}
		if _, err := s.spread(ctx, one, one, span/2); err != nil { // warm, with its connections
			return sample{}, err
		}
		return s.spread(ctx, one, one, span)
	})
}

func (s *site) delay(d time.Duration) {
	s.lab.sink.SetDelay(d)
	for _, v := range s.vendors {
		v.SetDelay(d)
	}
}

// beside measures the messages of the healthy channels while those of all are accepted
// and one may be broken. The broken one's are waited
// for afterwards.
func (s *site) beside(ctx context.Context, span time.Duration, breakIt func(v *sink.Vendor, on bool)) (sample, error) {
	return s.channelsWorking(ctx, func() (sample, error) {
		var healthy []*channelApp
		var sick *channelApp
		for _, a := range s.channels {
			if a.channel == broken {
				sick = a
			} else {
				healthy = append(healthy, a)
			}
		}
		if _, err := s.spread(ctx, s.channels, s.channels, 200*time.Millisecond); err != nil { // warm
			return sample{}, err
		}
		breakIt(s.vendors[broken], true)
		out, err := s.steady(ctx, healthy, span)
		breakIt(s.vendors[broken], false)
		if err != nil {
			return sample{}, err
		}
		// A new revision is not held up by what was found out about the old one.
		if _, err := s.store.SaveCredentials(ctx, s.who, sick.owner, sick.keys); err != nil {
			return sample{}, err
		}
		return out, s.caughtUp(ctx, sick, s.sent[sick.channel].Load())
	})
}

// settle is how long the load of steady runs before it counts: a worker takes a moment
// to see that a vendor stands still.
const settle = 3 * vendorTimeout

// steady accepts messages of all channels in turn, and measures how many of counted are
// recorded a second once that has run for a while.
func (s *site) steady(ctx context.Context, counted []*channelApp, span time.Duration) (sample, error) {
	var next atomic.Int64
	done := make(chan error, 1)
	go func() {
		_, _, err := load(256, settle+span, func(_, _ int) error {
			n := next.Add(1) - 1
			return s.acceptFor(ctx, s.channels[int(n)%len(s.channels)])
		})
		done <- err
	}()
	t := time.NewTimer(settle)
	defer t.Stop()
	<-t.C
	m := startMeter()
	before, err := s.acceptedOf(ctx, counted)
	if err != nil {
		return sample{}, errors.Join(err, <-done)
	}
	if err := <-done; err != nil {
		return sample{}, err
	}
	after, err := s.acceptedOf(ctx, counted)
	if err != nil {
		return sample{}, err
	}
	out := m.read(after - before)
	for _, a := range counted {
		if err := s.caughtUp(ctx, a, s.sent[a.channel].Load()); err != nil {
			return sample{}, err
		}
	}
	return out, nil
}

// acceptedOf is how many messages of the apps are recorded as accepted.
func (s *site) acceptedOf(ctx context.Context, apps []*channelApp) (n int64, err error) {
	for _, a := range apps {
		now := time.Now()
		st, err := s.store.PlanStats(ctx, a.scope, models.StatsFilter{PlanID: a.plan, From: now.AddDate(0, 0, -1), To: now, Zone: time.UTC, Sandbox: true})
		if err != nil {
			return 0, err
		}
		n += st.Total.Accepted
	}
	return n, nil
}

// spread accepts messages of apps in turn for span and waits until those of counted
// are recorded; only theirs make the rate.
func (s *site) spread(ctx context.Context, apps, counted []*channelApp, span time.Duration) (sample, error) {
	var next atomic.Int64
	before := int64(0)
	for _, a := range counted {
		before += s.sent[a.channel].Load()
	}
	m := startMeter()
	_, took, err := load(256, span, func(_, _ int) error {
		n := next.Add(1) - 1
		return s.acceptFor(ctx, apps[int(n)%len(apps)])
	})
	if err != nil {
		return sample{}, err
	}
	after := int64(0)
	for _, a := range counted {
		n := s.sent[a.channel].Load()
		after += n
		if err := s.caughtUp(ctx, a, n); err != nil {
			return sample{}, err
		}
	}
	out := m.read(after - before)
	out.p50, out.p99 = quantile(took, 0.5), quantile(took, 0.99)
	return out, nil
}

func (s *site) acceptFor(ctx context.Context, a *channelApp) error {
	n := s.serial.Add(1)
	_, err := s.store.Accept(ctx, a.ingest, []models.Incoming{{
		SourceID: fmt.Sprint(n), Account: user(int(n % channelUsers)), Sender: "alice", Conversation: fmt.Sprint("c-", n%100),
		Content: models.Content{Title: "Alice", Body: "Are you coming to the meeting at three?", Sound: "default"},
	}})
	if err == nil {
		s.sent[a.channel].Add(1)
	}
	return err
}

// caughtUp waits until as many messages of an app are recorded as accepted by its
// vendor.
func (s *site) caughtUp(ctx context.Context, a *channelApp, want int64) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for {
		now := time.Now()
		st, err := s.store.PlanStats(ctx, a.scope, models.StatsFilter{PlanID: a.plan, From: now.AddDate(0, 0, -1), To: now, Zone: time.UTC, Sandbox: true})
		if err != nil {
			return err
		}
		if n := st.Total.Failed + st.Total.Expired + st.Total.Skipped; n > 0 {
			return fmt.Errorf("%s: %d messages were not sent", a.channel, n)
		}
		if st.Total.Accepted >= want {
			return nil
		}
		if err := tick(ctx); err != nil {
			return fmt.Errorf("%s: %d of %d recorded: %w", a.channel, st.Total.Accepted, want, err)
		}
	}
}

// each calls f for 0 to n-1, several at a time.
func each(n int, f func(i int) error) error {
	var next atomic.Int64
	var failed atomic.Pointer[error]
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(n) && failed.Load() == nil; i = next.Add(1) - 1 {
				if err := f(int(i)); err != nil {
					failed.Store(&err)
				}
			}
		})
	}
	wg.Wait()
	if err := failed.Load(); err != nil {
		return *err
	}
	return nil
}
