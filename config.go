package main

import (
	"cmp"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"hongyan/models"
)

// Role says which halves of the program a process runs.
type Role string

// Roles of a process. On SQLite there is one process, and its role is All.
const (
	RoleAll    Role = "all"
	RoleWeb    Role = "web"
	RoleWorker Role = "worker"
)

// Config is everything that a process is told from outside. loadConfig fills it;
// tests make one themselves.
type Config struct {
	Listen        string
	MetricsListen string // "" is off
	TLSListen     string // "" is off
	TLSCertFile   string
	TLSKeyFile    string
	TLSSelfSigned bool
	PublicURL     string // "" derives addresses from each request
	Proxies       []netip.Prefix

	DataDir     string
	DatabaseURL string // "" is SQLite in DataDir
	MaxConns    int    // per database and process; 0 is 16 or more
	Role        Role
	Regions     []models.Region
	CheckOnly   bool // MIGRATE=check: do not migrate at start
	SecretKey   models.Secret

	LogLevel  slog.Level
	LogJSON   bool
	Retention time.Duration
	// DiskMinFree is in bytes; below it new messages are refused.
	DiskMinFree uint64
	// ShutdownTimeout bounds the whole drain.
	ShutdownTimeout time.Duration

	// Outbound lists networks that addresses which users enter may reach although they
	// are not public.
	Outbound []netip.Prefix

	// XMPPAddr is the XMPP server's port for components; "" has no component.
	XMPPAddr   string
	XMPPDomain string
	XMPPSecret models.Secret

	Sandbox bool
	// SandboxAPNs is the host:port of a simulator in another process; "" runs one
	// here. SandboxCA is the file with the certificate it is trusted by.
	SandboxAPNs string
	SandboxCA   string

	GCPercent   int
	Processors  int   // GOMAXPROCS
	MemoryLimit int64 // bytes; math.MaxInt64 is none

	dump []setting
}

// SQLite reports whether this installation keeps its data in SQLite.
func (c Config) SQLite() bool { return c.DatabaseURL == "" }

// Database returns what models.Open wants: a URL, or a file's path.
func (c Config) Database() string {
	return cmp.Or(c.DatabaseURL, filepath.Join(c.DataDir, "hongyan.db"))
}

// Web reports whether this process serves the console and the APIs.
func (c Config) Web() bool { return c.Role != RoleWorker }

// Works reports whether this process runs the background worker.
func (c Config) Works() bool { return c.Role != RoleWeb }

// setting is one option as it was loaded, for the masked dump.
type setting struct {
	name, value, source string
}

// option is one row of the table that loading, validation, -help, the dump and
// the README's section all come from.
type option struct {
	name   string
	kind   string // what a value looks like
	def    string
	secret bool // also accepts NAME_FILE, and is masked in the dump
	help   string
	set    func(c *Config, value string) error
}

