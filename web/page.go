package web

import (
	"maps"
	"net/url"

	"github.com/labstack/echo/v4"
)

// Names of the query values that page a list by key.
const (
	queryAfter  = "after"
	queryBefore = "before"
)

// Keyset is where in a list a page starts: after or before a key that the list
// itself wrote into the link. Both are empty on the first page.
type Keyset struct {
	After  string
	Before string
}

// ReadKeyset reads the keys from the address.
func ReadKeyset(c echo.Context) Keyset {
	return Keyset{After: c.QueryParam(queryAfter), Before: c.QueryParam(queryBefore)}
}

// KeysetURLs returns the addresses of the neighbouring pages with the same filters.
// first and last are the keys of the rows shown; "" where nothing is on that side.
func KeysetURLs(c echo.Context, first, last string) (previous, next string) {
	if first != "" {
		previous = WithQuery(c, queryBefore, first, queryAfter, "")
	}
	if last != "" {
		next = WithQuery(c, queryAfter, last, queryBefore, "")
	}
	return previous, next
}

// WithQuery returns the address of this page with some query values changed: pairs
// of name and value, where "" removes. Use it for filters, and remove the keys of
// paging with it, or start from FilterURL.
func WithQuery(c echo.Context, pairs ...string) string {
	q := maps.Clone(c.QueryParams())
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] == "" {
			q.Del(pairs[i])
		} else {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	return address(c.Request().URL.Path, q)
}

// FilterURL is WithQuery that goes back to the first page.
func FilterURL(c echo.Context, pairs ...string) string {
	return WithQuery(c, append(pairs, queryAfter, "", queryBefore, "")...)
}

func address(path string, q url.Values) string {
	if len(q) == 0 {
		return path
	}
	return path + "?" + q.Encode()
}
