package xmpp

import (
	"errors"
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
	"time"
)

// How much is published at once: so many nodes, each with so many waiting. When all is
// full the connection is not read, and the server waits.
const (
	nodesAtOnce = 64
	waiting     = 8
)

// serve reads stanzas until the connection ends.
func (s *session) serve() error {
	s.queues = make([]chan *Element, nodesAtOnce)
	for i := range s.queues {
		q := make(chan *Element, waiting)
		s.queues[i] = q
		s.c.workers.Go(func() {
			for iq := range q {
				s.publish(iq)
			}
		})
	}
	over := make(chan struct{})
	kept := make(chan struct{})
	go func() {
		defer close(kept)
		s.keep(over)
	}()
	err := s.read()
	close(over)
	<-kept
	for _, q := range s.queues {
		close(q)
	}
	return err
}

func (s *session) read() error {
	for {
		start, err := s.next()
		if err != nil {
			return err
		}
		e, err := build(s.d, start)
		if errors.Is(err, ErrTooLarge) && e != nil {
			s.c.cfg.Log.Warn("XMPP stanza is too large", "domain", s.c.cfg.Domain, "limit", MaxBytes)
			if asks(e) {
				s.answer(e, &Error{Modify, "policy-violation", "the stanza is too large"})
			}
			continue
		}
		if err != nil {
			return s.broken(err)
		}
		if e.Is(nsStream, "error") {
			return streamError(e)
		}
		if asks(e) { // messages, presence and answers are for nobody here
			s.dispatch(e)
		}
	}
}

// asks reports whether a stanza is a request that must be answered.
func asks(e *Element) bool {
	return e.Name.Local == "iq" && (e.Get("type") == "get" || e.Get("type") == "set")
}

// dispatch answers a request, or hands what it publishes to the worker of its node.
func (s *session) dispatch(iq *Element) {
	if len(iq.Children) != 1 {
		s.answer(iq, &Error{Modify, "bad-request", "one child is wanted"})
		return
	}
	what := iq.Children[0]
	publish := what.Child(NSPubSub, "publish")
	switch get := iq.Get("type") == "get"; {
	case !get && what.Is(NSPubSub, "pubsub") && publish != nil:
		h := fnv.New32a()
		_, _ = h.Write([]byte(publish.Get("node"))) // never fails
		s.pending.Add(1)
		s.queues[h.Sum32()%uint32(len(s.queues))] <- iq
	case get && what.Is(nsInfo, "query"):
		if what.Get("node") != "" {
			s.answer(iq, &Error{Cancel, "item-not-found", ""})
			return
		}
		s.answer(iq, nil, s.c.info())
	case get && what.Is(nsItems, "query"):
		s.answer(iq, nil, New(nsItems, "query"))
	case get && what.Is(nsPing, "ping"):
		if iq.Get("from") != s.c.cfg.Domain { // else it is ours, and that it came is all we want to know
			s.answer(iq, nil)
		}
	case what.Is(NSPubSub, "pubsub"):
		s.answer(iq, &Error{Cancel, "feature-not-implemented", ""})
	default:
		s.answer(iq, &Error{Cancel, "service-unavailable", ""})
	}
}

// Namespaces of what every component answers.
const (
	nsInfo  = "http://jabber.org/protocol/disco#info"
	nsItems = "http://jabber.org/protocol/disco#items"
	nsPing  = "urn:xmpp:ping"
)

// info is what the component says about itself: a push service (XEP-0357 4.2).
func (c *Component) info() *Element {
	q := New(nsInfo, "query", New(nsInfo, "identity").Set("category", "pubsub").Set("type", "push").Set("name", c.cfg.Name))
	for _, f := range []string{nsInfo, nsItems, nsPing, NSPush} {
		q.Children = append(q.Children, New(nsInfo, "feature").Set("var", f))
	}
	return q
}

// answer sends the reply to a request. One that cannot be sent is lost with its
// connection.
func (s *session) answer(iq *Element, err *Error, children ...*Element) {
	s.transmit(Reply(iq, err, children...))
}

// transmit sends a stanza. Those of this stream are written without a namespace of
// their own.
func (s *session) transmit(e *Element) {
	space := e.Name.Space
	e.Name.Space = ""
	for _, c := range e.Children {
		if c.Name.Space == space {
			c.Name.Space = ""
		}
	}
	var b strings.Builder
	e.write(&b, "")
	_ = s.send(b.String())
}

// publish hands one IQ on and answers it.
func (s *session) publish(iq *Element) {
	defer func() {
		if s.pending.Add(-1) == 0 {
			select {
			case s.idle <- struct{}{}:
			default:
			}
		}
	}()
	s.answer(iq, s.published(iq))
}

func (s *session) published(iq *Element) (err *Error) {
	defer func() {
		if p := recover(); p != nil {
			s.c.cfg.Log.Error("panic while a push over XMPP was taken", "panic", fmt.Sprintf("%T", p)) // its text may quote the message
			err = &Error{Wait, "internal-server-error", ""}
		}
	}()
	return s.c.cfg.Publish(s.c.working, s.peer, iq)
}

// keep pings, and when the component is told to stop ends the stream as soon as
// everything that came is answered.
func (s *session) keep(over <-chan struct{}) {
	t := time.NewTicker(s.c.cfg.Times.Ping)
	defer t.Stop()
	for {
		select {
		case <-over:
			return
		case <-t.C:
			s.ping()
			continue
		case <-s.c.stopping.Done():
		}
		break
	}
	for s.pending.Load() > 0 {
		select {
		case <-over:
			return
		case <-s.idle:
		case <-s.c.working.Done():
		}
		if s.c.working.Err() != nil {
			break
		}
	}
	s.end()
}

// ping asks the server to deliver a ping to ourselves: that it comes back shows that
// the connection stands and that the server routes our domain over it. No other
// address is known to be there.
func (s *session) ping() {
	s.pings++
	s.transmit(New("", "iq", New(nsPing, "ping")).Set("type", "get").Set("from", s.c.cfg.Domain).
		Set("to", s.c.cfg.Domain).Set("id", "alive-"+strconv.Itoa(s.pings)))
}
