package handlers

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"hongyan/models"
)

// tencentIM speaks Tencent IM's two ways, which may be used together: its third-party
// callbacks, sent to the address itself, and its REST commands (v4/…) below the
// address, from a server that used to call Tencent. Callbacks do not say who is
// offline; join finds that out from State.StateChange, which came before. REST commands
// carry a UserSig made with the IM app's SecretKey, or without one with the address's
// secret as key; callbacks may be signed with
// it as token. HTTP says 200 to whatever concerns a command, the body says the rest.
type tencentIM struct{}

func (tencentIM) bridge() Bridge {
	return Bridge{
		ID: "tencent", Path: "tencent", Below: true,
		Name: "bridges.tencent.name", Help: "bridges.tencent.help",
		Setup:  tencentSetup,
		Sample: tencentSample,
	}
}

func tencentSetup(address string) []SetupStep {
	return []SetupStep{
		{Text: "bridges.tencent.step_url", Code: address},
		{Text: "bridges.tencent.step_token", Code: addressSecret(address)},
		{Text: "bridges.tencent.step_callbacks", Code: strings.Join([]string{
			timStateChange, timC2C, timC2CRead, timC2CWithdraw, timGroup, timGroupCreate, timGroupJoin, timGroupExit, timGroupGone,
		}, "\n")},
		{Text: "bridges.tencent.step_rest", Code: "POST " + address + "/" + timSendMsg +
			"?sdkappid=SDKAPPID&identifier=administrator&usersig=USERSIG&random=1&contenttype=json"},
		{Text: "bridges.tencent.step_key", Code: addressSecret(address)},
		{Text: "bridges.tencent.step_members", Code: "POST " + address + "/" + timGroupAdd + "\n" +
			`{"GroupId":"G1","MemberList":[{"Member_Account":"alice"},{"Member_Account":"bob"}]}`},
		{Text: "bridges.tencent.step_check"},
	}
}

// tencentSample is the callback after a message between two users.
func tencentSample(from, to, id, text string, now time.Time) SampleRequest {
	body, _ := json.Marshal(map[string]any{ // texts and numbers always marshal
		"CallbackCommand": timC2C, "From_Account": from, "To_Account": to, "MsgSeq": 1, "MsgRandom": 1, "MsgTime": now.Unix(),
		"MsgKey": id, "MsgId": id, "OnlineOnlyFlag": 0, "SendMsgResult": 0, "ErrorInfo": "send msg succeed", "UnreadMsgNum": 1,
		"MsgBody":   []any{map[string]any{"MsgType": "TIMTextElem", "MsgContent": map[string]string{"Text": text}}},
		"EventTime": now.UnixMilli(),
	})
	return SampleRequest{Query: "CallbackCommand=" + timC2C + "&contenttype=json&OptPlatform=RESTAPI", Body: body, SDKAppID: "SdkAppid"}
}

// timCall is a request as far as it was understood, on its way to join and answer.
type timCall struct {
	rest    bool
	command string
	// For the answer.
	msgKey, taskID  string
	msgTime, msgSeq int64
	bad             []string // accounts that cannot be kept
	joined          []string
	// For join.
	told     []models.Presence // states to keep
	alive    models.Presence   // who acted just now, and on what platform
	group    models.GroupChange
	toGroup  string // members of this group …
	toAll    bool   // … or everybody
	only     []string
	mentions []string
	offline  bool // only who is not online
	base     models.Incoming
}

// about says what a request tells beside messages.
func (call *timCall) about() string {
	switch call.command {
	case timC2CRead:
		return models.ArrivalRead
	case timC2CWithdraw:
		return models.ArrivalRecall
	}
	if len(call.told) > 0 || call.group.Group != "" {
		return models.ArrivalPresence
	}
	return ""
}

func (tencentIM) parse(r ingestRequest) (intake, error) {
	if r.below == "" {
		return parseTencentCallback(r)
	}
	return parseTencentREST(r)
}

