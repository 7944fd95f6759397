package harmony

import (
	"context"
	"time"

	"github.com/golang-jwt/jwt/v4"

	"hongyan/push"
)

// audience is what a token is for, a constant of Huawei's: the file has the same text
// under token_uri, which is not believed.
const audience = "https://oauth-login.cloud.huawei.com/oauth2/v3/token"

// tokenLife is how long a token is good; Huawei allows a day and advises an hour.
// https://developer.huawei.com/consumer/cn/doc/harmonyos-guides/push-jwt-token
const tokenLife = time.Hour

// sign makes the token that is used as it is: there is nothing to exchange it for.
func (c *credential) sign(now time.Time) (push.AccessToken, *push.Result) {
	end := now.Add(tokenLife)
	t := jwt.NewWithClaims(jwt.SigningMethodPS256, jwt.MapClaims{
		"iss": c.account, "aud": audience, "iat": now.Unix(), "exp": end.Unix(),
	})
	t.Header["kid"] = c.keyID
	text, err := t.SignedString(c.key)
	if err != nil {
		return push.AccessToken{}, &push.Result{Outcome: push.BadCredential, Code: push.CodeSigning, Text: "the service account's key could not sign"}
	}
	return push.AccessToken{Value: text, Expires: end}, nil
}

func (c *credential) tokens(now func() time.Time) *push.AccessTokens {
	return push.NewAccessTokens(now, func(context.Context) (push.AccessToken, *push.Result) { return c.sign(now()) })
}
