package main

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// address is below the secret, and for every fourth message without it.
func (s *bridgeSide) address(n int, path string) string {
	if n%4 == 0 {
		return path
	}
	return s.im(path)
}

func matrixEmitter() emitter {
	const path = "/_matrix/push/v1/notify"
	event := func(s *bridgeSide, n int, pushkeys []string, change func(m object)) emission {
		var devices []object
		for _, k := range pushkeys {
			devices = append(devices, object{
				"app_id": s.name(), "pushkey": k, "pushkey_ts": time.Now().Unix(), "data": nil, "tweaks": object{"sound": "default", "highlight": nil},
			})
		}
		id := fmt.Sprint("$event-", n)
		m := object{
			"event_id": id, "id": id, "room_id": "!r:localhost", "room_name": "组", "type": "m.room.message", "sender": s.sender.account, "sender_display_name": "Alice",
			"content": object{"msgtype": "m.text", "body": text(n)}, "counts": object{"unread": 1 + n%9}, "prio": "high", "devices": devices,
		}
		change(m)
		return emission{path: s.address(n, path), body: jsonOf(object{"notification": m}), taken: said(200, "rejected", "[]")}
	}
	one := func(s *bridgeSide, n int, rng *rand.Rand) emission {
		to := s.some(1, rng)
		e := event(s, n, devicesOf(to), func(object) {})
		e.what, e.to = "event", tokensOf(to)
		return e
	}
	several := func(s *bridgeSide, n int, rng *rand.Rand) emission {
		to := s.some(3, rng)
		e := event(s, n, devicesOf(to, s.dead.device, "unknown-pushkey", s.sender.device), func(object) {})
		e.what, e.to, e.taken = "several devices", tokensOf(to), said(200, "rejected", "["+s.dead.device+"]")
		return e
	}
	badge := func(s *bridgeSide, n int, rng *rand.Rand) emission {
		e := event(s, n, devicesOf(s.some(1, rng)), func(m object) {
			if n%2 == 0 { // Synapse's form
				m["id"], m["type"], m["sender"] = "", nil, ""
				delete(m, "event_id")
				delete(m, "content")
				return
			}
			for k := range m {
				if k != "counts" && k != "devices" {
					delete(m, k)
				}
			}
		})
		e.what = "counts alone"
		return e
	}
	return emitter{sender: "@alice:localhost", shapes: []shape{one, one, several, badge}}
}

func mattermostEmitter() emitter {
	push := func(s *bridgeSide, n int, device string, change func(m object)) emission {
		m := object{
			"ack_id": fmt.Sprint("ack-", n), "platform": "apple_rn", "server_id": s.name(), "device_id": device, "post_id": fmt.Sprint("post-", n),
			"category": "CAN_REPLY", "message": text(n), "badge": 1 + n%9, "team_id": "t", "channel_id": "c", "channel_name": "组", "type": "message",
			"sender_id": s.sender.account, "sender_name": "Alice", "version": "v2", "is_id_loaded": false,
		}
		change(m)
		return emission{path: s.address(n, "/api/v1/send_push"), body: jsonOf(m), taken: said(200, "status", "OK")}
	}
	message := func(s *bridgeSide, n int, rng *rand.Rand) emission {
		to := s.some(1, rng)
		e := push(s, n, []string{"", "apple_rn:"}[n%2]+to[0].device, func(object) {})
		e.what, e.to = "message", tokensOf(to)
		return e
	}
	quiet := func(s *bridgeSide, n int, rng *rand.Rand) emission {
		e := push(s, n, s.some(1, rng)[0].device, func(m object) { m["type"] = []string{"clear", "update_badge"}[n%2] })
		e.what = "badge"
		return e
	}
	return emitter{sender: "alice", shapes: []shape{message, message, message, quiet, strangers(
		func(s *bridgeSide, n int, device string) emission { return push(s, n, device, func(object) {}) },
		said(200, "status", "REMOVE"), said(200, "status", "FAIL"), said(200, "status", "OK"),
	)}}
}

