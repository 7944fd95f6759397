package handlers

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"runtime/metrics"
	"slices"
	"strings"
	"testing"
	"time"

	"hongyan/internal/race"
)

// approach is one way to a bridge's parser.
type approach struct {
	name     string
	p        protocol
	fixtures string // the beginning of their names
	request  func(body []byte) ingestRequest
}

// approaches lists every way to every parser, all of them past the checks of signatures.
func approaches(t testing.TB) []approach {
	t.Helper()
	var out []approach
	add := func(name string, p protocol, fixtures string, request func([]byte) ingestRequest) {
		out = append(out, approach{strings.TrimSuffix(p.bridge().ID+" "+name, " "), p, fixtures, request})
	}
	add(wkOffline, wukongIM{}, "", func(b []byte) ingestRequest { return wkRequest(wkOffline, b) })
	for below, fixtures := range map[string]string{"": "hook", openIMSingle: "getui", openIMTask: "getui", openIMList: "getui", openIMGetuiIn: "getui", openIMJPush: "jpush"} {
		add(below, openIM{}, fixtures, func(b []byte) ingestRequest { return oimRequest(below, b) })
	}
	add("callback", tencentIM{}, "", func(b []byte) ingestRequest { return timCallback(b) })
	for _, command := range []string{timSendMsg, timBatch, timSendGroup, timGroupAdd, timGroupDelete, timAll, timPush, timPushBatch} {
		r := timREST(t, command, nil)
		add(command, tencentIM{}, "rest", func(b []byte) ingestRequest { r.body = b; return r })
	}
	add("", unifiedPush{}, "", func(b []byte) ingestRequest {
		r := tokenRequest(b)
		r.device = "token-of-bob"
		return r
	})
	for _, p := range []protocol{genericBridge{}, matrixGateway{}, mattermostProxy{}, rocketChatGateway{}, zulipBouncer{}, tinodeGateway{}, xmppPush{}} {
		add("", p, "", tokenRequest)
	}
	for _, p := range bridges() {
		if !slices.ContainsFunc(out, func(a approach) bool { return a.p.bridge().ID == p.bridge().ID }) && p.bridge().Path != "" {
			t.Fatalf("no way to the parser of %s: add it here", p.bridge().ID)
		}
	}
	return out
}

// captured are the requests that an approach begins with, by file.
func (a approach) captured(t testing.TB) map[string][]byte {
	t.Helper()
	id := a.p.bridge().ID
	files, err := filepath.Glob("testdata/" + id + "/" + a.fixtures + "*")
	if err != nil || len(files) == 0 {
		t.Fatal("no fixtures of", a.name, err)
	}
	out := map[string][]byte{}
	for _, name := range files {
		out[filepath.Base(name)] = fixture(t, id+"/"+filepath.Base(name))
	}
	return out
}

// hostileValues are put, as they are, in the place of every value of a request. size is
// that of the large ones in bytes.
func hostileValues(t testing.TB, size int) map[string]string {
	t.Helper()
	bomb := base64.StdEncoding.EncodeToString(gzipped(t, strings.Repeat(" ", 200*size)))
	return map[string]string{
		"null": "null", "true": "true", "negative": "-1", "zero": "0", "fraction": "0.5", "huge number": "1e400", "tiny number": "1e-999999999",
		"beyond 64 bits": "99999999999999999999", "beyond 53 bits": "9007199254740993", "many digits": strings.Repeat("9", size),
		"empty text": `""`, "empty object": "{}", "empty array": "[]", "number as text": `"7"`,
		"broken UTF-8": "\"\xff\xfe\xc3(\xed\xa0\x80\"", "half a surrogate": `"\ud800"`, "control characters": `"\u0000\u0001\u001b[31m\r\n"`,
		"long text": `"` + strings.Repeat("长", size/3) + `"`, "escapes": `"` + strings.Repeat(`\u0000`, size/6) + `"`,
		"many numbers": "[" + strings.Repeat("1,", size/2) + "1]", "many texts": "[" + strings.Repeat(`"",`, size/3) + `""]`,
		"many objects": "[" + strings.Repeat("{},", size/3) + "{}]", "many arrays": "[" + strings.Repeat("[],", size/3) + "[]]",
		"many keys": manyKeys(size), "deep arrays": strings.Repeat("[", min(size/2, 9000)) + strings.Repeat("]", min(size/2, 9000)),
		"deep objects": strings.Repeat(`{"a":`, min(size/6, 9000)) + "1" + strings.Repeat("}", min(size/6, 9000)),
		"too deep":     strings.Repeat("[", size), "gzip bomb": `"` + bomb + `"`, "nothing": "",
	}
}

func manyKeys(size int) string {
	var b strings.Builder
	b.WriteString("{")
	for i := 0; b.Len() < size; i++ {
		fmt.Fprintf(&b, `"k%d":%d,`, i, i)
	}
	b.WriteString(`"z":1}`)
	return b.String()
}

