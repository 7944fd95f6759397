package handlers

import (
	"crypto/ecdh"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"hongyan/models"
	"hongyan/push"
	"hongyan/push/registry"
)

// channelValues are fields that each channel with a form of plain fields takes.
func channelValues(t *testing.T) map[push.Channel]map[string]string {
	t.Helper()
	pair, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	e := base64.RawURLEncoding
	return map[push.Channel]map[string]string{
		push.Huawei: {"app_id": "104829317", "app_secret": "hw-secret-5f1c0de9"},
		push.Honor:  {"app_id": "220381946", "client_id": "honor-client-77", "client_secret": "honor-secret-5f1c0de9"},
		push.Xiaomi: {"app_id": "2882303761520", "app_key": "5981752012", "app_secret": "xmSecret5f1c0de9aa=="},
		push.OPPO:   {"app_key": "8f2cd1a4e01b4a7f", "app_secret": "oppoApp5f1c0de9", "master_secret": "oppoMaster5f1c0de9"},
		push.Vivo:   {"app_id": "105637", "app_key": "vivo-key-105637", "app_secret": "vivo-secret-5f1c0de9"},
		push.Meizu:  {"app_id": "151893", "app_key": "mzKey151893", "app_secret": "mzSecret5f1c0de9"},
		push.WebPush: {
			"public_key": e.EncodeToString(pair.PublicKey().Bytes()), "private_key": e.EncodeToString(pair.Bytes()), "subject": "mailto:push@example.com",
		},
	}
}

// form is values as the channel's form sends them, with more inputs.
func channelForm(values map[string]string, more ...string) []string {
	var out []string
	for _, key := range slices.Sorted(maps.Keys(values)) {
		out = append(out, "f_"+key, values[key])
	}
	return append(out, more...)
}

// androidSite is an account with an Android app that has a package name.
func androidSite(s *site, name string) (owner models.Actor, app models.App, v *visitor) {
	owner = s.Account(name)
	_, apps := s.Product(owner, name+"-whale", models.PlatformAndroid)
	v = s.Login(owner)
	v.Post(appBase(apps[0].ID)+"/config/package", "package_name", "cn.lanxun.whale").To(appBase(apps[0].ID) + "/config")
	return owner, apps[0], v
}

// channelRow returns what is saved of a channel for a package, and its fields.
func (s *site) channelRow(owner models.Actor, o models.CredentialOwner, channel push.Channel, pkg string) (models.Credential, map[string]string) {
	s.t.Helper()
	rows, err := s.Store.Credentials(s.t.Context(), owner, o)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, k := range rows {
		if k.Channel != string(channel) || k.PackageName != pkg {
			continue
		}
		_, fields, err := s.Store.CredentialFields(s.t.Context(), owner, o, k.ID)
		if err != nil {
			s.t.Fatal(err)
		}
		plain := map[string]string{}
		for key, v := range fields {
			plain[key] = v.Reveal()
		}
		return k, plain
	}
	s.t.Fatalf("nothing is saved of %s for %q", channel, pkg)
	return models.Credential{}, nil
}

// Every channel with plain fields: the form is saved, shown on a card and opened again
// without its secrets; an edit that leaves them empty keeps them; what is wrong is said
// under the field, and a value never comes back in a page or in the log.
func TestChannelForms(t *testing.T) {
	onEachEngine(t, func(t *testing.T, s *site) {
		owner, app, v := androidSite(s, "main")
		base := appBase(app.ID)
		config := base + "/config"
		values := channelValues(t)
		for _, spec := range registry.All() {
			if spec.Channel == push.APNs || slices.ContainsFunc(spec.Fields, func(f push.Field) bool { return f.Kind == push.FieldFile }) {
				continue
			}
			good, ok := values[spec.Channel]
			if !ok {
				t.Errorf("%s: give its fields values in channelValues", spec.Channel)
				continue
			}
			checkChannelForm(t, s, v, owner, app, spec, good)
		}
		page := v.Get(config)
		for channel, good := range values {
			spec, ok := registry.New().Lookup(channel)
			if !ok {
				continue
			}
			for _, f := range spec.Fields {
				if f.Kind == push.FieldSecret && good[f.Key] != "" && (strings.Contains(string(page.Body), good[f.Key]) || strings.Contains(s.Log.String(), good[f.Key])) {
					t.Errorf("%s: %s is on a page or in the log", channel, f.Key)
				}
			}
		}
	})
}

