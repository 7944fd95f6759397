package handlers

import (
	"bytes"
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"
)

// contract is the OpenAPI file, ready to judge requests and answers.
type contract struct {
	doc    *openapi3.T
	router routers.Router
}

func loadContract(t *testing.T) *contract {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(deviceAPI)
	if err != nil {
		t.Fatal(err)
	}
	// With examples: each must fit its own schema.
	if err := doc.Validate(context.Background()); err != nil {
		t.Fatal(err)
	}
	router, err := legacy.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	return &contract{doc: doc, router: router}
}

// check judges one exchange: the answer must be one the contract describes, and a
// request that was taken must be one that it allows. It returns what the contract
// says against the request.
func (c *contract) check(t testing.TB, req *http.Request, body []byte, r reply) (requestErr error) {
	t.Helper()
	ctx := context.Background()
	req = req.Clone(ctx)
	req.URL.Host, req.URL.Scheme, req.Host = "", "", ""
	req.Body = http.NoBody
	if len(body) > 0 {
		req.Body = readCloser(body)
	}
	route, params, err := c.router.FindRoute(req)
	if err != nil {
		t.Fatalf("%s %s is not in the contract: %v", req.Method, req.URL.Path, err)
	}
	in := &openapi3filter.RequestValidationInput{
		Request: req, PathParams: params, Route: route,
		Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc},
	}
	requestErr = openapi3filter.ValidateRequest(ctx, in)
	if requestErr != nil && r.status < 300 {
		t.Errorf("the server took what the contract refuses: %v", requestErr)
	}
	out := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: in, Status: r.status, Header: r.header, Body: readCloser(r.body),
		Options: &openapi3filter.Options{IncludeResponseStatus: true},
	}
	if err := openapi3filter.ValidateResponse(ctx, out); err != nil {
		t.Errorf("%s %s answered %d against the contract: %v", req.Method, req.URL.Path, r.status, err)
	}
	return requestErr
}

type bodyReader struct{ *bytes.Reader }

func (bodyReader) Close() error { return nil }

func readCloser(b []byte) bodyReader { return bodyReader{bytes.NewReader(b)} }

// Every machine route but the bridges of foreign protocols is in the contract, and
// the other way round.
func TestContractHasEveryRoute(t *testing.T) {
	t.Parallel()
	doc := loadContract(t).doc
	var described []string
	for path, item := range doc.Paths.Map() {
		for method := range item.Operations() {
			described = append(described, method+" "+path)
		}
	}
	slices.Sort(described)
	eachMachine(t, "generic", Rates{}, func(t *testing.T, s *machineSite) {
		var served []string
		for _, r := range s.server.Routes() {
			path := strings.ReplaceAll(r.Path, ":secret", "{secret}")
			if (strings.HasPrefix(path, "/device/v1/") && r.Method != http.MethodOptions && path != "/device/v1/openapi.yaml") || path == "/im/{secret}/messages" {
				served = append(served, r.Method+" "+path)
			}
		}
		slices.Sort(served)
		if !slices.Equal(described, served) {
			t.Errorf("described %v\nserved %v", described, served)
		}
		if r := s.do("GET", "/device/v1/openapi.yaml", nil); r.status != 200 || !bytes.Equal(r.body, deviceAPI) || !strings.HasPrefix(r.header.Get("Content-Type"), "application/yaml") {
			t.Errorf("openapi.yaml: %d %s", r.status, r.header.Get("Content-Type"))
		}
	})
}

// examples returns the request examples of a POST, by name.
func (c *contract) examples(path string) map[string]any {
	media := c.doc.Paths.Value(path).Post.RequestBody.Value.Content.Get("application/json")
	out := map[string]any{}
	if media.Example != nil {
		out["example"] = media.Example
	}
	for name, e := range media.Examples {
		out[name] = e.Value.Value
	}
	return out
}
