// Package htmlcheck finds faults in a rendered page that break it for the browser's
// policy, for a keyboard or for a screen reader. Tests run it over every page.
package htmlcheck

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/net/html"
)

// Page returns the faults of a whole page, as sentences; none means that it is fine.
func Page(body []byte) []string {
	faults := balance(body)
	root, err := html.Parse(bytes.NewReader(body))
	if err != nil {
		return append(faults, "does not parse: "+err.Error())
	}
	p := &page{ids: map[string]int{}, labels: map[string]bool{}}
	p.collect(root)
	p.check(root)
	if !bytes.HasPrefix(bytes.ToLower(bytes.TrimSpace(body)), []byte("<!doctype html>")) {
		p.fault("no doctype")
	}
	for name, n := range map[string]int{"h1": p.h1, "main": p.main, "title": p.title} {
		if n != 1 {
			p.fault("%d %s elements, want 1", n, name)
		}
	}
	if !p.lang {
		p.fault("html has no lang")
	}
	for id, n := range p.ids {
		if n > 1 {
			p.fault("id %q stands %d times", id, n)
		}
	}
	return append(faults, p.faults...)
}

type page struct {
	faults          []string
	ids             map[string]int
	labels          map[string]bool // ids that a label is for
	h1, main, title int
	lang            bool
	heading         int // level of the last heading
}

func (p *page) fault(format string, args ...any) {
	p.faults = append(p.faults, fmt.Sprintf(format, args...))
}

func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func has(n *html.Node, name string) bool {
	return slices.ContainsFunc(n.Attr, func(a html.Attribute) bool { return a.Key == name })
}

// text returns what a screen reader would read of n.
func text(n *html.Node) string {
	if n.Type == html.TextNode {
		return n.Data
	}
	if attr(n, "aria-hidden") == "true" {
		return ""
	}
	out := attr(n, "aria-label")
	if n.Data == "img" {
		out += attr(n, "alt")
	}
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		out += text(c)
	}
	return strings.TrimSpace(out)
}

func (p *page) collect(n *html.Node) {
	if n.Type == html.ElementNode {
		if id := attr(n, "id"); id != "" {
			p.ids[id]++
		}
		switch n.Data {
		case "label":
			p.labels[attr(n, "for")] = true
		case "h1":
			p.h1++
		case "main":
			p.main++
		case "title":
			// An svg may have a title of its own.
			if n.Namespace == "" && text(n) != "" {
				p.title++
			}
		case "html":
			p.lang = attr(n, "lang") != ""
		}
	}
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		p.collect(c)
	}
}

func (p *page) check(n *html.Node) {
	if n.Type == html.ElementNode {
		p.element(n)
	}
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		p.check(c)
	}
}

func (p *page) element(n *html.Node) {
	for _, a := range n.Attr {
		switch {
		case a.Key == "style", strings.HasPrefix(a.Key, "on"):
			p.fault("<%s> has an inline %s, which the policy refuses", n.Data, a.Key)
		case a.Key == "for" && p.ids[a.Val] == 0:
			p.fault("label for %q, which is not there", a.Val)
		case a.Key == "aria-describedby", a.Key == "aria-labelledby", a.Key == "aria-controls":
			for _, id := range strings.Fields(a.Val) {
				if p.ids[id] == 0 {
					p.fault("<%s> %s names %q, which is not there", n.Data, a.Key, id)
				}
			}
		case (a.Key == "href" || a.Key == "action") && strings.HasPrefix(a.Val, "about:invalid"):
			p.fault("<%s> has an unsafe %s", n.Data, a.Key)
		}
	}
	switch n.Data {
	case "style":
		p.fault("inline style element")
	case "script":
		if !has(n, "src") && attr(n, "type") != "application/json" {
			p.fault("inline script element")
		}
	case "input", "select", "textarea":
		p.control(n)
	case "a", "button", "summary":
		if text(n) == "" && attr(n, "title") == "" {
			p.fault("<%s> has no name: %v", n.Data, n.Attr)
		}
	case "img":
		if !has(n, "alt") {
			p.fault("img without alt: %v", n.Attr)
		}
	case "form":
		if m := attr(n, "method"); m != "" && m != "get" && m != "post" {
			p.fault("form with method %q", m)
		}
	case "th":
		if !has(n, "scope") {
			p.fault("th without scope")
		}
	case "h1", "h2", "h3", "h4", "h5", "h6":
		p.head(n)
	}
}

func (p *page) head(n *html.Node) {
	level := int(n.Data[1] - '0')
	if p.heading > 0 && level > p.heading+1 {
		p.fault("heading %s %q follows an h%d", n.Data, text(n), p.heading)
	}
	p.heading = level
	if text(n) == "" {
		p.fault("empty %s", n.Data)
	}
}

func (p *page) control(n *html.Node) {
	switch attr(n, "type") {
	case "hidden", "submit", "button":
		return
	}
	if attr(n, "aria-label") != "" || attr(n, "aria-labelledby") != "" || p.labels[attr(n, "id")] && attr(n, "id") != "" {
		return
	}
	for up := n.Parent; up != nil; up = up.Parent {
		if up.Data == "label" && text(up) != "" {
			return
		}
	}
	p.fault("<%s name=%q> has no label", n.Data, attr(n, "name"))
}

// balance finds elements that are not closed where they were opened, which a
// browser repairs without a word, often in another place than meant.
func balance(body []byte) []string {
	var faults, open []string
	z := html.NewTokenizer(bytes.NewReader(body))
	for {
		switch z.Next() {
		case html.ErrorToken:
			if len(open) > 0 {
				faults = append(faults, fmt.Sprintf("not closed: %v", open))
			}
			return faults
		case html.StartTagToken:
			name, _ := z.TagName()
			if !void(string(name)) {
				open = append(open, string(name))
			}
		case html.EndTagToken:
			name, _ := z.TagName()
			if len(open) == 0 || open[len(open)-1] != string(name) {
				return append(faults, fmt.Sprintf("</%s> closes %v", name, open))
			}
			open = open[:len(open)-1]
		}
	}
}

func void(name string) bool {
	return slices.Contains([]string{"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}, name)
}

// Chinese returns the Chinese text that an English page shows, apart from what is
// marked with a Chinese lang. Walk a site with data in Latin letters, and anything
// found is text that was not translated.
func Chinese(body []byte) []string {
	root, err := html.Parse(bytes.NewReader(body))
	if err != nil {
		return []string{"does not parse: " + err.Error()}
	}
	var out []string
	var walk func(n *html.Node)
	walk = func(n *html.Node) {
		if n.Type == html.ElementNode && strings.HasPrefix(attr(n, "lang"), "zh") {
			return
		}
		if n.Type == html.TextNode && hasHan(n.Data) {
			out = append(out, strings.TrimSpace(n.Data))
		}
		for _, a := range n.Attr {
			if hasHan(a.Val) {
				out = append(out, a.Key+"="+a.Val)
			}
		}
		for c := n.FirstChild; c != nil; c = c.NextSibling {
			walk(c)
		}
	}
	walk(root)
	return out
}

func hasHan(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return unicode.Is(unicode.Han, r) })
}