// options is the table. An empty value counts as not set.
func options() []option {
	return []option{
		{"LISTEN", "address", ":8080", false, "Where the console and the APIs listen. With ROLE=worker only /healthz and /readyz answer there.",
			address(func(c *Config) *string { return &c.Listen })},
		{"TLS_LISTEN", "address", "", false, "Where the same is served over HTTPS, for example :8443; see \"HTTPS\". Not with ROLE=worker. Empty: off.",
			address(func(c *Config) *string { return &c.TLSListen })},
		{"TLS_CERT_FILE", "file", "", false, "The certificate in PEM, with the intermediate ones after it. Read again when it changes, and on SIGHUP.",
			func(c *Config, v string) error { c.TLSCertFile = v; return nil }},
		{"TLS_KEY_FILE", "file", "", false, "The certificate's key in PEM, without a password.",
			func(c *Config, v string) error { c.TLSKeyFile = v; return nil }},
		{"TLS_SELF_SIGNED", "word", "off", false, "on makes a certificate and keeps it in DATA_DIR (SQLite); whoever calls has to be told to trust it.",
			word(map[string]bool{"on": true, "off": false}, func(c *Config) *bool { return &c.TLSSelfSigned })},
		{"METRICS_LISTEN", "address", "", false, "Where Prometheus metrics are served, at /metrics, for example 127.0.0.1:9464. Empty: off.",
			address(func(c *Config) *string { return &c.MetricsListen })},
		{"PUBLIC_URL", "URL", "", false, "The address at which people and IM servers reach this console, such as https://push.example.com. Empty: taken from each request. Set it behind a proxy.",
			func(c *Config, v string) (err error) { c.PublicURL, err = origin(v); return err }},
		{"TRUSTED_PROXIES", "addresses", "", false, "Addresses or networks (10.0.0.0/8), separated by commas, whose X-Forwarded-For is believed. Empty: none.",
			func(c *Config, v string) (err error) { c.Proxies, err = prefixes(v); return err }},
		{"OUTBOUND_ALLOW", "addresses", "", false, "Addresses or networks, separated by commas, that users' own addresses (告警通知, Web Push) may reach although they are not public. Empty: none.",
			func(c *Config, v string) (err error) { c.Outbound, err = prefixes(v); return err }},
		{"DATABASE_URL", "URL", "", true, "postgres://user:password@host/database. Empty: SQLite in DATA_DIR.",
			postgresURL},
		{"DATABASE_MAX_CONNS", "number", "0", false, "Most connections to each Postgres database from this process. 0: 16 or the number of CPUs, whichever is more.",
			number(func(c *Config) *int { return &c.MaxConns }, 0, 10_000)},
		{"DATA_DIR", "folder", "./data", false, "Where SQLite and the generated secret key are kept.",
			func(c *Config, v string) error { c.DataDir = filepath.Clean(v); return nil }},
		{"ROLE", "word", "all", false, "all, web (console and APIs only) or worker (sending only). SQLite needs all.",
			word(map[string]Role{"all": RoleAll, "web": RoleWeb, "worker": RoleWorker}, func(c *Config) *Role { return &c.Role })},
		{"SECRET_KEY", "key", "", true, "What secrets and message content are sealed with: the output of `openssl rand -base64 32`, or a Tink JSON keyset. The same in every process. Needed on Postgres; on SQLite one is generated in DATA_DIR.",
			secretKey},
		{"REGIONS", "JSON", "", true, "The 服务接入点: a list of {id, zh, en, prefix, public_url, database_url}; see \"Regions\". Empty: Guangzhou, Shanghai, Hong Kong and Singapore, all on this host and database.",
			func(c *Config, v string) (err error) { c.Regions, err = parseRegions(v); return err }},
		{"MIGRATE", "word", "auto", false, "auto migrates the database at start; check refuses to start on another schema (then run `hongyan migrate`).",
			word(map[string]bool{"auto": false, "check": true}, func(c *Config) *bool { return &c.CheckOnly })},
		{"RETENTION_DAYS", "number", "90", false, "Days that message and delivery records are kept.",
			retentionDays},
		{"DISK_MIN_FREE", "size", "512MB", false, "New messages are refused with 503 while the disk of DATA_DIR has less room than this (SQLite).",
			func(c *Config, v string) (err error) { c.DiskMinFree, err = size(v); return err }},
		{"XMPP_COMPONENT_ADDR", "address", "", false, "The XMPP server's port for components (XEP-0114, unencrypted) as host:port, for IM apps on XMPP; see \"XMPP\". Empty: none. With ROLE=worker it is left to the others.",
			address(func(c *Config) *string { return &c.XMPPAddr })},
		{"XMPP_COMPONENT_DOMAIN", "domain", "", false, "The component's domain, such as push.example.com, as it is configured on the XMPP server.",
			xmppDomain},
		{"XMPP_COMPONENT_SECRET", "secret", "", true, "The component's secret on the XMPP server.",
			func(c *Config, v string) error { c.XMPPSecret = models.Secret(v); return nil }},
		{"SANDBOX", "word", "on", false, "on runs the simulators of the vendors' services, which an app in sandbox mode sends through; off does not.",
			word(map[string]bool{"on": true, "off": false}, func(c *Config) *bool { return &c.Sandbox })},
		{"SANDBOX_APNS_ADDR", "address", "", false, "An APNs simulator in another process (`hongyan sandbox`, started with the same SECRET_KEY or DATA_DIR), as host:port. Empty: one in this process, which keeps an inbox.",
			address(func(c *Config) *string { return &c.SandboxAPNs })},
		{"SANDBOX_CA_FILE", "file", "", false, "The certificate file that `hongyan sandbox` wrote; needed with SANDBOX_APNS_ADDR.",
			func(c *Config, v string) error { c.SandboxCA = v; return nil }},
		{"LOG_LEVEL", "word", "info", false, "debug, info, warn or error.",
			word(map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}, func(c *Config) *slog.Level { return &c.LogLevel })},
		{"LOG_FORMAT", "word", "text", false, "text or json.",
			word(map[string]bool{"text": false, "json": true}, func(c *Config) *bool { return &c.LogJSON })},
		{"SHUTDOWN_TIMEOUT", "duration", "30s", false, "How long a stop may take: requests and sends in flight finish, the rest is handed back.",
			shutdownTimeout},
		{"GOGC", "number", "400", false, "Go's garbage collection target in per cent. 400 spends memory for a fifth less CPU per push; GOMEMLIMIT bounds it.",
			number(func(c *Config) *int { return &c.GCPercent }, 10, 10_000)},
		{"GOMAXPROCS", "number", "", false, "How much Go runs at the same time. Empty: six more than the processors, so that the system and not Go shares them out between a long query or a copy and a short request; where a container's CPU limit counts, what that allows.",
			number(func(c *Config) *int { return &c.Processors }, 1, 1024)},
		{"GOMEMLIMIT", "size", "", false, "Memory above which garbage is collected harder, in Go's own units (512MiB, 2GiB), or off. Empty: 60 % of what the machine or container has.",
			memoryLimit},
	}
}

