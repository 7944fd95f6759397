package worker

import (
	"hongyan/models"
	"hongyan/push"
)

// pick returns the route a message takes and the credential for it: the route
// chosen before while it lives; else, of those that a credential fits, the best by
// rank, one whose credential works before one whose is paused. cred is nil when none
// fits. other says that the message may still take a detour over another route.
func pick(cfg *models.SendConfig, routes []models.Route, from *models.OpenTarget) (rt *models.Route, cred *models.SendCredential, other bool) {
	usable := 0
	for i := range routes {
		r := &routes[i]
		c := cfg.CredentialFor(r.Channel, r.Environment, r.PackageName)
		if c == nil {
			continue
		}
		if !c.Paused && r.ID != from.Avoid {
			usable++
		}
		if r.ID == from.RouteID {
			rt, cred = r, c
		}
		if rt != nil && rt.ID == from.RouteID {
			continue
		}
		if rt == nil || better(r, c, rt, cred, from.Avoid) {
			rt, cred = r, c
		}
	}
	if rt == nil {
		return &routes[0], nil, false
	}
	if !cred.Paused && rt.ID != from.Avoid {
		usable--
	}
	return rt, cred, usable > 0 && from.Avoid == 0
}

// better reports whether one route is to be taken rather than another: not the one
// that failed, not a paused one, and then the phone's own vendor before Google's
// service before a browser's. Of equals the newest comes first, as they are listed.
func better(r *models.Route, c *models.SendCredential, than *models.Route, thanCred *models.SendCredential, avoid int64) bool {
	if a, b := r.ID == avoid, than.ID == avoid; a != b {
		return b
	}
	if c.Paused != thanCred.Paused {
		return thanCred.Paused
	}
	return rank(r.Channel) < rank(than.Channel)
}

// rank orders channels: a phone's own vendor keeps a connection open anyway.
func rank(channel string) int {
	switch push.Channel(channel) {
	case push.FCM:
		return 1
	case push.WebPush:
		return 2
	}
	return 0
}
