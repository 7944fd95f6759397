package handlers

import (
	"context"

	"github.com/labstack/echo/v4"

	"hongyan/models"
	"hongyan/push"
	"hongyan/views"
	c "hongyan/views/components"
	"hongyan/views/locale"
	"hongyan/web"
)

func (h *console) askDeleteCredential(where place) echo.HandlerFunc {
	return func(ctx echo.Context) error {
		at, err := where(ctx)
		if err != nil {
			return err
		}
		k, err := h.credential(ctx, at)
		if err != nil {
			return err
		}
		words := deleteWordsOf(ctx.Request().Context(), k)
		p := views.ConfirmPage{
			Title: words.title, Heading: words.heading, Crumbs: []c.Link{{Label: at.title(ctx), Href: at.back}, {Label: words.title}},
			Lines:  []views.Consequence{{Icon: "alert-triangle", Tone: c.Warn, Text: words.lost}},
			Action: at.base + "/credentials/" + number(k.ID) + "/delete", Back: at.back, Submit: words.title, Danger: true,
		}
		if at.im != nil {
			p.Lines[0].Text = words.lostIM
		}
		p.Chrome = web.Chrome(ctx)
		return web.Page(ctx, views.Confirm(p))
	}
}

// deleteWords are what a page says about deleting a credential.
type deleteWords struct{ title, heading, lost, lostIM, done string }

// deleteWordsOf speaks of a certificate on Apple's channel, of keys elsewhere.
func deleteWordsOf(ctx context.Context, k *models.Credential) deleteWords {
	if k.Channel == string(push.APNs) {
		name := environmentWord(ctx, k.Environment)
		return deleteWords{
			locale.T(ctx, "credentials.delete"), locale.T(ctx, "credentials.delete_heading", "Name", name),
			locale.T(ctx, "credentials.delete_lost", "Name", name), locale.T(ctx, "credentials.delete_lost_im"),
			locale.T(ctx, "credentials.deleted", "Name", name),
		}
	}
	name := vendorChannelName(ctx, k.Channel)
	return deleteWords{
		locale.T(ctx, "channel.delete"), locale.T(ctx, "channel.delete_heading", "Name", name),
		locale.T(ctx, "channel.delete_lost"), locale.T(ctx, "channel.delete_lost_im"), locale.T(ctx, "channel.deleted", "Name", name),
	}
}

func (h *console) deleteCredential(where place) echo.HandlerFunc {
	return func(ctx echo.Context) error {
		at, err := where(ctx)
		if err != nil {
			return err
		}
		k, err := h.credential(ctx, at)
		if err != nil {
			return err
		}
		std := ctx.Request().Context()
		if err := h.Store.DeleteCredential(std, h.actor(ctx), at.owner, k.ID); err != nil {
			return err
		}
		web.Flash(ctx, deleteWordsOf(std, k).done, "")
		return web.SeeOther(ctx, at.back)
	}
}
