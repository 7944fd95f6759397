package sandbox_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"net/url"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"hongyan/sandbox"
)

// rawConn speaks frames, to see what an HTTP client hides.
type rawConn struct {
	*testing.T
	fr   *http2.Framer
	nc   *tls.Conn
	hbuf bytes.Buffer
	henc *hpack.Encoder
}

func (l *apnsLab) raw() *rawConn {
	l.Helper()
	u, err := url.Parse(l.sim.URL())
	if err != nil {
		l.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(l.sim.CA().PEM())
	nc, err := tls.Dial("tcp", u.Host, &tls.Config{RootCAs: pool, NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS12})
	if err != nil {
		l.Fatal(err)
	}
	l.Cleanup(func() { _ = nc.Close() })
	if err := nc.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		l.Fatal(err)
	}
	c := &rawConn{T: l.T, nc: nc, fr: http2.NewFramer(nc, nc)}
	c.henc = hpack.NewEncoder(&c.hbuf)
	c.fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	if _, err := nc.Write([]byte(http2.ClientPreface)); err != nil {
		l.Fatal(err)
	}
	c.ok(c.fr.WriteSettings())
	return c
}

func (c *rawConn) ok(err error) {
	c.Helper()
	if err != nil {
		c.Fatal(err)
	}
}

func (c *rawConn) headers(id uint32, auth string) {
	c.Helper()
	c.hbuf.Reset()
	for _, f := range []hpack.HeaderField{
		{Name: ":method", Value: "POST"}, {Name: ":scheme", Value: "https"}, {Name: ":authority", Value: "x"},
		{Name: ":path", Value: "/3/device/" + phone}, {Name: "authorization", Value: auth}, {Name: "apns-topic", Value: topic},
	} {
		c.ok(c.henc.WriteField(f))
	}
	c.ok(c.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: c.hbuf.Bytes(), EndHeaders: true}))
}

func (c *rawConn) body(id uint32) { c.Helper(); c.ok(c.fr.WriteData(id, true, []byte(goodBody))) }

// next returns the next frame that want chooses.
func next[T http2.Frame](c *rawConn, want func(T) bool) T {
	c.Helper()
	for {
		f, err := c.fr.ReadFrame()
		c.ok(err)
		if s, ok := f.(*http2.SettingsFrame); ok && !s.IsAck() {
			c.ok(c.fr.WriteSettingsAck())
		}
		if g, ok := f.(T); ok && want(g) {
			return g
		}
	}
}

func limit(f *http2.SettingsFrame) uint32 {
	v, _ := f.Value(http2.SettingMaxConcurrentStreams)
	return v
}

func isLimit(f *http2.SettingsFrame) bool { return limit(f) > 0 }

func status(want string) func(*http2.MetaHeadersFrame) bool {
	return func(f *http2.MetaHeadersFrame) bool { return f.PseudoValue("status") == want }
}

func TestAPNsAllowsOneStreamUntilAValidToken(t *testing.T) {
	l := newLab(t, sandbox.APNsConfig{})
	c := l.raw()
	if n := limit(next(c, isLimit)); n != 1 {
		t.Errorf("starts with %d streams, want 1", n)
	}
	good := l.jwt(l.file, l.now)
	c.headers(1, "bearer nonsense")
	c.headers(3, good)
	if f := next(c, func(*http2.RSTStreamFrame) bool { return true }); f.StreamID != 3 || f.ErrCode != http2.ErrCodeRefusedStream {
		t.Errorf("%+v, want stream 3 refused", f)
	}
	c.body(1)
	next(c, status("403"))
	// A refused token does not raise the limit.
	c.headers(5, good)
	c.headers(7, good)
	if f := next(c, func(*http2.RSTStreamFrame) bool { return true }); f.StreamID != 7 {
		t.Errorf("%+v, want stream 7 refused", f)
	}
	c.body(5)
	next(c, status("200"))
	if n := limit(next(c, isLimit)); n != 1000 {
		t.Errorf("raised to %d streams, want 1000", n)
	}
	c.headers(9, good)
	c.headers(11, good)
	c.body(11)
	c.body(9)
	next(c, status("200"))
	next(c, status("200"))
}

func TestAPNsGoAwayAnswersWhatIsUnderWay(t *testing.T) {
	l := newLab(t, sandbox.APNsConfig{})
	c := l.raw()
	c.headers(1, l.jwt(l.file, l.now))
	next(c, isLimit)
	// The simulator has the stream once it answers a PING sent after it.
	c.ok(c.fr.WritePing(false, [8]byte{1}))
	next(c, func(f *http2.PingFrame) bool { return f.IsAck() })
	l.sim.GoAway()
	if f := next(c, func(*http2.GoAwayFrame) bool { return true }); f.LastStreamID != 1 || string(f.DebugData()) != `{"reason":"Shutdown"}` {
		t.Errorf("%+v %s", f, f.DebugData())
	}
	c.headers(3, l.jwt(l.file, l.now)) // too late: ignored
	c.body(3)
	c.body(1)
	if f := next(c, status("200")); f.StreamID != 1 {
		t.Errorf("answered stream %d", f.StreamID)
	}
	if n := l.inbox.Total(); n != 1 {
		t.Errorf("%d pushes taken, want 1", n)
	}
}

func TestAPNsFreeze(t *testing.T) {
	l := newLab(t, sandbox.APNsConfig{})
	c := l.raw()
	next(c, isLimit)
	l.sim.Freeze(true)
	c.headers(1, l.jwt(l.file, l.now))
	c.body(1)
	c.ok(c.nc.SetReadDeadline(time.Now().Add(50 * time.Millisecond)))
	if f, err := c.fr.ReadFrame(); err == nil {
		if s, ok := f.(*http2.SettingsFrame); !ok || !s.IsAck() {
			t.Errorf("frozen, yet %v came", f)
		}
	}
	l.sim.Freeze(false)
	l2 := l.do(ask{client: l.client()})
	if l2.Status != 200 {
		t.Errorf("after thawing: %+v", l2)
	}
}
