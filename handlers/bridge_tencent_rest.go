package handlers

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"hongyan/models"
)

// REST commands.
const (
	timSendMsg     = "v4/openim/sendmsg"
	timBatch       = "v4/openim/batchsendmsg"
	timSendGroup   = "v4/group_open_http_svc/send_group_msg"
	timGroupAdd    = "v4/group_open_http_svc/add_group_member"
	timGroupImport = "v4/group_open_http_svc/import_group_member"
	timGroupDelete = "v4/group_open_http_svc/delete_group_member"
	timGroupEnd    = "v4/group_open_http_svc/destroy_group"
	timAll         = "v4/all_member_push/im_push"
	timAllOld      = "v4/openim/im_push"
	timPush        = "v4/timpush/push"
	timPushBatch   = "v4/timpush/batch"
)

// Limits that Tencent documents.
const (
	maxTimBody      = 8 << 10 // of sendmsg and send_group_msg
	maxTimAccounts  = 500
	maxTimLife      = 604800
	maxTimTags      = 10
	maxTimTagBytes  = 50
	maxTimDataBytes = 64
)

func parseTencentREST(r ingestRequest) (intake, error) {
	var in intake
	parse, known := map[string]func(*timCall, *intake, jsonFields, ingestRequest) error{
		timSendMsg: (*timCall).send, timBatch: (*timCall).send, timPushBatch: (*timCall).send,
		timSendGroup: (*timCall).sendGroup,
		timAll:       (*timCall).sendAll, timAllOld: (*timCall).sendAll, timPush: (*timCall).sendAll,
		timGroupAdd: (*timCall).changeGroup, timGroupImport: (*timCall).changeGroup,
		timGroupDelete: (*timCall).changeGroup, timGroupEnd: (*timCall).changeGroup,
	}[r.below]
	if !known {
		return in, &apiError{status: http.StatusNotFound, code: "unknown_command"}
	}
	if err := timCheckUserSig(r); err != nil {
		return in, err
	}
	if (r.below == timSendMsg || r.below == timSendGroup) && len(r.body) > maxTimBody {
		return in, fieldLimit("tim_too_long", "", maxTimBody)
	}
	f, err := readFields(r.body)
	if err != nil {
		return in, err
	}
	call := &timCall{rest: true, command: r.below}
	call.at(nil, r.now)
	in.extra = call
	if err := parse(call, &in, f, r); err != nil {
		return intake{}, err
	}
	return in, nil
}

// send reads the commands that name their recipients.
func (call *timCall) send(in *intake, f jsonFields, r ingestRequest) error {
	to, ok := textList(f["To_Account"])
	single := call.command == timSendMsg
	switch {
	case !ok, single && len(to) > 1:
		return fieldError("tim_to_account", "To_Account")
	case len(to) == 0 || single && to[0] == "":
		return fieldError("tim_to_account", "To_Account")
	case len(to) > maxTimAccounts:
		return fieldLimit("tim_many", "To_Account", maxTimAccounts)
	case len(f.text("DataId")) > maxTimDataBytes:
		return fieldLimit("too_long", "DataId", maxTimDataBytes)
	}
	if err := timCheckMessage(f, call.command != timPushBatch); err != nil {
		return err
	}
	random := timRandom(f, r)
	if call.command == timPushBatch {
		call.taskID = "batch_" + timHash([]byte(timKey(random, timHash(r.body))))
	} else {
		call.msgTime = r.now.Unix()
		if at, _ := f.num("MsgTimeStamp"); at > 0 {
			call.msgTime = at
		}
		call.msgKey = timKey(firstText(f.text("MsgSeq"), "0"), random, strconv.FormatInt(call.msgTime, 10))
	}
	base, show, err := call.restMessage(in, f, r)
	if err != nil || !show {
		return err
	}
	base.Conversation = cutRunes(base.Sender, maxNameRunes)
	base.Content.ThreadID = base.Conversation
	// The body takes part because careless callers send one MsgRandom with everything.
	base.SourceID = timKey(base.Sender, random, timHash(r.body))
	bad := addressAll(in, &base, to)
	if len(bad) > 0 && single {
		return fieldError("tim_account_bad", "To_Account")
	}
	call.bad = bad
	return nil
}

