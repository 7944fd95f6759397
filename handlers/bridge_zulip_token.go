package handlers

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"hongyan/models"
)

// readZulipToken reads a registration: a form whose values are JSON, or a JSON object.
func readZulipToken(contentType string, body []byte) (user string, token models.UserToken, err error) {
	var t struct {
		UserID json.RawMessage `json:"user_id"`
		UUID   looseText       `json:"user_uuid"`
		Token  looseText       `json:"token"`
		Kind   json.RawMessage `json:"token_kind"`
	}
	if strings.HasPrefix(contentType, "application/x-www-form-urlencoded") {
		form, err := url.ParseQuery(string(body))
		if err != nil {
			return "", token, &apiError{status: http.StatusBadRequest, code: "unreadable"}
		}
		t.UUID, t.Token = looseText(formText(form.Get("user_uuid"))), looseText(formText(form.Get("token")))
		t.UserID, _ = json.Marshal(formText(form.Get("user_id"))) // a string always marshals
		t.Kind, _ = json.Marshal(form.Get("token_kind"))
	} else if err := decodeJSON(body, &t); err != nil {
		return "", token, err
	}
	if user, err = zulipUser(string(t.UUID), t.UserID); err != nil {
		return "", token, err
	}
	token.Kind = zulipAndroid
	if kind, _ := textOrNumber("", t.Kind); kind == "1" || kind == zulipApple {
		token.Kind = zulipApple
	}
	if token.Token = string(t.Token); token.Token != "" && !validToken(token.Token) {
		return "", token, fieldError(codeWrongType, "token")
	}
	return user, token, nil
}

// formText is a form's value without the quotes that some servers put around it.
func formText(s string) string {
	var text string
	if json.Unmarshal([]byte(s), &text) == nil {
		return text
	}
	return s
}