// hostileForms calls use with the body once for each of its values and each hostile
// value in its place. A body that is no JSON is used as it is, and its halves.
func hostileForms(body []byte, values map[string]string, use func(what string, body []byte)) {
	var root any
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	if dec.Decode(&root) != nil {
		use("as it is", body)
		use("first half", body[:len(body)/2])
		return
	}
	const place = "\u0001here\u0001"
	mark, _ := json.Marshal(place) // a text always marshals
	names := slices.Sorted(maps.Keys(values))
	each := func(path string) {
		with, _ := json.Marshal(root) // it was JSON
		for _, name := range names {
			use(path+" "+name, bytes.Replace(with, mark, []byte(values[name]), 1))
		}
	}
	var walk func(path string, v any, set func(any))
	walk = func(path string, v any, set func(any)) {
		set(place)
		each(path)
		set(v)
		switch v := v.(type) {
		case map[string]any:
			for _, k := range slices.Sorted(maps.Keys(v)) {
				walk(path+"."+k, v[k], func(x any) { v[k] = x })
			}
		case []any:
			for i := range min(len(v), 2) {
				walk(fmt.Sprintf("%s[%d]", path, i), v[i], func(x any) { v[i] = x })
			}
		}
	}
	walk("", root, func(x any) { root = x })
	for _, cut := range []int{1, len(body) / 2, len(body) - 1} {
		use("cut", body[:cut])
	}
}

// maxHostileSeeds bounds the seeds of one kind: what fuzzing begins with costs time, and
// TestHostileValues tries all of them.
const maxHostileSeeds = 60

// hostileSeeds calls add with some small hostile forms of one of a bridge's fixtures.
func hostileSeeds(f *testing.F, p protocol, fixtures string, add func(body []byte)) {
	f.Helper()
	captured := approach{p: p, fixtures: fixtures}.captured(f)
	file := slices.Min(slices.Collect(maps.Keys(captured)))
	var forms [][]byte
	hostileForms(captured[file], hostileValues(f, 60), func(_ string, body []byte) { forms = append(forms, body) })
	for i := 0; i < len(forms); i += 1 + len(forms)/maxHostileSeeds {
		add(forms[i])
	}
}

// allocated is how many bytes this process has allocated so far.
func allocated() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}

// Bounds of one parse.
const (
	parseBase  = 8 << 20 // allocated whatever the size
	parseTimes = 64      // allocated for each byte of the body
	parseMost  = 96 << 20
	parseTime  = 10 * time.Second // of any body, on any machine: quadratic work takes minutes
)

// checkParse parses a request and holds the parser to what every parser promises: an
// error is the caller's fault, what it makes can be stored, and it takes no more memory
// than the body deserves.
func checkParse(t *testing.T, p protocol, r ingestRequest) {
	t.Helper()
	most := min(uint64(parseBase+parseTimes*len(r.body)), parseMost)
	if p == (wukongIM{}) {
		most = parseMost // unpacks a list of its own
	}
	checkParseWithin(t, p, r, most)
}

func checkParseWithin(t *testing.T, p protocol, r ingestRequest, most uint64) {
	t.Helper()
	before, began := allocated(), time.Now()
	var in intake
	err := checkValues(p, r.body)
	if err == nil {
		in, err = p.parse(r)
	}
	took, used := time.Since(began), allocated()-before
	if used > most {
		t.Errorf("%d bytes were allocated for %d, at most %d are fair: %.60s", used, len(r.body), most, r.body)
	}
	if took > parseTime {
		t.Fatalf("%d bytes took %s", len(r.body), took)
	}
	if err != nil {
		if e := apiErrorOf(err); e.status < 400 || e.status > 499 {
			t.Fatalf("input answered with %d: %v", e.status, err)
		}
		return
	}
	checkIntake(t, in)
	if len(in.names) != 0 && len(in.names) != len(in.messages) {
		t.Fatalf("%d names for %d messages", len(in.names), len(in.messages))
	}
	if call, ok := in.extra.(*timCall); ok && (call.toAll || call.toGroup != "") {
		all := intake{}
		addressAll(&all, &call.base, []string{"member", call.base.Sender})
		checkIntake(t, all)
	}
}

// Every value of every captured request is replaced by everything that breaks parsers.
// Not parallel: it looks at what is allocated.
func TestHostileValues(t *testing.T) {
	race.Skip(t)
	values := hostileValues(t, 1<<10)
	n := 0
	for _, a := range approaches(t) {
		t.Run(a.name, func(t *testing.T) {
			for file, body := range a.captured(t) {
				hostileForms(body, values, func(what string, body []byte) {
					defer func() {
						if p := recover(); p != nil {
							t.Fatalf("%s, %s: panic: %v", file, what, p)
						}
					}()
					n++
					checkParse(t, a.p, a.request(body))
				})
			}
		})
	}
	t.Logf("%d bodies", n)
}

