package main

import (
	"context"
	"fmt"
	"io"
	"net/url"

	"hongyan/models"
)

// printSetupLink prints the link that opens first-run setup. replace makes older
// links stop working.
func printSetupLink(ctx context.Context, w io.Writer, store *models.Store, base string, replace bool) error {
	token, expires, err := store.NewSetupToken(ctx, replace)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "First-run setup (works until %s): %s/setup?token=%s\n", expires.Format("2006-01-02 15:04 UTC"), base, url.QueryEscape(token))
	return nil
}

// offerSetup prints the link while there is no main account. Of several processes
// that start together each prints one, and any of them works.
func offerSetup(ctx context.Context, w io.Writer, store *models.Store, base string) error {
	done, err := store.HasMainAccount(ctx)
	if err != nil || done {
		return err
	}
	err = printSetupLink(ctx, w, store, base, false)
	if models.KindOf(err) == models.Conflict {
		return nil // somebody was faster
	}
	return err
}
