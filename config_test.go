package main

import (
	"encoding/base64"
	"errors"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hongyan/models"
)

// env makes a lookup of a fixed environment.
func env(pairs map[string]string) lookup {
	return func(name string) (string, bool) {
		v, ok := pairs[name]
		return v, ok
	}
}

func testKey() string { return base64.StdEncoding.EncodeToString(make([]byte, 32)) }

func TestConfigDefaults(t *testing.T) {
	t.Parallel()
	c, err := loadConfig(env(nil))
	if err != nil {
		t.Fatal(err)
	}
	if c.Listen != ":8080" || c.MetricsListen != "" || c.Role != RoleAll || !c.Web() || !c.Works() || !c.SQLite() || !c.Sandbox || c.CheckOnly {
		t.Errorf("unexpected defaults: %+v", c)
	}
	if got, want := c.Database(), filepath.Join("data", "hongyan.db"); got != want {
		t.Errorf("Database() = %q, want %q", got, want)
	}
	if c.Retention != 90*24*time.Hour || c.DiskMinFree != 512e6 || c.ShutdownTimeout != 30*time.Second || c.GCPercent != 400 {
		t.Errorf("unexpected defaults: %+v", c)
	}
	var ids []string
	for _, r := range c.Regions {
		ids = append(ids, r.ID)
	}
	if diff := cmp.Diff([]string{"ap-guangzhou", "ap-shanghai", "ap-hongkong", "ap-singapore"}, ids); diff != "" {
		t.Error(diff)
	}
	if c.MemoryLimit < 64<<20 {
		t.Errorf("MemoryLimit = %d", c.MemoryLimit)
	}
	if n := runtime.NumCPU(); c.Processors > n && c.Processors != n+spareProcessors || c.Processors < 1 {
		t.Errorf("Processors = %d of %d", c.Processors, n)
	}
}

