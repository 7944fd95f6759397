// Package sink is the cheapest HTTP/2 server that says yes to every push. The
// benchmark sends to it, because a server that costs as much as the client hides
// what the client costs. It checks nothing; package sandbox has the simulator that does.
package sink

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"

	"hongyan/sandbox"
)

const (
	streams = 1000 // open at once, as Apple commonly allows
	// ok is the header block ":status: 200" (RFC 7541 appendix A, index 8).
	ok = "\x88"
	// queue is how many delayed answers a connection can owe.
	queue = 4 * streams
)

// Sink is a running server.
type Sink struct {
	listener net.Listener
	ca       *sandbox.CA
	count    atomic.Int64
	delay    atomic.Int64

	mu      sync.Mutex
	conns   map[net.Conn]struct{}
	closed  bool
	running sync.WaitGroup
}

// Start listens on a free loopback port and answers every request after delay.
func Start(delay time.Duration) (*Sink, error) {
	ca, err := sandbox.NewCA(time.Now())
	if err != nil {
		return nil, err
	}
	cert, err := ca.ServerCertificate(time.Now())
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("sandbox/sink: %w", err)
	}
	s := &Sink{
		ca: ca, conns: make(map[net.Conn]struct{}),
		listener: tls.NewListener(l, &tls.Config{
			Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS12,
		}),
	}
	s.SetDelay(delay)
	s.running.Go(s.accept)
	return s, nil
}

// URL is the sink's address.
func (s *Sink) URL() string { return "https://" + s.listener.Addr().String() }

// RootCAs is the PEM of the authority clients must trust.
func (s *Sink) RootCAs() []byte { return s.ca.PEM() }

// Count is how many requests were complete so far.
func (s *Sink) Count() int64 { return s.count.Load() }

// SetDelay changes how long answers take from now on.
func (s *Sink) SetDelay(d time.Duration) { s.delay.Store(int64(d)) }

// Close stops the sink and cuts its connections.
func (s *Sink) Close() {
	_ = s.listener.Close() // nothing to be done about it
	s.mu.Lock()
	s.closed = true
	for c := range s.conns {
		_ = c.Close()
	}
	s.mu.Unlock()
	s.running.Wait()
}

func (s *Sink) accept() {
	for {
		c, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		if s.closed {
			_ = c.Close()
		}
		s.conns[c] = struct{}{}
		s.mu.Unlock()
		s.running.Go(func() {
			s.serve(c)
			_ = c.Close()
			s.mu.Lock()
			delete(s.conns, c)
			s.mu.Unlock()
		})
	}
}

// owed is an answer that is due later.
type owed struct {
	stream uint32
	due    time.Time
}

// conn shares a connection between the reader and, when there is a delay, the
// goroutine that answers later. Writing fails only when the connection has ended,
// which the reader notices.
type conn struct {
	mu sync.Mutex
	bw *bufio.Writer
	fr *http2.Framer
}

func (c *conn) do(flush bool, f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
	if flush {
		_ = c.bw.Flush()
	}
}

func (c *conn) answer(stream uint32) {
	_ = c.fr.WriteHeaders(http2.HeadersFrameParam{
		StreamID: stream, BlockFragment: []byte(ok), EndStream: true, EndHeaders: true,
	})
}

// serve reads frames without decoding headers: only the stream's number and its end
// matter. Answers are flushed when nothing more waits to be read.
func (s *Sink) serve(nc net.Conn) {
	br := bufio.NewReaderSize(nc, 64<<10)
	preface := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(br, preface); err != nil {
		return
	}
	c := &conn{bw: bufio.NewWriterSize(nc, 64<<10)}
	c.fr = http2.NewFramer(c.bw, br)
	c.fr.SetReuseFrames()
	later := make(chan owed, queue)
	done := make(chan struct{})
	defer close(done)
	go c.answerLater(later, done)
	c.do(true, func() {
		_ = c.fr.WriteSettings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: streams},
			http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 20})
		_ = c.fr.WriteWindowUpdate(0, 1<<30)
	})
	unread := uint32(0)
	for {
		f, err := c.fr.ReadFrame()
		if err != nil {
			return
		}
		ended := false
		c.do(br.Buffered() == 0, func() {
			switch f := f.(type) {
			case *http2.SettingsFrame:
				if !f.IsAck() {
					_ = c.fr.WriteSettingsAck()
				}
			case *http2.PingFrame:
				if !f.IsAck() {
					_ = c.fr.WritePing(true, f.Data)
				}
			case *http2.HeadersFrame:
				ended = f.StreamEnded()
			case *http2.DataFrame:
				ended = f.StreamEnded()
				if unread += f.Header().Length; unread > 1<<29 {
					_ = c.fr.WriteWindowUpdate(0, unread)
					unread = 0
				}
			}
			if ended && s.delay.Load() == 0 {
				c.answer(f.Header().StreamID)
			}
		})
		if ended {
			s.count.Add(1)
			if d := time.Duration(s.delay.Load()); d > 0 {
				later <- owed{f.Header().StreamID, time.Now().Add(d)}
			}
		}
	}
}

// answerLater sends answers in the order they were asked for, each when it is due.
func (c *conn) answerLater(later <-chan owed, done <-chan struct{}) {
	t := time.NewTimer(time.Hour)
	defer t.Stop()
	for {
		select {
		case <-done:
			return
		case o := <-later:
			if wait := time.Until(o.due); wait > 0 {
				c.do(true, func() {}) // those that were due before it
				t.Reset(wait)
				select {
				case <-t.C:
				case <-done:
					return
				}
			}
			c.do(len(later) == 0, func() { c.answer(o.stream) })
		}
	}
}
