package xmpp

import (
	"encoding/xml"
	"strings"
)

// Types of a stanza's error. A server that pushes goes on after Wait and counts
// anything else against the device.
const (
	Cancel = "cancel"
	Wait   = "wait"
	Modify = "modify"
)

// Error is why an IQ is not answered with a result. Condition is one of RFC 6120
// 8.3.3, Text a few words for the log of the other side.
type Error struct {
	Type, Condition, Text string
}

func (e *Error) Error() string { return "xmpp: " + e.Type + " " + e.Condition }

// element is the error as it stands in a stanza of a namespace.
func (e *Error) element(space string) *Element {
	out := New(space, "error", New(nsStanzas, e.Condition)).Set("type", e.Type)
	if e.Text != "" {
		text := New(nsStanzas, "text")
		text.Text = e.Text
		text.Attr = append(text.Attr, xml.Attr{Name: xml.Name{Space: nsXML, Local: "lang"}, Value: "en"})
		out.Children = append(out.Children, text)
	}
	return out
}

// Reply is the answer to an IQ: its error, or without one a result with children.
func Reply(iq *Element, err *Error, children ...*Element) *Element {
	out := New(iq.Name.Space, "iq").Set("type", "result").Set("id", iq.Get("id")).Set("from", iq.Get("to")).Set("to", iq.Get("from"))
	if err != nil {
		out.Set("type", "error")
		children = []*Element{err.element(iq.Name.Space)}
	}
	out.Children = children
	return out
}

// ErrorOf reads what a Reply says: nil for a result, and false for what is no answer.
func ErrorOf(iq *Element) (*Error, bool) {
	if iq == nil || iq.Name.Local != "iq" {
		return nil, false
	}
	switch iq.Get("type") {
	case "result":
		return nil, true
	case "error":
	default:
		return nil, false
	}
	at := iq.Child(iq.Name.Space, "error")
	out := &Error{Type: at.Get("type")}
	if at == nil || out.Type == "" {
		return nil, false
	}
	for _, c := range at.Children {
		switch {
		case c.Name.Space != nsStanzas:
		case c.Name.Local == "text":
			out.Text = c.Text
		case out.Condition == "":
			out.Condition = c.Name.Local
		}
	}
	return out, out.Condition != ""
}

// Form reads a data form (XEP-0004): the first value of each field, by its name.
func Form(x *Element) map[string]string {
	out := map[string]string{}
	if x == nil {
		return out
	}
	for _, f := range x.Children {
		name := f.Get("var")
		if f.Name.Local != "field" || name == "" {
			continue
		}
		if _, twice := out[name]; twice {
			continue
		}
		value := ""
		if v := f.Child(f.Name.Space, "value"); v != nil {
			value = v.Text
		}
		out[name] = value
	}
	return out
}

// Domain returns the domain of an address: node@domain/resource.
func Domain(address string) string {
	bare, _, _ := strings.Cut(address, "/")
	if _, domain, ok := strings.Cut(bare, "@"); ok {
		return domain
	}
	return bare
}

// Bare returns an address without its resource.
func Bare(address string) string {
	bare, _, _ := strings.Cut(address, "/")
	return bare
}