func TestConfigValues(t *testing.T) {
	t.Parallel()
	keyFile := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(keyFile, []byte(testKey()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := loadConfig(env(map[string]string{
		"LISTEN": "127.0.0.1:0", "METRICS_LISTEN": ":9464", "PUBLIC_URL": "https://push.example.com/",
		"TRUSTED_PROXIES": "10.1.2.3/8, ::1", "OUTBOUND_ALLOW": "10.9.8.7/16", "DATABASE_URL": "postgres://u:pw@db/hongyan", "ROLE": "Worker",
		"SECRET_KEY_FILE": keyFile, "MIGRATE": "check", "LOG_LEVEL": "debug", "LOG_FORMAT": "json",
		"RETENTION_DAYS": "7", "DISK_MIN_FREE": "2GiB", "SHUTDOWN_TIMEOUT": "5s", "GOGC": "100", "GOMAXPROCS": "3", "GOMEMLIMIT": "1GiB", "SANDBOX": "off",
		"REGIONS": `[{"id":"cn","zh":"中国","en":"China","prefix":4,"public_url":"https://cn.example.com","database_url":"postgres://u:pw@cn/x"}]`,
	}))
	if err != nil {
		t.Fatal(err)
	}
	if c.Listen != "127.0.0.1:0" || c.PublicURL != "https://push.example.com" || c.Role != RoleWorker || c.Web() || c.SQLite() || !c.CheckOnly || c.LogLevel != slog.LevelDebug || !c.LogJSON || c.Sandbox {
		t.Errorf("unexpected: %+v", c)
	}
	if c.SecretKey.Reveal() != testKey() {
		t.Error("the key file's newline was kept, or the file not read")
	}
	if got := len(c.Proxies); got != 2 || c.Proxies[0].String() != "10.0.0.0/8" || c.Proxies[1].String() != "::1/128" {
		t.Errorf("Proxies = %v", c.Proxies)
	}
	if len(c.Outbound) != 1 || c.Outbound[0].String() != "10.9.0.0/16" {
		t.Errorf("Outbound = %v", c.Outbound)
	}
	if c.DiskMinFree != 2<<30 || c.MemoryLimit != 1<<30 || c.GCPercent != 100 || c.Processors != 3 || c.Retention != 7*24*time.Hour {
		t.Errorf("unexpected: %+v", c)
	}
	regions, err := loadConfig(env(map[string]string{"DATA_DIR": "/srv/h", "REGIONS": `[{"id":"cn","zh":"中国","en":"China","prefix":4,"database_url":"cn.db"}]`, "GOMEMLIMIT": "off"}))
	if err != nil || regions.Regions[0].Database != "/srv/h/cn.db" || regions.MemoryLimit != math.MaxInt64 {
		t.Errorf("a region's own SQLite file: %+v, %v", regions, err)
	}
	want := []models.Region{{ID: "cn", Zh: "中国", En: "China", Prefix: 4, Public: "https://cn.example.com", Database: "postgres://u:pw@cn/x"}}
	if diff := cmp.Diff(want, c.Regions); diff != "" {
		t.Error(diff)
	}
}

// Every wrong value is named at once, each once.
func TestConfigAllProblemsAtOnce(t *testing.T) {
	t.Parallel()
	wrong := map[string]string{
		"LISTEN": "8080", "TLS_LISTEN": "8443", "TLS_SELF_SIGNED": "maybe", "METRICS_LISTEN": "host:http", "PUBLIC_URL": "https://x/y", "TRUSTED_PROXIES": "proxy", "OUTBOUND_ALLOW": "intranet",
		"DATABASE_URL": "mysql://u:hunter2@db/x", "DATABASE_MAX_CONNS": "-1", "ROLE": "boss", "SECRET_KEY": "hunter2",
		"REGIONS": `[{"id":"a","zh":"a","en":"a"}]`, "MIGRATE": "maybe", "RETENTION_DAYS": "0", "DISK_MIN_FREE": "much",
		"SANDBOX": "yes", "SANDBOX_APNS_ADDR": "x", "LOG_LEVEL": "loud", "LOG_FORMAT": "xml", "SHUTDOWN_TIMEOUT": "0s",
		"GOGC": "off", "GOMAXPROCS": "0", "GOMEMLIMIT": "1MB",
	}
	_, err := loadConfig(env(wrong))
	var bad *configError
	if !errors.As(err, &bad) {
		t.Fatalf("error %v", err)
	}
	for name := range wrong {
		n := 0
		for _, p := range bad.problems {
			if strings.HasPrefix(p, name+": ") {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%s is named %d times", name, n)
		}
	}
	if len(bad.problems) != len(wrong) {
		t.Errorf("%d problems, want %d: %s", len(bad.problems), len(wrong), err)
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a secret is quoted: %s", err)
	}
}

func TestConfigContradictions(t *testing.T) {
	t.Parallel()
	pg := "postgres://u:hunter2@db/x"
	region := `[{"id":"a","zh":"a","en":"a","prefix":1,"database_url":"` + pg + `"}]`
	for name, c := range map[string]struct {
		env  map[string]string
		want string
	}{
		"sqlite worker":          {map[string]string{"ROLE": "worker"}, "ROLE: "},
		"certificate, no key":    {map[string]string{"TLS_LISTEN": ":1", "TLS_CERT_FILE": "c"}, "TLS_CERT_FILE: set it together"},
		"certificate, no TLS":    {map[string]string{"TLS_CERT_FILE": "c", "TLS_KEY_FILE": "k"}, "TLS_LISTEN: say where"},
		"TLS, no certificate":    {map[string]string{"TLS_LISTEN": ":1"}, "TLS_LISTEN: needs"},
		"two certificates":       {map[string]string{"TLS_LISTEN": ":1", "TLS_CERT_FILE": "c", "TLS_KEY_FILE": "k", "TLS_SELF_SIGNED": "on"}, "TLS_SELF_SIGNED: set either"},
		"self-signed, Postgres":  {map[string]string{"TLS_LISTEN": ":1", "TLS_SELF_SIGNED": "on", "DATABASE_URL": pg, "SECRET_KEY": testKey()}, "TLS_SELF_SIGNED: not on Postgres"},
		"postgres without key":   {map[string]string{"DATABASE_URL": pg}, "SECRET_KEY: needed"},
		"XMPP without a secret":  {map[string]string{"XMPP_COMPONENT_ADDR": "127.0.0.1:5347", "XMPP_COMPONENT_DOMAIN": "push.example.com"}, "XMPP_COMPONENT_ADDR: set it together"},
		"XMPP without a host":    {map[string]string{"XMPP_COMPONENT_ADDR": ":5347", "XMPP_COMPONENT_DOMAIN": "push.example.com", "XMPP_COMPONENT_SECRET": "s"}, "XMPP_COMPONENT_ADDR: name the XMPP server"},
		"XMPP address as domain": {map[string]string{"XMPP_COMPONENT_ADDR": "127.0.0.1:5347", "XMPP_COMPONENT_DOMAIN": "user@example.com", "XMPP_COMPONENT_SECRET": "s"}, "XMPP_COMPONENT_DOMAIN: "},
		"mixed engines":          {map[string]string{"REGIONS": region}, "REGIONS: "},
		"simulator without CA":   {map[string]string{"SANDBOX_APNS_ADDR": "127.0.0.1:1"}, "SANDBOX_APNS_ADDR: "},
		"key twice":              {map[string]string{"SECRET_KEY": testKey(), "SECRET_KEY_FILE": "x"}, "SECRET_KEY: set either"},
		"key file not there":     {map[string]string{"SECRET_KEY_FILE": "/nonexistent/key"}, "SECRET_KEY: open /nonexistent/key"},
		"regions: same prefix":   {map[string]string{"REGIONS": `[{"id":"a","zh":"a","en":"a","prefix":1},{"id":"b","zh":"a","en":"a","prefix":1}]`}, "REGIONS: region b: another"},
		"regions: same id":       {map[string]string{"REGIONS": `[{"id":"a","zh":"a","en":"a","prefix":1},{"id":"a","zh":"a","en":"a","prefix":2}]`}, "REGIONS: region a stands twice"},
		"regions: unknown word":  {map[string]string{"REGIONS": `[{"id":"a","label":"a"}]`}, "REGIONS: not a JSON list"},
	} {
		_, err := loadConfig(env(c.env))
		var bad *configError
		if !errors.As(err, &bad) || len(bad.problems) != 1 || !strings.HasPrefix(bad.problems[0], c.want) {
			t.Errorf("%s: %v, want one problem %q…", name, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: a secret is quoted: %s", name, err)
		}
	}
}

func TestConfigDumpHidesSecrets(t *testing.T) {
	t.Parallel()
	c, err := loadConfig(env(map[string]string{
		"SECRET_KEY": testKey(), "DATABASE_URL": "postgres://u:hunter2@db/x?sslpassword=hunter2",
		"REGIONS": `[{"id":"a","zh":"a","en":"a","prefix":1,"database_url":"postgres://u:hunter2@db/x"}]`,
	}))
	if err != nil {
		t.Fatal(err)
	}
	dump := c.Dump()
	if strings.Contains(dump, "hunter2") || strings.Contains(dump, testKey()) {
		t.Errorf("the dump shows a secret:\n%s", dump)
	}
	for _, want := range []string{"DATABASE_URL=postgres://u:xxxxx@db/x (environment)", "SECRET_KEY=[hidden] (environment)", "LISTEN=:8080 (default)"} {
		if !strings.Contains(dump, want) {
			t.Errorf("the dump lacks %q:\n%s", want, dump)
		}
	}
	for _, o := range options() {
		if !strings.Contains(dump, o.name+"=") {
			t.Errorf("the dump lacks %s", o.name)
		}
	}
}

func TestSize(t *testing.T) {
	t.Parallel()
	for v, want := range map[string]uint64{"1": 1, "512MB": 512e6, "2GiB": 2 << 30, "3 kb": 3000, "1tib": 1 << 40} {
		if got, err := size(v); err != nil || got != want {
			t.Errorf("size(%q) = %d, %v", v, got, err)
		}
	}
	for _, v := range []string{"MB", "-1", "1.5GB", "9999999999TB", "1XB", "18446744073709551615"} {
		if got, err := size(v); err == nil {
			t.Errorf("size(%q) = %d", v, got)
		}
	}
}
