package apns

import (
	"crypto/tls"
	"net"
	"os"
	"runtime"
	"sync"
	"time"
)

// Bounds of a batchConn.
const (
	// batchBytes is how much may wait for the wire before writers wait too. It holds
	// the headers and small payloads of a full connection's streams.
	batchBytes = 1 << 20
	// batchKeep is the largest buffer kept for reuse, in bytes.
	batchKeep = 128 << 10
	// stallTimeout is how long one write to the socket may take; after that the
	// peer has stopped reading and the connection is given up.
	stallTimeout = 10 * time.Second
	// closeTimeout bounds Close: the last bytes and TLS's farewell.
	closeTimeout = 250 * time.Millisecond
)

// batchConn gathers the many small writes of an HTTP/2 connection (two for every
// request) into few TLS records and system calls: Write copies into a buffer, and
// one goroutine writes out whatever gathered during its previous write.
//
// Write therefore returns before the bytes are on the wire. A later failure closes
// the connection, so that the reader sees it, and is returned by every Write from
// then on. Close sends what is buffered, ends the goroutine and takes closeTimeout
// at most.
type batchConn struct {
	*tls.Conn

	mu       sync.Mutex
	changed  *sync.Cond // buffer drained, failed or closed
	buf      []byte
	spare    []byte
	err      error
	closed   bool
	deadline time.Time // asked for by SetWriteDeadline

	wake chan struct{} // capacity 1: buf is no longer empty, or closed is set
	done chan struct{} // closed when the goroutine has ended
}

func newBatchConn(c *tls.Conn) *batchConn {
	b := &batchConn{Conn: c, wake: make(chan struct{}, 1), done: make(chan struct{})}
	b.changed = sync.NewCond(&b.mu)
	go b.run()
	return b
}

// Write buffers p. It waits only while batchBytes are already waiting.
func (b *batchConn) Write(p []byte) (int, error) {
	b.mu.Lock()
	for b.err == nil && !b.closed && len(b.buf) >= batchBytes && !b.expiredLocked() {
		b.changed.Wait()
	}
	switch {
	case b.err != nil:
		defer b.mu.Unlock()
		return 0, b.err
	case b.closed:
		b.mu.Unlock()
		return 0, net.ErrClosed
	case b.expiredLocked():
		b.mu.Unlock()
		return 0, os.ErrDeadlineExceeded
	}
	b.buf = append(b.buf, p...)
	b.mu.Unlock()
	b.signal()
	return len(p), nil
}

// SetWriteDeadline bounds writes: those waiting for room and the one in progress.
func (b *batchConn) SetWriteDeadline(t time.Time) error {
	b.mu.Lock()
	b.deadline = t
	b.changed.Broadcast()
	b.mu.Unlock()
	return b.Conn.SetWriteDeadline(t)
}

// SetDeadline bounds reads and writes.
func (b *batchConn) SetDeadline(t time.Time) error {
	if err := b.SetReadDeadline(t); err != nil {
		return err
	}
	return b.SetWriteDeadline(t)
}

// Close writes what is buffered and closes the connection.
func (b *batchConn) Close() error {
	b.mu.Lock()
	first := !b.closed
	b.closed = true
	b.changed.Broadcast()
	b.mu.Unlock()
	if first {
		// A peer that stopped reading would hold up both the last flush and
		// tls.Conn.Close, which sends an alert with a deadline of its own.
		t := time.AfterFunc(closeTimeout, func() { _ = b.NetConn().Close() })
		defer t.Stop()
		b.signal()
	}
	<-b.done
	return b.Conn.Close()
}

func (b *batchConn) signal() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// expiredLocked reports whether the caller's write deadline has passed.
func (b *batchConn) expiredLocked() bool {
	return !b.deadline.IsZero() && !time.Now().Before(b.deadline)
}

// run writes the buffer out until the connection fails or is closed.
func (b *batchConn) run() {
	defer close(b.done)
	var renew time.Time // when the socket's own deadline needs to move on
	for range b.wake {
		for {
			// Requests that are ready to run may add theirs first: a tenth fewer
			// CPU per push under load, and nothing lost when idle.
			runtime.Gosched()
			out, last := b.take()
			if len(out) == 0 {
				if last {
					return
				}
				break
			}
			if now := time.Now(); now.After(renew) {
				// Renewing at half its length keeps the cost off most writes.
				renew = now.Add(stallTimeout / 2)
				b.arm(now.Add(stallTimeout))
			}
			_, err := b.Conn.Write(out)
			if !b.give(out, err) {
				return
			}
		}
	}
}

// arm sets the socket's deadline unless the caller asked for an earlier one.
func (b *batchConn) arm(t time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.deadline.IsZero() && b.deadline.Before(t) {
		t = b.deadline
	}
	_ = b.Conn.SetWriteDeadline(t) // it fails only on a closed connection, as the write will
}

// take returns what is buffered, leaving an empty buffer, and whether no more will come.
func (b *batchConn) take() ([]byte, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := b.buf
	b.buf, b.spare = b.spare, nil
	if len(out) >= batchBytes {
		b.changed.Broadcast() // there is room, whatever becomes of this write
	}
	return out, b.closed
}

// give takes a written buffer back and passes an error on; false ends the goroutine.
func (b *batchConn) give(out []byte, err error) bool {
	b.mu.Lock()
	if cap(out) <= batchKeep {
		b.spare = out[:0]
	}
	b.err = err
	b.changed.Broadcast()
	b.mu.Unlock()
	if err != nil {
		// Only a closed socket makes the HTTP/2 reader give up its streams.
		_ = b.NetConn().Close()
		return false
	}
	return true
}
