package push_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"hongyan/push"
)

func TestDataTexts(t *testing.T) {
	t.Parallel()
	three := push.DataLimits{Pairs: 3, Chars: 60, Reserved: func(k string) bool { return k == "from" }}
	for name, c := range map[string]struct {
		limits push.DataLimits
		data   map[string]any
		want   map[string]string
		code   string
	}{
		"none":           {},
		"no limits":      {push.DataLimits{}, map[string]any{"b": 1, "a": "x", "c": []any{"<"}}, map[string]string{"a": "x", "b": "1", "c": `["<"]`}, ""},
		"no name":        {push.DataLimits{}, map[string]any{"": 1, "a": "x"}, map[string]string{"a": "x", "hy_more": `{"":1}`}, ""},
		"as many":        {three, map[string]any{"a": 1, "b": 2, "hy_mid": "m"}, map[string]string{"a": "1", "b": "2", "hy_mid": "m"}, ""},
		"one more":       {three, map[string]any{"a": 1, "b": 20, "c": 3, "hy_mid": "a long id"}, map[string]string{"a": "1", "hy_mid": "a long id", "hy_more": `{"b":20,"c":3}`}, ""},
		"reserved":       {three, map[string]any{"from": "u", "hy_mid": "m", "a": 1}, map[string]string{"a": "1", "hy_mid": "m", "hy_more": `{"from":"u"}`}, ""},
		"reserved, many": {three, map[string]any{"from": "u", "hy_mid": "m", "a": 1, "b": true}, map[string]string{"a": "1", "hy_mid": "m", "hy_more": `{"b":true,"from":"u"}`}, ""},
		"its own more":   {three, map[string]any{"hy_more": "x", "hy_mid": "m", "a": 1}, map[string]string{"a": "1", "hy_mid": "m", "hy_more": "x"}, ""},
		"both more":      {three, map[string]any{"hy_more": "x", "hy_mid": "m", "from": 1}, map[string]string{"hy_mid": "m", "hy_more": `{"from":1,"hy_more":"x"}`}, ""},
		"60 characters":  {three, map[string]any{"a": strings.Repeat("长", 59)}, map[string]string{"a": strings.Repeat("长", 59)}, ""},
		"61 characters":  {three, map[string]any{"a": strings.Repeat("长", 60)}, nil, push.CodeTooLarge},
		"pairs of units": {three, map[string]any{"a": strings.Repeat("😀", 30)}, nil, push.CodeTooLarge},
		"no JSON":        {three, map[string]any{"a": make(chan int)}, nil, push.CodeBadContent},
	} {
		got, fault := c.limits.Texts(c.data)
		if !maps.Equal(got, c.want) || (fault == nil) != (c.code == "") || fault != nil && fault.Code != c.code {
			t.Errorf("%s: %v %+v, want %v %s", name, got, fault, c.want, c.code)
		}
	}
}

// narrow is a channel of such limits that remembers what it took.
type narrow struct {
	push.Sender
	limits push.DataLimits
	bytes  int
	took   []map[string]string
}

// Send implements push.Sender.
func (n *narrow) Send(_ context.Context, m push.Message, ts []push.Target) []push.Result {
	texts, fault := n.limits.Texts(m.Data)
	if fault != nil {
		return push.Fill(len(ts), *fault)
	}
	if b, _ := json.Marshal(texts); len(b) > n.bytes {
		return push.Fill(len(ts), push.Result{Outcome: push.BadMessage, Code: push.CodeTooLarge})
	}
	n.took = append(n.took, texts)
	return push.Fill(len(ts), push.Result{Outcome: push.Accepted})
}