// lookup reads one environment variable; the second result is false when it is
// not set. It is os.LookupEnv outside tests.
type lookup func(name string) (string, bool)

// environment is the process's own environment.
func environment(name string) (string, bool) { return os.LookupEnv(name) }

// configError lists everything that is wrong with a configuration at once.
type configError struct{ problems []string }

func (e *configError) Error() string {
	return "configuration:\n  " + strings.Join(e.problems, "\n  ")
}

// loadConfig reads, defaults and checks every option. Its error is a *configError
// that names all problems, not the first only.
func loadConfig(env lookup) (Config, error) {
	var c Config
	bad := &configError{}
	for _, o := range options() {
		value, source, err := o.read(env)
		if err == nil && value != "" {
			err = o.set(&c, value)
		}
		if err != nil {
			bad.problems = append(bad.problems, o.name+": "+err.Error())
		}
		c.dump = append(c.dump, setting{o.name, o.show(value), source})
	}
	if c.Regions == nil {
		c.Regions = defaultRegions()
	}
	for i, r := range c.Regions {
		if r.Database != "" && !isPostgres(r.Database) && !filepath.IsAbs(r.Database) {
			c.Regions[i].Database = filepath.Join(c.DataDir, r.Database)
		}
	}
	if c.Processors == 0 {
		c.Processors = defaultProcessors()
	}
	if c.MemoryLimit == 0 {
		c.MemoryLimit = defaultMemoryLimit()
	}
	bad.problems = append(bad.problems, c.contradictions(bad)...)
	if len(bad.problems) > 0 {
		return c, bad
	}
	return c, nil
}

