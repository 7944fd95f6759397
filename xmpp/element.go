// Package xmpp is what a push service (XEP-0357) needs of XMPP: small trees of XML, and
// a component (XEP-0114) that keeps its connection to a server. What is published is
// handed to a function.
package xmpp

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of one stanza.
const (
	MaxBytes    = 256 << 10
	maxDepth    = 32
	maxElements = 4096
	maxSpace    = 256 // bytes of a namespace, which each element may have to name when it is written
)

// Namespaces that more than one file needs.
const (
	nsComponent = "jabber:component:accept"
	nsStream    = "http://etherx.jabber.org/streams"
	nsStanzas   = "urn:ietf:params:xml:ns:xmpp-stanzas"
	// NSPubSub is the namespace of what is published, NSPush that of push services.
	NSPubSub = "http://jabber.org/protocol/pubsub"
	NSPush   = "urn:xmpp:push:0"
	nsXML    = "http://www.w3.org/XML/1998/namespace"
)

// ErrTooLarge means an element that is larger or deeper than is read. The stream that it
// came on is still good.
var ErrTooLarge = errors.New("xmpp: element too large")

// errNotXML is text that is not one element.
var errNotXML = errors.New("xmpp: not one XML element")

// Element is one XML element with what it holds. Text between its children is kept
// as one piece.
type Element struct {
	Name     xml.Name
	Attr     []xml.Attr // without declarations of namespaces
	Children []*Element
	Text     string
}

// New makes an element.
func New(space, local string, children ...*Element) *Element {
	return &Element{Name: xml.Name{Space: space, Local: local}, Children: children}
}

// Set sets an attribute without a namespace, "" removes it, and returns e.
func (e *Element) Set(name, value string) *Element {
	for i, a := range e.Attr {
		if a.Name.Space == "" && a.Name.Local == name {
			e.Attr = append(e.Attr[:i:i], e.Attr[i+1:]...)
			break
		}
	}
	if value != "" {
		e.Attr = append(e.Attr, xml.Attr{Name: xml.Name{Local: name}, Value: value})
	}
	return e
}

// Get returns an attribute without a namespace, "" when there is none.
func (e *Element) Get(name string) string {
	if e == nil {
		return ""
	}
	for _, a := range e.Attr {
		if a.Name.Space == "" && a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

// Child returns the first child of that name, nil when there is none. It may be
// called on nil, so that calls can be chained.
func (e *Element) Child(space, local string) *Element {
	if e == nil {
		return nil
	}
	for _, c := range e.Children {
		if c.Name.Space == space && c.Name.Local == local {
			return c
		}
	}
	return nil
}

// Is reports whether e has that name; false for nil.
func (e *Element) Is(space, local string) bool {
	return e != nil && e.Name.Space == space && e.Name.Local == local
}

// Parse reads text that is one element.
func Parse(text []byte) (*Element, error) {
	if len(text) > MaxBytes {
		return nil, ErrTooLarge
	}
	d := xml.NewDecoder(bytes.NewReader(text))
	var root *Element
	for {
		t, err := d.Token()
		if errors.Is(err, io.EOF) && root != nil {
			return root, nil
		}
		if err != nil {
			return nil, errNotXML // the decoder's own words may quote the text
		}
		switch t := t.(type) {
		case xml.StartElement:
			if root != nil {
				return nil, errNotXML
			}
			if root, err = build(d, t); errors.Is(err, ErrTooLarge) {
				return nil, ErrTooLarge
			} else if err != nil {
				return nil, errNotXML
			}
		case xml.CharData:
			if len(bytes.TrimSpace(t)) > 0 {
				return nil, errNotXML
			}
		case xml.Directive: // a document type, which XMPP forbids
			return nil, errNotXML
		}
	}
}

// build reads an element whose start was read. After ErrTooLarge the decoder stands
// behind it all the same.
func build(d *xml.Decoder, start xml.StartElement) (*Element, error) {
	if !wellNamed(start) {
		return nil, errNotXML
	}
	root := fromStart(start)
	open, texts := []*Element{root}, [][]byte{nil} // from the root to where we are
	depth, elements := 1, 1
	from := d.InputOffset()
	over := len(start.Name.Space) > maxSpace
	for depth > 0 {
		t, err := d.Token()
		if err != nil {
			return nil, err
		}
		over = over || elements > maxElements || depth > maxDepth || d.InputOffset()-from > MaxBytes
		switch t := t.(type) {
		case xml.StartElement:
			if !wellNamed(t) {
				return nil, errNotXML
			}
			depth++
			elements++
			over = over || len(t.Name.Space) > maxSpace
			if over {
				continue
			}
			e := fromStart(t)
			parent := open[len(open)-1]
			parent.Children = append(parent.Children, e)
			open, texts = append(open, e), append(texts, nil)
		case xml.EndElement:
			depth--
			if last := len(open) - 1; !over {
				open[last].Text = string(texts[last])
				open, texts = open[:last], texts[:last]
			}
		case xml.CharData:
			if last := len(open) - 1; !over {
				texts[last] = append(texts[last], t...)
			}
		case xml.Directive:
			return nil, errNotXML
		}
	}
	if over {
		return root, ErrTooLarge
	}
	return root, nil
}

// wellNamed reports whether names can stand without their prefixes. The decoder takes
// <a:0/>, which is no XML with namespaces.
func wellNamed(t xml.StartElement) bool {
	ok := func(name string) bool {
		first, _ := utf8.DecodeRuneInString(name)
		return name != "" && !strings.ContainsRune(name, ':') && (first == '_' || unicode.IsLetter(first))
	}
	for _, a := range t.Attr {
		if !ok(a.Name.Local) {
			return false
		}
	}
	return ok(t.Name.Local)
}

func fromStart(t xml.StartElement) *Element {
	e := &Element{Name: t.Name}
	for _, a := range t.Attr {
		if a.Name.Space != "xmlns" && !(a.Name.Space == "" && a.Name.Local == "xmlns") {
			e.Attr = append(e.Attr, a)
		}
	}
	return e
}

// String writes the element as XML that stands for itself, whatever it stands in.
func (e *Element) String() string {
	var b strings.Builder
	e.write(&b, "\x00") // no namespace is that one, so the root declares its own
	return b.String()
}

// write writes e inside an element of the given namespace.
func (e *Element) write(b *strings.Builder, within string) {
	b.WriteByte('<')
	b.WriteString(e.Name.Local)
	if e.Name.Space != within {
		writeAttr(b, "xmlns", e.Name.Space)
	}
	for _, a := range e.Attr {
		switch a.Name.Space {
		case "":
			writeAttr(b, a.Name.Local, a.Value)
		case nsXML:
			writeAttr(b, "xml:"+a.Name.Local, a.Value)
		}
		// An attribute of another namespace would need a prefix; XMPP has none.
	}
	if e.Text == "" && len(e.Children) == 0 {
		b.WriteString("/>")
		return
	}
	b.WriteByte('>')
	escape(b, e.Text)
	for _, c := range e.Children {
		c.write(b, e.Name.Space)
	}
	b.WriteString("</")
	b.WriteString(e.Name.Local)
	b.WriteByte('>')
}

func writeAttr(b *strings.Builder, name, value string) {
	b.WriteByte(' ')
	b.WriteString(name)
	b.WriteString(`="`)
	escape(b, value)
	b.WriteByte('"')
}

func escape(b *strings.Builder, text string) {
	_ = xml.EscapeText(b, []byte(text)) // a strings.Builder takes everything
}
