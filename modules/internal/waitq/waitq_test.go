package waitq_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"holdfast/modules/internal/waitq"
)

// Whatever joins and leaves in between, those who stay are served in the order
// in which they came.
func TestTheOrderOfArrivalIsKept(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var q waitq.Queue[int]
		var places []*waitq.Place[int]
		var model []int
		next := 0
		t.Repeat(map[string]func(*rapid.T){
			"push": func(t *rapid.T) {
				p := &waitq.Place[int]{Waiter: next}
				next++
				q.Push(p)
				places = append(places, p)
				model = append(model, p.Waiter)
			},
			"push front": func(t *rapid.T) {
				p := &waitq.Place[int]{Waiter: next}
				next++
				q.PushFront(p)
				places = append(places, p)
				model = slices.Insert(model, 0, p.Waiter)
			},
			"leave": func(t *rapid.T) {
				if len(places) == 0 {
					t.Skip("nobody came yet")
				}
				p := places[rapid.IntRange(0, len(places)-1).Draw(t, "who")]
				i := slices.Index(model, p.Waiter)
				if left := p.Leave(); left != (i >= 0) {
					t.Fatalf("Leave of %d = %v, waiting = %v", p.Waiter, left, i >= 0)
				}
				if i >= 0 {
					model = slices.Delete(model, i, i+1)
				}
			},
			"": func(t *rapid.T) {
				var got []int
				for p := q.Front(); p != nil; p = p.Next() {
					if !p.Waiting() {
						t.Fatalf("%d is in the queue but not waiting", p.Waiter)
					}
					got = append(got, p.Waiter)
				}
				if !slices.Equal(got, model) || q.Len() != len(model) {
					t.Fatalf("queue %v (len %d), want %v", got, q.Len(), model)
				}
			},
		})
	})
}

func TestNobodyStandsInTwoQueues(t *testing.T) {
	var a, b waitq.Queue[int]
	p := &waitq.Place[int]{}
	a.Push(p)
	defer func() {
		if recover() == nil {
			t.Fatal("a place was put into a second queue")
		}
	}()
	b.Push(p)
}