// read finds an option's value: the variable, for a secret the file that NAME_FILE
// points at, else the default.
func (o option) read(env lookup) (value, source string, err error) {
	value, _ = env(o.name)
	value = strings.TrimSpace(value)
	if o.secret {
		path, _ := env(o.name + "_FILE")
		switch {
		case path != "" && value != "":
			return "", "both", fmt.Errorf("set either it or %s_FILE, not both", o.name)
		case path != "":
			text, err := os.ReadFile(path)
			if err != nil {
				return "", "file", err
			}
			if len(strings.TrimSpace(string(text))) == 0 {
				return "", "file", fmt.Errorf("the file %s is empty", path)
			}
			return strings.TrimSpace(string(text)), "file", nil
		}
	}
	if value != "" {
		return value, "environment", nil
	}
	return o.def, "default", nil
}

// contradictions checks options against each other. An option that is wrong by
// itself is left out, so that nobody is told twice about one mistake.
func (c Config) contradictions(bad *configError) []string {
	wrong := func(name string) bool {
		return slices.ContainsFunc(bad.problems, func(p string) bool { return strings.HasPrefix(p, name+":") })
	}
	var out []string
	if c.SQLite() && !wrong("DATABASE_URL") && !wrong("ROLE") && c.Role != RoleAll {
		out = append(out, fmt.Sprintf("ROLE: %s needs Postgres (DATABASE_URL); SQLite has one process, ROLE=all", c.Role))
	}
	if !c.SQLite() && c.SecretKey == "" && !wrong("SECRET_KEY") {
		out = append(out, "SECRET_KEY: needed on Postgres, the same in every process. Make one with: openssl rand -base64 32 > secret.key, and set SECRET_KEY_FILE=secret.key")
	}
	for _, r := range c.Regions {
		if isPostgres(r.Database) {
			if err := models.CheckDatabaseURL(r.Database); err != nil {
				out = append(out, fmt.Sprintf("REGIONS: database_url of %s: %v", r.ID, err))
			}
		}
		if r.Database != "" && c.SQLite() == isPostgres(r.Database) {
			out = append(out, fmt.Sprintf("REGIONS: the database_url of %s must be on the same engine as the main database", r.ID))
		}
	}
	if !wrong("TLS_LISTEN") && !wrong("TLS_SELF_SIGNED") && !wrong("DATABASE_URL") {
		out = append(out, c.tlsContradictions()...)
	}
	if !wrong("XMPP_COMPONENT_ADDR") && !wrong("XMPP_COMPONENT_DOMAIN") && !wrong("XMPP_COMPONENT_SECRET") {
		out = append(out, c.xmppContradictions()...)
	}
	if (c.SandboxAPNs == "") != (c.SandboxCA == "") {
		out = append(out, "SANDBOX_APNS_ADDR: set it together with SANDBOX_CA_FILE, or neither")
	}
	if c.SandboxCA != "" && c.Sandbox {
		if _, err := os.Stat(c.SandboxCA); err != nil {
			out = append(out, fmt.Sprintf("SANDBOX_CA_FILE: %v; is `hongyan sandbox` running?", err))
		}
	}
	return out
}

// show masks a secret's value for the dump; of a database URL all but the
// password is shown.
func (o option) show(value string) string {
	switch {
	case value == "":
		return ""
	case !o.secret:
		return value
	}
	if u, err := url.Parse(value); err == nil && isPostgres(value) {
		// A password may also stand in the query (password=, sslpassword=).
		u.RawQuery = ""
		return u.Redacted()
	}
	return "[hidden]"
}

// Dump returns the configuration one line each, secrets masked.
func (c Config) Dump() string {
	var b strings.Builder
	for _, s := range c.dump {
		fmt.Fprintf(&b, "%s=%s (%s)\n", s.name, s.value, s.source)
	}
	return b.String()
}

// The constructors below each make the set function of one kind of value.
