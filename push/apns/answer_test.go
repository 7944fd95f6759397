package apns_test

import (
	"context"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"hongyan/push"
	"hongyan/push/apns"
	"hongyan/sandbox"
)

// TestReasons goes through Apple's table row by row: what the simulator, written
// apart from the sender, answers, and what becomes of it.
func TestReasons(t *testing.T) {
	l := newLab(t, sandbox.APNsConfig{})
	rows := map[string]push.Result{
		"BadCollapseId":          {Outcome: push.BadMessage},
		"BadDeviceToken":         {Outcome: push.BadTarget},
		"BadExpirationDate":      {Outcome: push.BadMessage},
		"BadMessageId":           {Outcome: push.BadMessage},
		"BadPriority":            {Outcome: push.BadMessage},
		"BadTopic":               {Outcome: push.BadMessage},
		"DeviceTokenNotForTopic": {Outcome: push.BadTarget, KeepToken: true},
		"DuplicateHeaders":       {Outcome: push.BadMessage},
		"IdleTimeout":            {Outcome: push.Retry},
		"InvalidPushType":        {Outcome: push.BadMessage},
		"MissingDeviceToken":     {Outcome: push.BadMessage},
		"MissingTopic":           {Outcome: push.BadMessage},
		"PayloadEmpty":           {Outcome: push.BadMessage},
		"TopicDisallowed":        {Outcome: push.BadCredential},

		"BadCertificate":            {Outcome: push.BadCredential},
		"BadCertificateEnvironment": {Outcome: push.BadCredential},
		"BadEnvironmentKeyInToken":  {Outcome: push.BadCredential},
		"ExpiredProviderToken":      {Outcome: push.BadCredential},
		"Forbidden":                 {Outcome: push.BadCredential},
		"InvalidProviderToken":      {Outcome: push.BadCredential},
		"MissingProviderToken":      {Outcome: push.BadCredential},
		"UnrelatedKeyIdInToken":     {Outcome: push.Retry},

		"BadPath":          {Outcome: push.BadMessage},
		"MethodNotAllowed": {Outcome: push.BadMessage},

		"ExpiredToken": {Outcome: push.BadTarget},
		"Unregistered": {Outcome: push.BadTarget},

		"PayloadTooLarge": {Outcome: push.BadMessage},

		"TooManyProviderTokenUpdates": {Outcome: push.Throttled},
		"TooManyRequests":             {Outcome: push.Throttled, DeviceOnly: true},

		"InternalServerError": {Outcome: push.Retry},
		"ServiceUnavailable":  {Outcome: push.Retry},
		"Shutdown":            {Outcome: push.Retry},
	}
	if d := cmp.Diff(len(rows), len(sandbox.Reasons())); d != "" {
		t.Errorf("the test's table is not Apple's: %s", d)
	}
	s := l.open(t, l.options())
	for code, status := range sandbox.Reasons() {
		if err := l.sim.Set(sandbox.Settings{Mix: map[string]float64{code: 100}, RetryAfter: 3 * time.Second}); err != nil {
			t.Fatal(err)
		}
		got := s.Send(context.Background(), hello(), targets(1))[0]
		if (status == http.StatusGone) == got.DeadSince.IsZero() {
			t.Errorf("%s: dead since %v", code, got.DeadSince)
		}
		want := rows[code]
		want.Code, want.RetryAfter, want.VendorID = code, 3*time.Second, target(0).ID
		if d := cmp.Diff(want, got, cmpopts.IgnoreFields(push.Result{}, "Text", "Elapsed", "DeadSince")); d != "" {
			t.Errorf("%s: %s", code, d)
		}
		if info, ok := apns.Spec().Codes[code]; !ok || info.Outcome != want.Outcome {
			t.Errorf("%s: the spec says %+v", code, info)
		}
	}
}

func TestDeadSince(t *testing.T) {
	l := newLab(t, sandbox.APNsConfig{})
	since := time.Date(2026, 3, 4, 5, 6, 7, 8e6, time.UTC)
	if err := l.sim.SetToken(target(0).Token, sandbox.TokenState{Reason: "Unregistered", Since: since}); err != nil {
		t.Fatal(err)
	}
	got := l.open(t, l.options()).Send(context.Background(), hello(), targets(1))[0]
	if got.Outcome != push.BadTarget || !got.DeadSince.Equal(since) {
		t.Errorf("%+v, want dead since %v", got, since)
	}
}

// TestUnknownAnswers: what Apple may add and what proxies say instead of Apple.
func TestUnknownAnswers(t *testing.T) {
	var status int
	var body, wait string
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", wait)
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	srv.EnableHTTP2 = true
	srv.StartTLS()
	t.Cleanup(srv.Close)
	l := newLab(t, sandbox.APNsConfig{})
	o := l.options()
	o.Endpoint = srv.URL
	o.RootCAs = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
	s := l.open(t, o)

	const brandNew = `{"reason":"BrandNew"}`
	bad := func(o push.Outcome) push.Result { return push.Result{Outcome: o, Code: push.CodeBadReply} }
	fresh := func(o push.Outcome) push.Result { return push.Result{Outcome: o, Code: "BrandNew"} }
	for _, c := range []struct {
		status     int
		body, wait string
		want       push.Result
	}{
		{400, brandNew, "", fresh(push.BadMessage)},
		{401, brandNew, "", fresh(push.BadCredential)},
		{403, brandNew, "", fresh(push.BadCredential)},
		{404, brandNew, "", fresh(push.BadMessage)},
		{410, brandNew, "", fresh(push.BadTarget)},
		{413, brandNew, "", fresh(push.BadMessage)},
		{422, brandNew, "", fresh(push.BadMessage)},
		{429, brandNew, "", fresh(push.Throttled)},
		{500, brandNew, "", fresh(push.Retry)},
		{503, brandNew, "", fresh(push.Retry)},
		{302, brandNew, "", fresh(push.Retry)},
		{201, brandNew, "", fresh(push.Retry)},
		{204, "", "", bad(push.Retry)},
		{503, "<html>busy</html>", "17", push.Result{Outcome: push.Retry, Code: push.CodeBadReply, RetryAfter: 17 * time.Second}},
		{403, "<html>go away</html>", "", bad(push.Retry)},
		{400, "", "", bad(push.Retry)},
		{410, "{}", "", bad(push.Retry)},
		{410, `{"reason":""}`, "", bad(push.Retry)},
		{400, `{"reason":"<script>"}`, "", bad(push.Retry)},
		{400, `{"reason":7}`, "", bad(push.Retry)},
		{400, `["BadDeviceToken"]`, "", bad(push.Retry)},
		{413, "too much", "", bad(push.BadMessage)},
		{429, "slow down", "-4", bad(push.Throttled)},
		{429, "slow down", "Mon, 01 Jan 2001 00:00:00 GMT", bad(push.Throttled)},
		{429, "slow down", "9999999999", push.Result{Outcome: push.Throttled, Code: push.CodeBadReply, RetryAfter: 7 * 24 * time.Hour}},
		{200, "", "", push.Result{Outcome: push.Accepted}},
		{200, "<html>fine</html>", "", push.Result{Outcome: push.Accepted}},
	} {
		status, body, wait = c.status, c.body, c.wait
		got := s.Send(context.Background(), hello(), targets(1))[0]
		if d := cmp.Diff(c.want, got, cmpopts.IgnoreFields(push.Result{}, "Text", "Elapsed")); d != "" {
			t.Errorf("%d %q: %s", c.status, c.body, d)
		}
	}
}