func checkChannelForm(t *testing.T, s *site, v *visitor, owner models.Actor, app models.App, spec push.Spec, good map[string]string) {
	t.Helper()
	base := appBase(app.ID)
	path, config := base+"/credentials/"+string(spec.Channel)+"/new", base+"/config"
	v.Get(config).Link(path)

	// Each required field that is missing is asked for by its own name, and kept are
	// the others.
	for _, f := range spec.Fields {
		if !f.Required {
			continue
		}
		bad := maps.Clone(good)
		bad[f.Key] = ""
		if got := v.Submit(path, channelForm(bad)...).Want(http.StatusUnprocessableEntity).FieldError("f_" + f.Key); !strings.HasPrefix(got, "请填写") {
			t.Errorf("%s without %s: %q", spec.Channel, f.Key, got)
		}
		bad[f.Key] = "!"
		if got := v.Submit(path, channelForm(bad)...).FieldError("f_" + f.Key); f.Pattern != "" && f.Pattern != `[!-~]+` && !strings.Contains(got, "格式不正确，现在是 1 位") {
			t.Errorf("%s with a wrong %s: %q", spec.Channel, f.Key, got)
		}
	}

	p := v.Submit(path, channelForm(good)...).To(config)
	p.Has("官方推送通道的凭证已保存", "未测试", "文字上限").NoLink(path + "?package=")
	row, fields := s.channelRow(owner, models.AppOwner(app.ID), spec.Channel, "")
	for key, want := range good {
		if fields[key] != want {
			t.Errorf("%s: %s was saved as something else", spec.Channel, key)
		}
	}

	// Open it again: what is no secret is there, what is one is not, and an empty
	// secret keeps the old.
	form := v.Get(path).Has("已设置，留空则不变")
	for _, f := range spec.Fields {
		shown := strings.Contains(string(form.Body), `value="`+good[f.Key]+`"`)
		if good[f.Key] != "" && shown == (f.Kind == push.FieldSecret) {
			t.Errorf("%s: the form shows %s: %v", spec.Channel, f.Key, shown)
		}
	}
	form.Submit(path, "rate", "250").To(config).Has("每秒 250 个")
	again, kept := s.channelRow(owner, models.AppOwner(app.ID), spec.Channel, "")
	if again.ID != row.ID || again.Revision != row.Revision+1 || again.Rate != 250 {
		t.Errorf("%s: id %d, revision %d, rate %d after the edit of %d, %d", spec.Channel, again.ID, again.Revision, again.Rate, row.ID, row.Revision)
	}
	for key, want := range good {
		if kept[key] != want {
			t.Errorf("%s: the edit lost %s", spec.Channel, key)
		}
	}
	for _, rate := range []string{"0", "-5", "many", "100001"} {
		if got := v.Submit(path, "rate", rate).Want(http.StatusUnprocessableEntity).FieldError("rate"); !strings.Contains(got, "100000") && !strings.Contains(got, "100,000") {
			t.Errorf("%s: rate %s: %q", spec.Channel, rate, got)
		}
	}
}

// What a channel alone can find wrong is said in its own words.
func TestChannelFaults(t *testing.T) {
	t.Parallel()
	s := newSite(t, models.SQLite)
	_, app, v := androidSite(s, "main")
	base := appBase(app.ID) + "/credentials/"
	values := channelValues(t)
	for _, tt := range []struct {
		channel           push.Channel
		key, value, want  string
		alsoKey, alsoThat string
	}{
		{push.OPPO, "master_secret", values[push.OPPO]["app_secret"], "MasterSecret 与 AppSecret 相同", "", ""},
		{push.Vivo, "category", "NEWS", "二级分类与消息类型不符", "classification", "1"},
		{push.Vivo, "app_id", "abc", "AppID的格式不正确，现在是 3 位", "", ""},
	} {
		bad := maps.Clone(values[tt.channel])
		bad[tt.key] = tt.value
		if tt.alsoKey != "" {
			bad[tt.alsoKey] = tt.alsoThat
		}
		if got := v.Submit(base+string(tt.channel)+"/new", channelForm(bad)...).Want(http.StatusUnprocessableEntity).FieldError("f_" + tt.key); !strings.Contains(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.channel, got, tt.want)
		}
	}
}

