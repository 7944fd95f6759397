package handlers

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"hongyan/models"
	"hongyan/push"
	c "hongyan/views/components"
	"hongyan/views/locale"
)

// Codes of a test that no vendor was asked: the bundle id or package name that it must
// name is not known.
const (
	codeNoBundle  = "hy_no_bundle"  // the app has none; on the IM side ":" and the app's id follow
	codeNoApp     = "hy_no_app"     // no app of the platform is authorized to the IM app
	codeManyNames = "hy_many_names" // those that are have different ones
)

// testTopic returns the bundle id or package name that a test of k names to the vendor,
// "" where it names none. Without one that it needs it returns the code that says why.
func (h *console) testTopic(ctx context.Context, who models.Actor, at credentialPlace, k *models.Credential) (topic, code string, err error) {
	spec, ok := h.spec(k.Channel)
	topic = cmp.Or(k.PackageName, k.Facts().BundleID, at.bundle)
	switch {
	case !ok || topic != "" || !spec.CheckTopic:
		return topic, "", nil
	case at.im == nil:
		return "", codeNoBundle, nil
	}
	apps, err := h.authorizedApps(ctx, who, at.im.ID)
	if err != nil {
		return "", "", err
	}
	// The IM side has no package of its own: the settings will serve these apps.
	apps = slices.DeleteFunc(apps, func(z models.AuthorizationView) bool { return !models.ChannelFits(k.Channel, z.Platform) })
	var known []string
	for i := range apps {
		if name := apps[i].PackageName; name != "" && !slices.Contains(known, name) {
			known = append(known, name)
		}
	}
	switch {
	case len(known) == 1:
		return known[0], "", nil
	case len(known) > 1:
		return "", codeManyNames, nil
	case len(apps) > 0:
		return "", codeNoBundle + ":" + number(apps[0].AppID), nil
	}
	return "", codeNoApp, nil
}

// topicWords says what a test lacked by its code, and where that is mended; is reports
// whether the code is one of those.
func topicWords(ctx context.Context, at credentialPlace, channel, code string) (text string, link c.Link, is bool) {
	apple := channel == string(push.APNs)
	code, app, onIM := strings.Cut(code, ":")
	t := func(ofAndroid, ofApple string) string {
		if apple {
			return locale.T(ctx, ofApple)
		}
		return locale.T(ctx, ofAndroid)
	}
	switch {
	case code == codeNoBundle && onIM:
		return t("channel.test_im_package", "credentials.test_im_bundle"), c.Link{Label: locale.T(ctx, "channel.test_im_config"), Href: "/apps/" + app + "/config"}, true
	case code == codeNoBundle:
		return t("channel.test_no_package", "credentials.test_no_bundle"), c.Link{}, true
	case code == codeNoApp && at.im != nil:
		return t("channel.test_no_app", "credentials.test_no_app"), c.Link{Label: locale.T(ctx, "im_apps.authorize"), Href: "/authorizations/new?im=" + number(at.im.ID)}, true
	case code == codeManyNames:
		return t("channel.test_many_packages", "credentials.test_many_bundles"), c.Link{}, true
	}
	return "", c.Link{}, false
}
