package web

import "github.com/labstack/echo/v4"

// onceValue marks values of the session cookie that one page takes.
const onceValue = "o."

// KeepOnce keeps a value for the next page that takes it by name: a secret that is
// made by a form and shown once, after the redirect. It travels in the session
// cookie, which is encrypted and which script cannot read.
func KeepOnce(c echo.Context, name, value string) {
	if sess := sessionOf(c); sess != nil {
		sess.set(onceValue+name, value)
	}
}

// TakeOnce returns what KeepOnce kept under the name, and forgets it; "" for nothing.
func TakeOnce(c echo.Context, name string) string {
	sess := sessionOf(c)
	if sess == nil {
		return ""
	}
	value := sess.get(onceValue + name)
	sess.set(onceValue+name, "")
	return value
}
