package sink

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"hongyan/push"
	"hongyan/sandbox"
)

// Vendor is the cheapest HTTP/1.1 server that says yes to every push of one vendor
// other than Apple, in that vendor's words. It checks nothing.
type Vendor struct {
	listener net.Listener
	ca       *sandbox.CA
	yes      []byte
	count    atomic.Int64
	delay    atomic.Int64
	every    atomic.Int64 // every such push is throttled, 0 for none

	mu      sync.Mutex
	conns   map[net.Conn]struct{}
	frozen  chan struct{} // nil when it answers; closed on thawing
	closed  bool
	running sync.WaitGroup
}

// answers are the vendors' words for yes. An answer holds for their token services too,
// which look for other keys.
func answers() map[push.Channel]string {
	const token = `"access_token":"t","expires_in":86400,"token_type":"Bearer"`
	return map[push.Channel]string{
		push.FCM:     `{` + token + `,"name":"projects/p/messages/1"}`,
		push.Huawei:  `{` + token + `,"code":"80000000","msg":"Success","requestId":"1"}`,
		push.Harmony: `{"code":"80000000","msg":"Success","requestId":"1"}`,
		push.Honor:   `{` + token + `,"code":200,"message":"success","data":{"sendResult":true,"requestId":"1"}}`,
		push.Xiaomi:  `{"result":"ok","code":0,"description":"ok","data":{"id":"1"}}`,
		push.OPPO:    `{"code":0,"message":"Success","data":{"auth_token":"t","messageId":"1"}}`,
		push.Vivo:    `{"result":0,"desc":"ok","authToken":"t","taskId":"1"}`,
		push.Meizu:   `{"code":"200","message":"","value":{},"redirect":"","msgId":"1"}`,
		push.WebPush: ``,
	}
}

// StartVendor starts a server for a channel on a free loopback port.
func StartVendor(c push.Channel) (*Vendor, error) {
	body, ok := answers()[c]
	if !ok {
		return nil, fmt.Errorf("sandbox/sink: no answers of %s", c)
	}
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
	status := "200 OK"
	if c == push.WebPush {
		status = "201 Created\r\nLocation: /m/1"
	}
	v := &Vendor{
		ca: ca, conns: map[net.Conn]struct{}{},
		yes:      []byte("HTTP/1.1 " + status + "\r\nContent-Type: application/json\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body),
		listener: tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}),
	}
	v.running.Go(v.accept)
	return v, nil
}

// URL is the server's address.
func (v *Vendor) URL() string { return "https://" + v.listener.Addr().String() }

// RootCAs is the PEM of the authority clients must trust.
func (v *Vendor) RootCAs() []byte { return v.ca.PEM() }

// Count is how many requests were complete so far.
func (v *Vendor) Count() int64 { return v.count.Load() }

// SetDelay changes how long answers take from now on.
func (v *Vendor) SetDelay(d time.Duration) { v.delay.Store(int64(d)) }

// Throttle has every so many requests refused for a second, 0 for none.
func (v *Vendor) Throttle(every int) { v.every.Store(int64(every)) }

// Freeze stops answering until called with false.
func (v *Vendor) Freeze(on bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case on && v.frozen == nil:
		v.frozen = make(chan struct{})
	case !on && v.frozen != nil:
		close(v.frozen)
		v.frozen = nil
	}
}

// Close stops the server and cuts its connections.
func (v *Vendor) Close() {
	v.Freeze(false)
	_ = v.listener.Close() // nothing to be done about it
	v.mu.Lock()
	v.closed = true
	for c := range v.conns {
		_ = c.Close()
	}
	v.mu.Unlock()
	v.running.Wait()
}

func (v *Vendor) accept() {
	for {
		c, err := v.listener.Accept()
		if err != nil {
			return
		}
		v.mu.Lock()
		if v.closed {
			_ = c.Close()
		}
		v.conns[c] = struct{}{}
		v.mu.Unlock()
		v.running.Go(func() {
			v.serve(c)
			_ = c.Close()
			v.mu.Lock()
			delete(v.conns, c)
			v.mu.Unlock()
		})
	}
}

const tooMany = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"

// serve answers one request after another; of each only the length of its body counts.
func (v *Vendor) serve(c net.Conn) {
	br := bufio.NewReader(c)
	for {
		length, err := head(br)
		if err != nil {
			return
		}
		if _, err := io.CopyN(io.Discard, br, length); err != nil {
			return
		}
		n := v.count.Add(1)
		v.mu.Lock()
		frozen := v.frozen
		v.mu.Unlock()
		if frozen != nil {
			<-frozen
		}
		if d := time.Duration(v.delay.Load()); d > 0 {
			t := time.NewTimer(d)
			<-t.C
		}
		answer := v.yes
		if every := v.every.Load(); every > 0 && n%every == 0 {
			answer = []byte(tooMany)
		}
		if _, err := c.Write(answer); err != nil {
			return
		}
	}
}

// head reads a request's lines and returns the length of its body.
func head(br *bufio.Reader) (length int64, err error) {
	for {
		line, err := br.ReadString('\n')
		if err != nil {
			return 0, err
		}
		line = strings.TrimSpace(line)
		if line == "" {
			return length, nil
		}
		name, value, _ := strings.Cut(line, ":")
		if http.CanonicalHeaderKey(name) == "Content-Length" {
			if length, err = strconv.ParseInt(strings.TrimSpace(value), 10, 64); err != nil {
				return 0, err
			}
		}
	}
}
