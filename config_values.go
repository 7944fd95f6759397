package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"hongyan/models"
)

// maxRegions is how many middle digits an AccessID's prefix has.
const maxRegions = 10

// defaultRegions are the four 服务接入点 that the console starts with, all on this
// host and database. Their ids and digits are those that moving users know.
func defaultRegions() []models.Region {
	return []models.Region{
		{ID: "ap-guangzhou", Zh: "华南地区（广州）", En: "South China (Guangzhou)", Prefix: 0},
		{ID: "ap-shanghai", Zh: "华东地区（上海）", En: "East China (Shanghai)", Prefix: 8},
		{ID: "ap-hongkong", Zh: "港澳台地区（中国香港）", En: "Hong Kong, Macao and Taiwan (Hong Kong, China)", Prefix: 3},
		{ID: "ap-singapore", Zh: "亚太东南（新加坡）", En: "Southeast Asia (Singapore)", Prefix: 2},
	}
}

// parseRegions reads REGIONS. Error texts never quote it, because a region's
// database_url holds a password.
func parseRegions(v string) ([]models.Region, error) {
	var rows []struct {
		models.Region
		Prefix *int `json:"prefix"`
	}
	dec := json.NewDecoder(strings.NewReader(v))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&rows); err != nil {
		return nil, fmt.Errorf("not a JSON list of {id, zh, en, prefix, public_url, database_url}: %w", err)
	}
	if len(rows) == 0 || len(rows) > maxRegions {
		return nil, fmt.Errorf("want 1 to %d regions, have %d", maxRegions, len(rows))
	}
	id := regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)
	var out []models.Region
	for i, row := range rows {
		r := row.Region
		switch {
		case !id.MatchString(r.ID):
			return nil, fmt.Errorf("region %d: id must be lower-case letters, digits and dashes", i+1)
		case slices.ContainsFunc(out, func(o models.Region) bool { return o.ID == r.ID }):
			return nil, fmt.Errorf("region %s stands twice", r.ID)
		case r.Zh == "" || r.En == "":
			return nil, fmt.Errorf("region %s: zh and en labels are needed", r.ID)
		case row.Prefix == nil || *row.Prefix < 0 || *row.Prefix >= maxRegions:
			return nil, fmt.Errorf("region %s: prefix, the digit from 0 to 9 in its AccessIDs, is needed", r.ID)
		case slices.ContainsFunc(out, func(o models.Region) bool { return o.Prefix == *row.Prefix }):
			return nil, fmt.Errorf("region %s: another region has the prefix %d", r.ID, *row.Prefix)
		}
		r.Prefix = *row.Prefix
		if r.Public != "" {
			public, err := origin(r.Public)
			if err != nil {
				return nil, fmt.Errorf("region %s: public_url: %w", r.ID, err)
			}
			r.Public = public
		}
		out = append(out, r)
	}
	return out, nil
}

// units of a size. A size is a whole number with one of them, or bytes.
func units() map[string]uint64 {
	return map[string]uint64{"": 1, "B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12, "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30, "TIB": 1 << 40}
}

// size reads "512MB", "2GiB" or a number of bytes.
func size(v string) (uint64, error) {
	digits := strings.TrimRight(v, "BKMGTbkmgtiI ")
	n, err := strconv.ParseUint(digits, 10, 64)
	unit, ok := units()[strings.ToUpper(strings.TrimSpace(v[len(digits):]))]
	if err != nil || !ok || n > maxSize/unit {
		return 0, fmt.Errorf("%q is not a size such as 512MB or 2GiB", v)
	}
	return n * unit, nil
}

// maxSize is the largest size that a setting may name: a petabyte.
const maxSize = 1 << 50

// memoryShare is the part of the machine's memory that is allowed by default: the
// rest is for SQLite's page cache, the kernel's, and other programs.
const memoryShare = 0.6

// minMemory is the least memory limit that makes sense.
const minMemory = 64 << 20

// spareProcessors is how many more than the processors GOMAXPROCS is. Go takes a
// processor from a goroutine after 10 ms and lets whoever waits have his turn, one after
// the other; the system's scheduler prefers who has waited. With none to spare, an IM
// server's request waits twice as long beside statistics and a backup (bench, answers).
const spareProcessors = 6

// defaultProcessors is GOMAXPROCS unless it is configured. A container's CPU limit
// stops all threads for the rest of a period once they have used it up, so that more
// of them would only be stopped earlier: there it is what Go makes of the limit.
func defaultProcessors() int {
	if n := runtime.GOMAXPROCS(0); n < runtime.NumCPU() {
		return n
	}
	return runtime.NumCPU() + spareProcessors
}

// defaultMemoryLimit is a share of what there is, none where the system does not
// tell.
func defaultMemoryLimit() int64 {
	if n := int64(float64(availableMemory()) * memoryShare); n >= minMemory {
		return n
	}
	return math.MaxInt64
}

