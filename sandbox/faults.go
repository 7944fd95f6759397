package sandbox

import (
	"maps"
	"slices"

	"hongyan/push"
)

// FaultCodes are a vendor's codes that stand for each way of refusing, for Settings.Mix.
type FaultCodes struct {
	Throttled string // too many requests
	Token     string // the device is gone
	Server    string // the vendor's own fault
}

// Faults returns the codes of a channel's simulator.
func Faults(c push.Channel) FaultCodes {
	return map[push.Channel]FaultCodes{
		push.APNs:    {"TooManyRequests", "Unregistered", "InternalServerError"},
		push.FCM:     {"QUOTA_EXCEEDED", "UNREGISTERED", "INTERNAL"},
		push.Huawei:  {"503", "80300007", "81000001"},
		push.Harmony: {"503", "tokenFormatError", "81000001"},
		push.Honor:   {"80200021", "expireTokens", "81000001"},
		push.Xiaomi:  {"10027", "10029", "-1"},
		push.OPPO:    {"-2", "10000", "-1"},
		push.Vivo:    {"10072", "10302", "500"},
		push.Meizu:   {"110010", "110003", "500"},
		push.WebPush: {"429", "410", "500"},
	}[c]
}

// Codes lists the answers of a channel's simulator that Settings.Mix may name, sorted.
// Where a vendor uses one code for several things, a name follows it after a colon.
func Codes(c push.Channel) []string {
	if c == push.APNs {
		return slices.Sorted(maps.Keys(Reasons()))
	}
	v, ok := vendors()[c]
	if !ok {
		return nil
	}
	return slices.Sorted(maps.Keys(v.codes()))
}