// sendGroup reads send_group_msg.
func (call *timCall) sendGroup(in *intake, f jsonFields, r ingestRequest) error {
	group := f.text("GroupId")
	if group == "" || len([]rune(group)) > models.MaxGroupRunes {
		return fieldError("tim_group_id", "GroupId")
	}
	if _, ok := f.num("Random"); !ok {
		return fieldError("tim_random", "Random")
	}
	if err := timCheckBody(f); err != nil {
		return err
	}
	only, ok := textList(f["To_Account"])
	if !ok || len(only) > maxTimAccounts {
		return fieldError("tim_to_account", "To_Account")
	}
	call.msgTime, call.msgSeq = r.now.Unix(), r.now.UnixMilli()
	base, show, err := call.restMessage(in, f, r)
	if err != nil || !show {
		return err
	}
	if f.is("OnlineOnlyFlag", 1) {
		in.drop(models.IngestSkipped, 1)
		return nil
	}
	base.Conversation = cutRunes(oneLine(group), maxNameRunes)
	base.Content.ThreadID = base.Conversation
	base.SourceID = timKey(base.Conversation, f.text("Random"), timHash(r.body))
	call.base, call.toGroup, call.only, call.mentions = base, group, only, timMentions(f)
	return nil
}

// sendAll reads the pushes to everybody.
func (call *timCall) sendAll(in *intake, f jsonFields, r ingestRequest) error {
	if err := timCheckMessage(f, call.command != timPush); err != nil {
		return err
	}
	if err := timCheckCondition(f); err != nil {
		return err
	}
	id := timKey("all", timRandom(f, r), timHash(r.body))
	call.taskID = timHash([]byte(id))
	// At Tencent no MsgLifeTime means 0, for who is online alone. Nobody sends a push
	// here for that, so only a 0 that is written is obeyed.
	base, show, err := call.restMessage(in, f, r)
	if err != nil || !show {
		return err
	}
	base.SourceID = id
	base.Content.KeepBadge = true // nobody has one more message to read
	call.base, call.toAll = base, true
	return nil
}

// changeGroup reads the commands about a group's members.
func (call *timCall) changeGroup(_ *intake, f jsonFields, _ ingestRequest) error {
	call.group.Group = f.text("GroupId")
	if g := call.group.Group; g == "" || len([]rune(g)) > models.MaxGroupRunes {
		call.group.Group = ""
		return fieldError("tim_group_id", "GroupId")
	}
	switch call.command {
	case timGroupEnd:
		call.group.Destroyed = true
	case timGroupDelete:
		leave, ok := textList(f["MemberToDel_Account"])
		if !ok || len(leave) == 0 {
			return fieldError("tim_member_list", "MemberToDel_Account")
		}
		call.group.Leave = leave
	default:
		call.group.Join = timMembers(f["MemberList"])
		if len(call.group.Join) == 0 {
			return fieldError("tim_member_list", "MemberList")
		}
		call.joined = call.group.Join
	}
	return nil
}

// restMessage reads sender, text and OfflinePushInfo; show is false for what is not to
// be pushed.
func (call *timCall) restMessage(in *intake, f jsonFields, r ingestRequest) (base models.Incoming, show bool, err error) {
	if life, ok := f.num("MsgLifeTime"); ok && life == 0 {
		in.drop(models.IngestSkipped, 1) // for who is online alone
		return base, false, nil
	} else if !ok && (call.command == timSendMsg || call.command == timBatch) {
		base.ExpiresAt = r.now.Add(maxTimLife * time.Second) // their default
	} else if ok {
		base.ExpiresAt = r.now.Add(time.Duration(life) * time.Second)
	}
	m, show := call.message(in, f, r)
	m.ExpiresAt = base.ExpiresAt
	return m, show, nil
}

