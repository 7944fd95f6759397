package push_test

import (
	"testing"

	"hongyan/push"
)

// A tag is the same for the same channel id and class, and for nothing else.
func TestClassTag(t *testing.T) {
	message := func(id string, class ...string) *push.Message {
		m := &push.Message{Classes: map[push.Channel]map[string]string{push.Huawei: {"category": "IM"}}}
		if id != "" {
			m.ChannelIDs = map[push.Channel]string{push.OPPO: id}
		}
		for i := 0; i+1 < len(class); i += 2 {
			if m.Classes[push.OPPO] == nil {
				m.Classes[push.OPPO] = map[string]string{}
			}
			m.Classes[push.OPPO][class[i]] = class[i+1]
		}
		return m
	}
	if tag := message("").ClassTag(push.OPPO); tag != "" {
		t.Errorf("another vendor's class gives %q", tag)
	}
	seen := map[string]int{}
	for i, m := range []*push.Message{
		message("a"), message("b"), message("", "category", "IM"), message("a", "category", "IM"), message("", "category", "IM", "notify_level", "2"),
		message("", "notify_level", "2"),
	} {
		tag := m.ClassTag(push.OPPO)
		if other, twice := seen[tag]; twice || len(tag) != 8 {
			t.Errorf("%d has the tag %q, as %d", i, tag, other)
		}
		seen[tag] = i
	}
	if message("a", "notify_level", "2", "category", "IM").ClassTag(push.OPPO) != message("a", "category", "IM", "notify_level", "2").ClassTag(push.OPPO) {
		t.Error("one class has two tags")
	}
}
