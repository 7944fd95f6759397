package handlers

import (
	"net/url"
	"slices"
	"strconv"

	"hongyan/models"
	"hongyan/web"
)

// productsPerPage is how many products a page shows: a thousand at once are a page of
// five megabytes.
const productsPerPage = 30

// productsShown cuts the page that keys ask for, newest first, and says how many
// products stand before it.
func productsShown(all []models.ProductView, keys web.Keyset) ([]models.ProductView, int) {
	first := 0
	if id, err := strconv.ParseInt(keys.After, 10, 64); err == nil {
		first = olderThan(all, id)
	} else if id, err := strconv.ParseInt(keys.Before, 10, 64); err == nil {
		first = max(olderThan(all, id+1)-productsPerPage, 0)
	}
	if first >= len(all) {
		first = 0 // what stood there was deleted meanwhile
	}
	return all[first:min(first+productsPerPage, len(all))], first
}

// olderThan returns the place of the first product made before the one of the id.
func olderThan(all []models.ProductView, id int64) int {
	if n := slices.IndexFunc(all, func(p models.ProductView) bool { return p.ID < id }); n >= 0 {
		return n
	}
	return len(all)
}

// productsNext returns the addresses of the pages before and after shown.
func productsNext(query string, shown []models.ProductView, first, total int) (previous, next string) {
	address := func(key string, id int64) string {
		q := url.Values{key: {number(id)}}
		if query != "" {
			q.Set("q", query)
		}
		return "/products?" + q.Encode()
	}
	if first > 0 && len(shown) > 0 {
		previous = address("before", shown[0].ID)
	}
	if n := len(shown); n > 0 && first+n < total {
		next = address("after", shown[n-1].ID)
	}
	return previous, next
}
