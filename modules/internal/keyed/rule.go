package keyed

// Rule says how many tasks of a key a queue lets in. The zero value lets all in.
type Rule struct {
	// Most is how many tasks of one key may be in the stream or in work; 0 is any number.
	Most int64
	// Soft has a consumer that would get too little let in more than Most.
	Soft bool
	// Rate is how many tasks of one key are let in within Per milliseconds; 0 is any number.
	Rate, Per int64
	// All has Rate count the tasks of all keys together.
	All bool
	// Ordered keeps the tasks of a key in order: Most is 1, and a task that is tried again
	// comes before the others of its key.
	Ordered bool
}

// window remembers the last Rate times at which tasks were let in.
type window struct {
	times []int64
	next  int // the oldest of times, once there are Rate
}

// free is the earliest time at which another task may be let in.
func (w *window) free(r Rule) int64 {
	if int64(len(w.times)) < r.Rate {
		return 0
	}
	return after(w.times[w.next], r.Per)
}

func (w *window) note(r Rule, now int64) {
	if int64(len(w.times)) < r.Rate {
		w.times = append(w.times, now)
		return
	}
	w.times[w.next] = now
	w.next = (w.next + 1) % len(w.times)
}

// over is when the window does not matter any more.
func (w *window) over(r Rule) int64 {
	last := len(w.times) - 1
	if int64(len(w.times)) == r.Rate {
		last = (w.next + last) % len(w.times)
	}
	return after(w.times[last], r.Per)
}