// The same with values as large as a request can hold, in the places that parsers
// read. Not parallel: it looks at what is allocated.
func TestHostileSizes(t *testing.T) {
	if testing.Short() {
		t.Skip("parses hundreds of large bodies")
	}
	race.Skip(t)
	values := hostileValues(t, maxBridgeBody-(8<<10))
	for _, name := range []string{"null", "true", "negative", "zero", "fraction", "huge number", "tiny number", "empty text", "empty object", "empty array", "number as text", "nothing"} {
		delete(values, name)
	}
	worst, of := uint64(0), ""
	for _, a := range approaches(t) {
		fixtures := a.captured(t)
		file := slices.Min(slices.Collect(maps.Keys(fixtures)))
		t.Run(a.name, func(t *testing.T) {
			hostileForms(fixtures[file], values, func(what string, body []byte) {
				if len(body) > maxBridgeBody {
					body = body[:maxBridgeBody]
				}
				before := allocated()
				t.Run(what, func(t *testing.T) { checkParse(t, a.p, a.request(body)) })
				if used := allocated() - before; used > worst {
					worst, of = used, a.name+what
				}
			})
		})
	}
	t.Logf("most allocated for a body of 512 KiB: %d MiB (%s)", worst>>20, of)
}

// A namespace that every element would have to repeat when it is written out again. Not
// parallel: it looks at what is allocated.
func TestHostileNamespace(t *testing.T) {
	body := `<iq id='1' type='set' xmlns:a='` + strings.Repeat("a", 200<<10) + `'><pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='n'><item>` +
		`<notification xmlns='urn:xmpp:push:0'>` + strings.Repeat("<a:x/>", 4000) + `</notification></item></publish></pubsub></iq>`
	checkParse(t, xmppPush{}, tokenRequest([]byte(body)))
	if _, err := (xmppPush{}).parse(tokenRequest([]byte(body))); apiErrorOf(err).status != http.StatusRequestEntityTooLarge {
		t.Errorf("it was answered %v", err)
	}
}

// A body of some kilobytes that decompresses to the most that is taken. Not parallel:
// it looks at what is allocated.
func TestHostileBombs(t *testing.T) {
	race.Skip(t)
	worst, of := uint64(0), ""
	for _, a := range approaches(t) {
		if _, raw := a.p.(rawProtocol); raw {
			continue // is never decompressed
		}
		fixtures := a.captured(t)
		limit := maxValues
		if a.p.bridge().Tokens {
			limit = maxTokenValues
		}
		for name, text := range map[string]string{"texts": `"",`, "objects": "{},", "keys": `{"":1},`} {
			list := "[" + strings.Repeat(text, (maxBridgeLength-(64<<10))/len(text)) + strings.TrimSuffix(text, ",") + "]"
			if err := checkValues(a.p, []byte(list)); apiErrorOf(err).code != "too_many_items" {
				t.Fatal("millions of values are let through")
			}
			values := strings.Count(text, ",") + strings.Count(text, "{") + strings.Count(text, "[")
			list = "[" + strings.Repeat(text, (limit-1000)/values) + strings.TrimSuffix(text, ",") + "]"
			for _, at := range bombPlaces(fixtures) {
				packed := gzipped(t, strings.Replace(at, "@", list, 1))
				body, err := readBody(bodyContext("gzip", packed), maxBridgeBody, maxBridgeLength)
				if err != nil {
					t.Fatal(err)
				}
				before := allocated()
				checkParseWithin(t, a.p, a.request(body), parseMost)
				if used := allocated() - before; used > worst {
					worst, of = used, a.name+" "+name
				}
			}
		}
	}
	t.Logf("most allocated for a body of 4 MiB: %d MiB (%s)", worst>>20, of)
}

// bombPlaces are requests with @ in the place of a whole list.
func bombPlaces(fixtures map[string][]byte) []string {
	out := []string{"@"}
	for _, body := range fixtures {
		var root map[string]any
		if json.Unmarshal(body, &root) != nil {
			continue
		}
		for _, m := range []map[string]any{root, object(root["notification"]), object(root["audience"])} {
			for k, v := range m {
				if _, list := v.([]any); list {
					m[k] = "@"
					b, _ := json.Marshal(root) // it was JSON
					out = append(out, strings.Replace(string(b), `"@"`, "@", 1))
					m[k] = v
				}
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func object(v any) map[string]any {
	m, _ := v.(map[string]any)
	return m
}

// What WuKongIM compresses within its body is bounded as well.
func TestHostileCompressedRecipients(t *testing.T) {
	for name, list := range map[string]string{
		"many": "[" + strings.Repeat(`"",`, maxRecipientBytes/3-10) + `""]`, "deep": strings.Repeat("[", maxRecipientBytes), "one": `["` + strings.Repeat("x", maxRecipientBytes-8) + `"]`,
	} {
		body := offline(map[string]any{"compress": "gzip", "compress_to_uids": gzipped(t, list)})
		t.Run(name, func(t *testing.T) { checkParse(t, wukongIM{}, wkRequest(wkOffline, body)) })
	}
}
