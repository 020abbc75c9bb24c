// Package waitq is the queue of those who wait: first in, first out, and
// anyone may leave from the middle at no cost when a timeout or a lost
// connection takes them away. All three modules stand their waiters in it.
package waitq

// Queue is a first-in-first-out queue. The zero value is an empty queue. It
// holds no memory of its own: the links live in the Places, which their owner
// embeds in whatever waits.
type Queue[W any] struct {
	head, tail *Place[W]
	n          int
}

// Place is one waiter's place in at most one queue at a time. The zero value
// stands in none.
type Place[W any] struct {
	Waiter     W
	queue      *Queue[W]
	prev, next *Place[W]
}

// Push puts p at the end. A place that already stands in a queue would corrupt
// both, so that is a panic: it is a mistake in the caller, never in the data.
func (q *Queue[W]) Push(p *Place[W]) {
	if p.queue != nil {
		panic("waitq: the place already stands in a queue")
	}
	p.queue, p.prev = q, q.tail
	if q.tail == nil {
		q.head = p
	} else {
		q.tail.next = p
	}
	q.tail = p
	q.n++
}

// PushFront puts p before everyone else: for a waiter that had been chosen and
// must be given its turn back.
func (q *Queue[W]) PushFront(p *Place[W]) {
	if p.queue != nil {
		panic("waitq: the place already stands in a queue")
	}
	p.queue, p.next = q, q.head
	if q.head == nil {
		q.tail = p
	} else {
		q.head.prev = p
	}
	q.head = p
	q.n++
}

// Front is the place that has waited longest, or nil.
func (q *Queue[W]) Front() *Place[W] { return q.head }

// Len is the number of places, in constant time.
func (q *Queue[W]) Len() int { return q.n }

// Next is the place behind p, or nil. To walk a queue while places leave it,
// take Next before the place leaves.
func (p *Place[W]) Next() *Place[W] { return p.next }

// Waiting tells whether p stands in a queue.
func (p *Place[W]) Waiting() bool { return p.queue != nil }

// Leave takes p out of its queue and tells whether it stood in one. Leaving
// twice is harmless, because a grant, a timeout and a disconnect may race for
// the same waiter.
func (p *Place[W]) Leave() bool {
	q := p.queue
	if q == nil {
		return false
	}
	if p.prev == nil {
		q.head = p.next
	} else {
		p.prev.next = p.next
	}
	if p.next == nil {
		q.tail = p.prev
	} else {
		p.next.prev = p.prev
	}
	q.n--
	p.queue, p.prev, p.next = nil, nil, nil
	return true
}
