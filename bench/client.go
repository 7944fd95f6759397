package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
)

// client is one keep-alive connection that posts JSON, with as little work of its
// own as possible: the load shares the processors with what it measures.
type client struct {
	conn net.Conn
	r    *bufio.Reader
	buf  []byte
}

func dial(ctx context.Context, addr string) (*client, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return &client{conn: c, r: bufio.NewReader(c)}, nil
}

func (c *client) close() { _ = c.conn.Close() } // nothing of it is needed any more

// post sends one request and reads the answer, which must be a success.
func (c *client) post(path string, body []byte) error {
	c.buf = append(c.buf[:0], "POST "...)
	c.buf = append(c.buf, path...)
	c.buf = append(c.buf, " HTTP/1.1\r\nHost: bench.example\r\nContent-Type: application/json\r\nContent-Length: "...)
	c.buf = strconv.AppendInt(c.buf, int64(len(body)), 10)
	c.buf = append(c.buf, "\r\n\r\n"...)
	c.buf = append(c.buf, body...)
	if _, err := c.conn.Write(c.buf); err != nil {
		return err
	}
	return c.answer()
}

func (c *client) answer() error {
	status, length := 0, -1
	for {
		line, err := c.r.ReadSlice('\n')
		if err != nil {
			return err
		}
		if status == 0 {
			if len(line) < 12 {
				return errors.New("short answer")
			}
			if status, err = strconv.Atoi(string(line[9:12])); err != nil {
				return err
			}
			continue
		}
		if len(line) <= 2 {
			break
		}
		const name = "Content-Length: "
		if len(line) > len(name) && string(line[:len(name)]) == name {
			if length, err = strconv.Atoi(string(line[len(name) : len(line)-2])); err != nil {
				return err
			}
		}
	}
	if length < 0 {
		return errors.New("answer without a length")
	}
	if _, err := c.r.Discard(length); err != nil {
		return err
	}
	if status != http.StatusOK && status != http.StatusCreated && status != http.StatusAccepted {
		return fmt.Errorf("answer %d", status)
	}
	return nil
}
