package handlers

import (
	"bytes"
	"context"
	"net/http"
	"strings"

	"hongyan/views"
	c "hongyan/views/components"
	"hongyan/views/locale"
	"hongyan/xmpp"
)

// maxXMPPSecret bounds what is looked up as an ingest secret.
const maxXMPPSecret = 128

// xmppSenderKey is under which a request's context names the sender of an IQ. All users
// of an XMPP server come from its one address; whom the server says an IQ is from is
// what tells them apart where requests are limited.
type xmppSenderKey struct{}

// PublishXMPP takes what is published to an XMPP component through the routes of a
// server: a push that comes over XMPP is authenticated, limited, stored, counted and
// answered as one that is posted to the IM app's ingest address. The peer is the XMPP
// server's address, which is what an allow-list is about.
func PublishXMPP(server http.Handler) func(ctx context.Context, peer string, iq *xmpp.Element) *xmpp.Error {
	return func(ctx context.Context, peer string, iq *xmpp.Element) *xmpp.Error {
		path := "/" + xmppPath // without a secret the sender's domain names the IM app
		if secret := takeSecret(iq); secret != "" {
			if !ingestSecret(secret) {
				return xmppError(&apiError{status: http.StatusNotFound, code: "unknown_address"})
			}
			path = "/im/" + secret + path
		}
		ctx = context.WithValue(ctx, xmppSenderKey{}, xmpp.Bare(iq.Get("from")))
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, path, strings.NewReader(iq.String()))
		if err != nil {
			return xmppError(&apiError{status: http.StatusInternalServerError, code: "internal"})
		}
		r.RemoteAddr = peer
		r.Header.Set("Content-Type", "application/xml")
		got := &answerInMemory{header: http.Header{}}
		server.ServeHTTP(got, r)
		answer, err := xmpp.Parse(got.body.Bytes())
		if err != nil {
			return xmppError(&apiError{status: http.StatusInternalServerError, code: "internal"})
		}
		fault, ok := xmpp.ErrorOf(answer)
		if !ok {
			return xmppError(&apiError{status: http.StatusInternalServerError, code: "internal"})
		}
		return fault
	}
}

// takeSecret removes the ingest secret from a publication: it is for nobody behind the
// door.
func takeSecret(iq *xmpp.Element) string {
	options := iq.Child(xmpp.NSPubSub, "pubsub").Child(xmpp.NSPubSub, "publish-options")
	form := options.Child(nsXMPPForm, "x")
	if form == nil {
		return ""
	}
	secret := strings.TrimSpace(xmpp.Form(form)[xmppSecret])
	var kept []*xmpp.Element
	for _, f := range form.Children {
		if f.Get("var") != xmppSecret {
			kept = append(kept, f)
		}
	}
	form.Children = kept
	return secret
}

// ingestSecret reports whether a text can be an IM app's secret. Those of samples
// cannot come this way.
func ingestSecret(s string) bool {
	return len(s) <= maxXMPPSecret && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
	})
}

// answerInMemory is the answer to a request that no connection waits for.
type answerInMemory struct {
	header http.Header
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (a *answerInMemory) Header() http.Header { return a.header }

// WriteHeader implements http.ResponseWriter: the body says it all.
func (a *answerInMemory) WriteHeader(int) {}

// Write implements http.ResponseWriter.
func (a *answerInMemory) Write(p []byte) (int, error) { return a.body.Write(p) }

// xmppLink says on an IM app's page how the component connection stands, and writes
// the configured domain into the steps.
func (h *console) xmppLink(ctx context.Context, clock clock, p *views.IMAppPage) {
	if h.XMPP == nil {
		p.Link, p.LinkTone = locale.T(ctx, "bridges.xmpp.unset"), c.Warn
		return
	}
	at := h.XMPP()
	for i := range p.Steps {
		p.Steps[i].Code = strings.ReplaceAll(p.Steps[i].Code, xmppDomain, at.Domain)
	}
	key, tone := "", c.Warn
	switch at.Phase {
	case xmpp.Connected:
		tone = c.OK
		key = "bridges.xmpp.connected"
	case xmpp.Connecting:
		key = "bridges.xmpp.connecting"
	case xmpp.Standby:
		tone = c.Info
		key = "bridges.xmpp.standby"
	case xmpp.Stopped:
		key = "bridges.xmpp.stopped"
	case xmpp.Disconnected:
		tone = c.Bad
		key = xmppFault(at.Fault)
	}
	p.Link, p.LinkTone = locale.T(ctx, key, "Domain", at.Domain, "Addr", at.Addr, "Since", clock.Short(at.Since)), tone
}

// xmppFault is the sentence of why there is no connection.
func xmppFault(fault string) string {
	switch fault {
	case xmpp.FaultUnreachable:
		return "bridges.xmpp.unreachable"
	case xmpp.FaultSecret:
		return "bridges.xmpp.secret"
	case xmpp.FaultDomain:
		return "bridges.xmpp.domain"
	case xmpp.FaultSilent:
		return "bridges.xmpp.silent"
	case xmpp.FaultNoStream:
		return "bridges.xmpp.no_stream"
	case xmpp.FaultStreamError:
		return "bridges.xmpp.stream_error"
	}
	return "bridges.xmpp.closed"
}
