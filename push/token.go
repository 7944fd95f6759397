package push

import (
	"context"
	"sync"
	"time"
)

// AccessTokens keeps a vendor's access token for all the sends through one
// credential: fetched once however many ask, used until a little before its end,
// and fetched anew once when the vendor refuses it. It is safe for concurrent use.
type AccessTokens struct {
	fetch func(context.Context) (AccessToken, *Result)
	now   func() time.Time

	mu      sync.Mutex
	token   string
	until   time.Time // when the token is not used any more
	version int
	waiting chan struct{} // open while somebody fetches
	fault   *Result       // of the fetch that just ended
	faultAt time.Time
}

// AccessToken is what a vendor's token service gave.
type AccessToken struct {
	Value   string
	Expires time.Time
}

const (
	// tokenMargin is how long before its end a token is not used any more: longer
	// than a send takes.
	tokenMargin = 5 * time.Minute
	// tokenFault is how long a failed fetch stands, so that a thousand waiting sends
	// do not ask a thousand times.
	tokenFault = time.Second
)

// NewAccessTokens returns a cache over fetch, which asks the vendor and returns
// either a token or the Result for every send that needed one.
func NewAccessTokens(now func() time.Time, fetch func(context.Context) (AccessToken, *Result)) *AccessTokens {
	return &AccessTokens{fetch: fetch, now: now}
}

// Get returns a token and its version for Refused, or the Result that sends shall
// have instead.
func (a *AccessTokens) Get(ctx context.Context) (string, int, *Result) {
	for {
		a.mu.Lock()
		now := a.now()
		if a.token != "" && now.Before(a.until) {
			defer a.mu.Unlock()
			return a.token, a.version, nil
		}
		if a.fault != nil && now.Sub(a.faultAt) < tokenFault && !now.Before(a.faultAt) {
			defer a.mu.Unlock()
			return "", 0, a.fault
		}
		if wait := a.waiting; wait != nil {
			a.mu.Unlock()
			select {
			case <-wait:
				continue
			case <-ctx.Done():
				return "", 0, Interrupted(ctx)
			}
		}
		done := make(chan struct{})
		a.waiting = done
		a.mu.Unlock()
		a.renew(ctx, done)
		if ctx.Err() != nil {
			return "", 0, Interrupted(ctx)
		}
	}
}

func (a *AccessTokens) renew(ctx context.Context, done chan struct{}) {
	var token AccessToken
	var fault *Result
	defer func() { // also when fetch panics: nobody may wait for ever
		a.mu.Lock()
		defer a.mu.Unlock()
		a.waiting = nil
		close(done)
		if ctx.Err() != nil && fault != nil {
			return // this caller's end says nothing about the vendor
		}
		if fault = orNoToken(token, fault); fault != nil {
			a.fault, a.faultAt = fault, a.now()
			return
		}
		life := token.Expires.Sub(a.now())
		a.token, a.until, a.fault = token.Value, token.Expires.Add(-min(tokenMargin, life/10)), nil
		a.version++
	}()
	token, fault = a.fetch(ctx)
}

// orNoToken makes an empty or expired token a fault.
func orNoToken(t AccessToken, fault *Result) *Result {
	if fault == nil && t.Value == "" {
		return &Result{Outcome: Retry, Code: CodeBadReply, Text: "the token service gave no token"}
	}
	return fault
}

// Refused forgets the token of that version after the vendor refused it. The next
// Get fetches another one, once for everybody.
func (a *AccessTokens) Refused(version int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if version == a.version {
		a.token = ""
	}
}
