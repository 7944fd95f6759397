package handlers

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"hongyan/models"
	"hongyan/push"
)

// endpointPath is where the devices' own endpoints are: /up/{endpoint}.
const endpointPath = "/up/"

// keyEndpointDevice is where Echo's context holds the device that an endpoint is of.
const keyEndpointDevice = "hongyan.endpoint.device"

// endpointRoutes are the addresses that strangers' servers reach one device at. The
// endpoint is all that they know: no key of an IM app is in it.
func (h *ingestHandler) endpointRoutes(p protocol) []bridgeRoute {
	route := func(method string, take func(echo.Context, models.Ingest) error) bridgeRoute {
		return bridgeRoute{method: method, root: true, path: endpointPath + ":endpoint", handler: func(c echo.Context) error {
			if h.endpoint.Exhausted(c.Param("endpoint")) {
				return h.refuse(c, p, tooMany())
			}
			in, err := h.ofEndpoint(c, p, c.Param("endpoint"))
			if err != nil {
				return h.refuse(c, p, err)
			}
			return take(c, in)
		}}
	}
	return []bridgeRoute{
		route(http.MethodPost, func(c echo.Context, in models.Ingest) error {
			if !h.endpoint.Allow(c.Param("endpoint")) {
				return h.refuse(c, p, tooMany())
			}
			return h.serve(c, p, in)
		}),
		route(http.MethodGet, discoverUnifiedPush),
	}
}

// ofEndpoint finds the device of an endpoint. Whoever guesses is slowed, as with secrets.
func (h *ingestHandler) ofEndpoint(c echo.Context, p protocol, endpoint string) (models.Ingest, error) {
	return h.authenticateBy(c, endpoint, h.goodEndpoints, func(ctx context.Context) (models.Ingest, error) {
		in, device, err := h.Ingest.IngestByEndpoint(ctx, p.bridge().ID, endpoint)
		c.Set(keyEndpointDevice, device)
		return in, err
	})
}

func endpointDevice(c echo.Context) string {
	device, _ := c.Get(keyEndpointDevice).(string)
	return device
}

// discoverUnifiedPush says that this is an endpoint.
func discoverUnifiedPush(c echo.Context, _ models.Ingest) error {
	return c.JSON(http.StatusOK, map[string]any{"unifiedpush": map[string]int{"version": 1}})
}

// endpointAnswer is the answer of endpoint.
type endpointAnswer struct {
	Endpoint string `json:"endpoint"`
}

// endpoint tells the app in a phone the device's endpoint.
func (h *deviceHandler) endpoint(c echo.Context) error {
	var body struct {
		Renew bool `json:"renew"`
	}
	if err := readDevice(c, &body); err != nil {
		return err
	}
	token, err := h.Devices.DeviceEndpoint(c.Request().Context(), thisDevice(c), unifiedPush{}.bridge().ID, body.Renew)
	if models.KindOf(err) == models.NotFound && err != nil {
		return &apiError{status: http.StatusNotFound, code: "no_unifiedpush", err: err}
	}
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, endpointAnswer{publicURL(h.PublicURL, c) + endpointPath + token.Reveal()})
}

// publicURL is the address of this installation, without a trailing slash: as configured,
// else the one that the request came to.
func publicURL(configured string, c echo.Context) string {
	if configured != "" {
		return configured
	}
	return c.Scheme() + "://" + c.Request().Host
}

// toEndpoints hands the part of a Matrix request whose pushkeys are endpoints of this
// installation to their devices: the app gets the bytes of the request as from any other
// server, and the text that the event has. An endpoint that is gone is a dead token.
func (h *ingestHandler) toEndpoints(c echo.Context, r ingestRequest, all *ingestResult) error {
	prefix := publicURL(h.PublicURL, c) + endpointPath
	for i := range all.messages {
		endpoint, ok := strings.CutPrefix(all.messages[i].Token, prefix)
		if !ok {
			continue
		}
		all.names[i] = "" // no IM app's
		in, err := h.ofEndpoint(c, unifiedPush{}, endpoint)
		switch {
		case models.KindOf(err) == models.NotFound && err != nil || err != nil && apiErrorOf(err).status == http.StatusNotFound:
			all.fates[i] = models.TokenDead
			continue
		case err != nil:
			return err
		case !in.Authorized() || h.allowed(c, in) != nil:
			continue
		case !h.endpoint.Allow(endpoint):
			return tooMany()
		}
		one := all.messages[i]
		if r.language = in.Language(); r.language != models.LanguageChinese { // which the request was read in
			got, err := (matrixGateway{}).parse(r)
			if err != nil {
				return err
			}
			one = got.messages[i]
		}
		one.Token = endpointDevice(c)
		if one.Kind == models.KindAlert {
			one.Content.MutableContent = true
			one.Content.Data = nil
			passBytes(&one.Content, r.body, "")
		}
		done, err := h.store(c.Request().Context(), in, intake{messages: []models.Incoming{one}})
		if err != nil {
			return err
		}
		all.fates[i] = done.fateOf()
		all.New += done.New
		all.Duplicates += done.Duplicates
	}
	return nil
}

// passBytes gives the app the bytes of a push message, or how many there are: phone
// vendors take 4 KB in all.
func passBytes(c *models.Content, body []byte, encoding string) {
	fields := map[string]json.RawMessage{}
	fields["up"], _ = json.Marshal(base64.StdEncoding.EncodeToString(body)) // a string always marshals
	if encoding != "" {
		fields["up_encoding"], _ = json.Marshal(push.CutBytes(encoding, maxWordBytes))
	}
	passOn(c, fields, "up_encoding", "up")
	if _, fits := c.Data["up"]; !fits {
		size, _ := json.Marshal(len(body))
		passOn(c, map[string]json.RawMessage{"up_size": size})
	}
}
