package push_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"unicode/utf8"

	"hongyan/push"
)

func TestExchange(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(http.StatusTeapot)
		_, _ = io.WriteString(w, r.Method+r.Header.Get("X-A")+string(body))
	}))
	defer server.Close()
	h, err := push.NewHTTP(push.Options{})
	if err != nil {
		t.Fatal(err)
	}
	post := func(ctx context.Context) (*push.Exchange, string, error) {
		x := h.Exchange(ctx)
		req, err := http.NewRequest(http.MethodPost, server.URL, strings.NewReader("body"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-A", "header")
		res, err := x.Client().Do(req)
		if err != nil {
			return x, "", err
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		return x, string(body), err
	}
	x, body, err := post(context.Background())
	if err != nil || body != "POSTheaderbody" || x.Reply.Status != http.StatusTeapot || x.Reply.Wait.Seconds() != 7 || x.Fault != nil {
		t.Errorf("%q, %v, %+v", body, err, x.Reply)
	}
	gone, stop := context.WithCancel(context.Background())
	stop()
	if x, _, err = post(gone); err == nil || x.Fault == nil || x.Fault.Outcome != push.Retry {
		t.Errorf("%v, %+v", err, x.Fault)
	}
	h.Close()
	if x, _, err = post(context.Background()); err == nil || x.Fault == nil || x.Fault.Code != push.CodeClosed {
		t.Errorf("%v, %+v", err, x.Fault)
	}
}

func TestSlots(t *testing.T) {
	t.Parallel()
	slots := push.NewSlots(4)
	var under, most atomic.Int64
	full := make(chan struct{})
	done := make(chan []push.Result)
	work := func(i int) push.Result {
		n := under.Add(1)
		defer under.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		if n == 4 {
			select {
			case full <- struct{}{}:
			default:
			}
		}
		return push.Result{Outcome: push.Accepted, Code: string(rune('a' + i))}
	}
	for range 3 {
		go func() { done <- slots.Each(context.Background(), 20, work) }()
	}
	for n := 0; n < 3; {
		select {
		case <-full:
		case rs := <-done:
			n++
			for i, r := range rs {
				if r.Code != string(rune('a'+i)) {
					t.Errorf("result %d is %+v", i, r)
				}
			}
		}
	}
	if most.Load() > 4 {
		t.Errorf("%d were under way at once, want at most 4", most.Load())
	}
}

func TestSlotsEndWithTheContext(t *testing.T) {
	t.Parallel()
	slots := push.NewSlots(1)
	ctx, stop := context.WithCancel(context.Background())
	rs := slots.Each(ctx, 3, func(int) push.Result { stop(); return push.Result{Outcome: push.Accepted} })
	if rs[0].Outcome != push.Accepted || rs[1].Outcome != push.Retry || rs[2].Outcome != push.Retry {
		t.Errorf("%+v", rs)
	}
	slots <- struct{}{} // somebody else has the place
	if r := slots.Each(ctx, 1, func(int) push.Result { t.Error("was sent"); return push.Result{} })[0]; r.Outcome != push.Retry {
		t.Errorf("%+v", r)
	}
	if rs := slots.Each(context.Background(), 0, nil); len(rs) != 0 {
		t.Errorf("%+v", rs)
	}
}

// A panic in one place is the caller's to deal with; the place is free again.
func TestSlotsPanic(t *testing.T) {
	t.Parallel()
	slots := push.NewSlots(3)
	defer func() {
		if p := recover(); p != "odd" || len(slots) != 0 {
			t.Errorf("recovered %v, %d places are taken", p, len(slots))
		}
	}()
	slots.Each(context.Background(), 8, func(i int) push.Result {
		if i == 2 {
			panic("odd")
		}
		return push.Result{Outcome: push.Accepted}
	})
	t.Error("it went on")
}

func FuzzCutJSON(f *testing.F) {
	f.Add("长文本👩‍👩‍👧\"\n\x01\u2028", 20)
	f.Add("\xff\xfe<&>", 5)
	f.Add("plain", 5)
	f.Add("plain", 4)
	f.Fuzz(func(t *testing.T, s string, room int) {
		got := push.CutJSON(s, room)
		if !utf8.ValidString(got) {
			t.Errorf("%q is not UTF-8", got)
		}
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		if err := e.Encode(got); err != nil {
			t.Fatal(err)
		}
		n := b.Len() - 3 // quotes and newline
		if n > max(room, 0) {
			t.Errorf("%d bytes for %d", n, room)
		}
		valid := strings.ToValidUTF8(s, "\uFFFD")
		if got != valid && got != "" && (!strings.HasSuffix(got, "…") || !strings.HasPrefix(valid, strings.TrimSuffix(got, "…"))) {
			t.Errorf("%q from %q", got, s)
		}
		// 12: the longest rune that may just not have fitted, an ellipsis, and a little.
		if got != valid && room > 12 && n < room-12 {
			t.Errorf("%d bytes used of %d", n, room)
		}
	})
}
