package push

import "time"

// batchFanOut is how many requests of one Send are under way at once.
const batchFanOut = 16

// InBatches sends to targets in requests of at most most targets, several at a time,
// and returns the results in the targets' order. Only targets of one key share a
// request, because a vendor's request says some things once for all of its targets,
// such as the badge. key returns a Result for a target that is not sent at all. send
// returns one Result per target of its batch.
func InBatches[K comparable](targets []Target, most int, key func(Target) (K, *Result), send func([]Target) []Result) []Result {
	results := make([]Result, len(targets))
	groups := map[K][]int{}
	var order []K
	for i, t := range targets {
		k, fault := key(t)
		if fault != nil {
			results[i] = *fault
			continue
		}
		if groups[k] == nil {
			order = append(order, k)
		}
		groups[k] = append(groups[k], i)
	}
	var batches [][]int
	for _, k := range order {
		for g := groups[k]; len(g) > 0; g = g[min(most, len(g)):] {
			batches = append(batches, g[:min(most, len(g))])
		}
	}
	one := func(batch []int) {
		ts := make([]Target, len(batch))
		for j, i := range batch {
			ts[j] = targets[i]
		}
		for j, r := range send(ts) {
			results[batch[j]] = r
		}
	}
	Parallel(len(batches), batchFanOut, func(n int) { one(batches[n]) })
	return results
}

// BadgeKey is a key for InBatches by the badge that a target shows: the target's own,
// else the message's. It is -1 for a badge that is left alone, and within 0 and most
// otherwise.
func BadgeKey(m *Message, t *Target, most int) int {
	b := t.Badge
	if b == nil {
		b = m.Badge
	}
	if b == nil {
		return -1
	}
	return min(max(*b, 0), most)
}

// OpaqueToken returns what is wrong with a device token of a vendor that defines no
// format: empty, longer than most bytes, or not of visible ASCII, which no vendor's
// token is. nil means it can be sent.
func OpaqueToken(token string, most int) *Result {
	if token != "" && len(token) <= most && Visible(token) {
		return nil
	}
	return &Result{Outcome: BadTarget, Code: CodeBadToken, Text: "the device token is not in the vendor's format"}
}

// Said adds to r what the vendor said about a code that no table explains, as far as
// Quote lets it through: nothing that resembles the message, its targets or secrets.
func Said(r *Result, said string, m *Message, batch []Target, secrets ...string) {
	secrets = append(secrets, m.Title, m.Subtitle, m.Body)
	for _, t := range batch {
		secrets = append(secrets, t.Token)
	}
	r.Text = WithSaid(r.Text, Quote(said, secrets...))
}

// InHalves sends again to the targets of a request that was refused for the sake of
// some of them, without a word about which: half of them at a time, so that send comes
// to one that is refused alone. spent is what the refused request took.
func InHalves(batch []Target, spent time.Duration, send func([]Target) []Result) []Result {
	half := (len(batch) + 1) / 2
	out := append(send(batch[:half]), send(batch[half:])...)
	for i := range out {
		out[i].Elapsed += spent
	}
	return out
}
