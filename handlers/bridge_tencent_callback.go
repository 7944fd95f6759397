package handlers

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"time"

	"hongyan/models"
)

// Callbacks that mean something here.
const (
	timStateChange = "State.StateChange"
	timC2C         = "C2C.CallbackAfterSendMsg"
	timC2CRead     = "C2C.CallbackAfterMsgReport"
	timC2CWithdraw = "C2C.CallbackAfterMsgWithDraw"
	timGroup       = "Group.CallbackAfterSendMsg"
	timGroupCreate = "Group.CallbackAfterCreateGroup"
	timGroupJoin   = "Group.CallbackAfterNewMemberJoin"
	timGroupExit   = "Group.CallbackAfterMemberExit"
	timGroupGone   = "Group.CallbackAfterGroupDestroyed"
)

// timSignLife is how old a signed callback may be.
const timSignLife = 60 * time.Second

func parseTencentCallback(r ingestRequest) (intake, error) {
	var in intake
	command := r.query.Get("CallbackCommand")
	if strings.Contains(command, ".CallbackBefore") {
		// A refusal would stop the users' own acts, so these get a yes whatever is wrong.
		in.drop(models.IngestSkipped, 1)
		return in, nil
	}
	if err := timCheckSign(r); err != nil {
		return in, err
	}
	f, err := readFields(r.body)
	if err != nil {
		return in, err
	}
	if command == "" {
		command = f.text("CallbackCommand")
	}
	call := &timCall{command: command, base: models.Incoming{}}
	call.at(f, r.now)
	in.extra = call
	switch command {
	case "":
		return in, fieldError("required", "CallbackCommand")
	case timStateChange:
		in.drop(models.IngestSkipped, 1)
		err = call.state(f, r)
	case timC2C:
		err = call.c2c(&in, f, r)
	case timGroup:
		err = call.groupMessage(&in, f, r)
	case timC2CRead:
		call.read(&in, f, r)
	case timC2CWithdraw:
		call.withdraw(&in, f)
	case timGroupCreate, timGroupJoin, timGroupExit, timGroupGone:
		in.drop(models.IngestSkipped, 1)
		call.membership(f)
	default: // Push.OfflinePush, profile changes and whatever comes
		in.drop(models.IngestSkipped, 1)
	}
	if err != nil {
		return intake{}, err
	}
	return in, nil
}

// timCheckSign checks whose app a callback is from, which every callback says, and its
// signature when it has one: Tencent signs if the operator turned that on there. Its
// token is the address's own secret, which an unsigned callback to the address holds as
// well, so a signature adds nothing but the time.
func timCheckSign(r ingestRequest) error {
	if firstText(r.query.Get("SdkAppid"), r.query.Get("sdkappid")) != strconv.FormatInt(r.sdkAppID, 10) {
		return &apiError{status: http.StatusForbidden, code: "tim_sdkappid"}
	}
	sign, at := r.query.Get("Sign"), r.query.Get("RequestTime")
	if sign == "" && at == "" {
		return nil
	}
	seconds, err := strconv.ParseInt(at, 10, 64)
	sum := sha256.Sum256([]byte(r.secret + at))
	if err != nil || subtle.ConstantTimeCompare([]byte(hex.EncodeToString(sum[:])), []byte(strings.ToLower(sign))) != 1 {
		return &apiError{status: http.StatusForbidden, code: "tim_sign"}
	}
	if r.now.Sub(time.Unix(seconds, 0)).Abs() > timSignLife {
		return &apiError{status: http.StatusForbidden, code: "tim_sign_old"}
	}
	return nil
}

// at notes when the event was, by Tencent's clock.
func (call *timCall) at(f jsonFields, now time.Time) {
	ms, _ := f.num("EventTime")
	if s, _ := f.num("MsgTime"); ms == 0 {
		ms = s * 1000
	}
	if ms <= 0 || ms > now.Add(24*time.Hour).UnixMilli() {
		ms = now.UnixMilli() // a wild clock must not block what comes later
	}
	call.alive.At, call.alive.Seen = ms, now
}

// now is when the request came, by our clock.
func (call *timCall) now() time.Time { return call.alive.Seen }

// state reads State.StateChange.
func (call *timCall) state(f jsonFields, r ingestRequest) error {
	info := f.object("Info")
	who := info.text("To_Account")
	if who == "" {
		return fieldError("required", "Info.To_Account")
	}
	state := map[string]models.PresenceState{
		"Login": models.PresenceOnline, "Disconnect": models.PresenceLost, "Logout": models.PresenceLoggedOut,
	}[info.text("Action")]
	if state == 0 {
		return nil // a status of the user's own
	}
	platform := timPlatform(r.query.Get("OptPlatform"))
	tell := func(platform string, s models.PresenceState) {
		call.told = append(call.told, models.Presence{Account: who, Platform: platform, State: s, At: call.alive.At})
	}
	kicked, _ := f.list("KickedDevice")
	for _, raw := range kicked[:min(len(kicked), maxTimKicked)] {
		k, err := readFields(raw)
		if p := timPlatform(k.text("Platform")); err == nil && p != platform {
			tell(p, models.PresenceLoggedOut)
		}
	}
	tell(platform, state)
	return nil
}

const maxTimKicked = 20

// timPlatform brings a platform's name into one spelling: State.StateChange writes IOS.
func timPlatform(p string) string {
	p = strings.ToLower(oneLine(p))
	if p == "" || len(p) > models.MaxPlatformBytes {
		return "unknown"
	}
	return p
}

