package oppo

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"hongyan/push"
)

const (
	pathAuth = "/server/v1/auth"
	// tokenLife is how long OPPO honours an access token (docAuth).
	tokenLife = 24 * time.Hour
	// maxAccess bounds an access token, in bytes.
	maxAccess = 4096
)

// fetch asks OPPO for an access token.
func (s *Sender) fetch(ctx context.Context) (push.AccessToken, *push.Result) {
	now := s.http.Now()
	stamp := strconv.FormatInt(now.UnixMilli(), 10)
	sign := sha256.Sum256([]byte(s.appKey + stamp + s.masterSecret))
	reply, fault := s.post(ctx, pathAuth, url.Values{
		"app_key": {s.appKey}, "timestamp": {stamp}, "sign": {hex.EncodeToString(sign[:])},
	})
	if fault != nil {
		return push.AccessToken{}, fault
	}
	a, ok := read(reply)
	if !ok {
		return push.AccessToken{}, ptr(unreadable(reply))
	}
	if r := s.result(a.Code.String(), "", reply); r.Outcome != push.Accepted {
		return push.AccessToken{}, &s.quoted(a, []push.Result{r})[0]
	}
	var data struct {
		Token string `json:"auth_token"`
	}
	if json.Unmarshal(a.Data, &data) != nil || data.Token == "" || len(data.Token) > maxAccess {
		return push.AccessToken{}, ptr(unreadable(reply))
	}
	return push.AccessToken{Value: data.Token, Expires: now.Add(tokenLife)}, nil
}

// post sends a form.
func (s *Sender) post(ctx context.Context, path string, form url.Values) (push.Reply, *push.Result) {
	header := http.Header{"Content-Type": {"application/x-www-form-urlencoded;charset=UTF-8"}}
	return s.http.Do(ctx, http.MethodPost, s.base+path, header, []byte(form.Encode()))
}

func ptr(r push.Result) *push.Result { return &r }
