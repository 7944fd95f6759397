package handlers

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hongyan/models"
)

// A fixture is the body of one request as an IM server sends it, in testdata/<bridge>.
// Each is posted twice through the real bridge on both engines, and what comes of it is
// written down in testdata/outcomes/<bridge>.txt, which people have read. -update
// rewrites these files; read the difference before it is committed.
var update = flag.Bool("update", false, "rewrite testdata/outcomes")

// outcomesFolder is the one folder of testdata that is no bridge's.
const outcomesFolder = "outcomes"

// emitter is an IM server that sends the fixtures of its bridge.
type emitter struct {
	bridge string
	// way says where a fixture goes, and makes of its bytes what the server sends.
	way func(x *exchange)
	// after names the fixtures that a server has sent before this one.
	after map[string][]string
}

// exchange is a fixture on its way.
type exchange struct {
	s          *machineSite
	bob, carol *phone
	file       string
	path       string // with its query
	body       []byte
	header     []string
}

func TestFixtures(t *testing.T) {
	t.Parallel()
	for i, e := range emitters() {
		if all := bridges(); i >= len(all) || all[i].bridge().ID != e.bridge || len(all) != len(emitters()) {
			t.Fatalf("%s: each bridge has an emitter here, in their order", e.bridge)
		}
		t.Run(e.bridge, func(t *testing.T) {
			t.Parallel()
			eachMachine(t, e.bridge, Rates{}, func(t *testing.T, s *machineSite) {
				s.advance(testNow().Sub(s.clock()))
				got, file := e.outcomes(t, s), filepath.Join("testdata", outcomesFolder, e.bridge+".txt")
				if *update {
					if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
					t.Errorf("%s (-want +got)\n%s", file, diff)
				}
				for _, private := range []string{s.secret, "token-of-bob", "你好"} {
					if strings.Contains(s.log.String(), private) {
						t.Error("the log holds a secret, a token or a text")
					}
				}
			})
		})
	}
}

// outcomes sends every fixture of the bridge, each to a server that knows nothing of
// the others.
func (e emitter) outcomes(t *testing.T, s *machineSite) string {
	t.Helper()
	x := exchange{s: s, bob: registeredPhone(t, s, siteVendorToken), carol: registeredPhone(t, s, strings.Repeat("ab", 32))}
	x.bob.must("/accounts/bind", map[string]any{"account": "bob"}, 204)
	x.carol.must("/accounts/bind", map[string]any{"account": "admin"}, 204) // who sends to everybody
	files, err := filepath.Glob("testdata/" + e.bridge + "/*")
	if err != nil || len(files) == 0 {
		t.Fatal("no fixtures", err)
	}
	var out strings.Builder
	for _, file := range files {
		for _, table := range append(keptTables(), "dedupe", "messages") {
			s.exec("DELETE FROM " + table)
		}
		file = filepath.Base(file)
		for _, before := range e.after[file] {
			e.send(x, before)
			x.claim(t)
		}
		fmt.Fprintf(&out, "%s", file)
		if before := e.after[file]; before != nil {
			fmt.Fprintf(&out, ", after %s", strings.Join(before, ", "))
		}
		first := x.tell(t, e, file)
		fmt.Fprintf(&out, "\n%s", first)
		// A repetition is told where it is answered or counted another way.
		if again := x.tell(t, e, file); again != first {
			_, again, _ = strings.Cut(again, "\n")
			fmt.Fprintf(&out, "  again:\n%s", again)
		}
		out.WriteString("\n")
	}
	return out.String()
}

// send posts a fixture.
func (e emitter) send(x exchange, file string) (exchange, reply) {
	x.file, x.header = file, nil
	x.body = fixture(x.s.t, e.bridge+"/"+file)
	x.body = bytes.ReplaceAll(x.body, []byte("token-of-bob"), []byte(x.bob.token))
	x.body = bytes.ReplaceAll(x.body, []byte("token-of-carol"), []byte(x.carol.token))
	e.way(&x)
	if x.path == "" {
		x.s.t.Fatalf("nobody knows where %s/%s is sent", e.bridge, file)
	}
	return x, x.s.post(x.path, x.body, x.header...)
}

// keptTables lists where it is kept what a server tells beside messages.
func keptTables() []string {
	return []string{"im_presence", "im_group_members", "im_app_tokens", "device_topics", "early_receipts"}
}

// tell sends a fixture and says what came of it: the request, the answer, what phones
// will get, what is kept and what is counted.
func (x exchange) tell(t *testing.T, e emitter, file string) string {
	t.Helper()
	s := x.s
	counted, messages := s.stats(), x.messages(t)
	kept := map[string]int{}
	for _, table := range keptTables() {
		kept[table] = s.count(table)
	}
	x, r := e.send(x, file)
	var out strings.Builder
	fmt.Fprintf(&out, "  POST %s\n  %d %s", x.plain(x.path), r.status, x.plain(strings.TrimSpace(string(r.body))))
	if ttl := r.header.Get("TTL"); ttl != "" {
		fmt.Fprintf(&out, " TTL: %s", ttl)
	}
	out.WriteString("\n")
	out.WriteString(x.claim(t))
	for _, table := range keptTables() {
		if n := s.count(table) - kept[table]; n != 0 {
			fmt.Fprintf(&out, "  kept %+d %s\n", n, table)
		}
	}
	after := s.stats()
	for _, outcome := range slices.Sorted(maps.Keys(after)) {
		if n := after[outcome] - counted[outcome]; n != 0 {
			fmt.Fprintf(&out, "  counted %d %s\n", n, outcome)
		}
	}
	if n := x.messages(t) - messages; n != 0 {
		fmt.Fprintf(&out, "  in the statistics %d\n", n)
	}
	return out.String()
}

