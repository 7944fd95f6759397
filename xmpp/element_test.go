package xmpp

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`<a/>`: `<a xmlns=""/>`,
		`<?xml version='1.0'?> <a xmlns='x' b="1"><c/><d xmlns="y">t &amp; &#x4f60;</d></a> `: `<a xmlns="x" b="1"><c/><d xmlns="y">t &amp; 你</d></a>`,
		`<p:a xmlns:p='x' xmlns:q='y' q:lost='1' xml:lang='zh'><p:b/><q:c/></p:a>`:            `<a xmlns="x" xml:lang="zh"><b/><c xmlns="y"/></a>`,
		`<a xmlns='x'><b xmlns=''/></a>`:                                                      `<a xmlns="x"><b xmlns=""/></a>`,
		`<a xmlns='x'>one<b/>two<!-- c --></a>`:                                               `<a xmlns="x">onetwo<b/></a>`,
		`<a b='&lt;"&#10;'/>`:                                                                 `<a xmlns="" b="&lt;&#34;&#xA;"/>`,
	} {
		e, err := Parse([]byte(text))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := e.String(); got != want {
			t.Errorf("%s is %s, want %s", text, got, want)
		}
	}
	for _, text := range []string{
		"", " ", "text", "<a", "<a>", "</a>", "<a></b>", "<a/><b/>", "<a/>text", "<!DOCTYPE a><a/>", "<a>&b;</a>", "<a>\x00</a>", "<a>\xff</a>",
		`<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>`, `<a b=c/>`, `<?xml version="1.0" encoding="gb2312"?><a/>`,
	} {
		if e, err := Parse([]byte(text)); !errors.Is(err, errNotXML) {
			t.Errorf("%q is %s, %v", text, e, err)
		}
	}
	for _, text := range []string{
		"<a>" + strings.Repeat("x", MaxBytes) + "</a>", strings.Repeat("<a>", 33) + strings.Repeat("</a>", 33), "<a>" + strings.Repeat("<b/>", maxElements) + "</a>",
	} {
		if _, err := Parse([]byte(text)); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%.10s…: %v", text, err)
		}
	}
}

func TestReply(t *testing.T) {
	t.Parallel()
	iq, err := Parse([]byte(`<iq xmlns='jabber:client' type='set' id='1' from='a' to='b'/>`))
	if err != nil {
		t.Fatal(err)
	}
	want := &Error{Wait, "resource-constraint", "too_many"}
	back, err := Parse([]byte(Reply(iq, want).String()))
	if err != nil {
		t.Fatal(err)
	}
	got, ok := ErrorOf(back)
	if diff := cmp.Diff(want, got); diff != "" || !ok || back.Get("to") != "a" || back.Get("from") != "b" || back.Get("id") != "1" {
		t.Errorf("%s %s", back, diff)
	}
	if got, ok := ErrorOf(Reply(iq, nil)); got != nil || !ok {
		t.Errorf("a result is %v, %v", got, ok)
	}
	for _, text := range []string{"<iq/>", "<iq type='get'/>", "<iq type='error'/>", "<iq type='error'><error/></iq>", "<iq type='error'><error type='wait'/></iq>", "<message type='result'/>"} {
		e, err := Parse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := ErrorOf(e); ok {
			t.Errorf("%s says %v", text, got)
		}
	}
	if _, ok := ErrorOf(nil); ok {
		t.Error("nothing is an answer")
	}
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	for address, want := range map[string][2]string{
		"": {"", ""}, "localhost": {"localhost", "localhost"}, "a@b": {"b", "a@b"}, "a@b/c@d/e": {"b", "a@b"}, "b/c": {"b", "b"}, "@": {"", "@"},
	} {
		if got := [2]string{Domain(address), Bare(address)}; got != want {
			t.Errorf("%q is %q", address, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"<a xmlns='x' xmlns:p='y' p:b='1'><p:c>t</p:c></a>", "<a>&#0;</a>", strings.Repeat("<a>", 100), "<a xmlns:xmlns='x'/>", "<a:b:c/>", "<a:0/>", "<xml:a xmlns='\x00'/>",
		"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", "<a>]]></a>", "<a><![CDATA[<b>]]></a>", "\xef\xbb\xbf<a/>", "<a b='1' b='2' xmlns=''/>",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		e, err := Parse(text)
		if err != nil {
			return
		}
		once := e.String()
		again, err := Parse([]byte(once))
		if errors.Is(err, ErrTooLarge) {
			return // escaped it is longer
		}
		if err != nil {
			t.Fatalf("%q is written as %q: %v", text, once, err)
		}
		if twice := again.String(); twice != once {
			t.Fatalf("%q is read as %q", once, twice)
		}
	})
}
