// Package registry lists the channels this build can send through. It is the only
// package that imports the vendors' packages; everyone else gets a push.Spec.
package registry

import (
	"hongyan/push"
	"hongyan/push/apns"
	"hongyan/push/meizu"
	"hongyan/push/oppo"
	"hongyan/push/vivo"
	"hongyan/push/xiaomi"
)

// All returns the specs of every channel, in the order pages show them.
func All() []push.Spec {
	return []push.Spec{apns.Spec(), xiaomi.Spec(), oppo.Spec(), vivo.Spec(), meizu.Spec()}
}

// Lookup returns the spec of one channel, or false when this build has none.
func Lookup(c push.Channel) (push.Spec, bool) {
	for _, s := range All() {
		if s.Channel == c {
			return s, true
		}
	}
	return push.Spec{}, false
}
