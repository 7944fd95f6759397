package locale

import (
	"context"
	"strings"
)

// Starts of codes that no table of a vendor holds: ours (push.Code…), and those of a
// vendor's token service.
const (
	ownCode   = "hy_"
	oauthCode = "oauth_"
)

// Code explains a vendor's code in words. false is a code that nothing is known of:
// the words then say so and name it, with said, the vendor's own words, if there are any.
// An unknown code of ours stands alone.
func Code(ctx context.Context, channel, code, said string) (words string, known bool) {
	for _, key := range []string{"codes." + channel + "." + code, "codes." + code} {
		if words, ok := Find(ctx, key); ok {
			return words, true
		}
	}
	switch {
	case strings.HasPrefix(code, oauthCode):
		return T(ctx, "codes.oauth_refused"), true
	case code == "" || strings.HasPrefix(code, ownCode):
		return code, false
	case said != "":
		return T(ctx, "codes.no_words_said", "Code", code, "Said", said), false
	}
	return T(ctx, "codes.no_words", "Code", code), false
}
