package sandbox

import (
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"slices"
	"strings"
	"time"
)

const (
	// tokenAge is how old a provider token may be: [token] "the timestamp is more
	// than one hour old".
	tokenAge = time.Hour
	// tokenPause is how soon a connection may change its token: [token] "no more
	// than once every 20 minutes".
	tokenPause = 20 * time.Minute
	// clockSkew is how far ahead a token's time may be. Not documented.
	clockSkew = 5 * time.Minute
	// keyFresh is how long a connection trusts a key it has looked up.
	keyFresh = time.Second
)

// providerState is what a connection remembers of its provider token.
type providerState struct {
	bearer  string    // last good authorization header
	keyID   string    // key of the first good token on this connection
	issued  time.Time // the good token's own time
	changed time.Time // when this connection last saw a new token
	key     Key
	looked  time.Time // when key was looked up
}

// checkProvider judges a provider token: [token] a JWT with alg ES256, the key's id
// in kid, the team in iss and the time of signing in iat.
func (s *APNs) checkProvider(ctx context.Context, c *apnsConn, header string) string {
	now := s.now()
	c.mu.Lock()
	st := c.provider
	c.mu.Unlock()
	if header == st.bearer && now.Sub(st.looked) < keyFresh && now.Sub(st.looked) >= 0 {
		return providerAge(now, st.issued)
	}
	token, ok := cutBearer(header)
	if !ok {
		return "InvalidProviderToken"
	}
	p, ok := parseProvider(token)
	if !ok {
		return "InvalidProviderToken"
	}
	key, ok, err := s.keys.Key(ctx, p.keyID)
	switch {
	case err != nil:
		return "InternalServerError"
	case !ok || key.Team != p.team || !p.verify(key.Public):
		return "InvalidProviderToken"
	case st.keyID != "" && st.keyID != p.keyID:
		return "UnrelatedKeyIdInToken"
	case len(key.Environments) > 0 && !slices.Contains(key.Environments, s.environment):
		return "BadEnvironmentKeyInToken"
	}
	issued := time.Unix(p.issued, 0)
	if reason := providerAge(now, issued); reason != "" {
		return reason
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.provider.bearer != "" && c.provider.bearer != header {
		if now.Sub(c.provider.changed) < tokenPause && issued.After(c.provider.issued) {
			return "TooManyProviderTokenUpdates"
		}
	}
	changed := c.provider.changed
	if c.provider.bearer != header {
		changed = now
	}
	c.provider = providerState{bearer: header, keyID: p.keyID, issued: issued, changed: changed, key: key, looked: now}
	return ""
}

func providerAge(now, issued time.Time) string {
	switch age := now.Sub(issued); {
	case age > tokenAge:
		return "ExpiredProviderToken"
	case age < -clockSkew:
		return "InvalidProviderToken"
	}
	return ""
}

// cutBearer takes the token out of "bearer <token>".
func cutBearer(h string) (string, bool) {
	if len(h) < 7 || !strings.EqualFold(h[:7], "bearer ") {
		return "", false
	}
	return h[7:], true
}

// providerToken is a parsed JWT.
type providerToken struct {
	keyID, team string
	issued      int64
	digest      [sha256.Size]byte
	r, s        *big.Int
}

func parseProvider(token string) (providerToken, bool) {
	var p providerToken
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return p, false
	}
	var head struct{ Alg, Kid string }
	var claims struct {
		Iss string
		Iat int64
	}
	if !decodePart(parts[0], &head) || !decodePart(parts[1], &claims) {
		return p, false
	}
	sig, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil || len(sig) != 64 || head.Alg != "ES256" || head.Kid == "" || claims.Iss == "" {
		return p, false
	}
	p.keyID, p.team, p.issued = head.Kid, claims.Iss, claims.Iat
	p.digest = sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	p.r, p.s = new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])
	return p, true
}

func decodePart(part string, into any) bool {
	raw, err := base64.RawURLEncoding.DecodeString(part)
	return err == nil && json.Unmarshal(raw, into) == nil
}

// verify checks the ES256 signature (RFC 7518 section 3.4).
func (p *providerToken) verify(pub *ecdsa.PublicKey) bool {
	return pub != nil && ecdsa.Verify(pub, p.digest[:], p.r, p.s)
}

// subjectUID is the bundle id in a certificate's subject.
func subjectUID(c *x509.Certificate) string {
	for _, n := range c.Subject.Names {
		if v, ok := n.Value.(string); ok && n.Type.Equal(oidUserID) {
			return v
		}
	}
	return ""
}