// timPhone reports whether a platform is one that is pushed to.
func timPhone(platform string) bool {
	switch platform {
	case "web", "windows", "mac", "linux", "restapi":
		return false
	}
	return true
}

// timReachable decides from what is known about a user whether a push is due.
// Somebody with a phone connected reads it there; a computer's connection says nothing
// about the phone. Who logged out of every phone gets nothing. Who is unknown, or was
// last heard of too long ago, gets it: better twice than never.
func timReachable(known []models.Presence, now time.Time) bool {
	phones, gone := 0, 0
	for _, p := range known {
		if !timPhone(p.Platform) {
			continue
		}
		phones++
		switch p.State {
		case models.PresenceOnline:
			if p.Believed(now) {
				return false
			}
		case models.PresenceLoggedOut:
			gone++
		case models.PresenceLost:
		}
	}
	return phones == 0 || gone < phones
}

// actor notes who did what the callback tells of: a client that acts is online.
func (call *timCall) actor(account string, r ingestRequest) {
	if p := timPlatform(r.query.Get("OptPlatform")); account != "" && p != "unknown" && p != "restapi" {
		call.alive.Account, call.alive.Platform, call.alive.State = account, p, models.PresenceOnline
	}
}

// c2c reads C2C.CallbackAfterSendMsg.
func (call *timCall) c2c(in *intake, f jsonFields, r ingestRequest) error {
	call.offline = true
	call.actor(f.text("From_Account"), r)
	if !f.is("SendMsgResult", 0) && f.has("SendMsgResult") || f.is("OnlineOnlyFlag", 1) {
		in.drop(models.IngestSkipped, 1)
		return nil
	}
	base, show := call.message(in, f, r)
	if !show {
		return nil
	}
	base.Conversation = cutRunes(base.Sender, maxNameRunes)
	base.SourceID = oneLine(f.text("MsgKey"))
	if base.SourceID == "" {
		base.SourceID = timKey(base.Sender, f.text("MsgSeq"), f.text("MsgRandom"), f.text("MsgTime"))
	}
	if n, ok := f.num("UnreadMsgNum"); ok && n >= 0 {
		badge := int(min(n, models.MaxBadge))
		base.Content.Badge = &badge
	}
	base.Content.ThreadID = base.Conversation
	call.base = base
	to := f.text("To_Account")
	if to == "" {
		return fieldError("required", "To_Account")
	}
	addressAll(in, &base, []string{to})
	return nil
}

// groupMessage reads Group.CallbackAfterSendMsg.
func (call *timCall) groupMessage(in *intake, f jsonFields, r ingestRequest) error {
	call.offline = true
	call.actor(f.text("From_Account"), r)
	group := f.text("GroupId")
	if group == "" {
		return fieldError("required", "GroupId")
	}
	if f.is("OnlineOnlyFlag", 1) {
		in.drop(models.IngestSkipped, 1)
		return nil
	}
	base, show := call.message(in, f, r)
	if !show {
		return nil
	}
	base.SourceID = timKey(group, f.text("MsgSeq"), f.text("Random"), f.text("MsgTime"))
	base.Conversation = cutRunes(oneLine(group), maxNameRunes)
	base.Content.ThreadID = base.Conversation
	call.base, call.toGroup, call.mentions = base, group, timMentions(f)
	return nil
}

// read reads C2C.CallbackAfterMsgReport: what somebody read changes the number on the
// icons of his phones.
func (call *timCall) read(in *intake, f jsonFields, r ingestRequest) {
	who := f.text("Report_Account")
	call.offline = true
	call.actor(who, r)
	call.badge(in, f, who, timKey("read", f.text("Peer_Account"), f.text("LastReadTime"), f.text("UnreadMsgNum")), nil)
}

// withdraw reads C2C.CallbackAfterMsgWithDraw: the number goes back, and the app learns
// which notification to take away.
func (call *timCall) withdraw(in *intake, f jsonFields) {
	call.offline = true
	key := f.text("MsgKey")
	var d appData
	d.add("recall", cutRunes(oneLine(key), models.MaxSourceID))
	d.add("sender", cutRunes(oneLine(f.text("From_Account")), maxNameRunes))
	call.badge(in, f, f.text("To_Account"), timKey("recall", key), d.m)
}

func (call *timCall) badge(in *intake, f jsonFields, to, id string, data map[string]any) {
	n, ok := f.num("UnreadMsgNum")
	if !ok || n < 0 || to == "" {
		in.drop(models.IngestSkipped, 1)
		return
	}
	badge := int(min(n, models.MaxBadge))
	base := models.Incoming{SourceID: id, Kind: models.KindBadge, Content: models.Content{Badge: &badge, Data: data}}
	addressAll(in, &base, []string{to})
}

// membership reads the callbacks about a group's members.
func (call *timCall) membership(f jsonFields) {
	call.group.Group = f.text("GroupId")
	switch call.command {
	case timGroupCreate:
		call.group.Join = append(timMembers(f["MemberList"]), f.text("Owner_Account"))
	case timGroupJoin:
		call.group.Join = timMembers(f["NewMemberList"])
	case timGroupExit:
		call.group.Leave = timMembers(f["ExitMemberList"])
	case timGroupGone:
		call.group.Destroyed = true
	}
}
