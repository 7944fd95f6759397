package push

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// ClientCredentials asks a vendor's token service for an access token with a client's
// id and secret, as RFC 6749 section 4.4 has it.
func ClientCredentials(ctx context.Context, h *HTTP, address, id, secret string) (AccessToken, *Result) {
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {id}, "client_secret": {secret}}
	header := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	r, fault := h.Do(ctx, http.MethodPost, address, header, []byte(form.Encode()))
	if fault != nil {
		return AccessToken{}, fault
	}
	return TokenAnswer(r, h.Now())
}

// TokenAnswer reads the answer of an OAuth token service: the token, or the Result for
// every send that needed it. A refusal stated in the service's own format is about the
// credential; anything else may pass.
func TokenAnswer(r Reply, now time.Time) (AccessToken, *Result) {
	var a struct {
		Token   string          `json:"access_token"`
		Expires json.Number     `json:"expires_in"`
		Error   json.RawMessage `json:"error"`
	}
	err := json.Unmarshal(r.Body, &a)
	life, lifeErr := a.Expires.Int64()
	switch {
	case err == nil && r.Status == http.StatusOK && a.Token != "" && lifeErr == nil && life > 0 && life < 1<<31:
		return AccessToken{Value: a.Token, Expires: now.Add(time.Duration(life) * time.Second)}, nil
	case err == nil && len(a.Error) > 0 && r.Status/100 != 5 && r.Status != http.StatusTooManyRequests:
		return AccessToken{}, &Result{
			Outcome: BadCredential, Code: oauthCode(a.Error), Elapsed: r.Elapsed,
			Text: "the vendor's token service refused the id or the secret",
		}
	}
	out := ByStatus(r)
	return AccessToken{}, &out
}

// oauthCode is the service's error as a code: a word or a number, nothing else.
func oauthCode(raw json.RawMessage) string {
	s := strings.Trim(string(raw), `"`)
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' {
			return "oauth_error"
		}
	}
	if s == "" || len(s) > 40 {
		return "oauth_error"
	}
	return "oauth_" + s
}

// Use has try make a request with an access token, and once more with a new token when
// try reports that the vendor refused the first. It returns the Result of a token that
// could not be had, else nil: what try saw last holds.
func (a *AccessTokens) Use(ctx context.Context, try func(token string) (refused bool)) *Result {
	for again := range 2 {
		token, version, fault := a.Get(ctx)
		if fault != nil {
			return fault
		}
		if !try(token) || again == 1 {
			return nil
		}
		a.Refused(version)
	}
	return nil
}