// timCheckMessage checks the fields that Tencent checks, with the errors it has for
// them.
func timCheckMessage(f jsonFields, withBody bool) error {
	if _, ok := f.num("MsgRandom"); !ok && withBody {
		return fieldError("tim_random", "MsgRandom")
	}
	if _, ok := f.num("SyncOtherMachine"); f.has("SyncOtherMachine") && !ok {
		return fieldError("tim_sync", "SyncOtherMachine")
	}
	if _, ok := f.num("MsgTimeStamp"); f.has("MsgTimeStamp") && !ok {
		return fieldError("tim_timestamp", "MsgTimeStamp")
	}
	life, ok := f.num("MsgLifeTime")
	switch {
	case f.has("MsgLifeTime") && !ok:
		return fieldError("tim_life_type", "MsgLifeTime")
	case life < 0 || life > maxTimLife:
		return fieldLimit("tim_life", "MsgLifeTime", maxTimLife)
	case f.has("From_Account") && f.text("From_Account") == "":
		return fieldError("tim_from_account", "From_Account")
	case withBody:
		return timCheckBody(f)
	case f.object("OfflinePushInfo") == nil:
		return fieldError("required", "OfflinePushInfo")
	}
	return nil
}

// timCheckBody checks MsgBody's shape.
func timCheckBody(f jsonFields) error {
	items, ok := f.list("MsgBody")
	if !ok {
		return fieldError("tim_body_array", "MsgBody")
	}
	if len(items) == 0 {
		return fieldError("tim_body", "MsgBody")
	}
	for _, raw := range items {
		var e jsonFields
		if json.Unmarshal(raw, &e) != nil || e.text("MsgType") == "" || e.object("MsgContent") == nil {
			return fieldError("tim_body", "MsgBody")
		}
	}
	return nil
}

// timCheckCondition checks the condition of a push to everybody, and refuses it: who has
// which tag or attribute is known to Tencent alone, and everybody would be wrong.
func timCheckCondition(f jsonFields) error {
	if !f.has("Condition") {
		return nil
	}
	c := f.object("Condition")
	if c == nil {
		return fieldError("tim_condition", "Condition")
	}
	or, ok1 := textList(c["TagsOr"])
	and, ok2 := textList(c["TagsAnd"])
	if !ok1 || !ok2 {
		return fieldError("tim_condition", "Condition")
	}
	attrs := 0
	for _, name := range []string{"AttrsOr", "AttrsAnd"} {
		if c.has(name) && c.object(name) == nil {
			return fieldError("tim_attr", name)
		}
		attrs += len(c.object(name))
	}
	tags := append(append([]string{}, or...), and...)
	seen := map[string]bool{}
	for i, tag := range tags {
		switch {
		case tag == "":
			return fieldError("tim_tag_empty", "Condition")
		case len(tag) > maxTimTagBytes:
			return fieldLimit("tim_tag_long", "Condition", maxTimTagBytes)
		case i >= len(or) && seen[tag]:
			return fieldError("tim_tag_twice", "Condition")
		}
		seen[tag] = i < len(or)
	}
	switch {
	case len(or) > maxTimTags || len(and) > maxTimTags:
		return fieldLimit("tim_tags", "Condition", maxTimTags)
	case attrs > 0 && len(tags) > 0:
		return fieldError("tim_condition_mix", "Condition")
	case attrs > 0 || len(tags) > 0:
		return fieldError("tim_condition_unknown", "Condition")
	}
	return nil
}

// timRandom is what tells a message from the next one with the same words: its own
// number, or where the command has none that of the request.
func timRandom(f jsonFields, r ingestRequest) string {
	return firstText(f.text("MsgRandom"), r.query.Get("random"))
}

// timKey joins the parts of an id.
func timKey(parts ...string) string { return oneLine(strings.Join(parts, "_")) }

func timHash(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:12])
}

// timMembers reads a list of objects with Member_Account.
func timMembers(raw json.RawMessage) []string {
	var items []json.RawMessage
	if json.Unmarshal(raw, &items) != nil || len(items) > maxRecipients {
		return nil
	}
	var out []string
	for _, item := range items {
		var m jsonFields
		if json.Unmarshal(item, &m) == nil && m.text("Member_Account") != "" {
			out = append(out, m.text("Member_Account"))
		}
	}
	return out
}

// timMentions returns who is mentioned by name.
func timMentions(f jsonFields) []string {
	var out []string
	items, _ := f.list("GroupAtInfo")
	for _, raw := range items {
		var m jsonFields
		if json.Unmarshal(raw, &m) == nil && !m.is("GroupAtAllFlag", 1) && m.text("GroupAt_Account") != "" {
			out = append(out, m.text("GroupAt_Account"))
		}
	}
	return out
}
