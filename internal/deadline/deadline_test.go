package deadline_test

import (
	"math/rand/v2"
	"testing"

	"holdfast/internal/deadline"
)

// However deadlines are set, moved and removed, what is due comes out earliest
// first, once each, and nothing comes out early.
func TestWhatIsDueComesOutOnceEarliestFirst(t *testing.T) {
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 0))
		var h deadline.Heap[int]
		items := make([]deadline.Item[int], 20)
		for i := range items {
			items[i].Value = i
		}
		model := map[int]int64{}
		for range 100 {
			i, at := r.IntN(len(items)), r.Int64N(51)
			switch r.IntN(4) {
			case 0, 1:
				h.Put(&items[i], at)
				model[i] = at
			case 2:
				h.Remove(&items[i])
				delete(model, i)
			case 3:
				last := int64(-1)
				for it := h.PopDue(at); it != nil; it = h.PopDue(at) {
					due, there := model[it.Value]
					if !there || due != it.At() || due > at || due < last {
						t.Fatalf("seed %d: item %d came out at %d, due %d (known %v), after one due %d", seed, it.Value, at, due, there, last)
					}
					last = due
					delete(model, it.Value)
				}
				for i, due := range model {
					if due <= at {
						t.Fatalf("seed %d: item %d due at %d did not come out at %d", seed, i, due, at)
					}
				}
			}
			next, some := h.Next()
			if h.Len() != len(model) || some != (len(model) > 0) {
				t.Fatalf("seed %d: %d are in it, want %d", seed, h.Len(), len(model))
			}
			for i, due := range model {
				if due < next || !items[i].Set() {
					t.Fatalf("seed %d: item %d is due at %d, before the next at %d", seed, i, due, next)
				}
			}
		}
	}
}
