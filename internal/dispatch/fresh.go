package dispatch

// What is new in a stream is known as long as somebody waits there: then whatever
// is added is heard of. So one who comes to a crowd that found nothing need not
// ask for what there cannot be.

const unknown = -1

// Added says that so many tasks were added to the stream.
func (q *Queue) Added(n int) {
	for _, g := range q.crowd {
		if g.fresh != unknown {
			g.fresh += n
		}
	}
}

// Stir says that there may be any number of new tasks in the stream.
func (q *Queue) Stir() {
	for _, g := range q.crowd {
		g.fresh = unknown
	}
}

// Took says that the group was given n new tasks when it asked for most.
func (g *Group) Took(n, most int) {
	switch {
	case n < most:
		g.fresh = 0
	case g.fresh >= n:
		g.fresh -= n
	default:
		g.fresh = unknown
	}
}

// Vain tells whether one who asks for tasks now would find none, and so may join
// the queue unasked: others wait, nothing new lies there, and no lease of that
// many milliseconds can have run out.
func (g *Group) Vain(lease, now int64) bool {
	return g.waiting > 0 && g.fresh == 0 && !g.Available && (lease == 0 || g.Horizon.Due(lease) > now)
}
