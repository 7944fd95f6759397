package sandbox

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/google/uuid"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"hongyan/push"
)

// The half of a connection that writes. Everything here runs in its one writer
// goroutine, which alone touches the framer's output, the header encoder and the
// client's window.

// write runs the writer: it does whatever is queued and then flushes once.
func (c *apnsConn) write() {
	defer c.cut()
	for {
		select {
		case f := <-c.out:
			c.srv.gate.wait(c.done)
			f()
		case <-c.done:
			return
		}
		if len(c.out) > 0 {
			continue
		}
		if c.bw.Flush() != nil {
			return
		}
		if c.ending {
			// The client hangs up when it has read everything; hanging up first
			// could lose what is still on its way to it.
			_ = c.nc.SetReadDeadline(time.Now().Add(lingerTime))
		}
	}
}

// settings announces how many streams may be open; in the writer.
func (c *apnsConn) settings(limit int) {
	_ = c.fr.WriteSettings(
		http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: uint32(limit)},
		http2.Setting{ID: http2.SettingMaxHeaderListSize, Val: apnsHeaders},
	) // a failed write shows at the flush
}

// reply writes an answer; in the writer.
func (c *apnsConn) reply(id uint32, apnsID string, a apnsAnswer, unfinished bool) {
	c.hbuf.Reset()
	field := func(name, value string) {
		_ = c.henc.WriteField(hpack.HeaderField{Name: name, Value: value}) // to memory
	}
	field(":status", strconv.Itoa(a.status))
	field("apns-id", apnsID)
	if c.srv.environment == push.Development {
		field("apns-unique-id", uuid.NewString())
	}
	if a.retryAfter >= time.Second {
		field("retry-after", strconv.Itoa(int(a.retryAfter/time.Second)))
	}
	body := a.body()
	if body != nil {
		field("content-type", "application/json")
	}
	_ = c.fr.WriteHeaders(http2.HeadersFrameParam{
		StreamID: id, BlockFragment: c.hbuf.Bytes(), EndStream: body == nil, EndHeaders: true,
	})
	if body != nil {
		c.held = append(c.held, heldBody{id, body})
		c.grant(0)
	}
	if unfinished { // RFC 9113 section 8.1: the rest of the request is not wanted
		_ = c.fr.WriteRSTStream(id, http2.ErrCodeNo)
	}
}

// grant adds to the client's window and writes the bodies that now fit.
func (c *apnsConn) grant(n int64) {
	c.window += n
	for len(c.held) > 0 && int64(len(c.held[0].body)) <= c.window {
		h := c.held[0]
		c.held = c.held[1:]
		c.window -= int64(len(h.body))
		_ = c.fr.WriteData(h.stream, true, h.body)
	}
}

// body is the JSON of a refusal: [reply] "reason", and "timestamp" in milliseconds
// with status 410.
func (a *apnsAnswer) body() []byte {
	if a.status == http.StatusOK {
		return nil
	}
	var b struct {
		Reason    string `json:"reason"`
		Timestamp int64  `json:"timestamp,omitempty"`
	}
	b.Reason = a.reason
	if a.status == http.StatusGone && !a.since.IsZero() {
		b.Timestamp = a.since.UnixMilli()
	}
	out, _ := json.Marshal(b) // cannot fail
	return out
}
