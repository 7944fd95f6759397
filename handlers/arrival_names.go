package handlers

import "strings"

// The names of fields in the bridges' protocols, as far as arrivals show them. A name
// that is in none of these lists is unknown, and what stands there is masked.

// isPlain reports whether a field holds an id, a kind or another word of a protocol,
// and never a text, a token or a secret.
func isPlain(key string) bool {
	switch strings.ToLower(key) {
	case
		// kinds and words
		"type", "kind", "k", "msgtype", "event", "event_type", "what", "action", "prio", "priority", "platform", "category",
		"interruption_level", "membership", "message_type", "command", "callbackcommand", "optplatform", "contenttype", "reason",
		"channel_type", "content_type", "sendmsgresult", "errorcode", "version", "setting", "callback", "callbackafter", "operation",
		// ids of messages, users, rooms, groups and apps
		"id", "event_id", "room_id", "message_id", "message_idstr", "messageid", "msg_id", "msgid", "msgkey", "msgseq", "msgrandom",
		"client_msg_no", "clientmsgid", "servermsgid", "seq", "post_id", "ack_id", "notid", "rid", "_id", "sourceid", "source_id",
		"sender", "sender_id", "from", "from_uid", "from_account", "sendid", "to", "to_uids", "to_account", "recvid", "user_id",
		"useridlist", "userid", "userids", "user_uuid", "realm_id", "zulip_message_id", "stream_id", "pm_users", "conversation", "conversationid", "conversation_id",
		"channel_id", "team_id", "root_id", "groupid", "group_id", "topicname", "xfrom", "app_id", "sdkappid", "server_id", "uniqueid",
		"account_type", "cmdid", "operationid", "clientcmd", "eventtime", "msgtime", "random", "timestamp", "ts", "time", "created_at",
		"createdat", "expires_at", "ttl", "owner_account", "member_account", "operator_account", "report_account", "peer_account":
		return true
	}
	return false
}

// isStructure reports whether an object or list of that name is part of a protocol, so
// that the names in it are the protocol's own.
func isStructure(key string) bool {
	switch strings.ToLower(key) {
	case "notification", "devices", "counts", "message", "messages", "header", "msgbody", "info", "kickeddevice", "offlinepushinfo",
		"androidinfo", "apnsinfo", "memberlist", "newmemberlist", "exitmemberlist", "audience", "options", "queries", "sender_obj",
		"android", "apns", "payload", "gcm_options", "android_devices", "apple_devices", "condition":
		return true
	}
	return false
}

// isText reports whether a field holds what a message says, or data of the app.
func isText(key string) bool {
	switch strings.ToLower(key) {
	case "title", "subtitle", "body", "text", "content", "desc", "message", "alert", "name", "room_name", "room_alias", "channel_name",
		"sender_name", "sender_display_name", "sender_full_name", "username", "override_username", "topic", "stream", "msgcontent",
		"ext", "ex", "data", "custom", "extra", "aps", "offlinepushinfo", "payload", "gcm_payload", "apns_payload", "notification",
		"notice", "alert_body", "formatted_body", "signal", "intent", "faceurl", "nickname", "sendernickname", "from_nick":
		return true
	}
	return false
}
