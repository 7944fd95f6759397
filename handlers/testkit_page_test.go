package handlers

import (
	"bytes"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"hongyan/internal/htmlcheck"
)

// page is an answer.
type page struct {
	v      *visitor
	t      *testing.T
	Path   string
	Status int
	Header http.Header
	Body   []byte
	doc    *html.Node
}

// rawKey is what a catalog key looks like when it was shown instead of its sentence.
var rawKey = regexp.MustCompile(`\b[a-z]+(?:_[a-z]+)*\.[a-z]+(?:_[a-z]+)+\b`)

func (p *page) check() {
	p.t.Helper()
	for _, fault := range htmlcheck.Page(p.Body) {
		p.t.Errorf("%s: %s", p.Path, fault)
	}
	if csp := p.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "style-src 'self'") || strings.Contains(csp, "unsafe") {
		p.t.Errorf("%s: policy %q", p.Path, csp)
	}
	var err error
	if p.doc, err = html.Parse(bytes.NewReader(p.Body)); err != nil {
		p.t.Fatalf("%s: %v", p.Path, err)
	}
	if key := rawKey.FindString(p.Text()); key != "" {
		p.t.Errorf("%s: shows the key %q", p.Path, key)
	}
}

// Want fails the test unless the page has the status.
func (p *page) Want(status int) *page {
	p.t.Helper()
	if p.Status != status {
		if p.Status >= http.StatusInternalServerError {
			p.t.Logf("log:\n%s", p.v.s.Log)
		}
		p.t.Fatalf("%s: status %d, want %d\n%s", p.Path, p.Status, status, p.Text())
	}
	return p
}

// To fails the test unless the answer leads to path, and returns the page there.
func (p *page) To(path string) *page {
	p.t.Helper()
	p.Want(http.StatusSeeOther)
	if to := p.Header.Get("Location"); to != path {
		p.t.Fatalf("%s: leads to %q, want %q", p.Path, to, path)
	}
	return p.v.Get(path)
}

// Has fails the test unless the page shows every text.
func (p *page) Has(texts ...string) *page {
	p.t.Helper()
	shown := p.Text()
	for _, text := range texts {
		if !strings.Contains(shown, text) {
			p.t.Errorf("%s: does not show %q:\n%s", p.Path, text, shown)
		}
	}
	return p
}

// HasNot fails the test if the page shows one of the texts.
func (p *page) HasNot(texts ...string) *page {
	p.t.Helper()
	shown := p.Text()
	for _, text := range texts {
		if strings.Contains(shown, text) {
			p.t.Errorf("%s: shows %q", p.Path, text)
		}
	}
	return p
}

// Text returns what the page shows, and the names that a screen reader reads, with
// single spaces. Elements are parted by spaces.
func (p *page) Text() string {
	if p.doc == nil {
		return string(p.Body)
	}
	var out strings.Builder
	p.each(func(n *html.Node) {
		switch {
		case n.Type == html.TextNode && n.Parent != nil && !slices.Contains([]string{"script", "style", "noscript"}, n.Parent.Data):
			out.WriteString(n.Data + " ")
		case n.Type == html.ElementNode && attribute(n, "aria-label") != "":
			out.WriteString(attribute(n, "aria-label") + " ")
		}
	})
	return strings.Join(strings.Fields(out.String()), " ")
}