// Each package can have keys of its own beside the main ones, named in the form, and
// no more than fifty.
func TestChannelPackages(t *testing.T) {
	onEachEngine(t, func(t *testing.T, s *site) {
		owner, app, v := androidSite(s, "main")
		base := appBase(app.ID)
		config, path := base+"/config", base+"/credentials/vivo/new"
		good := channelValues(t)[push.Vivo]
		v.Submit(path, channelForm(good)...).To(config).Link(path + "?more=1")

		more := path + "?more=1"
		if got := v.Submit(more, channelForm(good)...).Want(http.StatusUnprocessableEntity).FieldError("channel-package"); !strings.Contains(got, "请填写渠道包名") {
			t.Errorf("no package: %q", got)
		}
		if got := v.Submit(more, channelForm(good, "package_name", "not a package")...).Want(http.StatusUnprocessableEntity).FieldError("channel-package"); got == "" {
			t.Error("a wrong package has no fault")
		}
		other := maps.Clone(good)
		other["app_id"] = "200200"
		v.Submit(more, channelForm(other, "package_name", "cn.lanxun.whale.mi")...).To(config).
			Has("cn.lanxun.whale.mi", "AppID 105637", "AppID 200200", "2 个未测试").Link(path + "?package=cn.lanxun.whale.mi")
		if _, fields := s.channelRow(owner, models.AppOwner(app.ID), push.Vivo, ""); fields["app_id"] != good["app_id"] {
			t.Error("the keys of the package replaced the main ones")
		}
		// Editing it does not move it to another package.
		v.Get(path+"?package=cn.lanxun.whale.mi").Has("已设置，留空则不变").
			Submit(path, "f_app_id", "200201").To(config).Has("AppID 200201").HasNot("AppID 200200")

		var in []models.CredentialInput
		for i := range 49 {
			in = append(in, models.CredentialInput{
				Channel: "vivo", Environment: models.EnvironmentProduction, Kind: "vivo", Fields: good, PackageName: "cn.lanxun.p" + number(int64(i)),
			})
		}
		if _, err := s.Store.SaveCredentials(t.Context(), owner, models.AppOwner(app.ID), in...); err != nil {
			t.Fatal(err)
		}
		if got := v.Submit(more, channelForm(good, "package_name", "cn.lanxun.toomany")...).Want(http.StatusUnprocessableEntity).FieldError("channel-package"); !strings.Contains(got, "50") {
			t.Errorf("the 51st package: %q", got)
		}
	})
}

// The receipt address is shown to who may enter it at the vendor and to nobody else;
// reports that arrive and reports that are refused are on the card.
func TestChannelReceipts(t *testing.T) {
	onEachEngine(t, func(t *testing.T, s *site) {
		owner, app, v := androidSite(s, "main")
		base := appBase(app.ID)
		config := base + "/config"
		v.Submit(base+"/credentials/mz/new", channelForm(channelValues(t)[push.Meizu])...).To(config).Has("未收到过", "http://console.example/receipts/mz/")
		row, _ := s.channelRow(owner, models.AppOwner(app.ID), push.Meizu, "")
		if row.ReceiptOnAt != nil {
			t.Error("receipts are active before anybody activated them")
		}
		secret, err := s.Store.ReceiptSecret(t.Context(), owner, models.AppOwner(app.ID), row.ID)
		if err != nil {
			t.Fatal(err)
		}
		read := s.Login(s.Sub(owner, "read", models.Rights{Role: models.RoleRead, AllProducts: true}))
		read.Get(config).Has("魅族官方推送通道", "未收到过").HasNot("/receipts/", secret.Reveal())

		path := ReceiptPath("mz", secret)
		machine := s.Visitor()
		machine.Post(path, "cb", `{"m-1":{"param":"","type":1,"targets":["p"]}}`).Want(http.StatusOK)
		machine.Post(path, "cb", "no report").Want(http.StatusBadRequest)
		if err := s.Store.FlushReceipts(t.Context()); err != nil {
			t.Fatal(err)
		}
		v.Get(config).Has("共 1 条", "拒绝的回执 1").HasNot("未收到过")
	})
}

