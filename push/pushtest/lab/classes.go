package lab

import (
	"context"
	"strings"
	"testing"

	"hongyan/push"
)

// Class is how a message itself is to be classified, and what becomes of that.
type Class struct {
	Own map[string]string
	// Got is what the simulator gets, by path; nil for nothing there.
	Got map[string]any
	// Refused is the field that the sender refuses by name, before it asks anybody.
	Refused string
}

// Classes sends m through one sender as each of the classes.
func (l *Lab) Classes(t *testing.T, m push.Message, to push.Target, cases ...Class) {
	t.Helper()
	s := l.Open()
	for _, c := range cases {
		m.Classes = map[push.Channel]map[string]string{l.spec.Channel: c.Own, "another": {"category": "no business of this one"}}
		asked := l.Sim.Requests()
		r := s.Send(context.Background(), m, []push.Target{to})[0]
		if c.Refused != "" {
			if r.Outcome != push.BadMessage || r.Code != push.CodeBadContent || !strings.Contains(r.Text, c.Refused) || l.Sim.Requests() != asked {
				t.Errorf("%v: %+v", c.Own, r)
			}
			continue
		}
		if r.Outcome != push.Accepted {
			t.Errorf("%v: %+v", c.Own, r)
			continue
		}
		got := Last[map[string]any](l)
		for path, want := range c.Got {
			if At(got, path) != want {
				t.Errorf("%v: %s = %v, want %v", c.Own, path, At(got, path), want)
			}
		}
	}
}
