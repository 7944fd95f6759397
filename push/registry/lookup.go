package registry

import "hongyan/push"

// Registry finds channels by name. It is made once, because a spec's tables are large
// and pages and workers ask for specs all the time.
type Registry struct{ specs map[push.Channel]push.Spec }

// New returns a Registry of every channel.
func New() *Registry {
	r := &Registry{specs: map[push.Channel]push.Spec{}}
	for _, s := range All() {
		r.specs[s.Channel] = s
	}
	return r
}

// Lookup returns the spec of one channel, or false when this build has none. Specs
// are shared and must not be changed.
func (r *Registry) Lookup(c push.Channel) (push.Spec, bool) {
	s, ok := r.specs[c]
	return s, ok
}
