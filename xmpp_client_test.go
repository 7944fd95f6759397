package main

import (
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// xmppClient is as much of an XMPP client as it takes to enable push and to chat.
type xmppClient struct {
	t    *testing.T
	conn net.Conn
	d    *xml.Decoder
	ids  int
}

// clientStanza is whatever a server says.
type clientStanza struct {
	XMLName xml.Name
	Type    string `xml:"type,attr"`
	ID      string `xml:"id,attr"`
	Inner   string `xml:",innerxml"`
}

// dialXMPP opens a stream to localhost without signing in.
func dialXMPP(t *testing.T, address string) *xmppClient {
	t.Helper()
	conn, err := (&net.Dialer{Timeout: 10 * time.Second}).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	c := &xmppClient{t: t, conn: conn}
	c.open()
	return c
}

// signUp makes a user (XEP-0077).
func signUp(t *testing.T, address, name string) {
	t.Helper()
	c := dialXMPP(t, address)
	c.ask("set", "", "<query xmlns='jabber:iq:register'><username>"+name+"</username><password>secret</password></query>")
	c.leave()
}

// signIn is a user with one session who is available.
func signIn(t *testing.T, address, name string) *xmppClient {
	t.Helper()
	c := dialXMPP(t, address)
	c.send("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>" + base64.StdEncoding.EncodeToString([]byte("\x00"+name+"\x00secret")) + "</auth>")
	if got := c.next(); got.XMLName.Local != "success" {
		t.Fatalf("signing in: %s %s", got.XMLName.Local, got.Inner)
	}
	c.open()
	c.ask("set", "", "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>dev1</resource></bind>")
	c.send("<presence/>")
	return c
}

// open starts a stream and passes over its features.
func (c *xmppClient) open() {
	c.t.Helper()
	c.d = xml.NewDecoder(c.conn)
	c.send("<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='localhost' version='1.0'>")
	for {
		t, err := c.d.Token()
		if err != nil {
			c.t.Fatal(err)
		}
		if start, ok := t.(xml.StartElement); ok && start.Name.Local == "stream" {
			break
		}
	}
	if got := c.next(); got.XMLName.Local != "features" {
		c.t.Fatalf("no features but %s %s", got.XMLName.Local, got.Inner)
	}
}

func (c *xmppClient) send(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c.conn, text); err != nil {
		c.t.Fatal(err)
	}
}

// next returns the next stanza.
func (c *xmppClient) next() clientStanza {
	c.t.Helper()
	for {
		t, err := c.d.Token()
		if err != nil {
			c.t.Fatal(err)
		}
		start, ok := t.(xml.StartElement)
		if !ok {
			continue
		}
		var s clientStanza
		if err := c.d.DecodeElement(&s, &start); err != nil {
			c.t.Fatal(err)
		}
		return s
	}
}

// ask sends an IQ and returns what a result holds.
func (c *xmppClient) ask(kind, to, what string) string {
	c.t.Helper()
	c.ids++
	id := fmt.Sprintf("q%d", c.ids)
	if to != "" {
		to = " to='" + to + "'"
	}
	c.send("<iq type='" + kind + "' id='" + id + "'" + to + ">" + what + "</iq>")
	for {
		s := c.next()
		if s.XMLName.Local != "iq" || s.ID != id {
			continue
		}
		if s.Type != "result" {
			c.t.Fatalf("%.60s: %s %s", what, s.Type, s.Inner)
		}
		return s.Inner
	}
}

// enable makes the server push to a node of the push service.
func (c *xmppClient) enable(service, node, secret string) {
	c.t.Helper()
	c.ask("set", "", "<enable xmlns='urn:xmpp:push:0' jid='"+service+"' node='"+node+"'><x xmlns='jabber:x:data' type='submit'>"+
		"<field var='FORM_TYPE'><value>http://jabber.org/protocol/pubsub#publish-options</value></field>"+
		"<field var='secret'><value>"+secret+"</value></field></x></enable>")
}

// write sends somebody a message, and returns when the server has it.
func (c *xmppClient) write(to, text string) {
	c.t.Helper()
	c.ids++
	c.send(fmt.Sprintf("<message type='chat' to='%s' id='m%d'><body>%s</body></message>", to, c.ids, text))
	c.ask("get", "localhost", "<ping xmlns='urn:xmpp:ping'/>")
}

// leave closes the stream and waits until the server has closed it, too.
func (c *xmppClient) leave() {
	c.t.Helper()
	c.send("</stream:stream>")
	rest, err := io.ReadAll(c.conn)
	if err != nil && !strings.Contains(string(rest), "</stream:stream>") {
		c.t.Logf("leaving: %v", err)
	}
}