// strangers makes messages for a dead device, for one that nobody knows and for the
// sender's own, and says how each is answered.
func strangers(to func(s *bridgeSide, n int, device string) emission, dead, unknown, own func(answered) bool) shape {
	return func(s *bridgeSide, n int, _ *rand.Rand) emission {
		i := n % 3
		e := to(s, n, []string{s.dead.device, "nobody-has-this-token", s.sender.device}[i])
		e.what, e.taken = []string{"dead device", "unknown device", "the sender's own device"}[i], []func(answered) bool{dead, unknown, own}[i]
		return e
	}
}

func rocketChatEmitter() emitter {
	push := func(s *bridgeSide, n int, device string, options object) emission {
		options["uniqueId"], options["createdAt"], options["notId"] = s.name(), s.run.began.UTC().Format(time.RFC3339), n
		return emission{
			path: s.address(n, []string{"/push/apn/send", "/push/gcm/send"}[n/4%2]), body: jsonOf(object{"token": device, "options": options}),
			header: map[string]string{"Authorization": "Bearer workspace"}, taken: said(200, "success", "true"),
		}
	}
	options := func(s *bridgeSide, n int) object {
		return object{
			"createdBy": "<SERVER>", "title": "组", "text": text(n), "from": "push", "badge": 1 + n%9, "sound": "default",
			"payload": object{
				"messageId": fmt.Sprint("rc-", n), "rid": "room", "type": "c", "name": "组", "host": "https://chat.example/",
				"sender": object{"_id": s.sender.account, "username": "alice", "name": "Alice"},
			},
			"apn": object{"category": "MESSAGE"},
		}
	}
	message := func(s *bridgeSide, n int, rng *rand.Rand) emission {
		to := s.some(1, rng)
		e := push(s, n, to[0].device, options(s, n))
		e.what, e.to = "message", tokensOf(to)
		return e
	}
	badge := func(s *bridgeSide, n int, rng *rand.Rand) emission {
		e := push(s, n, s.some(1, rng)[0].device, object{"badge": n % 9})
		e.what = "badge"
		return e
	}
	return emitter{sender: "alice", shapes: []shape{message, message, message, badge, strangers(
		func(s *bridgeSide, n int, device string) emission { return push(s, n, device, options(s, n)) },
		said(http.StatusNotAcceptable, "", ""), said(http.StatusUnprocessableEntity, "", ""), said(200, "success", "true"),
	)}}
}

func unifiedPushEmitter() emitter {
	push := func(s *bridgeSide, n int, device string) emission {
		body := []byte(text(n))
		if n%2 == 0 {
			body = jsonOf(object{"title": "Alice", "message": text(n)})
		}
		return emission{
			path: s.im("/up/" + device), body: body, taken: said(http.StatusCreated, "", ""),
			header: map[string]string{"TTL": "3600", "Urgency": "high", "Content-Type": "application/octet-stream"},
		}
	}
	message := func(s *bridgeSide, n int, rng *rand.Rand) emission {
		to := s.some(1, rng)
		e := push(s, n, to[0].device)
		e.what, e.to = "bytes", tokensOf(to)
		return e
	}
	gone := said(http.StatusNotFound, "", "")
	return emitter{sender: "alice", forgets: true, raw: true, shapes: []shape{message, message, message, func(s *bridgeSide, n int, _ *rand.Rand) emission {
		e := push(s, n, []string{s.dead.device, "nobody-has-this-token"}[n%2])
		e.what, e.taken = "gone", gone
		return e
	}}}
}

// zulipUser is a person whose device the server has registered.
func zulipUser(i int) string { return fmt.Sprint("uuid-", i) }

func (s *bridgeSide) basic() map[string]string {
	return map[string]string{"Authorization": "Basic " + base64.StdEncoding.EncodeToString([]byte("org:"+s.secret))}
}