// memoryLimit reads GOMEMLIMIT in the form in which the Go runtime, which reads it
// before us and ends the process over any other, takes it.
func memoryLimit(c *Config, v string) error {
	if v == "off" {
		c.MemoryLimit = math.MaxInt64
		return nil
	}
	n, err := size(v)
	if err != nil || n < minMemory || !strings.HasSuffix(v, "B") {
		return fmt.Errorf("%q is not off, nor 64MiB or more", v)
	}
	c.MemoryLimit = int64(n)
	return nil
}

// availableMemory returns the bytes of memory that this process may use: the
// smallest limit of its cgroup and those above it, else the machine's, else 0
// where the system does not tell.
func availableMemory() uint64 {
	total := meminfo()
	group := "/"
	if text, err := os.ReadFile("/proc/self/cgroup"); err == nil {
		if _, p, ok := strings.Cut(strings.TrimSpace(string(text)), "0::"); ok {
			group = path.Clean("/" + p)
		}
	}
	for ; ; group = path.Dir(group) {
		if text, err := os.ReadFile(path.Join("/sys/fs/cgroup", group, "memory.max")); err == nil {
			// The word "max" is no limit, and does not parse.
			if n, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64); err == nil && (total == 0 || n < total) {
				total = n
			}
		}
		if group == "/" {
			return total
		}
	}
}

// meminfo returns the machine's memory in bytes, 0 where it is not told.
func meminfo() uint64 {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	for line := range strings.SplitSeq(string(text), "\n") {
		if f := strings.Fields(line); len(f) >= 2 && f[0] == "MemTotal:" {
			kb, err := strconv.ParseUint(f[1], 10, 50)
			if err != nil {
				return 0
			}
			return kb << 10
		}
	}
	return 0
}

func sortedKeys[T any](m map[string]T) []string { return slices.Sorted(maps.Keys(m)) }

func address(field func(*Config) *string) func(*Config, string) error {
	return func(c *Config, v string) error {
		_, port, err := net.SplitHostPort(v)
		if err != nil {
			return fmt.Errorf("%q is not host:port or :port", v)
		}
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			return fmt.Errorf("%q has no port number", v)
		}
		*field(c) = v
		return nil
	}
}

func word[T any](words map[string]T, field func(*Config) *T) func(*Config, string) error {
	return func(c *Config, v string) error {
		t, ok := words[strings.ToLower(v)]
		if !ok {
			return fmt.Errorf("%q is not one of %s", v, strings.Join(sortedKeys(words), ", "))
		}
		*field(c) = t
		return nil
	}
}

func number(field func(*Config) *int, low, high int) func(*Config, string) error {
	return func(c *Config, v string) error {
		n, err := strconv.Atoi(v)
		if err != nil || n < low || n > high {
			return fmt.Errorf("%q is not a number from %d to %d", v, low, high)
		}
		*field(c) = n
		return nil
	}
}

func retentionDays(c *Config, v string) error {
	var days int
	err := number(func(*Config) *int { return &days }, 1, 3650)(c, v)
	c.Retention = time.Duration(days) * 24 * time.Hour
	return err
}

func shutdownTimeout(c *Config, v string) error {
	d, err := time.ParseDuration(v)
	if err != nil || d < time.Second || d > time.Hour {
		return fmt.Errorf("%q is not a duration from 1s to 1h", v)
	}
	c.ShutdownTimeout = d
	return nil
}

func isPostgres(v string) bool {
	return strings.HasPrefix(v, "postgres://") || strings.HasPrefix(v, "postgresql://")
}

func postgresURL(c *Config, v string) error {
	// The value is never quoted: it holds a password.
	if _, err := url.Parse(v); err != nil || !isPostgres(v) {
		return errors.New("not a postgres://user:password@host/database URL (is a character of the password not percent-encoded?)")
	}
	c.DatabaseURL = v
	return models.CheckDatabaseURL(v)
}

func secretKey(c *Config, v string) error {
	if _, err := models.NewKeyring(v); err != nil {
		return errors.New("want the output of `openssl rand -base64 32`, or a Tink JSON keyset")
	}
	c.SecretKey = models.Secret(v)
	return nil
}

// origin returns an http or https address without a trailing slash.
func origin(v string) (string, error) {
	u, err := url.Parse(v)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil || u.RawQuery != "" || strings.Trim(u.Path, "/") != "" {
		return "", fmt.Errorf("%q is not an address like https://push.example.com, without a path", v)
	}
	return u.Scheme + "://" + u.Host, nil
}

func prefixes(v string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for part := range strings.SplitSeq(v, ",") {
		part = strings.TrimSpace(part)
		p, err := netip.ParsePrefix(part)
		if err != nil {
			a, aerr := netip.ParseAddr(part)
			if aerr != nil {
				return nil, fmt.Errorf("%q is neither an address nor a network", part)
			}
			p = netip.PrefixFrom(a, a.BitLen())
		}
		out = append(out, p.Masked())
	}
	return out, nil
}
