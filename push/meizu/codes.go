package meizu

import "hongyan/push"

// Codes of [api] that the sender itself must know.
const (
	codeOK       = "200"
	codeSwitched = "110010"
	// switchedOff is our name for 110010 said of one device: there it means that
	// notifications are off, while for a whole request it means too fast.
	switchedOff = "device_110010"
)

// row is what a code means.
type row struct {
	outcome   push.Outcome
	keepToken bool
	notifyOff bool // Result.NotifyOff
	// deviceOnly becomes Result.DeviceOnly.
	deviceOnly bool
	// untilMidnight: the code stands until the daily quota starts anew.
	untilMidnight bool
	// again: Meizu failed to take it; one more request may succeed.
	again bool
	text  string
}

// requestTable gives the codes of a whole answer their meaning.
func requestTable() map[string]row {
	return map[string]row{
		"500":    {outcome: push.Retry, text: "internal error at Meizu"},
		"1001":   {outcome: push.Retry, text: "system error at Meizu"},
		"1003":   {outcome: push.Retry, text: "Meizu's server is busy"},
		"1005":   {outcome: push.BadMessage, text: "Meizu calls a parameter wrong"},
		"1006":   {outcome: push.BadCredential, text: "Meizu refused the signature; check the app secret"},
		"110000": {outcome: push.BadCredential, text: "the app id is not valid"},
		"110001": {outcome: push.BadCredential, text: "the app key is not valid"},
		"110004": {outcome: push.BadMessage, text: "a parameter is empty"},
		"110009": {outcome: push.BadCredential, text: "the app is on Meizu's blacklist"},
		"110010": {outcome: push.Throttled, text: "Meizu asks for fewer messages a second"},
		"110019": {outcome: push.Throttled, untilMidnight: true, text: "the app's pushes of the day are used up"},
		"110031": {outcome: push.BadMessage, text: "the package name is not valid"},
		"110032": {outcome: push.BadMessage, text: "the task id is not valid"},
		"110033": {outcome: push.BadCredential, text: "the app secret is not valid"},
		"110051": {outcome: push.BadCredential, text: "the app may not push"},
		"110053": {outcome: push.BadMessage, text: "messages without a notification are over Meizu's limit"},
	}
}

// targetTable gives the codes inside value, each about some devices, their meaning.
func targetTable() map[string]row {
	return map[string]row{
		"201":       {outcome: push.BadMessage, again: true, text: "Meizu declined to send to the device"},
		"501":       {outcome: push.BadMessage, again: true, text: "Meizu failed to store the message"},
		"513":       {outcome: push.BadMessage, again: true, text: "Meizu failed to send the message"},
		"519":       {outcome: push.Throttled, text: "Meizu is overloaded"},
		"520":       {outcome: push.Throttled, deviceOnly: true, text: "more than five messages within a minute for this device"},
		"110002":    {outcome: push.BadTarget, text: "the device no longer subscribes to the app's messages"},
		"110003":    {outcome: push.BadTarget, text: "the pushId is not valid"},
		"110005":    {outcome: push.BadTarget, keepToken: true, text: "the alias is not subscribed"},
		switchedOff: {outcome: push.BadTarget, keepToken: true, notifyOff: true, text: "the app's notifications are turned off on the device"},
		"110011":    {outcome: push.Throttled, deviceOnly: true, untilMidnight: true, text: "the device's public messages of the day are used up"},
	}
}

// unknown is the default for a code that is in no table.
func unknown() row {
	return row{outcome: push.BadMessage, text: "Meizu refused the request"}
}

// codes is both tables as the console and the documentation need them.
func codes() map[string]push.CodeInfo {
	out := make(map[string]push.CodeInfo)
	for _, table := range []map[string]row{requestTable(), targetTable()} {
		for code, r := range table {
			out[code] = push.CodeInfo{Outcome: r.outcome, KeepToken: r.keepToken, Doc: docAPI}
		}
	}
	return out
}