// Whatever the data, an alert is sent: within the limits, with the message's id, with
// what was sent unchanged, the shorter entries before the longer, and the same each time.
func TestSendFitting(t *testing.T) {
	t.Parallel()
	limits := push.DataLimits{Pairs: 10, Chars: 1024, Reserved: func(k string) bool { return strings.HasPrefix(k, "gcm") }}
	cuts := 0
	for seed := range uint64(2000) {
		rng := rand.New(rand.NewPCG(7, seed)) //nolint:gosec // the same in every run
		data := someData(rng)
		before := maps.Clone(data)
		n := &narrow{limits: limits, bytes: 200 + rng.IntN(3000)}
		m := push.Message{Kind: push.Alert, Data: data}
		first := push.SendFitting(context.Background(), n, m, make([]push.Target, 2))
		second := push.SendFitting(context.Background(), n, m, make([]push.Target, 2))
		if len(n.took) != 2 || !maps.Equal(n.took[0], n.took[1]) || !slices.Equal(first, second) || !reflect.DeepEqual(before, data) {
			t.Fatalf("seed %d: %d sent, %+v and %+v", seed, len(n.took), first, second)
		}
		got := n.took[0]
		chars := 0
		for k, v := range got {
			chars += len(utf16.Encode([]rune(k + v)))
		}
		if len(got) > limits.Pairs || chars > limits.Chars || got[push.DataMessageID] != data[push.DataMessageID] {
			t.Fatalf("seed %d: %d pairs, %d characters", seed, len(got), chars)
		}
		longest, shortest := judgeKept(t, data, got)
		cut := first[0].Code == push.CodeDataCut
		if cut != (shortest < 1<<30) || longest > shortest || !cut && first[0].Text != "" {
			t.Fatalf("seed %d: %+v, kept up to %d, left out from %d", seed, first[0], longest, shortest)
		}
		if cut {
			cuts++
		}
	}
	if cuts < 200 || cuts > 1800 {
		t.Errorf("%d of 2000 were cut", cuts)
	}
}

// judgeKept looks that what was sent is what there was, and returns the length of the
// longest entry that was sent and of the shortest that was not.
func judgeKept(t *testing.T, data map[string]any, got map[string]string) (longest, shortest int) {
	t.Helper()
	more := map[string]any{}
	if got[push.DataMore] != "" {
		if err := json.Unmarshal([]byte(got[push.DataMore]), &more); err != nil {
			t.Fatal(err)
		}
	}
	shortest = 1 << 30
	for k, v := range data {
		text, ok := v.(string)
		if !ok {
			b, _ := json.Marshal(v) // numbers
			text = string(b)
		}
		own, sent := got[k]
		packed, there := more[k]
		switch {
		case sent && own != text, there && fmt.Sprint(packed) != fmt.Sprint(v):
			t.Fatalf("%q arrived changed", k)
		case k == push.DataMessageID:
		case sent || there:
			longest = max(longest, len(k)+len(text))
		default:
			shortest = min(shortest, len(k)+len(text))
		}
	}
	return longest, shortest
}

func someData(rng *rand.Rand) map[string]any {
	data := map[string]any{push.DataMessageID: "0199a0b0-0000-7000-8000-000000000001"}
	for i := range rng.IntN(40) {
		key := fmt.Sprintf("%s%d", []string{"k", "gcm", "键"}[rng.IntN(3)], i)
		data[key] = strings.Repeat([]string{"x", "\"", "长", "😀"}[rng.IntN(4)], rng.IntN(60))
		if rng.IntN(4) == 0 {
			data[key] = float64(rng.IntN(1000))
		}
	}
	return data
}

// A silent message is its data, and nothing of it is left out; nor is anything sent of
// an alert that does not fit without data either.
func TestSendFittingGivesUp(t *testing.T) {
	t.Parallel()
	data := map[string]any{push.DataMessageID: "m", "k": strings.Repeat("x", 2000)}
	for name, c := range map[string]struct {
		kind  push.Kind
		bytes int
	}{"silent": {push.Silent, 1000}, "alert": {push.Alert, 3}} {
		n := &narrow{bytes: c.bytes}
		r := push.SendFitting(context.Background(), n, push.Message{Kind: c.kind, Data: data}, make([]push.Target, 1))
		if len(n.took) != 0 || r[0].Code != push.CodeTooLarge {
			t.Errorf("%s: %+v", name, r)
		}
	}
}
