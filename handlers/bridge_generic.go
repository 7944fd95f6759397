package handlers

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"hongyan/models"
)

// Limits of one request to the generic bridge. Its messages are stored as one
// unit, all or none, so they fit one commit.
const (
	maxGenericMessages   = 100
	maxGenericRecipients = models.MaxBatch
)

// genericBridge is the bridge for IM servers that nobody wrote a bridge for: JSON, with
// an idempotency key. openapi/device.v1.yaml describes it in full.
type genericBridge struct{}

func (genericBridge) bridge() Bridge {
	return Bridge{
		ID:   "generic",
		Path: "messages",
		Name: "bridges.generic.name",
		Help: "bridges.generic.help",
		Setup: func(address string) []SetupStep {
			return []SetupStep{
				{Text: "bridges.generic.step_call", Code: genericCurl(address)},
				{Text: "bridges.generic.step_retry"},
				{Text: "bridges.generic.step_docs", Code: "GET /device/v1/openapi.yaml"},
			}
		},
		Sample: genericSample,
	}
}

func genericCurl(address string) string {
	return "curl -X POST '" + address + "' \\\n" +
		"  -H 'Content-Type: application/json' \\\n" +
		`  -d '{"id":"msg-1","from":{"id":"alice","name":"Alice"},"to":["bob"],"body":"你好"}'`
}

func genericSample(from, to, id, text string, _ time.Time) SampleRequest {
	body, _ := json.Marshal(map[string]any{ // strings always marshal
		"id": id, "from": map[string]string{"id": from, "name": from}, "to": []string{to},
		"conversation": map[string]string{"id": from, "type": "person"},
		"body":         text,
	})
	return SampleRequest{Body: body}
}

// parse reads one message or an array of messages.
func (genericBridge) parse(r ingestRequest) (intake, error) {
	var in intake
	bodies, array, err := genericBodies(r.body)
	if err != nil {
		return in, err
	}
	key := r.header.Get("Idempotency-Key")
	if len(key) > models.MaxSourceID {
		return in, fieldLimit("too_long", "Idempotency-Key", models.MaxSourceID)
	}
	for i, body := range bodies {
		d := genericDraft{now: r.now, language: r.language, fallbackID: genericKey(key, i, array)}
		if err := d.read(body); err != nil {
			if array {
				return intake{}, apiErrorOf(err).below(genericIndex(i))
			}
			return intake{}, err
		}
		d.address(&in)
		if len(in.at) > maxGenericRecipients {
			return intake{}, fieldLimit("too_many_items", "to", maxGenericRecipients)
		}
	}
	return in, nil
}

// genericAnswer is the answer to a request that was stored.
type genericAnswer struct {
	// IDs has one entry for each recipient in the order of the request; null
	// where nothing was stored because the recipient is the sender.
	IDs []*string `json:"ids"`
	// Accepted and Duplicates count messages.
	Accepted   int `json:"accepted"`
	Duplicates int `json:"duplicates"`
}

// answer says 202: stored for good, and sent from now on.
func (genericBridge) answer(c echo.Context, r ingestResult) error {
	a := genericAnswer{IDs: make([]*string, len(r.at)), Accepted: r.New, Duplicates: r.Duplicates}
	for i, n := range r.at {
		if n >= 0 && n < len(r.IDs) {
			a.IDs[i] = &r.IDs[n]
		}
	}
	return c.JSON(http.StatusAccepted, a)
}

func (genericBridge) unauthorized(c echo.Context, _ intake) error {
	return writeError(c, &apiError{status: http.StatusConflict, code: "not_authorized"})
}

func (genericBridge) refuse(c echo.Context, e *apiError) error { return writeError(c, e) }
