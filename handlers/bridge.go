// Package handlers turns requests into calls of models and answers them.
//
// # Bridges
//
// A bridge is the endpoint that speaks one IM server's protocol: it takes the
// messages that users missed while offline. All bridges share one shape, which
// bridge_intake.go runs in this order:
//
//	POST /im/{secret}/{path}
//	  secret → IM app (404)  ·  address allow-list (403)  ·  body, gzip (413, 400)
//	  parse → messages, and what was dropped and why
//	  join → what other requests told: who is offline, who is in a group (joiner)
//	  no authorization → the protocol's answer, nothing stored
//	  tokens → devices: alive, dead or unknown (bridge_tokens.go)
//	  Store.Accept → committed, or 503
//	  the protocol's answer
//
// To add a bridge:
//
//  1. Write bridge_<id>.go with one type that implements protocol. parse is a pure
//     function of the request: no database, no clock but ingestRequest.now, no panic
//     on any input. It drops the sender, gives every message a source id (the
//     dedupe key), marks badge updates with models.KindBadge, and builds the
//     text with the functions of bridge_text.go.
//  2. Add the type to bridges below. The form of the IM app, its set-up page and
//     the sandbox's sample message then offer it.
//  3. Add its sentences to views/locale/{zh,en}/bridges.json: bridges.<id>.name,
//     bridges.<id>.help and one per set-up step.
//  4. Put requests captured from the real server into testdata/<id>/ and into its
//     README.md, say in fixtures_ways_test.go how they are sent, and make them the
//     seeds of a fuzz test like FuzzWukongIM.
package handlers

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/labstack/echo/v4"

	"hongyan/models"
)

// Bridge describes one IM server's protocol to the pages that offer it.
type Bridge struct {
	// ID stands in im_apps.bridge and messages.source and never changes.
	ID string
	// Path is what follows the secret in the ingest address.
	Path string
	// Tokens says that the server addresses devices by token: the IM app then
	// chooses what its tokens are, and may register app or server ids.
	Tokens bool
	// Below says that the server appends paths of its own to the address; parse sees
	// them as ingestRequest.below.
	Below bool
	// Name and Help are catalog keys: what the server is called, and in a
	// sentence when to choose it.
	Name, Help string
	// Setup returns the steps of connecting the server to this ingest address.
	Setup func(address string) []SetupStep
	// Sample returns a request as the server would send it, for the sandbox: a
	// text message from one user to another, or to his device's token.
	Sample func(from, to, id, text string, now time.Time) SampleRequest
}

// SetupStep is one numbered step of connecting an IM server.
type SetupStep struct {
	// Text is a catalog key.
	Text string
	// Code is what to copy, "" for nothing.
	Code string
}

// SampleRequest is a POST to an ingest address.
type SampleRequest struct {
	Path  string // that follows the secret; "" for the bridge's Path
	Query string // without "?", may be empty
	Body  []byte // JSON, or XML
	// SDKAppID is the parameter of the query that must hold the IM app's SDKAppID, ""
	// for none.
	SDKAppID string
}

// Bridges lists the bridges that exist, in the order in which a form offers them.
func Bridges() []Bridge {
	var out []Bridge
	for _, p := range bridges() {
		out = append(out, p.bridge())
	}
	return out
}

// BridgeByID returns the bridge with that id.
func BridgeByID(id string) (Bridge, bool) {
	for _, b := range Bridges() {
		if b.ID == id {
			return b, true
		}
	}
	return Bridge{}, false
}

// bridges is the one list of bridges.
func bridges() []protocol {
	return []protocol{wukongIM{}, openIM{}, tencentIM{}, genericBridge{}, matrixGateway{}, mattermostProxy{}, rocketChatGateway{}, unifiedPush{}, zulipBouncer{}, tinodeGateway{}, xmppPush{}}
}

// protocol is one IM server's way of handing over messages.
type protocol interface {
	bridge() Bridge
	// parse reads a request. Its error is an *apiError and never quotes content.
	parse(ingestRequest) (intake, error)
	// answer tells the server what became of the request.
	answer(echo.Context, ingestResult) error
	// unauthorized answers for an IM app without any authorization: the messages
	// were not stored, and asking again would not help.
	unauthorized(echo.Context, intake) error
	// refuse answers a request that failed, with a status that the server
	// understands.
	refuse(echo.Context, *apiError) error
}

// routed is a protocol with more addresses than its Path.
type routed interface {
	protocol
	// routes lists them; their handlers may be those of the ingestHandler.
	routes(*ingestHandler) []bridgeRoute
}

// rawProtocol is a protocol whose body is bytes for the app: it is not decompressed.
type rawProtocol interface {
	protocol
	rawLimit() int64
}

// bridgeRoute is one more address of a bridge.
type bridgeRoute struct {
	method string
	// path is below the secret, or with root a whole one.
	path    string
	root    bool
	handler echo.HandlerFunc
}

// ingestRequest is what a protocol sees of an HTTP request: all of it that a parser may
// depend on.
type ingestRequest struct {
	query  url.Values
	header http.Header
	body   []byte // decompressed
	now    time.Time
	// device is the part of the address that names a device, where one does.
	device string
	// language is the account's, for what a message does not say itself.
	language string
	// below is what the path holds behind the bridge's own, without slashes around it.
	below string
	// secret is that of the address, for protocols that sign with a shared key.
	secret string
	// sdkAppID is the IM app's, and sdkKey the SecretKey that its server signs with, ""
	// for the secret.
	sdkAppID int64
	sdkKey   models.Secret
}

// joiner is a protocol whose requests say less than who is to be pushed to: join
// completes the intake from what the IM app has told before, and keeps what it tells
// now. It runs once for each parsed request.
type joiner interface {
	join(context.Context, IngestStore, models.Ingest, *intake) error
}

// intake is a parsed request.
type intake struct {
	messages []models.Incoming
	// dropped counts what will not be stored, by outcome.
	dropped map[string]int
	// fault is a word for the log when part of the request was unusable though
	// the whole is acknowledged.
	fault string
	// at maps what the protocol answers about to an index of messages, or -1.
	// Only protocols that answer item by item use it.
	at []int
	// refused says of items that cannot be stored what is wrong with them, by their
	// place in at.
	refused map[int]string
	// names holds the app or server id that each message came with, for requests
	// whose address holds no secret; parallel to messages, or empty.
	names []string
	// user is the message for a user whose tokens the IM server registered here; kinds
	// are the server's words for the tokens, parallel to messages.
	user  *userMessage
	kinds []string
	// extra is what the protocol's own methods hand on to each other.
	extra any
}

// drop counts n things that will not be stored.
func (in *intake) drop(outcome string, n int) {
	if n == 0 {
		return
	}
	if in.dropped == nil {
		in.dropped = map[string]int{}
	}
	in.dropped[outcome] += n
}

// refuse notes why an item cannot be stored.
func (in *intake) refuse(item int, why string) {
	if in.refused == nil {
		in.refused = map[int]string{}
	}
	in.refused[item] = why
}

// ingestResult is what became of an intake.
type ingestResult struct {
	intake
	models.Accepted
	// fates says what is known of each message's token; parallel to messages.
	fates []models.TokenFate
}
