package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"

	"hongyan/models"
	"hongyan/push"
)

// bridgePeople is how many people of each IM server have a phone.
const bridgePeople = 30

// bridgeSide is one IM server and the app that it pushes to.
type bridgeSide struct {
	run *bridgesRun
	e   emitter
	id  string // of the bridge

	secret           string
	app, plan, imApp int64
	sdkAppID         int64
	scope            models.AppScope
	people           []person
	sender, dead     person
	online, logged   person // for a server that tells who is where
	token            string // that a server signs in with, where it has one
	mu               sync.Mutex
	tasks            map[int]string // a server's own ids, by number
	stored, again    atomic.Int64
	twice            atomic.Int64 // named twice within a request
}

// person is an end user with a phone.
type person struct{ account, device, token string }

// emitter makes the requests of one kind of IM server.
type emitter struct {
	// sender is the account whose messages these are.
	sender string
	// forgets says that the protocol has no ids: two equal requests are two messages.
	forgets bool
	// setUp tells the bridge what it must know before.
	setUp func(s *bridgeSide)
	// shapes are drawn with equal chances. The first is an ordinary message.
	shapes []func(s *bridgeSide, n int, rng *rand.Rand) emission
	// raw says that a body is bytes, of which none are broken, strict that one with a
	// broken character is refused whole.
	raw, strict bool
}

// emission is one request, and what is to become of it.
type emission struct {
	side   *bridgeSide
	what   string // for a report
	path   string
	header map[string]string
	body   []byte
	// to are the vendor tokens of the phones that it must reach, once each.
	to []string
	// lost is for how many people without a phone it is kept.
	lost int
	// taken reports whether an answer is the one that this request must get, or, with
	// refused, must not get.
	taken   func(answered) bool
	refused bool
}

// newSide makes an app with people for one bridge.
func (r *bridgesRun) newSide(bridge string, e emitter) *bridgeSide {
	r.t.Helper()
	ctx := context.Background()
	s := &bridgeSide{run: r, e: e, id: bridge, tasks: map[int]string{}}
	p, apps, err := r.store.CreateProduct(ctx, r.who, models.ProductInput{Name: bridge, Category: "social", Region: "r", Platforms: []string{models.PlatformIOS}})
	r.must(err)
	s.app = apps[0].ID
	_, err = r.store.SetPackage(ctx, r.who, s.app, "com.example.im")
	r.must(err)
	_, err = r.store.SetSandbox(ctx, r.who, s.app, true)
	r.must(err)
	_, err = r.store.SaveCredentials(ctx, r.who, models.AppOwner(s.app), r.sandboxCredential())
	r.must(err)
	im, secret, err := r.store.CreateIMApp(ctx, r.who, models.IMAppInput{Name: bridge, Bridge: bridge, Names: "com.example." + bridge}, []string{bridge})
	r.must(err)
	z, err := r.store.Authorize(ctx, r.who, im.ID, p.ID, s.app)
	r.must(err)
	s.imApp, s.sdkAppID, s.plan, s.secret = im.ID, im.SDKAppID, z.PlanID, secret.Reveal()
	r.keep(s.secret)
	s.scope, _, err = r.store.ScopeForApp(ctx, r.who, s.app)
	r.must(err)
	for i := range bridgePeople {
		s.people = append(s.people, s.person(fmt.Sprintf("%s-user-%d", bridge, i)))
	}
	s.sender, s.online, s.logged = s.person(e.sender), s.person("online"), s.person("logged-out")
	s.dead = s.person("gone")
	s.bury()
	if e.setUp != nil {
		e.setUp(s)
	}
	return s
}

func (s *bridgeSide) person(account string) person {
	r := s.run
	ctx := context.Background()
	token, err := r.phoneToken(ctx, push.APNs, s.id+account)
	r.must(err)
	reg, err := r.store.Register(ctx, s.scope, models.Registration{
		Platform: models.PlatformIOS, Model: "phone", Notify: models.NotifyOn,
		Routes: []models.RouteInput{{Channel: string(push.APNs), Environment: string(push.Production), PackageName: "com.example.im", Token: token}},
	})
	r.must(err)
	dev, err := r.store.AuthDevice(ctx, s.scope, reg.Device.Token, reg.Secret)
	r.must(err)
	r.must(r.store.Bind(ctx, dev, []models.Binding{{Account: account}}))
	if account == "gone" {
		r.must(r.store.Unregister(ctx, dev))
	}
	return person{account, reg.Device.Token, token}
}

// bury looks that the dead phone is known as dead.
func (s *bridgeSide) bury() {
	in, err := s.run.store.IngestBySecret(context.Background(), s.secret)
	s.run.must(err)
	fates, err := s.run.store.Locate(context.Background(), in, []models.Incoming{{Token: s.dead.device}, {Token: s.sender.device}})
	s.run.must(err)
	if fates[0] != models.TokenDead || fates[1] != models.TokenAlive {
		s.run.t.Fatalf("%s: the fates are %v", s.id, fates)
	}
}

// emit makes message n.
func (s *bridgeSide) emit(n int, rng *rand.Rand) emission {
	e := s.e.shapes[rng.IntN(len(s.e.shapes))](s, n, rng)
	e.side = s
	return e
}

