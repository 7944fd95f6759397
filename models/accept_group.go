package models

import "reflect"

// requestGroup is a group before it is known for which apps: each has one of its own.
type requestGroup struct{ apps []group }

// of returns the group's part in the n-th of so many apps.
func (g *requestGroup) of(n, apps int) *group {
	if g.apps == nil {
		g.apps = make([]group, apps)
	}
	return &g.apps[n]
}

// groupsOf finds neighbours in a request that say the same to several people, as a
// message in a group chat does: for each message its group, or nil. The whole is nil
// when there are none.
func groupsOf(msgs []Incoming) []*requestGroup {
	var out []*requestGroup
	for i := 1; i < len(msgs); i++ {
		if !saysTheSame(&msgs[i-1], &msgs[i]) {
			continue
		}
		if out == nil {
			out = make([]*requestGroup, len(msgs))
		}
		if out[i-1] == nil {
			out[i-1] = &requestGroup{}
		}
		out[i] = out[i-1]
	}
	return out
}

// saysTheSame reports whether two messages differ in nothing but whom they go to. One
// without an id of the IM server does not count: a receipt could not be brought home.
func saysTheSame(a, b *Incoming) bool {
	return a.SourceID != "" && a.SourceID == b.SourceID && a.Kind == b.Kind && a.Token == "" && b.Token == "" &&
		a.Sender == b.Sender && a.Conversation == b.Conversation && a.ExpiresAt.Equal(b.ExpiresAt) &&
		reflect.DeepEqual(&a.Content, &b.Content)
}

// name tells the new messages of each group who is the first of them.
func (a *acceptance) name() {
	for _, r := range a.fresh {
		if r.group == nil {
			continue
		}
		if r.group.first == "" {
			r.group.first = r.item.Message.ID
		}
		r.item.Group = r.group.first
	}
}
