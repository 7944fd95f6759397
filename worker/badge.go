package worker

import (
	"sync"

	"hongyan/models"
)

// badges holds the icon numbers of devices whose counts are not all recorded yet,
// so that messages in quick succession count on from each other and not from the
// database.
type badges struct {
	mu sync.Mutex
	m  map[int64]*badge
	// loose are the devices whose counts are all recorded. They stay until the next
	// look-up begins: one under way may have read the number from before.
	loose []int64
}

type badge struct {
	models.Badge
	users int // batches whose count is not recorded
}

func (b *badges) init() { b.m = map[int64]*badge{} }

// purge forgets what is recorded. It must be called before devices are looked up.
func (b *badges) purge() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, id := range b.loose {
		if e := b.m[id]; e != nil && e.users == 0 {
			delete(b.m, id)
		}
	}
	b.loose = b.loose[:0]
}

// now returns a device's number; stored is the one in the database. It counts as
// well when the phone has set it since the one that is kept here was.
func (b *badges) now(device int64, stored models.Badge) models.Badge {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e := b.m[device]; e != nil && e.Revision >= stored.Revision {
		return e.Badge
	}
	return stored
}

// set changes a device's number. first says that the caller has not changed it
// before and will release it.
func (b *badges) set(device int64, n models.Badge, first bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.m[device]
	if e == nil {
		e = &badge{}
		b.m[device] = e
	}
	e.Badge = n
	if first {
		e.users++
	}
}

// values returns the present numbers of devices that were set.
func (b *badges) values(devices []int64) map[int64]models.Badge {
	if len(devices) == 0 {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	out := make(map[int64]models.Badge, len(devices))
	for _, id := range devices {
		if e := b.m[id]; e != nil {
			out[id] = e.Badge
		}
	}
	return out
}

// release says that a batch's counts are recorded, or never will be.
func (b *badges) release(devices []int64) {
	if len(devices) == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, id := range devices {
		if e := b.m[id]; e != nil {
			if e.users--; e.users == 0 {
				b.loose = append(b.loose, id)
			}
		}
	}
}
