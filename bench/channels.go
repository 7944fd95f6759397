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
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"hongyan/models"
	"hongyan/push"
	"hongyan/push/registry"
	"hongyan/sandbox"
	"hongyan/sandbox/sink"
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
