package apns

import (
	"crypto/ecdsa"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v4"
)

// Ages of a provider token. Apple refuses one older than an hour, and a provider
// that changes it more often than every 20 minutes: see docToken.
const (
	tokenRenew = 45 * time.Minute
	tokenFloor = 20 * time.Minute
)

// errSigning marks a provider token that could not be signed.
var errSigning = errors.New("push/apns: sign provider token")

// provider keeps the one provider token of a key, signed at first use.
type provider struct {
	key           *ecdsa.PrivateKey
	keyID, teamID string
	now           func() time.Time

	mu     sync.Mutex
	header []string  // {"bearer <jwt>"}, shared by requests and never changed
	signed time.Time // when header was signed
	hold   time.Time // no new token before this moment: Apple said too many
}

// bearer returns the authorization header to use now.
func (p *provider) bearer() ([]string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	if p.header != nil && (now.Sub(p.signed) < tokenRenew || now.Before(p.hold)) {
		return p.header, nil
	}
	err := p.signLocked(now) // it sets the header
	return p.header, err
}

// refresh answers Apple's refusal of a header as expired. Whoever comes first signs
// a new token and all others get that one. It returns false when the refused token
// is younger than Apple lets it be changed.
func (p *provider) refresh(refused []string) ([]string, bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(refused) == 0 || len(p.header) == 0 || p.header[0] != refused[0] {
		return p.header, true, nil
	}
	now := p.now()
	// A negative age means the clock was set back, and then the token says a
	// moment that has not come yet.
	if age := now.Sub(p.signed); (age >= 0 && age < tokenFloor) || now.Before(p.hold) {
		return nil, false, nil
	}
	err := p.signLocked(now)
	return p.header, err == nil, err
}

// tooMany keeps the present token for at least tokenFloor: Apple says it changed too often.
func (p *provider) tooMany() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hold = p.now().Add(tokenFloor)
}

func (p *provider) signLocked(now time.Time) error {
	t := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{"iss": p.teamID, "iat": now.Unix()})
	t.Header = map[string]any{"alg": "ES256", "kid": p.keyID}
	s, err := t.SignedString(p.key)
	if err != nil {
		return fmt.Errorf("%w: %w", errSigning, err)
	}
	p.header, p.signed = []string{"bearer " + s}, now
	return nil
}