// join keeps what a callback told, finds the recipients that the request left open and
// drops those who are online.
func (tencentIM) join(ctx context.Context, s IngestStore, in models.Ingest, got *intake) error {
	call, ok := got.extra.(*timCall)
	if !ok {
		return nil
	}
	if len(call.told) > 0 {
		if err := s.SetPresence(ctx, in, call.told); err != nil {
			return err
		}
	}
	if call.group.Group != "" {
		if err := s.ChangeGroup(ctx, in, call.group); err != nil {
			return err
		}
	}
	switch {
	case call.toAll:
		return call.everybody(ctx, s, in, got)
	case call.toGroup != "":
		return call.members(ctx, s, in, got)
	case call.offline:
		return call.absent(ctx, s, in, got)
	case call.command == timPushBatch:
		return call.registered(ctx, s, in, got)
	}
	return nil
}

// registered finds the recipients of timpush/batch that are devices: a RegistrationID
// is a device's token.
func (call *timCall) registered(ctx context.Context, s IngestStore, in models.Ingest, got *intake) error {
	ask := make([]models.Incoming, len(got.messages))
	for i := range got.messages {
		ask[i].Token = got.messages[i].Account
	}
	fates, err := s.Locate(ctx, in, ask)
	if err != nil {
		return err
	}
	kept := got.messages[:0]
	for i, m := range got.messages {
		switch fates[i] {
		case models.TokenDead:
			got.drop(models.IngestDead, 1)
			call.bad = append(call.bad, m.Account)
			continue
		case models.TokenAlive:
			m.Token, m.Account = m.Account, ""
		case models.TokenUnknown: // a user
		}
		kept = append(kept, m)
	}
	got.messages = kept
	return nil
}

// everybody addresses each account that has a device.
func (call *timCall) everybody(ctx context.Context, s IngestStore, in models.Ingest, got *intake) error {
	all, err := s.Audience(ctx, in, maxRecipients+1)
	if err != nil {
		return err
	}
	if len(all) > maxRecipients {
		return &apiError{status: http.StatusRequestEntityTooLarge, code: "tim_audience", data: limitData(maxRecipients)}
	}
	for _, a := range all {
		if a.Account == call.base.Sender {
			got.drop(models.IngestSender, 1)
			continue
		}
		one := call.base
		one.Account, one.AccountType = a.Account, a.AccountType
		got.messages = append(got.messages, one)
	}
	return nil
}

// members addresses a group's members: those who were told of, or those whom the
// message names.
func (call *timCall) members(ctx context.Context, s IngestStore, in models.Ingest, got *intake) error {
	to := call.only
	var known map[string][]models.Presence
	var err error
	if len(to) == 0 {
		to, known, err = s.GroupMembers(ctx, in, call.toGroup, maxRecipients+1)
		if len(to) > maxRecipients && call.rest {
			return &apiError{status: http.StatusRequestEntityTooLarge, code: "tim_audience", data: limitData(maxRecipients)}
		} else if len(to) > maxRecipients {
			got.fault, to = "group_too_large", to[:maxRecipients] // nobody would repeat it in parts
		}
	} else if call.offline {
		known, err = s.PresenceOf(ctx, in, to)
	}
	if err != nil {
		return err
	}
	if len(to) == 0 {
		if call.rest {
			return fieldError("tim_group_unknown", "GroupId")
		}
		// Nobody told who is in it; who is mentioned is in it surely.
		got.fault, to = "unknown_group", call.mentions
		if len(to) == 0 {
			got.drop(models.IngestSkipped, 1)
			return nil
		}
		if known, err = s.PresenceOf(ctx, in, to); err != nil {
			return err
		}
	}
	addressAll(got, &call.base, to)
	if call.offline {
		call.dropPresent(got, known)
		return call.refresh(ctx, s, in, known[call.alive.Account])
	}
	return nil
}

// absent drops recipients who are online.
func (call *timCall) absent(ctx context.Context, s IngestStore, in models.Ingest, got *intake) error {
	ask := make([]string, 0, len(got.messages)+1)
	for i := range got.messages {
		ask = append(ask, got.messages[i].Account)
	}
	if call.alive.Account != "" {
		ask = append(ask, call.alive.Account)
	}
	if len(ask) == 0 {
		return nil
	}
	known, err := s.PresenceOf(ctx, in, ask)
	if err != nil {
		return err
	}
	call.dropPresent(got, known)
	return call.refresh(ctx, s, in, known[call.alive.Account])
}

