package handlers

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"hongyan/models"
)

// tinodeAnswer is what the server reads. An errcode of the whole makes it log errmsg.
type tinodeAnswer struct {
	Sent     int                `json:"sent_count"`
	Failed   int                `json:"fail_count"`
	Code     string             `json:"errcode,omitempty"`
	Message  string             `json:"errmsg,omitempty"`
	Response []tinodeItemAnswer `json:"resp,omitempty"`
}

// tinodeItemAnswer answers for one item; without errcode it is well.
type tinodeItemAnswer struct {
	HTTP    int    `json:"code,omitempty"`
	Code    string `json:"errcode,omitempty"`
	Message string `json:"errmsg,omitempty"`
	Detail  string `json:"exerr,omitempty"`
	Index   int    `json:"index,omitempty"`
}

func tinodeItem(c echo.Context, i int, code, detail string, e *apiError) tinodeItemAnswer {
	return tinodeItemAnswer{HTTP: e.status, Code: code, Message: errorBody(c, e).Message, Detail: detail, Index: i}
}

// answer says of each item what is known. A token that is merely not known is not
// UNREGISTERED, which would delete it: the app may not be registered yet.
func (tinodeGateway) answer(c echo.Context, r ingestResult) error {
	var a tinodeAnswer
	for i, n := range r.at {
		one := tinodeItemAnswer{HTTP: http.StatusOK, Index: i}
		switch why := r.refused[i]; {
		case why != "":
			one = tinodeItem(c, i, "INVALID_ARGUMENT", why, fieldError("wrong_type", why))
		case n < 0: // asked for nothing
		case r.fates[n] == models.TokenDead:
			one = tinodeItem(c, i, "UNREGISTERED", "", &apiError{status: http.StatusNotFound, code: "dead_device"})
		case r.fates[n] == models.TokenUnknown:
			one = tinodeItem(c, i, "NOT_FOUND", "", &apiError{status: http.StatusNotFound, code: "unknown_device"})
		default:
			a.Sent++
		}
		if one.Code != "" {
			a.Failed++
		}
		a.Response = append(a.Response, one)
	}
	return c.JSON(http.StatusOK, a)
}

func (tinodeGateway) unauthorized(c echo.Context, in intake) error {
	e := &apiError{status: http.StatusConflict, code: "not_authorized"}
	return c.JSON(http.StatusOK, tinodeAnswer{Failed: len(in.at), Code: "PERMISSION_DENIED", Message: errorBody(c, e).Message})
}

// refuse answers with a status that drops the batch: the server never repeats one.
func (tinodeGateway) refuse(c echo.Context, e *apiError) error {
	code := "INVALID_ARGUMENT"
	switch {
	case e.status == http.StatusUnauthorized:
		code = "UNAUTHENTICATED"
	case e.status == http.StatusForbidden:
		code = "PERMISSION_DENIED"
	case e.status == http.StatusNotFound || e.status == http.StatusMethodNotAllowed:
		code = "NOT_FOUND"
	case e.status == http.StatusTooManyRequests:
		code = "QUOTA_EXCEEDED"
	case e.status >= http.StatusInternalServerError:
		code = "UNAVAILABLE"
	}
	retryAfter(c, e)
	return c.JSON(e.status, tinodeAnswer{Code: code, Message: errorBody(c, e).Message})
}
