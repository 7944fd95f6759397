package xmpp

import (
	"context"
	"crypto/sha1" //nolint:gosec // XEP-0114 prescribes it
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// maxAtOnce bounds what the decoder may swallow for one stanza, above which the stream
// is given up. A server's own limit must stay below it: Prosody takes 512 KB from
// another server and hands a quote on as six characters.
const maxAtOnce = 16 * MaxBytes

// session is one connection.
type session struct {
	c      *Component
	conn   net.Conn
	peer   string
	d      *xml.Decoder
	budget int // bytes that may still be read for the current stanza
	queues []chan *Element

	writing sync.Mutex
	closed  bool // our side of the stream

	pings   int
	pending atomic.Int64  // published and not yet answered
	idle    chan struct{} // has room for one: pending fell to zero

	reading sync.Mutex
	closing bool // no more than Times.Close for the rest
}

// connect makes a connection and serves it until it ends. It reports whether the
// server took the component.
func (c *Component) connect() (established bool, err error) {
	ctx, cancel := context.WithTimeout(c.stopping, c.cfg.Times.Connect)
	defer cancel()
	conn, err := c.cfg.Dial(ctx, "tcp", c.cfg.Addr)
	if err != nil {
		return false, &ConnectError{FaultUnreachable, err}
	}
	defer conn.Close() //nolint:errcheck // nothing is left to be said
	s := &session{c: c, conn: conn, peer: conn.RemoteAddr().String(), idle: make(chan struct{}, 1)}
	s.d = xml.NewDecoder(s)
	release := context.AfterFunc(ctx, func() { _ = conn.Close() }) // too late, or told to stop
	err = s.open()
	if !release() && err == nil {
		err = &ConnectError{FaultSilent, ctx.Err()}
	}
	if err != nil {
		if ctx.Err() != nil && c.stopping.Err() == nil {
			err = &ConnectError{FaultSilent, errors.New("the handshake took too long")}
		}
		return false, err
	}
	defer context.AfterFunc(c.working, func() { _ = conn.Close() })() // given up
	c.enter(Connected, "")
	c.cfg.Log.Info("XMPP component is connected", "addr", c.cfg.Addr, "domain", c.cfg.Domain)
	return true, s.serve()
}

// Probe opens a stream to the port for components as far as the server's answer, which
// says whether it knows the domain.
func Probe(ctx context.Context, addr, domain string) error {
	c := &Component{cfg: Config{Addr: addr, Domain: domain, Times: Times{}.orDefaults()}}
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Times.Connect)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return &ConnectError{FaultUnreachable, err}
	}
	defer conn.Close() //nolint:errcheck // nothing is left to be said
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	s := &session{c: c, conn: conn, peer: addr}
	s.d = xml.NewDecoder(s)
	if _, err = s.start(); err != nil {
		return err
	}
	// A server that does not know the domain says so at once, and one that does waits
	// for the handshake. A wrong one shows that: it is refused as not authorized.
	err = s.prove("")
	if faultOf(err) == FaultSecret {
		return nil
	}
	return err
}

// Read implements io.Reader for the decoder: each read must bring something before
// the silence is too long, and a stanza no more than it may have.
func (s *session) Read(p []byte) (int, error) {
	if s.budget <= 0 {
		return 0, ErrTooLarge
	}
	s.reading.Lock()
	if !s.closing {
		_ = s.conn.SetReadDeadline(time.Now().Add(s.c.cfg.Times.Silence)) // a closed connection says so below
	}
	s.reading.Unlock()
	n, err := s.conn.Read(p[:min(len(p), s.budget)])
	s.budget -= n
	return n, err
}

// open opens the stream and proves the secret.
func (s *session) open() error {
	id, err := s.start()
	if err != nil {
		return err
	}
	sum := sha1.Sum([]byte(id + s.c.cfg.Secret)) //nolint:gosec // as above
	return s.prove(hex.EncodeToString(sum[:]))
}

// start opens the stream and returns its id.
func (s *session) start() (id string, err error) {
	s.budget = maxAtOnce
	var to strings.Builder
	writeAttr(&to, "to", s.c.cfg.Domain)
	if err := s.send("<?xml version='1.0'?><stream:stream xmlns='" + nsComponent + "' xmlns:stream='" + nsStream + "'" + to.String() + ">"); err != nil {
		return "", err
	}
	return s.header()
}