// ordinary makes message n in the first shape.
func (s *bridgeSide) ordinary(n int, rng *rand.Rand) emission {
	e := s.e.shapes[0](s, n, rng)
	e.side = s
	return e
}

// some draws different people.
func (s *bridgeSide) some(k int, rng *rand.Rand) []person {
	out := make([]person, 0, k)
	for _, i := range rng.Perm(len(s.people))[:k] {
		out = append(out, s.people[i])
	}
	return out
}

func accountsOf(people []person, more ...string) []string {
	out := make([]string, 0, len(people)+len(more))
	for _, p := range people {
		out = append(out, p.account)
	}
	return append(out, more...)
}

func devicesOf(people []person, more ...string) []string {
	out := make([]string, 0, len(people)+len(more))
	for _, p := range people {
		out = append(out, p.device)
	}
	return append(out, more...)
}

func tokensOf(people []person) []string {
	out := make([]string, 0, len(people))
	for _, p := range people {
		out = append(out, p.token)
	}
	return out
}

// text is what message n says.
func text(n int) string { return fmt.Sprintf("你好 number%dend", n) }

// im is an address below the secret.
func (s *bridgeSide) im(path string) string { return "/im/" + s.secret + path }

// name is what an address without a secret knows the server by.
func (s *bridgeSide) name() string { return "com.example." + s.id }

type object = map[string]any

// jsonOf is v as JSON.
func jsonOf(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // only what always marshals comes here
	}
	return b
}

func zipped(b []byte) []byte {
	var out bytes.Buffer
	z, _ := gzip.NewWriterLevel(&out, gzip.BestSpeed) // a valid level
	_, _ = z.Write(b)                                 // a buffer takes everything
	_ = z.Close()
	return out.Bytes()
}

// unzipped undoes zipped.
func unzipped(b []byte) []byte {
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil
	}
	out, _ := io.ReadAll(z) // it was made here
	return out
}

// said reports whether an answer has a status, and a field with a value, both as text.
func said(status int, field, value string) func(answered) bool {
	return func(a answered) bool {
		return a.status == status && (field == "" || fmt.Sprint(a.object()[field]) == value)
	}
}

// garbage breaks message n.
func (s *bridgeSide) garbage(n int, rng *rand.Rand) emission {
	e := s.ordinary(n, rng)
	to := e.to
	e.to, e.lost, e.refused = nil, 0, true
	plain, packed := e.body, e.header["Content-Encoding"] == "gzip"
	if packed {
		plain = unzipped(e.body)
	}
	head := map[string]string{}
	for k, v := range e.header {
		head[k] = v
	}
	delete(head, "Content-Encoding")
	e.header = head
	pack := func(b []byte) { e.body, head["Content-Encoding"] = b, "gzip" }
	kind := rng.IntN(12)
	if s.e.raw { // any bytes are a message
		kind = []int{5, 9, 10, 11}[rng.IntN(4)]
	}
	switch kind {
	case 0:
		e.what = "gzip cut short"
		b := zipped(plain)
		pack(b[:len(b)/2])
	case 1:
		e.what = "no gzip"
		pack(plain)
	case 2:
		e.what = "gzip bomb"
		pack(zipped(append(bytes.Repeat([]byte(" "), 5<<20), plain...)))
	case 3:
		e.what = "JSON cut short"
		e.body = plain[:1+rng.IntN(len(plain)-2)]
	case 4:
		e.what = "another type"
		e.body = []byte([]string{"true", "7", `"text"`, "[[]]", `{"a":`, "", "[1,2", "nul", "{]"}[rng.IntN(9)])
	case 5:
		e.what = "too large"
		e.body = append(bytes.Repeat([]byte(" "), 600<<10), plain...)
	case 6:
		e.what = "a huge array"
		e.body = []byte("[" + strings.Repeat("{},", 150_000) + "{}]")
	case 7:
		e.what = "a huge array in gzip"
		pack(zipped([]byte(`{"to":[` + strings.Repeat(`"",`, 1_000_000) + `""]}`)))
	case 8:
		e.what = "broken UTF-8"
		e.body = bytes.Replace(plain, []byte("你好"), []byte("\xff\xfe\xed\xa0\x80"), 1)
		if !bytes.Equal(e.body, plain) && !s.e.strict { // the text alone is broken
			e.refused, e.to = false, to
			break
		}
		e.body = []byte("\xff\xfe{")
	case 9:
		e.what = "another server's address"
		e.path = strings.Replace(e.path, s.secret, s.run.sides[(n+1)%len(s.run.sides)].secret, 1)
		if s.run.sides[(n+1)%len(s.run.sides)].id == s.id || !strings.Contains(e.path, "/im/") {
			e.path = "/im/" + strings.Repeat("0", len(s.secret)) + "/" + s.id
		}
	case 10:
		e.what = "an address that nobody has"
		e.path = "/im/" + strings.Repeat("0", len(s.secret)) + "/" + s.id
	case 11:
		e.what = "an encoding that nobody takes"
		e.body, head["Content-Encoding"] = plain, "br"
		if s.e.raw {
			e.what, e.body = "nothing", nil
		}
	}
	return e
}
