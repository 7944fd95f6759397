package sandbox

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"hongyan/push"
)

const (
	apnsKeepBody  = 8 << 10  // bytes of a body that are kept; more is too large anyway
	apnsHeaders   = 16 << 10 // bytes of a request's headers
	handshakeTime = 10 * time.Second
	lingerTime    = 5 * time.Second // for the client to hang up after a GOAWAY
	outQueue      = 256
)

// apnsConn is one connection: a goroutine that reads, one that writes, and one per
// request under way. http2.Framer is used rather than net/http's server because
// Apple's stream limit changes in the life of a connection.
type apnsConn struct {
	srv    *APNs
	nc     *tls.Conn
	fr     *http2.Framer
	bw     *bufio.Writer
	client *x509.Certificate // nil with token authentication

	out   chan func() // work for the writer
	done  chan struct{}
	close sync.Once

	// The writer's own.
	hbuf   bytes.Buffer
	henc   *hpack.Encoder
	window int64      // bytes the client lets us send
	held   []heldBody // bodies that wait for window
	ending bool       // flush, then hang up

	mu       sync.Mutex
	open     int    // streams not answered yet
	limit    int    // of open, once the client knows it
	known    bool   // the client has acknowledged the first settings
	last     uint32 // highest stream taken on
	draining bool   // GOAWAY sent
	taken    int    // requests so far
	provider providerState

	streams map[uint32]*apnsStream // the reader's own: requests not complete yet
	unread  int                    // the reader's own: body bytes not yet given back
}

type apnsStream struct {
	req apnsRequest
}

type heldBody struct {
	stream uint32
	body   []byte
}

func newAPNsConn(s *APNs, nc *tls.Conn) *apnsConn {
	c := &apnsConn{
		srv: s, nc: nc, out: make(chan func(), outQueue), done: make(chan struct{}),
		window: 65535, limit: 1, streams: make(map[uint32]*apnsStream),
	}
	c.bw = bufio.NewWriterSize(nc, 16<<10)
	c.fr = http2.NewFramer(c.bw, bufio.NewReaderSize(nc, 16<<10))
	c.fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	c.fr.MaxHeaderListSize = apnsHeaders
	c.henc = hpack.NewEncoder(&c.hbuf)
	return c
}

