package apns

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"hongyan/sandbox"
)

// tlsPair returns two ends of a TLS connection over loopback.
func tlsPair(t *testing.T) (client, server *tls.Conn) {
	t.Helper()
	ca, err := sandbox.NewCA(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.ServerCertificate(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	accepted := make(chan *tls.Conn, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		s := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12})
		_ = s.Handshake()
		accepted <- s
	}()
	cfg, err := tlsConfig("127.0.0.1", ca.PEM(), tls.Certificate{})
	if err != nil {
		t.Fatal(err)
	}
	cfg.NextProtos = nil
	if client, err = tls.Dial("tcp", l.Addr().String(), cfg); err != nil {
		t.Fatal(err)
	}
	server = <-accepted
	t.Cleanup(func() { _ = client.Close(); _ = server.Close() })
	return client, server
}

func TestBatchConnKeepsOrderAndFlushesOnClose(t *testing.T) {
	client, server := tlsPair(t)
	b := newBatchConn(client)
	got := make(chan []byte, 1)
	go func() {
		all, _ := io.ReadAll(server)
		got <- all
	}()
	var want bytes.Buffer
	for i := range 5000 {
		p := bytes.Repeat([]byte{byte(i)}, i%97)
		want.Write(p)
		if n, err := b.Write(p); n != len(p) || err != nil {
			t.Fatal(n, err)
		}
		clear(p) // Write must have copied it
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(<-got, want.Bytes()) {
		t.Error("bytes were lost or reordered")
	}
	if _, err := b.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("write after close: %v", err)
	}
	_ = b.Close() // again: no panic, no hang
}

func TestBatchConnReportsFailure(t *testing.T) {
	client, server := tlsPair(t)
	b := newBatchConn(client)
	_ = server.NetConn().Close()
	read := make(chan error, 1)
	go func() { _, err := b.Read(make([]byte, 1)); read <- err }()
	var err error
	for end := time.Now().Add(5 * time.Second); err == nil && time.Now().Before(end); {
		_, err = b.Write([]byte("hello"))
	}
	if err == nil {
		t.Error("writes go on after the connection failed")
	}
	if <-read == nil {
		t.Error("the reader was not told")
	}
	_ = b.Close()
}

// TestBatchConnStalledPeer: writers wait for room, a deadline and Close end that,
// and Close does not hang on a peer that reads nothing.
func TestBatchConnStalledPeer(t *testing.T) {
	fill := func(b *batchConn) error {
		chunk := make([]byte, 64<<10)
		for range 4096 { // far beyond any socket buffer
			if _, err := b.Write(chunk); err != nil {
				return err
			}
		}
		return nil
	}
	// begin fills b until nothing has moved for a while.
	begin := func(b *batchConn) chan error {
		done := make(chan error, 1)
		go func() { done <- fill(b) }()
		for full := 0; full < 20; full++ {
			select {
			case err := <-done:
				t.Fatalf("the writer ended before the peer stood still: %v", err)
			case <-time.After(time.Millisecond):
			}
			b.mu.Lock()
			if len(b.buf) < batchBytes {
				full = 0
			}
			b.mu.Unlock()
		}
		return done
	}
	client, peer := tlsPair(t)
	defer func() { _ = peer.Close() }() // held, or the collector closes it under the writer
	b := newBatchConn(client)
	done := begin(b)
	if err := b.SetWriteDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("deadline: %v", err)
	}
	if _, err := b.Read(make([]byte, 1)); err == nil { // or it hangs
		t.Error("the reader was not told")
	}
	_ = b.Close()

	client, stalled := tlsPair(t)
	defer func() { _ = stalled.Close() }()
	b = newBatchConn(client)
	done = begin(b)
	start := time.Now()
	_ = b.Close()
	if d := time.Since(start); d > 3*time.Second {
		t.Errorf("Close took %v", d)
	}
	if err := <-done; err == nil {
		t.Error("a waiting writer was told all is well")
	}
}

func TestBatchConnLeavesNoGoroutine(t *testing.T) {
	for range 20 {
		client, server := tlsPair(t)
		b := newBatchConn(client)
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() { _, _ = b.Write([]byte("x")) })
		}
		wg.Wait()
		_ = server.Close()
		_ = b.Close()
	}
	buf := make([]byte, 1<<20)
	if stacks := string(buf[:runtime.Stack(buf, true)]); strings.Contains(stacks, "(*batchConn).run") {
		t.Error("a flusher is left")
	}
}