// AppGallery's 测试回执 reports nothing: the card says that one came. Reports to an
// address that no credential has are on no card, and counted by channel.
func TestReceiptsTestedAndUnknown(t *testing.T) {
	for _, engine := range []models.Dialect{models.SQLite, models.Postgres} {
		t.Run(string(engine), func(t *testing.T) {
			t.Parallel()
			metrics := prometheus.NewRegistry()
			s := newSite(t, engine, func(d *Deps) { d.Metrics = metrics })
			owner, app, v := androidSite(s, "main")
			base := appBase(app.ID)
			config := base + "/config"
			v.Submit(base+"/credentials/hw/new", channelForm(channelValues(t)[push.Huawei])...).To(config).Has("未收到过")
			row, _ := s.channelRow(owner, models.AppOwner(app.ID), push.Huawei, "")
			secret, err := s.Store.ReceiptSecret(t.Context(), owner, models.AppOwner(app.ID), row.ID)
			if err != nil {
				t.Fatal(err)
			}
			machine := s.Visitor()
			machine.Post(ReceiptPath("hw", secret)).Want(http.StatusOK)
			if err := s.Store.FlushReceipts(t.Context()); err != nil {
				t.Fatal(err)
			}
			v.Get(config).Has("收到过测试回执", "还没有消息的回执").HasNot("未收到过", "拒绝的回执")
			v.Lang = "en"
			v.Get(config).Has("A test or an empty report came").HasNot("None received")

			machine.Post("/receipts/hw/guessed").Want(http.StatusNotFound)
			machine.Post("/receipts/mz/guessed").Want(http.StatusNotFound)
			machine.Post("/receipts/mz/guessed").Want(http.StatusNotFound)
			machine.Post("/receipts/invented/guessed").Want(http.StatusNotFound)
			machine.Post("/receipts/apns/guessed").Want(http.StatusNotFound)
			machine.Post(ReceiptPath("hw", secret), "not", "a report").Want(http.StatusForbidden)
			got, series := counters(t, metrics)
			want := map[string]float64{
				"hongyan_receipts_refused_total hw unknown_address": 1, "hongyan_receipts_refused_total mz unknown_address": 2,
				"hongyan_receipts_refused_total hw forged_receipt": 1,
			}
			if !maps.Equal(got, want) {
				t.Errorf("counted %v, want %v", got, want)
			}
			if series != 8 { // one of each channel with receipts, before anything was refused
				t.Errorf("%d series", series)
			}
		})
	}
}

// counters returns the counters that are not 0, by name and labels, and how many there are.
func counters(t *testing.T, from prometheus.Gatherer) (got map[string]float64, series int) {
	t.Helper()
	families, err := from.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got = map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			series++
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			if n := m.GetCounter().GetValue(); n > 0 {
				got[name] = n
			}
		}
	}
	return got, series
}

// Who may only read sees the cards and no way to change them, other accounts find
// nothing, and a deleted credential is gone.
func TestChannelRights(t *testing.T) {
	onEachEngine(t, func(t *testing.T, s *site) {
		owner, app, v := androidSite(s, "main")
		base := appBase(app.ID)
		config, path := base+"/config", base+"/credentials/vivo/new"
		for _, channel := range []push.Channel{push.Vivo, push.OPPO} {
			v.Submit(base+"/credentials/"+string(channel)+"/new", channelForm(channelValues(t)[channel])...).To(config)
		}
		row, _ := s.channelRow(owner, models.AppOwner(app.ID), push.Vivo, "")
		one := base + "/credentials/" + number(row.ID)
		acts := []string{path, base + "/credentials/test", one + "/test", one + "/delete"}

		read := s.Login(s.Sub(owner, "read", models.Rights{Role: models.RoleRead, AllProducts: true}))
		p := read.Get(config).Has("vivo官方推送通道", "AppID 105637", "未测试").HasNot("测试凭证", "测试全部", "添加通道", "单独添加")
		for _, act := range acts {
			p.NoLink(act)
			read.Post(act).Want(http.StatusForbidden)
		}
		read.Get(path).Want(http.StatusForbidden)

		stranger := s.Login(s.Account("other"))
		for _, act := range acts {
			stranger.Post(act).Want(http.StatusNotFound)
		}
		stranger.Get(path).Want(http.StatusNotFound)
		_, apple := s.Product(owner, "Seal", models.PlatformIOS)
		v.Get(appBase(apple[0].ID) + "/credentials/vivo/new").Want(http.StatusNotFound)
		v.Post(appBase(apple[0].ID) + "/credentials/" + number(row.ID) + "/delete").Want(http.StatusNotFound)

		v.Submit(one + "/delete").To(config).Has("已删除vivo官方推送通道的凭证").HasNot("AppID 105637").Link(path)
		v.Get(one + "/delete").Want(http.StatusNotFound)
	})
}