func zulipEmitter() emitter {
	const path = "/api/v1/remotes/push/"
	notify := func(s *bridgeSide, user string, devices []string, m object) emission {
		m["user_uuid"], m["user_id"], m["realm_uuid"] = user, 7, "realm"
		m["apple_devices"], m["android_devices"], m["gcm_options"] = devices, []string{}, object{"priority": "high"}
		return emission{path: path + "notify", header: s.basic(), body: jsonOf(m), taken: said(200, "result", "success")}
	}
	payload := func(s *bridgeSide, n int) object {
		return object{
			"gcm_payload": object{
				"event": "message", "zulip_message_id": n + 1, "time": time.Now().Unix(), "sender_id": 9, "sender_email": s.sender.account, "sender_full_name": "Alice",
				"content": text(n), "recipient_type": "private", "server": "chat.example", "realm_id": 1,
			},
			"apns_payload": object{"alert": object{"title": "Alice", "body": text(n)}, "badge": 1 + n%9, "sound": "default"},
		}
	}
	listed := func(s *bridgeSide, n int, rng *rand.Rand) emission {
		to := s.some(2, rng)
		e := notify(s, "nobody", devicesOf(to, to[0].device), payload(s, n))
		e.what, e.to = "listed devices", tokensOf(to)
		return e
	}
	registered := func(s *bridgeSide, n int, rng *rand.Rand) emission {
		i := rng.IntN(len(s.people))
		other := s.people[(i+1)%len(s.people)]
		e := notify(s, zulipUser(i), []string{other.device, "unknown-token", s.sender.device}, payload(s, n))
		e.what, e.to = "registered device", []string{s.people[i].token, other.token}
		return e
	}
	remove := func(s *bridgeSide, n int, rng *rand.Rand) emission {
		e := notify(s, "nobody", devicesOf(s.some(1, rng)), object{
			"gcm_payload":  object{"event": "remove", "zulip_message_ids": strconv.Itoa(n)},
			"apns_payload": object{"badge": n % 9, "custom": object{"zulip": object{"event": "remove"}}},
		})
		e.what = "remove"
		return e
	}
	dead := func(s *bridgeSide, n int, _ *rand.Rand) emission {
		e := notify(s, "nobody", []string{s.dead.device}, payload(s, n))
		e.what = "dead device"
		e.taken = func(a answered) bool { return a.status == 200 && strings.Contains(string(a.body), s.dead.device) }
		return e
	}
	return emitter{sender: "alice@chat.example", shapes: []shape{listed, registered, listed, remove, dead}, setUp: func(s *bridgeSide) {
		for i, p := range s.people {
			a, err := s.run.send(&emission{path: path + "register", header: s.basic(), body: jsonOf(object{"user_uuid": zulipUser(i), "token": p.device, "token_kind": 1})})
			s.run.must(err)
			if !said(200, "result", "success")(a) {
				s.run.t.Fatalf("zulip: %d %s", a.status, a.body)
			}
		}
	}}
}

