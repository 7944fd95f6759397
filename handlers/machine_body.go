package handlers

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"hongyan/push"
)

// Sizes of request bodies, in bytes.
const (
	maxBridgeBody   = 512 << 10 // as sent
	maxBridgeLength = 4 << 20   // decompressed
	maxDeviceBody   = 64 << 10
)

// codeWrongType is the code of a value, or a whole body, of another JSON type.
const codeWrongType = "wrong_type"

// readBody returns the request's body, decompressed. limit is for the bytes sent,
// length for what they decompress to.
func readBody(c echo.Context, limit, length int64) ([]byte, error) {
	body, err := readRaw(c, limit)
	if err != nil {
		return nil, err
	}
	switch strings.ToLower(strings.TrimSpace(c.Request().Header.Get(echo.HeaderContentEncoding))) {
	case "", "identity":
		return body, nil
	case "gzip", "x-gzip":
		return unzip(body, length)
	}
	return nil, &apiError{status: http.StatusUnsupportedMediaType, code: "unsupported_encoding"}
}

// readRaw returns the request's body as it was sent.
func readRaw(c echo.Context, limit int64) ([]byte, error) {
	r := c.Request()
	if r.ContentLength > limit {
		return nil, tooLarge(limit)
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, limit+1))
	if err != nil {
		var he *echo.HTTPError // a body limit of the server's own
		if errors.As(err, &he) && he.Code == http.StatusRequestEntityTooLarge {
			return nil, tooLarge(limit)
		}
		return nil, &apiError{status: http.StatusBadRequest, code: "unreadable", err: err}
	}
	if int64(len(body)) > limit {
		return nil, tooLarge(limit)
	}
	return body, nil
}

func unzip(packed []byte, length int64) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, &apiError{status: http.StatusBadRequest, code: "bad_gzip", err: err}
	}
	body, err := io.ReadAll(io.LimitReader(z, length+1))
	if err != nil {
		return nil, &apiError{status: http.StatusBadRequest, code: "bad_gzip", err: err}
	}
	if int64(len(body)) > length {
		return nil, tooLarge(length)
	}
	return body, nil
}

// How many values a request's JSON may hold.
const (
	maxValues      = 1 << 17 // more than maxRecipients
	maxTokenValues = 1 << 14 // of protocols that name at most some hundred devices
)

// checkValues refuses a body that holds more values than p has use for.
func checkValues(p protocol, body []byte) error {
	limit := maxValues
	if p.bridge().Tokens {
		limit = maxTokenValues
	}
	if push.ManyValues(body, limit) {
		return fieldLimit("too_many_items", "", limit)
	}
	return nil
}

func tooLarge(limit int64) *apiError {
	return &apiError{status: http.StatusRequestEntityTooLarge, code: "too_large", data: limitData(int(limit))}
}

// decodeJSON reads one JSON value into v. Unknown fields are ignored, so that a
// newer caller still gets through. Its error names the field and never quotes the
// body.
func decodeJSON(body []byte, v any) error {
	body = bytes.TrimPrefix(body, []byte("\xef\xbb\xbf")) // some tools write a byte order mark
	err := json.Unmarshal(body, v)
	if err == nil {
		return nil
	}
	var a *apiError
	if errors.As(err, &a) {
		return a
	}
	var t *json.UnmarshalTypeError
	if errors.As(err, &t) {
		return fieldError(codeWrongType, t.Field)
	}
	return &apiError{status: http.StatusBadRequest, code: "bad_json"}
}
