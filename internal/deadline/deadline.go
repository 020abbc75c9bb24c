// Package deadline keeps what is due later, earliest first, so that one timer
// can serve any number of deadlines. Times are whatever int64 clock the owner
// uses throughout; in Holdfast that is unix milliseconds.
package deadline

import "container/heap"

// Heap orders items by time. The zero value is empty.
type Heap[T any] struct{ h inner[T] }

// Item is something due at a time. Its owner embeds or keeps it to move or
// remove the deadline later. The zero value is in no heap.
type Item[T any] struct {
	Value T
	at    int64
	place int // 1-based, so that the zero value is in no heap
}

// At is the time the item was last set to.
func (i *Item[T]) At() int64 { return i.at }

// Set tells whether the item is in a heap.
func (i *Item[T]) Set() bool { return i.place != 0 }

// Put adds the item, or moves it when it is already there.
func (h *Heap[T]) Put(i *Item[T], at int64) {
	i.at = at
	if i.place != 0 {
		heap.Fix(&h.h, i.place-1)
		return
	}
	heap.Push(&h.h, i)
}

// Remove takes the item out; taking it out twice is harmless.
func (h *Heap[T]) Remove(i *Item[T]) {
	if i.place != 0 {
		heap.Remove(&h.h, i.place-1)
	}
}

// Next is the earliest time, and whether there is any.
func (h *Heap[T]) Next() (at int64, ok bool) {
	if len(h.h) == 0 {
		return 0, false
	}
	return h.h[0].at, true
}

// PopDue takes out the earliest item if it is due at now, else it is nil.
func (h *Heap[T]) PopDue(now int64) *Item[T] {
	if len(h.h) == 0 || h.h[0].at > now {
		return nil
	}
	return heap.Pop(&h.h).(*Item[T])
}

// At is the i-th item; the first is the earliest, the others are in no order.
func (h *Heap[T]) At(i int) *Item[T] { return h.h[i] }

// Len is the number of items.
func (h *Heap[T]) Len() int { return len(h.h) }

type inner[T any] []*Item[T]

func (h inner[T]) Len() int           { return len(h) }
func (h inner[T]) Less(a, b int) bool { return h[a].at < h[b].at }
func (h inner[T]) Swap(a, b int) {
	h[a], h[b] = h[b], h[a]
	h[a].place, h[b].place = a+1, b+1
}

func (h *inner[T]) Push(x any) {
	i := x.(*Item[T])
	*h = append(*h, i)
	i.place = len(*h)
}

func (h *inner[T]) Pop() any {
	old := *h
	i := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	i.place = 0
	return i
}
