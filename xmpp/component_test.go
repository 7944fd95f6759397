package xmpp

import (
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

const testSecret = "secret-of-the-component"

// scripted is an XMPP server that does what a test says.
type scripted struct {
	t      *testing.T
	ln     net.Listener
	states chan State
	log    lockedBuffer
	c      *Component
}

// peer is one connection of the component, seen from the server.
type peer struct {
	t    *testing.T
	conn net.Conn
	d    *xml.Decoder
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// quick are waits that a test can wait for.
func quick() Times {
	return Times{
		Connect: 5 * time.Second, Ping: time.Hour, Silence: time.Hour, Write: 5 * time.Second,
		First: time.Millisecond, Longest: 4 * time.Millisecond, Conflict: 2 * time.Millisecond, Close: 5 * time.Second,
	}
}

func newScripted(t *testing.T, times Times, publish func(context.Context, string, *Element) *Error) *scripted {
	t.Helper()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &scripted{t: t, ln: ln, states: make(chan State, 1000)}
	s.c = Start(Config{
		Addr: ln.Addr().String(), Domain: "push.localhost", Secret: testSecret, Name: "Test", Times: times, Publish: publish,
		Changed: func(st State) { s.states <- st }, Log: slog.New(slog.NewTextHandler(&s.log, nil)),
	})
	t.Cleanup(func() {
		_ = ln.Close()
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // connections that the test left open are cut
		_ = s.c.Stop(ctx)
		if strings.Contains(s.log.String(), testSecret) {
			t.Error("the log holds the secret")
		}
	})
	return s
}

// accept takes the next connection.
func (s *scripted) accept() *peer {
	s.t.Helper()
	conn, err := s.ln.Accept()
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		s.t.Fatal(err)
	}
	return &peer{t: s.t, conn: conn, d: xml.NewDecoder(conn)}
}

// take accepts the next connection and its handshake.
func (s *scripted) take() *peer {
	s.t.Helper()
	p := s.accept()
	p.header()
	p.proof()
	p.say("<handshake/>")
	s.enters(Connected, "")
	return p
}

// header reads the component's start of the stream and answers it.
func (p *peer) header() {
	p.t.Helper()
	for {
		tok, err := p.d.Token()
		if err != nil {
			p.t.Fatal(err)
		}
		if start, ok := tok.(xml.StartElement); ok {
			if start.Name != (xml.Name{Space: nsStream, Local: "stream"}) || fromStart(start).Get("to") != "push.localhost" {
				p.t.Fatalf("stream header %v", start)
			}
			break
		}
	}
	p.say("<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' from='push.localhost' id='s-1'>")
}

// proof reads the handshake.
func (p *peer) proof() {
	p.t.Helper()
	sum := sha1.Sum([]byte("s-1" + testSecret))
	if e := p.next(); e.Name.Local != "handshake" || e.Text != hex.EncodeToString(sum[:]) {
		p.t.Fatalf("handshake %s", e)
	}
}

func (p *peer) say(text string) {
	p.t.Helper()
	if _, err := io.WriteString(p.conn, text); err != nil {
		p.t.Fatal(err)
	}
}

// next reads a stanza; nil is the end of the stream.
func (p *peer) next() *Element {
	p.t.Helper()
	for {
		tok, err := p.d.Token()
		if err != nil {
			p.t.Fatal(err)
		}
		switch tok := tok.(type) {
		case xml.EndElement:
			return nil
		case xml.StartElement:
			e, err := build(p.d, tok)
			if err != nil {
				p.t.Fatal(err)
			}
			return e
		}
	}
}

// ask sends an IQ and returns the answer.
func (p *peer) ask(kind, what string) *Element {
	p.t.Helper()
	p.say("<iq type='" + kind + "' id='i1' from='localhost' to='push.localhost'>" + what + "</iq>")
	e := p.next()
	if e.Get("id") != "i1" || e.Get("to") != "localhost" || e.Get("from") != "push.localhost" {
		p.t.Errorf("%.80s answered by %s", what, e)
	}
	return e
}

// enters waits for a state, passing over "connecting" ones.
func (s *scripted) enters(phase Phase, fault string) {
	s.t.Helper()
	select {
	case st := <-s.states:
		if st.Phase != phase || st.Fault != fault {
			s.t.Fatalf("is %s (%s), want %s (%s)", st.Phase, st.Fault, phase, fault)
		}
	case <-time.After(30 * time.Second):
		s.t.Fatalf("does not become %s; log: %s", phase, s.log.String())
	}
}

func publishing(node, text string) string {
	return "<pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='" + node + "'><item>" + text + "</item></publish></pubsub>"
}

func nobody(context.Context, string, *Element) *Error { return nil }

func TestAnswers(t *testing.T) {
	t.Parallel()
	var from string
	s := newScripted(t, quick(), func(_ context.Context, peer string, iq *Element) *Error {
		from = peer
		switch iq.Child(NSPubSub, "pubsub").Child(NSPubSub, "publish").Get("node") {
		case "dead":
			return &Error{Cancel, "item-not-found", "dead_device"}
		case "panic":
			panic("text of bob")
		}
		return nil
	})
	p := s.take()
	for _, c := range []struct{ kind, what, want string }{
		{"set", publishing("alive", "x"), ""},
		{"set", publishing("dead", "x"), "cancel item-not-found"},
		{"set", publishing("panic", "x"), "wait internal-server-error"},
		{"get", "<ping xmlns='urn:xmpp:ping'/>", ""},
		{"get", "<query xmlns='http://jabber.org/protocol/disco#items'/>", ""},
		{"get", "<query xmlns='http://jabber.org/protocol/disco#info' node='x'/>", "cancel item-not-found"},
		{"get", "<query xmlns='jabber:iq:version'/>", "cancel service-unavailable"},
		{"set", "<ping xmlns='urn:xmpp:ping'/>", "cancel service-unavailable"},
		{"get", publishing("alive", "x"), "cancel feature-not-implemented"},
		{"set", "<pubsub xmlns='http://jabber.org/protocol/pubsub'><subscribe/></pubsub>", "cancel feature-not-implemented"},
		{"set", "", "modify bad-request"},
		{"set", "<a xmlns='x'/><b xmlns='x'/>", "modify bad-request"},
		{"set", publishing("alive", strings.Repeat("x", MaxBytes)), "modify policy-violation"},
		{"set", publishing("alive", strings.Repeat("<a>", 200)+strings.Repeat("</a>", 200)), "modify policy-violation"},
		{"set", publishing("alive", strings.Repeat("<a/>", maxElements)), "modify policy-violation"},
	} {
		got, ok := ErrorOf(p.ask(c.kind, c.what))
		said := ""
		if got != nil {
			said = got.Type + " " + got.Condition
		}
		if !ok || said != c.want {
			t.Errorf("%.80s answered with %q, want %q", c.what, said, c.want)
		}
	}
	if from == "" || from != p.conn.LocalAddr().String() && from != s.ln.Addr().String() {
		t.Errorf("published by %q", from)
	}
	info := p.ask("get", "<query xmlns='http://jabber.org/protocol/disco#info'/>").Child(nsInfo, "query")
	if id := info.Child(nsInfo, "identity"); id.Get("category") != "pubsub" || id.Get("type") != "push" || !strings.Contains(info.String(), NSPush) {
		t.Errorf("the component says it is %s", info)
	}
	// None of these is answered: the next answer is the ping's.
	p.say("<message from='a@b' to='push.localhost'><body>hi</body></message><presence from='a@b' type='subscribe'/> \n" +
		"<iq type='result' id='x'/><iq type='error' id='y'><error type='cancel'/></iq><iq id='z'/><strange xmlns='y'/>")
	p.ask("get", "<ping xmlns='urn:xmpp:ping'/>")
	if strings.Contains(s.log.String(), "text of bob") {
		t.Error("the log holds what a panic said")
	}
}

// What goes wrong at the start has a name each, and is tried again until it works.
func TestRefused(t *testing.T) {
	t.Parallel()
	s := newScripted(t, quick(), nobody)
	fails := func(condition, fault string) {
		t.Helper()
		p := s.accept()
		p.header()
		p.proof()
		p.say("<stream:error><" + condition + " xmlns='urn:ietf:params:xml:ns:xmpp-streams'/><text xmlns='urn:ietf:params:xml:ns:xmpp-streams'>no</text></stream:error></stream:stream>")
		phase := Disconnected
		if fault == FaultConflict {
			phase = Standby
		}
		s.enters(phase, fault)
	}
	fails("not-authorized", FaultSecret)
	fails("host-unknown", FaultDomain)
	fails("conflict", FaultConflict)
	fails("reset", FaultClosed)
	fails("something-new", FaultStreamError)
	fails("host-unknown", FaultDomain)
	for text, fault := range map[string]string{
		"HTTP/1.1 400 Bad Request\r\n\r\n": FaultClosed, "<html></html>": FaultNoStream, "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>": FaultNoStream,
		"\xff\xfe<a>": FaultStreamError, "<a b=>": FaultStreamError, strings.Repeat("x", maxAtOnce+1): FaultStreamError, "": FaultClosed,
	} {
		go func() { // it may be cut off before all is read
			p := s.accept()
			_, _ = io.WriteString(p.conn, text)
			_ = p.conn.(*net.TCPConn).CloseWrite()
		}()
		s.enters(Disconnected, fault)
		fails("host-unknown", FaultDomain) // so that the next fault is another state
	}
}

// Of two components with one domain the second waits until the first is gone.
func TestConflictIsWaitedOut(t *testing.T) {
	t.Parallel()
	s := newScripted(t, quick(), nobody)
	for range 20 {
		p := s.accept()
		p.header()
		p.proof()
		p.say("<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>")
	}
	s.enters(Standby, FaultConflict) // said once
	s.take()
	if n := strings.Count(s.log.String(), "is not connected"); n != 1 {
		t.Errorf("the log speaks of it %d times", n)
	}
}

// A connection that ends, wherever, is made anew.
func TestReconnects(t *testing.T) {
	t.Parallel()
	s := newScripted(t, quick(), nobody)
	for text, fault := range map[string]string{
		"": FaultClosed, "</stream:stream>": FaultClosed, "<iq type='set' id='1'><pub": FaultClosed,
		"<iq type='set' id='1'><pubsub xmlns='x'>half": FaultClosed, "<iq></message>": FaultStreamError, "<iq>\x01</iq>": FaultStreamError,
		"<iq>" + strings.Repeat("x", maxAtOnce+1): FaultStreamError, "<!DOCTYPE a>": FaultClosed, "<iq>&unknown;</iq>": FaultStreamError,
		"<stream:error><system-shutdown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>": FaultClosed,
		"<stream:error/>": FaultStreamError,
	} {
		p := s.take()
		go func() { // it may be cut off before all is written
			_, _ = io.WriteString(p.conn, text)
			_ = p.conn.(*net.TCPConn).CloseWrite()
		}()
		s.enters(Disconnected, fault)
	}
	p := s.take()
	p.ask("get", "<ping xmlns='urn:xmpp:ping'/>")
}

// A server that says nothing, before or after the handshake, is given up.
func TestSilence(t *testing.T) {
	t.Parallel()
	times := quick()
	times.Connect, times.Silence, times.Ping = 50*time.Millisecond, 50*time.Millisecond, 10*time.Millisecond
	s := newScripted(t, times, nobody)
	s.accept() // and not a word
	s.enters(Disconnected, FaultSilent)
	times = quick()
	times.Ping, times.Silence = 50*time.Millisecond, 2*time.Second
	s = newScripted(t, times, nobody)
	p := s.take()
	for n := 1; n <= 80; n++ { // twice as long as silence may last
		e := p.next()
		if e.Child(nsPing, "ping") == nil || e.Get("to") != "push.localhost" || e.Get("from") != "push.localhost" || e.Get("id") != fmt.Sprintf("alive-%d", n) {
			t.Fatalf("not a ping to itself: %s", e)
		}
		p.say(e.String()) // as the server routes it
	}
	s.enters(Disconnected, FaultSilent)
	s.take()
}

// Of one node one after the other and in order; of several at once.
func TestOrder(t *testing.T) {
	t.Parallel()
	const nodes, each = 16, 20
	var mu sync.Mutex
	got := map[string][]string{}
	gate := make(chan struct{})
	entered := make(chan string, nodes*each)
	s := newScripted(t, quick(), func(_ context.Context, _ string, iq *Element) *Error {
		publish := iq.Child(NSPubSub, "pubsub").Child(NSPubSub, "publish")
		entered <- publish.Get("node")
		<-gate
		mu.Lock()
		defer mu.Unlock()
		got[publish.Get("node")] = append(got[publish.Get("node")], iq.Get("id"))
		return nil
	})
	p := s.take()
	go func() {
		for n := range each {
			for node := range nodes {
				_, _ = fmt.Fprintf(p.conn, "<iq type='set' id='%d' from='localhost' to='push.localhost'>%s</iq>", n, publishing(fmt.Sprint("node", node), "x"))
			}
		}
	}()
	first, second := <-entered, <-entered // both at once, though nothing is answered
	if first == second {
		t.Errorf("%s twice at once", first)
	}
	close(gate)
	for range nodes * each {
		if err, ok := ErrorOf(p.next()); err != nil || !ok {
			t.Fatal(err)
		}
	}
	for node, ids := range got {
		for n, id := range ids {
			if id != fmt.Sprint(n) {
				t.Fatalf("%s: %v", node, ids)
			}
		}
	}
}

// Whatever is being published when the component stops gets its answer, and then the
// stream is closed as it should be.
func TestStopAnswers(t *testing.T) {
	t.Parallel()
	gate, entered := make(chan struct{}), make(chan struct{})
	s := newScripted(t, quick(), func(context.Context, string, *Element) *Error {
		close(entered)
		<-gate
		return nil
	})
	p := s.take()
	p.say("<iq type='set' id='i1' from='localhost' to='push.localhost'>" + publishing("n", "x") + "</iq>")
	<-entered
	stopped := make(chan error, 1)
	go func() { stopped <- s.c.Stop(context.Background()) }()
	close(gate)
	if e := p.next(); e.Get("type") != "result" || e.Get("id") != "i1" {
		t.Errorf("answered by %s", e)
	}
	if e := p.next(); e != nil {
		t.Errorf("%s and not the end of the stream", e)
	}
	p.say("</stream:stream>")
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if s.c.State().Phase != Stopped {
		t.Errorf("is %s", s.c.State().Phase)
	}
	// While it connects, and while it waits to, it stops too.
	for _, answer := range []bool{true, false} {
		s := newScripted(t, Times{First: time.Hour, Longest: time.Hour}, nobody)
		p := s.accept()
		if answer {
			p.say("<html>")
			s.enters(Disconnected, FaultNoStream)
		}
		if err := s.c.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	}
}

// Two processes whose server came back do not knock in step, and never too often.
func TestWaits(t *testing.T) {
	t.Parallel()
	times := Times{}.orDefaults()
	seen := map[time.Duration]bool{}
	for n, most := range map[int]time.Duration{0: time.Second, 1: 2 * time.Second, 5: 32 * time.Second, 6: time.Minute, 1000: time.Minute} {
		for range 50 {
			d := times.wait(n, nil)
			if d < most/2 || d > most {
				t.Fatalf("waits %s after %d failures", d, n)
			}
			seen[d] = true
		}
	}
	if len(seen) < 100 {
		t.Error("the waits are alike")
	}
	if d := times.wait(1000, &ConnectError{FaultConflict, io.EOF}); d > times.Conflict {
		t.Errorf("waits %s for the domain", d)
	}
}

// Probe says whether the server knows the domain, without taking it.
func TestProbe(t *testing.T) {
	t.Parallel()
	for condition, want := range map[string]string{"not-authorized": "", "host-unknown": FaultDomain, "conflict": FaultConflict, "": FaultClosed} {
		ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		s := &scripted{t: t, ln: ln}
		got := make(chan error, 1)
		go func() { got <- Probe(t.Context(), ln.Addr().String(), "push.localhost") }()
		p := s.accept()
		p.header()
		if e := p.next(); e.Name.Local != "handshake" || e.Text != "" {
			t.Errorf("probes with %s", e)
		}
		if condition != "" {
			p.say("<stream:error><" + condition + " xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>")
		}
		_ = p.conn.Close()
		if err := <-got; (err == nil) != (want == "") || err != nil && faultOf(err) != want {
			t.Errorf("%s: %v", condition, err)
		}
		_ = ln.Close()
		if err := Probe(t.Context(), ln.Addr().String(), "push.localhost"); faultOf(err) != FaultUnreachable {
			t.Errorf("of nobody: %v", err)
		}
	}
}