// prove sends the handshake and reads what the server says to it.
func (s *session) prove(hash string) error {
	if err := s.send("<handshake>" + hash + "</handshake>"); err != nil {
		return err
	}
	start, err := s.next()
	if err != nil {
		return err
	}
	e, err := build(s.d, start)
	switch {
	case err != nil:
		return s.broken(err)
	case e.Is(nsStream, "error"):
		return streamError(e)
	case e.Name.Local != "handshake":
		return &ConnectError{FaultNoStream, errors.New("no answer to the handshake")}
	}
	return nil
}

// header reads the server's start of the stream.
func (s *session) header() (id string, err error) {
	for {
		t, err := s.d.Token()
		if err != nil {
			return "", s.broken(err)
		}
		start, ok := t.(xml.StartElement)
		if !ok {
			continue
		}
		if start.Name.Local != "stream" || start.Name.Space != nsStream {
			return "", &ConnectError{FaultNoStream, errors.New("not a stream")}
		}
		return fromStart(start).Get("id"), nil
	}
}

// next returns the start of the next stanza.
func (s *session) next() (xml.StartElement, error) {
	for {
		s.budget = maxAtOnce
		t, err := s.d.Token()
		if err != nil {
			return xml.StartElement{}, s.broken(err)
		}
		switch t := t.(type) {
		case xml.StartElement:
			return t, nil
		case xml.EndElement:
			return xml.StartElement{}, &ConnectError{FaultClosed, errors.New("the server closed the stream")}
		}
	}
}

// broken words a failure to read.
func (s *session) broken(err error) error {
	var syntax *xml.SyntaxError
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &ConnectError{FaultSilent, errors.New("nothing came for too long")}
	case errors.Is(err, ErrTooLarge), errors.Is(err, errNotXML):
		return &ConnectError{FaultStreamError, err}
	case errors.As(err, &syntax) && !strings.Contains(syntax.Msg, "EOF"):
		return &ConnectError{FaultStreamError, fmt.Errorf("line %d is no XML", syntax.Line)} // its own words quote the text
	case errors.Is(err, io.EOF), errors.As(err, &syntax):
		return &ConnectError{FaultClosed, io.ErrUnexpectedEOF}
	}
	return &ConnectError{FaultClosed, err}
}

// streamError words an error of the server's (RFC 6120 4.9.3).
func streamError(e *Element) error {
	condition := "undefined-condition"
	for _, c := range e.Children {
		if c.Name.Local != "text" {
			condition = c.Name.Local
			break
		}
	}
	word := FaultStreamError
	switch condition {
	case "not-authorized":
		word = FaultSecret
	case "host-unknown", "host-gone", "improper-addressing", "invalid-namespace":
		word = FaultDomain
	case "conflict":
		word = FaultConflict
	case "system-shutdown", "connection-timeout", "reset":
		word = FaultClosed
	}
	return &ConnectError{word, errors.New(cutText(condition, 64))}
}

func cutText(s string, limit int) string {
	if len(s) > limit {
		return strings.ToValidUTF8(s[:limit], "")
	}
	return s
}

// send writes text in one piece. A write that fails ends the connection: half a
// stanza may have gone out.
func (s *session) send(text string) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.closed {
		return net.ErrClosed
	}
	_ = s.conn.SetWriteDeadline(time.Now().Add(s.c.cfg.Times.Write)) // a closed connection says so below
	if _, err := io.WriteString(s.conn, text); err != nil {
		s.closed = true
		_ = s.conn.Close() // its reader ends then
		return &ConnectError{FaultClosed, err}
	}
	return nil
}

// end closes our side of the stream; the server then closes its own.
func (s *session) end() {
	_ = s.send("</stream:stream>") // best effort: it is over either way
	s.writing.Lock()
	s.closed = true
	s.writing.Unlock()
	s.reading.Lock()
	defer s.reading.Unlock()
	s.closing = true
	_ = s.conn.SetReadDeadline(time.Now().Add(s.c.cfg.Times.Close)) // as above
}