// serviceAccount is a file as Google and Huawei hand it out.
func serviceAccount(t *testing.T) []byte {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	file, err := json.Marshal(map[string]string{
		"type": "service_account", "project_id": "whale-im", "key_id": "k1", "private_key_id": "k1", "sub_account": "112233",
		"client_email": "push@whale-im.iam.gserviceaccount.com", "token_uri": "https://attacker.example/token",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
	})
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// A field that is a file: asked for, refused in words, saved, kept while none is sent,
// and never shown.
func TestChannelFile(t *testing.T) {
	s := newSite(t, models.SQLite)
	owner, app, v := androidSite(s, "main")
	config := appBase(app.ID) + "/config"
	for _, spec := range registry.All() {
		i := slices.IndexFunc(spec.Fields, func(f push.Field) bool { return f.Kind == push.FieldFile })
		if i < 0 || spec.Channel == push.APNs {
			continue
		}
		key, name := spec.Fields[i].Key, "f_"+spec.Fields[i].Key
		path := appBase(app.ID) + "/credentials/" + string(spec.Channel) + "/new"
		for text, file := range map[string]string{"请填写": "", "这不是可用的服务账号": `{"project_info":{}}`} {
			if got := v.UploadAs(name, path, "a.json", []byte(file)).Want(http.StatusUnprocessableEntity).FieldError(name); !strings.HasPrefix(got, text) {
				t.Errorf("%s with %q: %q, want %q", spec.Channel, file, got, text)
			}
		}
		file := serviceAccount(t)
		v.UploadAs(name, path, "account.json", file).To(config).Has("account.json", "未测试").HasNot("PRIVATE KEY", "attacker.example")
		v.Get(path).HasNot("PRIVATE KEY", "attacker.example")
		v.UploadAs(name, path, "", nil, "rate", "77").To(config).Has("account.json", "每秒 77 个")
		if row, fields := s.channelRow(owner, models.AppOwner(app.ID), spec.Channel, ""); fields[key] != string(file) || row.Revision != 2 {
			t.Errorf("%s: the edit lost the file, revision %d", spec.Channel, row.Revision)
		}
	}
	if strings.Contains(s.Log.String(), "PRIVATE KEY") {
		t.Error("a key is in the log")
	}
}

// A report of a used-up day rests its channel, or the credential where the message chose
// none; one of yesterday rests nothing.
func TestReportedQuota(t *testing.T) {
	onEachEngine(t, func(t *testing.T, s *site) {
		owner, app, v := androidSite(s, "main")
		own := models.AppOwner(app.ID)
		v.Submit(appBase(app.ID)+"/credentials/xm/new", channelForm(channelValues(t)[push.Xiaomi])...).To(appBase(app.ID) + "/config")
		row, _ := s.channelRow(owner, own, push.Xiaomi, "")
		secret, err := s.Store.ReceiptSecret(t.Context(), owner, own, row.ID)
		if err != nil {
			t.Fatal(err)
		}
		now := s.Clock.Now()
		midnight := now.Add(push.UntilMidnight(now))
		report := func(param string, at time.Time) models.Credential {
			t.Helper()
			s.Visitor().Post(ReceiptPath("xm", secret), "data", fmt.Sprintf(
				`{"m1":{"param":%q,"type":128,"targets":"a,b","timestamp":%d,"extra":{"ack":"500","quota":"500"}}}`, param, at.UnixMilli())).Want(http.StatusOK)
			row, _ := s.channelRow(owner, own, push.Xiaomi, "")
			return row
		}
		if k := report("ref", now.Add(-25*time.Hour)); k.RestUntil != nil || k.ClassRests != "" {
			t.Errorf("of yesterday: %v %q", k.RestUntil, k.ClassRests)
		}
		if k := report("ref.sale", now); k.RestUntil != nil || k.ClassRests != fmt.Sprintf(`{"sale":%d}`, midnight.Unix()) {
			t.Errorf("of a channel: %v %q, want until %v", k.RestUntil, k.ClassRests, midnight)
		}
		v.Get(appBase(app.ID)+"/config").Has("消息自带的通知渠道或分类中", "其他消息照常发送").HasNot("会改走其他通道")
		if k := report("ref", time.Time{}); k.RestUntil == nil || !k.RestUntil.Equal(midnight) || k.RestCode != "128" {
			t.Errorf("of the credential's: %v %q", k.RestUntil, k.RestCode)
		}
	})
}