func (p *page) each(visit func(*html.Node)) {
	var walk func(*html.Node)
	walk = func(n *html.Node) {
		visit(n)
		for k := n.FirstChild; k != nil; k = k.NextSibling {
			walk(k)
		}
	}
	if p.doc != nil {
		walk(p.doc)
	}
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

// All returns the elements with the name whose attributes are as given, in order.
func (p *page) All(name string, pairs ...string) []*html.Node {
	var out []*html.Node
	p.each(func(n *html.Node) {
		if n.Type != html.ElementNode || n.Data != name {
			return
		}
		for i := 0; i+1 < len(pairs); i += 2 {
			if attribute(n, pairs[i]) != pairs[i+1] {
				return
			}
		}
		out = append(out, n)
	})
	return out
}

// Links returns the addresses that the page links to.
func (p *page) Links() []string {
	var out []string
	for _, a := range p.All("a") {
		out = append(out, attribute(a, "href"))
	}
	return out
}

// Link fails the test unless the page links to the address.
func (p *page) Link(address string) *page {
	p.t.Helper()
	if !slices.Contains(p.Links(), address) {
		p.t.Errorf("%s: has no link to %s", p.Path, address)
	}
	return p
}

// NoLink fails the test if the page links to, or sends a form to, the address.
func (p *page) NoLink(address string) *page {
	p.t.Helper()
	if slices.Contains(p.Links(), address) || len(p.All("form", "action", address)) > 0 {
		p.t.Errorf("%s: offers %s", p.Path, address)
	}
	return p
}

// FieldError returns the message under a field, "" when there is none.
func (p *page) FieldError(name string) string {
	for _, n := range p.All("p", "id", "f-"+name+"-error") {
		return strings.TrimSpace(nodeText(n))
	}
	return ""
}

func nodeText(n *html.Node) string {
	if n.Type == html.TextNode {
		return n.Data
	}
	var out strings.Builder
	for k := n.FirstChild; k != nil; k = k.NextSibling {
		out.WriteString(nodeText(k))
	}
	return out.String()
}

// Submit sends the page's form with the action, as a browser would: the values that
// it shows, changed by pairs. Of several forms it takes the first that has all the
// fields.
func (p *page) Submit(action string, pairs ...string) *page {
	p.t.Helper()
	sent := values(pairs)
	missing := "is not there"
	for _, form := range p.All("form", "method", "post") {
		if to, _, _ := strings.Cut(attribute(form, "action"), "?"); to != action {
			continue
		}
		shown, names := formValues(form)
		lacks := slices.DeleteFunc(slices.Collect(maps.Keys(sent)), func(name string) bool { return names[name] })
		if len(lacks) > 0 {
			missing = "has no " + strings.Join(lacks, ", ")
			continue
		}
		for name, list := range sent {
			if names["box:"+name] {
				list = slices.DeleteFunc(list, func(s string) bool { return s == "" })
			}
			shown[name] = list
		}
		return p.v.post(attribute(form, "action"), shown)
	}
	p.t.Fatalf("%s: the form to %s %s", p.Path, action, missing)
	return nil
}

// formValues reads what a form would send, and which names it has; "box:name" marks
// boxes and radio buttons.
func formValues(form *html.Node) (url.Values, map[string]bool) {
	out, names := url.Values{}, map[string]bool{}
	var walk func(*html.Node)
	walk = func(n *html.Node) {
		if n.Type == html.ElementNode {
			name := attribute(n, "name")
			switch {
			case name == "" || hasAttribute(n, "disabled"):
			case n.Data == "button":
				names[name] = true // sent only when it is the one pressed
			case n.Data == "textarea":
				names[name] = true
				out.Add(name, nodeText(n))
			case n.Data == "select":
				names[name] = true
				out.Add(name, selected(n))
			case n.Data == "input" && (attribute(n, "type") == "checkbox" || attribute(n, "type") == "radio"):
				names[name], names["box:"+name] = true, true
				if hasAttribute(n, "checked") {
					out.Add(name, attribute(n, "value"))
				}
			case n.Data == "input":
				names[name] = true
				out.Add(name, attribute(n, "value"))
			}
		}
		for k := n.FirstChild; k != nil; k = k.NextSibling {
			walk(k)
		}
	}
	walk(form)
	return out, names
}

func hasAttribute(n *html.Node, name string) bool {
	return slices.ContainsFunc(n.Attr, func(a html.Attribute) bool { return a.Key == name })
}

func selected(n *html.Node) string {
	first, found := "", false
	for o := n.FirstChild; o != nil; o = o.NextSibling {
		if o.Type != html.ElementNode || o.Data != "option" {
			continue
		}
		if hasAttribute(o, "selected") {
			return attribute(o, "value")
		}
		if !found {
			first, found = attribute(o, "value"), true
		}
	}
	return first
}
