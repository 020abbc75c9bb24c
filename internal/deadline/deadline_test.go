package deadline_test

import (
	"testing"

	"pgregory.net/rapid"

	"holdfast/internal/deadline"
)

// However deadlines are set, moved and removed, what is due comes out earliest
// first, once each, and nothing comes out early.
func TestWhatIsDueComesOutOnceEarliestFirst(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var h deadline.Heap[int]
		items := make([]deadline.Item[int], 20)
		model := map[int]int64{}
		for i := range items {
			items[i].Value = i
		}
		who := rapid.IntRange(0, len(items)-1)
		when := rapid.Int64Range(0, 50)
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				i, at := who.Draw(t, "who"), when.Draw(t, "at")
				h.Put(&items[i], at)
				model[i] = at
			},
			"remove": func(t *rapid.T) {
				i := who.Draw(t, "who")
				h.Remove(&items[i])
				delete(model, i)
			},
			"pop": func(t *rapid.T) {
				now, last := when.Draw(t, "now"), int64(-1)
				for it := h.PopDue(now); it != nil; it = h.PopDue(now) {
					at, there := model[it.Value]
					if !there || at != it.At() || at > now || at < last {
						t.Fatalf("item %d came out at %d, due %d (known %v), after one due %d", it.Value, now, at, there, last)
					}
					last = at
					delete(model, it.Value)
				}
				for i, at := range model {
					if at <= now {
						t.Fatalf("item %d due at %d did not come out at %d", i, at, now)
					}
				}
			},
			"": func(t *rapid.T) {
				at, ok := h.Next()
				if h.Len() != len(model) || ok != (len(model) > 0) {
					t.Fatalf("len %d, want %d", h.Len(), len(model))
				}
				for i, m := range model {
					if m < at || !items[i].Set() {
						t.Fatalf("item %d is due at %d, before the next at %d", i, m, at)
					}
				}
			},
		})
	})
}