// messages is how many messages the statistics show.
func (x exchange) messages(t *testing.T) (n int) {
	t.Helper()
	if err := x.s.raw.QueryRow("SELECT COALESCE(SUM(n), 0) FROM counters WHERE metric = '" + models.MetricMessages + "'").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// claim takes what the worker would send, and says it; messages that say the same to
// several are told once.
func (x exchange) claim(t *testing.T) string {
	t.Helper()
	var texts []string
	to := map[string][]string{}
	for {
		batches, err := x.s.store.Databases()[0].ClaimDue(t.Context(), "fixtures", time.Hour, 10)
		if err != nil {
			t.Fatal(err)
		}
		if len(batches) == 0 {
			break
		}
		for _, b := range batches {
			for i := range b.Items {
				who := b.Items[i].Message.Account
				if b.Items[i].DeviceID != 0 {
					who = "a device of " + who
				}
				text := x.item(&b.Items[i])
				if to[text] == nil {
					texts = append(texts, text)
				}
				to[text] = append(to[text], who)
			}
		}
	}
	var out strings.Builder
	for _, text := range texts {
		who := to[text]
		slices.Sort(who) // a user's devices are in no order
		names := strings.Join(who, ", ")
		if len(who) > 5 {
			names = fmt.Sprintf("%s … %s (%d)", who[0], who[len(who)-1], len(who))
		}
		out.WriteString(strings.Replace(text, "TO", names, 1))
	}
	return out.String()
}

// item says a message, with TO for whom it is for.
func (x exchange) item(it *models.Item) string {
	var out strings.Builder
	m := it.Message
	fmt.Fprintf(&out, "  %s to TO\n", m.Kind)
	say := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&out, "    %s: %s\n", name, x.plain(value))
		}
	}
	say("id", m.SourceID)
	say("from", m.Sender)
	say("in", m.Conversation)
	if life := m.ExpiresAt.Sub(x.s.clock()); life != models.DefaultLife {
		say("lives", life.String())
	}
	c := reflect.ValueOf(it.Content)
	for i := range c.NumField() {
		if f := c.Field(i); !f.IsZero() {
			var b bytes.Buffer
			enc := json.NewEncoder(&b)
			enc.SetEscapeHTML(false)
			_ = enc.Encode(f.Interface()) // it came out of JSON
			say(c.Type().Field(i).Name, strings.TrimSpace(b.String()))
		}
	}
	return out.String()
}

// plain replaces what differs from run to run.
func (x exchange) plain(text string) string {
	text = strings.NewReplacer(
		x.bob.token, "token-of-bob", x.carol.token, "token-of-carol", x.s.secret, "SECRET", number(x.s.imApp.SDKAppID), "SDKAPPID",
	).Replace(text)
	for pattern, word := range map[string]string{
		`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`: "ID", `usersig=[^&]*`: "usersig=…", `Sign=[^&]*`: "Sign=…",
		`"token":"[^"]*"`: `"token":"…"`, `"taskid":"[^"]*"`: `"taskid":"…"`,
	} {
		text = regexp.MustCompile(pattern).ReplaceAllString(text, word)
	}
	return text
}

// The index of the fixtures names each of them, and neither a file nor a test that is
// not there.
func TestFixturesIndex(t *testing.T) {
	t.Parallel()
	index, err := os.ReadFile("testdata/README.md")
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]bool{}
	for _, name := range regexp.MustCompile("`([a-z0-9]+/[a-z0-9_]+\\.[a-z]+)`").FindAllSubmatch(index, -1) {
		named[string(name[1])] = true
	}
	files, err := filepath.Glob("testdata/*/*")
	if err != nil || len(files) == 0 {
		t.Fatal("no fixtures", err)
	}
	for _, file := range files {
		name := strings.TrimPrefix(filepath.ToSlash(file), "testdata/")
		if strings.HasPrefix(name, outcomesFolder+"/") {
			if id := strings.TrimSuffix(filepath.Base(name), ".txt"); !slices.Contains(bridgeIDs(), id) {
				t.Errorf("%s is of no bridge", name)
			}
			continue
		}
		if !named[name] {
			t.Errorf("testdata/README.md does not say what %s is for", name)
		}
		delete(named, name)
	}
	for name := range named {
		t.Errorf("testdata/README.md names %s, which is not there", name)
	}
	var tests []byte
	for _, pattern := range []string{"*_test.go", "../*_test.go", "../xmpp/*_test.go", "../models/*_test.go"} {
		sources, err := filepath.Glob(pattern)
		if err != nil || len(sources) == 0 {
			t.Fatal(pattern, err)
		}
		for _, source := range sources {
			b, err := os.ReadFile(source)
			if err != nil {
				t.Fatal(err)
			}
			tests = append(tests, b...)
		}
	}
	for _, name := range regexp.MustCompile("`(Test\\w+)`").FindAllSubmatch(index, -1) {
		if !bytes.Contains(tests, []byte("func "+string(name[1])+"(")) {
			t.Errorf("testdata/README.md names %s, which is no test", name[1])
		}
	}
}
