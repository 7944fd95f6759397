package sandbox

import (
	"net/http"
	"strconv"
)

// save: 2.3.1, the content of a batch.
func (v *vivo) save(s *Simulator, w http.ResponseWriter, r *http.Request, body []byte) {
	var in vivoContent
	bad := vivoDecode(body, &in)
	c, _, ok := v.enter(s, w, r, body, "")
	if !ok {
		return
	}
	if bad == "" {
		bad = in.checkList()
	}
	if bad != "" {
		v.note(r.Context(), s, c, "", "", strconv.Itoa(vivoBadParameter))
		vivoAnswer(w, vivoBadParameter, bad+"不合法", nil)
		return
	}
	task := v.taskID()
	v.mu.Lock()
	v.tasks[task] = vivoTask{account: c.account.ID, body: body}
	v.mu.Unlock()
	vivoAnswer(w, 0, "请求成功", map[string]any{"taskId": task, "requestId": in.RequestID})
}

// list: 2.3.2, a stored content to 2 to 1000 regIds. The invalid ones are named and
// the others reached.
func (v *vivo) list(s *Simulator, w http.ResponseWriter, r *http.Request, body []byte) {
	var in struct {
		AppID     int64    `json:"appId"`
		RegIDs    []string `json:"regIds"`
		Aliases   []string `json:"aliases"`
		TaskID    string   `json:"taskId"`
		RequestID string   `json:"requestId"`
		PushMode  int      `json:"pushMode"`
	}
	bad := vivoDecode(body, &in)
	c, rolled, ok := v.enter(s, w, r, body, "")
	if !ok {
		return
	}
	v.mu.Lock()
	task, stored := v.tasks[in.TaskID]
	v.mu.Unlock()
	switch {
	case bad != "":
	case len(in.RegIDs) < 2 || len(in.RegIDs) > vivoMaxTargets:
		bad = "regIds"
	case !stored || task.account != c.account.ID:
		bad = "taskId"
	case in.RequestID == "" || len(in.RequestID) > 64:
		bad = "requestId"
	case in.PushMode != 0 && in.PushMode != 1:
		bad = "pushMode"
	}
	if bad != "" {
		v.note(r.Context(), s, c, "", in.TaskID, strconv.Itoa(vivoBadParameter))
		vivoAnswer(w, vivoBadParameter, bad+"不合法", nil)
		return
	}
	c.body = task.body
	invalid := []map[string]any{}
	for _, token := range in.RegIDs {
		code := v.wrong(r.Context(), s, c, rolled, token)
		if code == "" && !vivoRegID(token) {
			code = "user_1"
		}
		v.note(r.Context(), s, c, token, in.TaskID, code)
		if code != "" {
			invalid = append(invalid, map[string]any{"status": vivoStatus(code), "userid": token})
		}
	}
	vivoAnswer(w, 0, "请求成功", map[string]any{"taskId": in.TaskID, "requestId": in.RequestID, "invalidUsers": invalid})
}
