package handlers

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"io"
	"math/big"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"software.sslmate.com/src/go-pkcs12"

	"hongyan/models"
	"hongyan/push"
	"hongyan/push/registry"
	"hongyan/sandbox"
)

// Upload opens the page with a form that sends a file, fills it in and sends it.
func (v *visitor) Upload(path, name string, data []byte, pairs ...string) *page {
	v.t.Helper()
	return v.UploadAs("file", path, name, data, pairs...)
}

// UploadAs is Upload for a file field of another name.
func (v *visitor) UploadAs(field, path, name string, data []byte, pairs ...string) *page {
	v.t.Helper()
	v.Get(path).Want(http.StatusOK)
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	if name != "" {
		f, err := form.CreateFormFile(field, name)
		if err != nil {
			v.t.Fatal(err)
		}
		if _, err := f.Write(data); err != nil {
			v.t.Fatal(err)
		}
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		if err := form.WriteField(pairs[i], pairs[i+1]); err != nil {
			v.t.Fatal(err)
		}
	}
	if err := form.Close(); err != nil {
		v.t.Fatal(err)
	}
	r := httptest.NewRequestWithContext(v.t.Context(), http.MethodPost, path, io.Reader(&body))
	r.Header.Set("Content-Type", form.FormDataContentType())
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return v.send(r)
}

func testKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func p8File(t *testing.T, key *ecdsa.PrivateKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// testP8 is a signing key as Apple gives it away.
func testP8(t *testing.T) []byte { return p8File(t, testKey(t)) }

// testP12 is a push certificate in Apple's manner for both environments.
func testP12(t *testing.T, bundle, password string, from, to time.Time) []byte {
	t.Helper()
	key := testKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: from, NotAfter: to,
		Subject: pkix.Name{
			CommonName: "Apple Push Services: " + bundle,
			ExtraNames: []pkix.AttributeTypeAndValue{{Type: asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 1}, Value: bundle}},
		},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	file, err := pkcs12.Modern.Encode(key, cert, nil, password)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// Every wrong file gets its own message under the right field, with the TPNS code,
// and nothing is saved.
func TestWrongCertificates(t *testing.T) {
	s := newSite(t, models.SQLite)
	owner := s.Account("main")
	_, apps := s.Product(owner, "Whale", models.PlatformIOS)
	base, v, now := appBase(apps[0].ID), s.Login(owner), s.Clock.Now()
	path := base + "/credentials/apns/new"
	v.Post(base+"/config/package", "package_name", "im.whale.app").To(base + "/config")
	good := testP12(t, "im.whale.app", "secret", now.Add(-time.Hour), now.AddDate(0, 6, 0))
	for name, c := range map[string]struct {
		file        string
		data        []byte
		pairs       []string
		field, want string
		code        string
	}{
		"no file":         {field: "file", want: "请选择证书文件"},
		"empty":           {file: "a.p12", field: "file", want: "文件是空的", code: "1008012"},
		"too large":       {file: "a.p12", data: make([]byte, 100<<10), field: "file", want: "现在是 100 KB"},
		"not a file":      {file: "a.p12", data: []byte("hello"), field: "file", want: "不是证书", code: "1008013"},
		"wrong password":  {file: "a.p12", data: good, pairs: []string{"password", "wrong"}, field: "password", want: "密码打不开", code: "1008022"},
		"other bundle":    {file: "a.p12", data: testP12(t, "im.other", "secret", now.Add(-time.Hour), now.AddDate(0, 6, 0)), pairs: []string{"password", "secret"}, field: "file", want: "证书属于 im.other，这个应用的 Bundle ID 是 im.whale.app", code: "1008020"},
		"expired":         {file: "a.p12", data: testP12(t, "im.whale.app", "secret", now.AddDate(-1, 0, 0), now.AddDate(0, 0, -1)), pairs: []string{"password", "secret"}, field: "file", want: "已在", code: "1008023"},
		"certificate":     {file: "a.cer", data: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")}), field: "file", want: "连", code: "1008021"},
		"p8 not a key":    {file: "a.p8", data: []byte("hello"), pairs: []string{"key_id", "8Q4ZT2XKJ7", "team_id", "L9WM3C5R2E"}, field: "file", want: "不是 .p8", code: "1008013"},
		"p8 without id":   {file: "a.p8", data: testP8(t), pairs: []string{"team_id", "L9WM3C5R2E"}, field: "key_id", want: "10 位"},
		"p8 without team": {file: "a.p8", data: testP8(t), pairs: []string{"key_id", "8Q4ZT2XKJ7", "team_id", "short"}, field: "team_id", want: "10 位"},
	} {
		p := v.Upload(path, c.file, c.data, c.pairs...).Want(http.StatusUnprocessableEntity)
		got := p.FieldError(c.field)
		if c.want == "连" {
			c.want = "导出为 .p12"
		}
		if !strings.Contains(got, c.want) || c.code != "" && !strings.Contains(got, "（"+c.code+"）") {
			t.Errorf("%s: %q, want %q and %s", name, got, c.want, c.code)
		}
	}
	saved, err := s.Store.Credentials(t.Context(), owner, models.AppOwner(apps[0].ID))
	if err != nil || len(saved) != 0 {
		t.Errorf("%d credentials were saved, %v", len(saved), err)
	}
}

// eachEngineWith is onEachEngine with other dependencies.
func eachEngineWith(t *testing.T, change func(*Deps), fn func(t *testing.T, s *site)) {
	t.Helper()
	for _, engine := range []models.Dialect{models.SQLite, models.Postgres} {
		t.Run(string(engine), func(t *testing.T) { fn(t, newSite(t, engine, change)) })
	}
}

// simulated is Apple as the sandbox plays it, with one key that it knows.
func simulated(t *testing.T) (channels func(push.Channel) (push.Spec, bool), key []byte) {
	t.Helper()
	private := testKey(t)
	keys := &sandbox.MemoryKeys{}
	keys.Add(sandbox.Key{ID: "8Q4ZT2XKJ7", Team: "L9WM3C5R2E", Public: &private.PublicKey})
	sim, err := sandbox.StartAPNs(sandbox.APNsConfig{Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sim.Close(); err != nil {
			t.Error(err)
		}
	})
	return func(c push.Channel) (push.Spec, bool) {
		spec, ok := registry.New().Lookup(c)
		open := spec.Open
		spec.Open = func(ctx context.Context, fields map[string]string, o push.Options) (push.Sender, error) {
			o.Endpoint, o.RootCAs = sim.URL(), sim.CA().PEM()
			return open(ctx, fields, o)
		}
		return spec, ok
	}, p8File(t, private)
}

// A good file is shown with what it says about itself; a test asks the vendor and
// records the answer; a refused key is explained and can be replaced or deleted.
func TestCertificates(t *testing.T) {
	channels, key := simulated(t)
	eachEngineWith(t, func(d *Deps) { d.Channels = channels }, func(t *testing.T, s *site) {
		owner := s.Account("main")
		_, apps := s.Product(owner, "Whale", models.PlatformIOS)
		base, v, now := appBase(apps[0].ID), s.Login(owner), s.Clock.Now()
		path, config := base+"/credentials/apns/new", base+"/config"
		v.Post(base+"/config/package", "package_name", "im.whale.app").To(config)
		v.Get(config).Has("还没有证书").Link(path)

		file := testP12(t, "im.whale.app", "secret", now.AddDate(-1, 0, 21), now.Add(21*24*time.Hour+time.Hour))
		v.Upload(path, "whale.p12", file, "password", "secret", "environment", "production").To(config).
			Has("Apple Push Services: im.whale.app", "21 天后到期", "whale.p12", "到期后这个环境的推送会全部失败").HasNot("开发环境")

		v.Upload(path, "AuthKey.p8", key, "key_id", "8Q4ZT2XKJ7", "team_id", "L9WM3C5R2E", "environment", "auto").To(config).
			Has("8Q4ZT2XKJ7", "L9WM3C5R2E", "长期有效", "生产环境", "开发环境", "未测试").HasNot("whale.p12")
		id := s.credentials(t, owner, apps[0].ID)[models.EnvironmentProduction].ID
		test := base + "/credentials/" + number(id) + "/test"
		v.Get(config).Submit(test).To(config).Has("凭证测试通过", "正常")

		// A key that the vendor does not know: refused, explained, paused.
		v.Upload(path, "AuthKey.p8", testP8(t), "key_id", "8Q4ZT2XKJ7", "team_id", "L9WM3C5R2E", "environment", "production").To(config)
		v.Get(config).Submit(test).To(config).Has("已暂停", "InvalidProviderToken", "密钥、Key ID 与 Team ID 不匹配", "修改凭证", "等待的消息会保留")

		v.Submit(base + "/credentials/" + number(id) + "/delete").To(config).Has("已删除生产环境的证书").HasNot("已暂停")

		// Roles: a reader sees the cards, and may nothing; another account finds nothing.
		other := s.credentials(t, owner, apps[0].ID)[models.EnvironmentDevelopment].ID
		read := s.Login(s.Sub(owner, "read", models.Rights{Role: models.RoleRead, AllProducts: true}))
		read.Get(config).Has("8Q4ZT2XKJ7").HasNot("测试凭证", "更换证书").NoLink(path)
		read.Get(path).Want(http.StatusForbidden)
		read.Post(base + "/credentials/" + number(other) + "/delete").Want(http.StatusForbidden)
		stranger := s.Login(s.Account("other"))
		stranger.Get(path).Want(http.StatusNotFound)
		for _, act := range []string{"/test", "/delete"} {
			stranger.Post(base + "/credentials/" + number(other) + act).Want(http.StatusNotFound)
		}
		_, mine := s.Product(owner, "Seal", models.PlatformIOS)
		v.Post(appBase(mine[0].ID) + "/credentials/" + number(other) + "/delete").Want(http.StatusNotFound)
		if strings.Contains(s.Log.String(), "PRIVATE KEY") {
			t.Error("a key is in the log")
		}
	})
}

func (s *site) credentials(t *testing.T, owner models.Actor, app int64) map[string]models.Credential {
	t.Helper()
	rows, err := s.Store.Credentials(t.Context(), owner, models.AppOwner(app))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]models.Credential{}
	for _, k := range rows {
		out[k.Environment] = k
	}
	return out
}