// serve runs the connection to its end.
func (c *apnsConn) serve() {
	defer c.cut()
	c.srv.gate.wait(c.done)
	ctx, cancel := context.WithTimeout(c.srv.ctx, handshakeTime)
	defer cancel()
	if c.nc.HandshakeContext(ctx) != nil || c.nc.ConnectionState().NegotiatedProtocol != "h2" {
		return
	}
	if certs := c.nc.ConnectionState().PeerCertificates; len(certs) > 0 {
		c.client = certs[0]
		c.limit = apnsStreams
	}
	preface := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(c.nc, preface); err != nil || string(preface) != http2.ClientPreface {
		return
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer c.cut()
	wg.Go(c.write)
	c.send(func() { c.settings(c.limit) })
	for {
		c.srv.gate.wait(c.done)
		f, err := c.fr.ReadFrame()
		if err != nil {
			var se http2.StreamError
			if errors.As(err, &se) {
				c.send(func() { _ = c.fr.WriteRSTStream(se.StreamID, se.Code) })
				continue
			}
			return
		}
		c.srv.gate.wait(c.done)
		if !c.frame(f, &wg) {
			return
		}
	}
}

// cut closes the connection.
func (c *apnsConn) cut() {
	c.close.Do(func() {
		close(c.done)
		_ = c.nc.NetConn().Close() // without TLS's farewell, which could block
	})
}

// send hands work to the writer; it is dropped once the connection is closed.
func (c *apnsConn) send(f func()) {
	select {
	case c.out <- f:
	case <-c.done:
	}
}

// frame handles one frame; false ends the connection.
func (c *apnsConn) frame(f http2.Frame, wg *sync.WaitGroup) bool {
	switch f := f.(type) {
	case *http2.SettingsFrame:
		if !f.IsAck() {
			c.send(func() { _ = c.fr.WriteSettingsAck() })
			break
		}
		c.mu.Lock()
		c.known = true
		c.mu.Unlock()
	case *http2.PingFrame:
		if !f.IsAck() {
			data := f.Data
			c.send(func() { _ = c.fr.WritePing(true, data) })
		}
	case *http2.WindowUpdateFrame:
		if n := int64(f.Increment); f.StreamID == 0 {
			c.send(func() { c.grant(n) })
		}
	case *http2.MetaHeadersFrame:
		return c.headers(f, wg)
	case *http2.DataFrame:
		c.data(f, wg)
	case *http2.RSTStreamFrame:
		if c.streams[f.StreamID] != nil {
			delete(c.streams, f.StreamID)
			c.finished()
		}
	case *http2.GoAwayFrame:
		return false
	}
	return true
}

// headers opens a stream, or refuses it.
func (c *apnsConn) headers(f *http2.MetaHeadersFrame, wg *sync.WaitGroup) bool {
	id := f.StreamID
	if st := c.streams[id]; st != nil { // trailers
		if f.StreamEnded() {
			c.complete(id, st, wg)
		}
		return true
	}
	if id%2 == 0 {
		return false
	}
	c.mu.Lock()
	if c.draining {
		c.mu.Unlock()
		return true // beyond the GOAWAY: the client repeats it elsewhere
	}
	// RFC 9113 section 6.5.3: a client cannot be held to a limit before it has
	// acknowledged it, and many send a burst at once.
	refused := c.open >= apnsStreams || c.known && c.open >= c.limit
	if !refused {
		c.open++
		c.taken++
		c.last = max(c.last, id)
	}
	taken := c.taken
	c.mu.Unlock()
	if refused {
		c.send(func() { _ = c.fr.WriteRSTStream(id, http2.ErrCodeRefusedStream) })
		return true
	}
	st := &apnsStream{req: readHeaders(f)}
	c.streams[id] = st
	if every := c.srv.settings.Load().GoAwayEvery; every > 0 && taken >= every {
		c.goAway()
	}
	if f.StreamEnded() {
		c.complete(id, st, wg)
	}
	return true
}

// readHeaders takes the fields the rules look at.
func readHeaders(f *http2.MetaHeadersFrame) apnsRequest {
	r := apnsRequest{
		method: f.PseudoValue("method"), path: f.PseudoValue("path"),
		headers: make(map[string]string, 8),
	}
	for _, h := range f.RegularFields() {
		name := strings.ToLower(h.Name)
		if name != "authorization" && !strings.HasPrefix(name, "apns-") {
			continue
		}
		if _, twice := r.headers[name]; twice {
			r.repeated = true
		}
		r.headers[name] = h.Value
	}
	return r
}

// data takes a part of a body and gives its bytes back to the client's window.
func (c *apnsConn) data(f *http2.DataFrame, wg *sync.WaitGroup) {
	// Padding counts against the window too.
	c.unread += int(f.Header().Length)
	if c.unread >= 16<<10 {
		n := uint32(c.unread)
		c.unread = 0
		c.send(func() { _ = c.fr.WriteWindowUpdate(0, n) })
	}
	st := c.streams[f.StreamID]
	if st == nil {
		return
	}
	if room := apnsKeepBody - len(st.req.body); len(f.Data()) <= room {
		st.req.body = append(st.req.body, f.Data()...)
	} else {
		st.req.tooLarge = true
	}
	if f.StreamEnded() || st.req.tooLarge {
		c.complete(f.StreamID, st, wg)
	}
}

// complete answers a request in a goroutine of its own.
func (c *apnsConn) complete(id uint32, st *apnsStream, wg *sync.WaitGroup) {
	delete(c.streams, id)
	wg.Go(func() { c.answer(id, &st.req) })
}

// answer judges a request, records it and sends the reply after the set latency.
func (c *apnsConn) answer(id uint32, r *apnsRequest) {
	s := c.srv
	at := s.now()
	set := s.settingsOf(s.ctx, r)
	a := s.judge(s.ctx, c, r, &set)
	wait := set.latency()
	apnsID := strings.ToLower(r.headers["apns-id"])
	if !canonicalID(apnsID) {
		apnsID = uuid.NewString()
	}
	if s.recorder != nil {
		h := maps.Clone(r.headers)
		delete(h, "authorization")
		s.recorder.Record(s.ctx, Received{
			At: at, Channel: push.APNs, Topic: r.topic, Token: r.token, ID: apnsID, Headers: h,
			Payload: r.body, Status: a.status, Reason: a.reason, Latency: wait,
		})
	}
	if wait > 0 {
		t := time.NewTimer(wait)
		defer t.Stop()
		select {
		case <-t.C:
		case <-c.done:
			return
		}
	}
	good := r.authenticated
	c.send(func() {
		c.reply(id, apnsID, a, r.tooLarge)
		c.settled(good)
	})
}

// settled counts an answered stream and, after the first good credential, lets the
// client open as many as Apple does; in the writer.
func (c *apnsConn) settled(good bool) {
	c.mu.Lock()
	raise := good && c.limit < apnsStreams
	if raise {
		c.limit = apnsStreams
	}
	c.mu.Unlock()
	if raise {
		c.settings(apnsStreams)
	}
	c.finished()
}

// finished takes a stream off the count; the last one after a GOAWAY ends the
// connection.
func (c *apnsConn) finished() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open--
	if c.draining && c.open == 0 {
		c.end()
	}
}

// goAway announces the end of the connection.
func (c *apnsConn) goAway() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.draining {
		return
	}
	c.draining = true
	last, idle := c.last, c.open == 0
	go c.send(func() {
		_ = c.fr.WriteGoAway(last, http2.ErrCodeNo, []byte(`{"reason":"Shutdown"}`))
	})
	if idle {
		c.end()
	}
}

// end tells the writer to stop after what is queued; the caller holds mu.
func (c *apnsConn) end() { go c.send(func() { c.ending = true }) }

// topics is what the connection's key is limited to.
func (c *apnsConn) topics() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.provider.key.Topics
}
