package handlers

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"hongyan/models"
	"hongyan/push"
	"hongyan/push/registry"
	"hongyan/push/webpush"
	"hongyan/sandbox"
)

// vendorPhone is a phone of one make, and what its vendor takes from us.
type vendorPhone struct {
	spec   push.Spec
	sender push.Sender
	target push.Target
	inbox  *sandbox.Memory
}

// vendorPhones are phones of all makes.
func vendorPhones(t *testing.T) []vendorPhone {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	private := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	var out []vendorPhone
	for _, spec := range registry.All() {
		p := vendorPhone{spec: spec, inbox: sandbox.NewMemory(1 << 10)}
		sum := sha256.Sum256([]byte("phone " + spec.Channel))
		p.target = push.Target{Token: hex.EncodeToString(sum[:]), Topic: "com.example.im", ID: "0199a0b0-0000-8000-8000-000000000001"}
		fields, options := p.simulate(t, private)
		options.Topic, options.Environment = "com.example.im", push.Production
		if p.sender, err = spec.Open(context.Background(), fields, options); err != nil {
			t.Fatal(spec.Channel, err)
		}
		t.Cleanup(p.sender.Close)
		out = append(out, p)
	}
	return out
}

// simulate starts the phone's vendor and returns a credential for it. private is an RSA
// key for who wants one.
func (p *vendorPhone) simulate(t *testing.T, private string) (fields map[string]string, o push.Options) {
	t.Helper()
	if p.spec.Channel == push.APNs {
		file, key, err := sandbox.NewKey()
		if err != nil {
			t.Fatal(err)
		}
		keys := &sandbox.MemoryKeys{}
		keys.Add(key)
		sim, err := sandbox.StartAPNs(sandbox.APNsConfig{Keys: keys, Recorder: p.inbox})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = sim.Close() }) // the sender is gone
		return map[string]string{"kind": "p8", "p8": string(file.PEM), "key_id": file.KeyID, "team_id": file.TeamID, "environments": "both"},
			push.Options{Endpoint: sim.URL(), RootCAs: sim.CA().PEM()}
	}
	account := p.account(t, private)
	accounts := &sandbox.MemoryAccounts{}
	accounts.Add(account)
	sim, err := sandbox.Start(sandbox.Config{Channel: p.spec.Channel, Accounts: accounts, Recorder: p.inbox, Origin: sandbox.WebPushOrigin})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sim.Close() }) // the sender is gone
	return account.Fields, push.Options{Endpoint: sim.URL(), RootCAs: sim.CA().PEM()}
}

// account is an app at the vendor, and shortens the phone's token to the vendor's form.
func (p *vendorPhone) account(t *testing.T, private string) sandbox.Account {
	t.Helper()
	const id, secret = "105613227", "0123456789abcdef0123456789abcdef"
	file := func(f map[string]string) map[string]string {
		text, _ := json.Marshal(f) // strings always marshal
		return map[string]string{"service_account": string(text)}
	}
	switch p.spec.Channel {
	case push.Huawei:
		return sandbox.Account{ID: id, Fields: map[string]string{"app_id": id, "app_secret": secret}}
	case push.Honor:
		return sandbox.Account{ID: "client1", Fields: map[string]string{"app_id": id, "client_id": "client1", "client_secret": secret}}
	case push.Xiaomi:
		return sandbox.Account{ID: secret, Fields: map[string]string{"app_secret": secret}}
	case push.OPPO:
		p.target.Token = "CN_" + p.target.Token[:32]
		return sandbox.Account{ID: secret, Fields: map[string]string{"app_key": secret, "master_secret": secret}}
	case push.Vivo:
		p.target.Token = p.target.Token[:23]
		return sandbox.Account{ID: id, Fields: map[string]string{"app_id": id, "app_key": secret, "app_secret": secret}}
	case push.Meizu:
		p.target.Token = p.target.Token[:32]
		return sandbox.Account{ID: id, Fields: map[string]string{"app_id": id, "app_key": secret, "app_secret": secret}}
	case push.FCM:
		return sandbox.Account{ID: "chat-1", Fields: file(map[string]string{
			"type": "service_account", "project_id": "chat-1", "private_key_id": secret, "private_key": private,
			"client_email": "hongyan@chat-1.iam.gserviceaccount.com", "token_uri": "https://oauth2.googleapis.com/token",
		})}
	case push.Harmony:
		return sandbox.Account{ID: id, Fields: file(map[string]string{"project_id": id, "key_id": secret, "private_key": private, "sub_account": id})}
	case push.WebPush:
		public, own, err := webpush.NewKeys()
		if err != nil {
			t.Fatal(err)
		}
		if p.target.Token, err = sandbox.WebPushSubscription(sandbox.WebPushOrigin, public, "phone"); err != nil {
			t.Fatal(err)
		}
		return sandbox.Account{ID: public, Fields: map[string]string{"public_key": public, "private_key": own, "subject": "mailto:sandbox@hongyan.example"}}
	}
	t.Fatalf("no account at %s: add it here", p.spec.Channel)
	return sandbox.Account{}
}

// capturedAlerts are the alerts that captured requests of all IM servers come to, by
// bridge and file.
func capturedAlerts(t *testing.T) map[string]models.Incoming {
	t.Helper()
	out := map[string]models.Incoming{}
	for _, a := range approaches(t) {
		for file, body := range a.captured(t) {
			in, err := a.p.parse(a.request(body))
			if err != nil {
				continue // of another approach of the bridge
			}
			if in.user != nil {
				in.messages = append(in.messages, in.user.base)
			}
			for _, m := range in.messages {
				if m.Kind == "" || m.Kind == models.KindAlert {
					out[a.name+" "+file] = m
				}
			}
		}
	}
	return out
}

// What any IM server really sends, with all its data, is taken by every vendor, and the
// app finds the message's id.
func TestCapturedRequestsOnEveryChannel(t *testing.T) {
	t.Parallel()
	alerts := capturedAlerts(t)
	var seen []string
	for name := range alerts {
		seen = append(seen, strings.Fields(name)[0])
	}
	for _, b := range Bridges() {
		if !slices.Contains(seen, b.ID) {
			t.Errorf("no captured alert of %s among %d", b.ID, len(alerts))
		}
	}
	const id = "0199a0b0-0000-7000-8000-00000000000a"
	var wg sync.WaitGroup
	for _, p := range vendorPhones(t) {
		wg.Go(func() {
			for name, in := range alerts {
				c := in.Content
				data := maps.Clone(c.Data)
				if data == nil {
					data = map[string]any{}
				}
				data[models.DataMessageID] = id
				m := push.Message{
					Kind: push.Alert, Title: c.Title, Subtitle: c.Subtitle, Body: c.Body, Sound: c.Sound, CollapseKey: id,
					ThreadID: c.ThreadID, Category: c.Category, MutableContent: c.MutableContent, InterruptionLevel: c.InterruptionLevel,
					HighPriority: !c.LowPriority, Data: data,
				}
				r := push.SendFitting(context.Background(), p.sender, m, []push.Target{p.target})[0]
				if r.Outcome != push.Accepted {
					t.Errorf("%s on %s, %d keys: %v %s %s", name, p.spec.Channel, len(data), r.Outcome, r.Code, r.Text)
					continue
				}
				if r.Code == push.CodeDataCut {
					t.Logf("%s on %s: %s", name, p.spec.Channel, r.Text)
				}
				list := p.inbox.List()
				if !strings.Contains(string(list[len(list)-1].Payload), id) {
					t.Errorf("%s on %s went without the message's id", name, p.spec.Channel)
				}
			}
		})
	}
	wg.Wait()
}