func tinodeEmitter() emitter {
	item := func(s *bridgeSide, n, i int, device string) object {
		return object{
			"token": device, "android": object{"priority": "HIGH", "ttl": "3600s"},
			"data": object{
				"what": "msg", "topic": fmt.Sprint("usr", i), "xfrom": s.sender.account, "seq": strconv.Itoa(n + 1),
				"ts": s.run.began.UTC().Format(time.RFC3339Nano), "content": text(n), "rc": "{}",
			},
		}
	}
	post := func(s *bridgeSide, n int, items []object, sent int) emission {
		e := emission{
			path: "/pushv1/example", header: map[string]string{"Content-Encoding": "gzip", "Authorization": "Bearer " + s.secret},
			body: zipped(jsonOf(items)), taken: said(200, "sent_count", strconv.Itoa(sent)),
		}
		if n%2 == 0 {
			e.path = s.im(e.path)
			delete(e.header, "Authorization")
		}
		return e
	}
	batch := func(s *bridgeSide, n int, rng *rand.Rand) emission {
		to := s.some(1+n%5, rng)
		var items []object
		for i, p := range to {
			items = append(items, item(s, n, i, p.device))
		}
		e := post(s, n, items, len(to))
		e.what, e.to = "messages", tokensOf(to)
		return e
	}
	mixed := func(s *bridgeSide, n int, rng *rand.Rand) emission {
		to := s.some(2, rng)
		silent := item(s, n, 8, to[0].device)
		silent["data"].(object)["silent"] = "true"
		silent["apns"] = object{"payload": object{"aps": object{"badge": n % 9}}}
		read := item(s, n, 9, to[1].device)
		read["data"].(object)["what"] = "read"
		items := []object{
			item(s, n, 0, to[0].device), silent, item(s, n, 1, s.dead.device), item(s, n, 2, "unknown-token"), read,
			item(s, n, 3, s.sender.device), {"topic": "grp1", "data": object{}}, item(s, n, 4, to[1].device),
		}
		e := post(s, n, items, 5) // the badge is taken, the sender's device is alive, and a channel may be empty
		e.what, e.to = "mixed items", tokensOf(to)
		sent := e.taken
		e.taken = func(a answered) bool {
			return sent(a) && slices.Equal(tinodeCodes(a), []string{"", "", "UNREGISTERED", "NOT_FOUND", "", "", "", ""})
		}
		return e
	}
	return emitter{sender: "usrAlice", shapes: []shape{batch, batch, mixed}}
}

func tinodeCodes(a answered) []string {
	var out []string
	list, _ := a.object()["resp"].([]any)
	for _, x := range list {
		m, _ := x.(object)
		code, _ := m["errcode"].(string)
		out = append(out, code)
	}
	return out
}

func xmppEmitter() emitter {
	iq := func(s *bridgeSide, n int, node string, count int, more string) emission {
		return emission{
			path: s.address(n, "/xmpp"), taken: status(http.StatusOK),
			body: []byte(fmt.Sprintf(`<iq from='%s' to='push.localhost' id='iq%d' type='set'><pubsub xmlns='http://jabber.org/protocol/pubsub'>`+
				`<publish node='%s'><item><notification xmlns='urn:xmpp:push:0'><x xmlns='jabber:x:data' type='form'>`+
				`<field type='hidden' var='FORM_TYPE'><value>urn:xmpp:push:summary</value></field>`+
				`<field type='text-single' var='message-count'><value>%d</value></field>%s</x></notification></item></publish></pubsub></iq>`,
				s.name(), n, node, count, more)),
		}
	}
	said := func(s *bridgeSide, n int, node string) emission {
		return iq(s, n, node, 1+n%3, fmt.Sprintf(`<field type='jid-single' var='last-message-sender'><value>%s/dev1</value></field>`+
			`<field type='text-single' var='last-message-body'><value>%s</value></field>`, s.sender.account, text(n)))
	}
	message := func(s *bridgeSide, n int, rng *rand.Rand) emission {
		to := s.some(1, rng)
		e := said(s, n, to[0].device)
		e.what, e.to = "message", tokensOf(to)
		return e
	}
	read := func(s *bridgeSide, n int, rng *rand.Rand) emission {
		e := iq(s, n, s.some(1, rng)[0].device, 0, "")
		e.what = "read elsewhere"
		return e
	}
	return emitter{sender: "alice@localhost", strict: true, shapes: []shape{message, message, message, read, strangers(
		said, status(http.StatusNotFound), status(http.StatusNotFound), status(http.StatusOK),
	)}}
}

// status reports whether an answer has a status.
func status(n int) func(answered) bool { return func(a answered) bool { return a.status == n } }
