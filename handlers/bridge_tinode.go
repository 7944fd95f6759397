package handlers

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"hongyan/models"
)

// Limits of a request, which are those of Tinode's server.
const (
	maxTinodeMessages = 100
	maxTinodeDevices  = 1000
)

// tinodeAtOnce is what is left of an android.ttl of 0, "now or never".
const tinodeAtOnce = 30 * time.Second

// tinodeGateway is a Tinode Push Gateway (tnpg). The server posts arrays of FCM
// messages, each for one device or one channel, once and never again; it forgets a device
// whose answer is UNREGISTERED, and stops a batch at an error that may pass. Its token is
// the IM app's secret; the organization in the path is whatever it was given.
type tinodeGateway struct{}

func (tinodeGateway) bridge() Bridge {
	return Bridge{
		ID:     "tinode",
		Tokens: true,
		Name:   "bridges.tinode.name",
		Help:   "bridges.tinode.help",
		Setup: func(address string) []SetupStep {
			_, secret, _ := strings.Cut(address, "/im/")
			return []SetupStep{
				{Text: "bridges.tinode.step_config", Code: tinodeConfig(secret, rootOf(address)+"/")},
				{Text: "bridges.tinode.step_path", Code: tinodeConfig("any", address+"/")},
				{Text: "bridges.tinode.step_app", Code: `{"hi":{"id":"1","ver":"0.22","dev":"<device_token>","platf":"android"}}`},
				{Text: "bridges.tinode.step_channels"},
			}
		},
		Sample: tinodeSample,
	}
}

func tinodeConfig(token, server string) string {
	return `"push": [{` + "\n" + `  "name": "tnpg",` + "\n" +
		`  "config": {"enabled": true, "org": "example", "token": "` + token + `",` + "\n" +
		`    "debug_server": "` + server + `"}` + "\n" + `}]`
}

// tinodeSample is the message of spec/im.md 13 with other names.
func tinodeSample(from, to, id, text string, now time.Time) SampleRequest {
	body, _ := json.Marshal([]map[string]any{{ // strings always marshal
		"token":   to,
		"android": map[string]string{"priority": "HIGH", "ttl": "3600s"},
		"data": map[string]string{
			"what": "msg", "topic": from, "xfrom": from, "seq": id, "ts": now.UTC().Format(time.RFC3339Nano), "content": text,
		},
	}})
	return SampleRequest{Path: "pushv1/sample", Body: body}
}

func (p tinodeGateway) routes(h *ingestHandler) []bridgeRoute {
	route := func(path string, root bool, take func(echo.Context, tinodeGateway, models.Ingest) error) bridgeRoute {
		return bridgeRoute{method: http.MethodPost, path: path, root: root, handler: h.tinode(p, root, take)}
	}
	push := func(c echo.Context, p tinodeGateway, in models.Ingest) error { return h.serve(c, p, in) }
	return []bridgeRoute{
		route("pushv1/:org", false, push), route("/pushv1/:org", true, push),
		route("sub/:org", false, h.tinodeSub), route("/sub/:org", true, h.tinodeSub),
	}
}

// tinode finds the IM app by the secret in the path, or by the token that the server
// signs in with.
func (h *ingestHandler) tinode(p tinodeGateway, bearer bool, take func(echo.Context, tinodeGateway, models.Ingest) error) echo.HandlerFunc {
	return func(c echo.Context) error {
		secret := c.Param("secret")
		if bearer {
			secret = bearerToken(c)
		}
		in, err := h.authenticateSecret(c, secret)
		if e := apiErrorOf(err); err != nil && bearer && e.status == http.StatusNotFound {
			err = &apiError{status: http.StatusUnauthorized, code: "unauthorized"}
		}
		if err == nil && in.Bridge() != p.bridge().ID {
			h.count(in, models.IngestInvalid, 1)
			err = &apiError{status: http.StatusNotFound, code: "wrong_bridge"}
		}
		if err != nil {
			return h.refuse(c, p, err)
		}
		return take(c, p, in)
	}
}

// bearerToken returns what stands after Bearer, "" without it.
func bearerToken(c echo.Context) string {
	scheme, token, _ := strings.Cut(c.Request().Header.Get(echo.HeaderAuthorization), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}
