package keyed

import "holdfast/internal/deadline"

// Pace remembers when tasks were let in, as far as a rate needs to know. It is not derived
// from anything else, so it outlives the Keys that are read anew. The zero value remembers
// nothing.
type Pace struct {
	rate, per int64
	all       bool

	queue window // of all keys together
	keys  map[string]*keyWindow
	over  deadline.Heap[*keyWindow] // by when a window does not matter any more
}

type keyWindow struct {
	window
	key  string
	over deadline.Item[*keyWindow]
}

// window is the times of the last tasks that were let in, as many as the rate is.
type window struct {
	times []int64
	next  int // the oldest of times, once they are complete
}

// follow begins anew if the rate of the rule is another one.
func (p *Pace) follow(r Rule) {
	if p.rate != r.Rate || p.per != r.Per || p.all != r.All {
		*p = Pace{rate: r.Rate, per: r.Per, all: r.All, keys: map[string]*keyWindow{}}
	}
}

// free is the earliest time at which another task of the key may be let in; 0 is any time.
func (p *Pace) free(key []byte) int64 {
	switch {
	case p.rate == 0:
	case p.all:
		return p.queue.free(p)
	default:
		if w := p.keys[string(key)]; w != nil {
			return w.free(p)
		}
	}
	return 0
}

// passed says that a task of the key was let in.
func (p *Pace) passed(key []byte, now int64) {
	p.forget(now)
	switch {
	case p.rate == 0:
	case p.all:
		p.queue.note(p, now)
	default:
		w := p.keys[string(key)]
		if w == nil {
			w = &keyWindow{key: string(key)}
			w.over.Value = w
			p.keys[w.key] = w
		}
		w.note(p, now)
		p.over.Put(&w.over, deadline.After(now, p.per))
	}
}

// forget forgets the windows of keys that do not matter any more.
func (p *Pace) forget(now int64) {
	for i := p.over.PopDue(now); i != nil; i = p.over.PopDue(now) {
		delete(p.keys, i.Value.key)
	}
}

func (w *window) free(p *Pace) int64 {
	if int64(len(w.times)) < p.rate {
		return 0
	}
	return deadline.After(w.times[w.next], p.per)
}

func (w *window) note(p *Pace, now int64) {
	if int64(len(w.times)) < p.rate {
		w.times = append(w.times, now)
		return
	}
	w.times[w.next] = now
	w.next = (w.next + 1) % len(w.times)
}
