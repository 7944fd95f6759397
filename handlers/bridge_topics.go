package handlers

import (
	"context"
	"time"

	"hongyan/models"
)

// fanOutTime is how long a message to a topic may take to be stored for all.
const fanOutTime = 10 * time.Minute

// fanOut stores a message for every device that is subscribed to its topic, a page at a
// time and a message for each, and counts all. The sender's own devices are left out
// where the message names him. A request that fails half-way and comes again finishes:
// what is stored is a duplicate.
func (h *ingestHandler) fanOut(ctx context.Context, in models.Ingest, m *models.Incoming) (all models.Accepted, err error) {
	// The server asks once: neither its patience nor a request's usual time may cut a
	// channel off.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fanOutTime)
	defer cancel()
	counted := false
	err = h.Ingest.EachSubscriber(ctx, in, m.Topic, models.MaxBatch, func(page []models.DeviceAt) error {
		msgs := make([]models.Incoming, 0, len(page))
		for _, at := range page {
			if m.Sender != "" && at.Account == m.Sender {
				h.count(in, models.IngestSender, 1)
				continue
			}
			one := *m
			one.Devices = []models.DeviceAt{at}
			msgs = append(msgs, one)
		}
		done, err := h.accept(ctx, in, msgs)
		h.countAccepted(in, msgs, done)
		if err != nil {
			h.count(in, models.IngestRefused, len(msgs)-len(done.IDs))
			counted = true
		}
		all.New += done.New
		all.Duplicates += done.Duplicates
		return err
	})
	if err != nil && !counted { // for how many, nobody knows
		h.count(in, models.IngestRefused, 1)
	}
	return all, err
}