func (call *timCall) dropPresent(got *intake, known map[string][]models.Presence) {
	kept := got.messages[:0]
	for i := range got.messages {
		if timReachable(known[got.messages[i].Account], call.now()) {
			kept = append(kept, got.messages[i])
		}
	}
	got.drop(models.IngestSkipped, len(got.messages)-len(kept))
	got.messages = kept
}

// refreshAfter is how old a sign of life must be for a newer one to be written: a busy
// user costs one write in that time and not one for each message.
const refreshAfter = time.Hour

// refresh keeps that somebody acted, when what is known says otherwise or is old: a
// notice of a connection may have been lost.
func (call *timCall) refresh(ctx context.Context, s IngestStore, in models.Ingest, known []models.Presence) error {
	if call.alive.Account == "" {
		return nil
	}
	for _, p := range known {
		if p.Platform == call.alive.Platform && p.At >= call.alive.At-refreshAfter.Milliseconds() &&
			(p.State == models.PresenceOnline || p.At >= call.alive.At) {
			return nil
		}
	}
	return s.SetPresence(ctx, in, []models.Presence{call.alive})
}

// answer says OK in the form of the command.
func (tencentIM) answer(c echo.Context, r ingestResult) error {
	call, _ := r.extra.(*timCall)
	a := map[string]any{"ActionStatus": "OK", "ErrorCode": 0, "ErrorInfo": "", "accepted": r.New}
	if call == nil {
		return c.JSON(http.StatusOK, a)
	}
	if call.msgKey != "" {
		a["MsgKey"] = call.msgKey
	}
	if call.msgTime != 0 {
		a["MsgTime"] = call.msgTime
	}
	if call.msgSeq != 0 {
		a["MsgSeq"] = call.msgSeq
	}
	if call.taskID != "" {
		a["TaskId"] = call.taskID
	}
	if call.joined != nil {
		list := make([]any, 0, len(call.joined))
		for _, m := range call.joined {
			list = append(list, map[string]any{"Member_Account": m, "Result": 1})
		}
		a["MemberList"] = list
	}
	if len(call.bad) > 0 {
		a["ActionStatus"] = "SomeError"
		list := make([]any, 0, len(call.bad))
		for _, m := range call.bad {
			list = append(list, map[string]any{"To_Account": m, "ErrorCode": 70107})
		}
		a["ErrorList"] = list
	}
	return c.JSON(http.StatusOK, a)
}

// unauthorized says no to a command, and to a callback, which nobody would repeat, yes.
func (tencentIM) unauthorized(c echo.Context, in intake) error {
	e := &apiError{status: http.StatusForbidden, code: "not_authorized"}
	if call, ok := in.extra.(*timCall); ok && call.rest && call.group.Group == "" {
		return tencentFail(c, http.StatusOK, e)
	}
	return c.JSON(http.StatusOK, map[string]any{"ActionStatus": "OK", "ErrorCode": 0, "ErrorInfo": "", "error": errorBody(c, e)})
}

// refuse answers 200 to what concerns the command, as Tencent does, and keeps the HTTP
// status of what concerns the address.
func (tencentIM) refuse(c echo.Context, e *apiError) error {
	switch e.code {
	case "unknown_address", "wrong_bridge", "too_many_requests", "address_not_allowed":
		return tencentFail(c, e.status, e)
	}
	if below(c) == "" {
		return tencentFail(c, e.status, e) // a callback's sender reads the status
	}
	return tencentFail(c, http.StatusOK, e)
}

func tencentFail(c echo.Context, status int, e *apiError) error {
	if e.wait > 0 {
		c.Response().Header().Set("Retry-After", strconv.Itoa(int(e.wait.Seconds())))
	}
	body := errorBody(c, e)
	return c.JSON(status, map[string]any{
		"ActionStatus": "FAIL", "ErrorCode": timErrorCode(below(c), e), "ErrorInfo": body.Message, "error": body,
	})
}
