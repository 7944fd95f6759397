// Package registry lists the channels this build can send through. It is the only
// package that imports the vendors' packages; everyone else gets a push.Spec.
package registry

import (
	"hongyan/push"
	"hongyan/push/apns"
	"hongyan/push/fcm"
	"hongyan/push/harmony"
	"hongyan/push/honor"
	"hongyan/push/huawei"
	"hongyan/push/meizu"
	"hongyan/push/oppo"
	"hongyan/push/vivo"
	"hongyan/push/webpush"
	"hongyan/push/xiaomi"
)

// specs makes the spec of each channel, in the order pages show them.
func specs() []func() push.Spec {
	return []func() push.Spec{
		apns.Spec, huawei.Spec, honor.Spec, xiaomi.Spec, oppo.Spec, vivo.Spec, meizu.Spec, harmony.Spec,
		fcm.Spec, webpush.Spec,
	}
}

// All returns the specs of every channel, in the order pages show them.
func All() []push.Spec {
	var out []push.Spec
	for _, spec := range specs() {
		out = append(out, spec())
	}
	return out
}
