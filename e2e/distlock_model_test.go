package e2e

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/anishathalye/porcupine"
)

// lockCall is what a client asked of one lock, lockAnswer what it heard. Times
// are nanoseconds since the history began.
type lockCall struct {
	lock  string
	what  string // acquire, foreign (SET NX PX), release, extend, break, flush, evict, swap
	owner string
	limit int64
	// The lease cannot end before: when it was asked for, plus its length. The
	// server's clock started it later, if at all.
	end int64
	// also: some ask for several locks, so that one may be refused while it is free.
	also bool
}

type lockAnswer struct {
	lost  bool // no answer: it may have happened, and now or later, or not at all
	n     int64
	token int64
	at    int64
}

// lockState is one lock of the model.
type lockState struct {
	last    int64 // token
	limit   int64
	holders []lockHolder // by owner
	away    lockAway
}

// lockAway is the lock of the same name in the database that is swapped with the clients'.
type lockAway struct {
	limit   int64
	holders []lockHolder
}

type lockHolder struct {
	owner string
	end   int64
}

func (s lockState) find(owner string) (int, bool) {
	return slices.BinarySearchFunc(s.holders, owner, func(h lockHolder, o string) int { return cmp.Compare(h.owner, o) })
}

func (s lockState) with(h lockHolder) lockState {
	i, found := s.find(h.owner)
	s.holders = slices.Clone(s.holders)
	if found {
		s.holders[i] = h
	} else {
		s.holders = slices.Insert(s.holders, i, h)
	}
	return s
}

func (s lockState) without(owners ...string) lockState {
	s.holders = slices.DeleteFunc(slices.Clone(s.holders), func(h lockHolder) bool { return slices.Contains(owners, h.owner) })
	return s
}

// grants are the states after limit was granted to h at a time. Those whose
// lease may be over by then may have gone; nobody else.
func (s lockState) grants(limit int64, h lockHolder, at int64) []lockState {
	for _, other := range s.holders {
		if other.owner != h.owner && limit == s.limit && limit != 1 {
			continue
		}
		if other.end > at {
			return nil
		}
		s = s.without(other.owner)
	}
	states := []lockState{s}
	for limit > 0 && int64(len(states[0].holders)) >= limit {
		var fewer []lockState
		for _, s := range states {
			for _, other := range s.holders {
				if other.end <= at {
					fewer = append(fewer, s.without(other.owner))
				}
			}
		}
		if states = fewer; len(states) == 0 {
			return nil
		}
	}
	for i := range states {
		states[i].limit = limit
		states[i] = states[i].with(h)
	}
	return states
}

// step is the service: from one state, with a call and its answer, to those it
// can be in then. None: that answer cannot be.
func (s lockState) step(in lockCall, out lockAnswer) []lockState {
	i, holds := s.find(in.owner)
	gone := func(h lockHolder) bool { return h.end <= out.at }
	switch in.what {
	case "acquire":
		switch {
		case out.lost:
			// Perhaps granted; and the server may take it back when it notices.
			return append(s.grants(in.limit, lockHolder{in.owner, 0}, out.at), s)
		case out.token == 0:
			if len(s.holders) == 0 && !in.also {
				return nil
			}
			return []lockState{s}
		case out.token <= s.last:
			return nil
		}
		s.last = out.token
		return s.grants(in.limit, lockHolder{in.owner, in.end}, out.at)
	case "foreign":
		switch granted := s.grants(1, lockHolder{in.owner, in.end}, out.at); {
		case out.lost:
			return append(granted, s)
		case out.n == 1:
			return granted
		}
		return []lockState{s} // the server keeps a key to the end of the millisecond in which it expires
	case "release", "extend":
		done := s.without(in.owner)
		if in.what == "extend" && holds {
			done = s.with(lockHolder{in.owner, in.end})
			if s.holders[i].end == 0 { // a session may end at any time, extended or not
				done = s
			}
		}
		switch {
		case out.lost && holds:
			return []lockState{s, done}
		case out.lost:
			return []lockState{s}
		case out.n == 1:
			if !holds {
				return nil
			}
			return []lockState{done}
		case holds && !gone(s.holders[i]):
			return nil
		}
		return []lockState{s.without(in.owner)}
	case "break":
		empty := s
		empty.holders = nil
		if out.lost {
			return []lockState{s, empty}
		}
		sure := 0
		for _, h := range s.holders {
			if !gone(h) {
				sure++
			}
		}
		if out.n < int64(sure) || out.n > int64(len(s.holders)) {
			return nil
		}
		return []lockState{empty}
	case "flush": // FLUSHALL
		empty := s
		empty.holders, empty.away.holders = nil, nil
		if out.lost {
			return []lockState{s, empty}
		}
		return []lockState{empty}
	case "evict": // of a key for want of memory, which may be this lock
		gone, away := s, s
		gone.holders, away.away.holders = nil, nil
		return []lockState{s, gone, away}
	case "swap": // SWAPDB
		swapped := s
		swapped.limit, swapped.holders, swapped.away = s.away.limit, s.away.holders, lockAway{s.limit, s.holders}
		if out.lost {
			return []lockState{s, swapped}
		}
		return []lockState{swapped}
	}
	panic(in.what)
}

// lockService is the model that a history must fit: at most so many holders as
// the mode allows, one mode at a time, growing tokens, nobody's lock released
// or extended but its owner's, and none refused to anyone while it is free.
var lockService = (&porcupine.NondeterministicModel{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		locks := map[string][]porcupine.Operation{}
		for _, op := range history {
			name := op.Input.(lockCall).lock
			locks[name] = append(locks[name], op)
		}
		var all [][]porcupine.Operation
		for _, ops := range locks {
			all = append(all, ops)
		}
		return all
	},
	Init: func() []any { return []any{lockState{}} },
	Step: func(state, in, out any) (next []any) {
		for _, s := range state.(lockState).step(in.(lockCall), out.(lockAnswer)) {
			next = append(next, s)
		}
		return next
	},
	Equal: func(a, b any) bool {
		x, y := a.(lockState), b.(lockState)
		same := func(a, b lockAway) bool {
			return slices.Equal(a.holders, b.holders) && (a.limit == b.limit || len(a.holders) == 0)
		}
		return x.last == y.last && same(lockAway{x.limit, x.holders}, lockAway{y.limit, y.holders}) && same(x.away, y.away)
	},
	DescribeOperation: func(in, out any) string {
		i, o := in.(lockCall), out.(lockAnswer)
		answer := fmt.Sprint(o.n)
		if o.lost {
			answer = "?"
		} else if i.what == "acquire" {
			answer = fmt.Sprint(o.token)
		}
		return fmt.Sprintf("%s %s %d → %s", i.what, i.owner, i.limit, answer)
	},
	DescribeState: func(s any) string { return fmt.Sprint(s) },
}).ToModel()

// A checker that accepts everything would accept these too.
func TestTheLockModelKnowsAWrongHistory(t *testing.T) {
	const never, now = math.MaxInt64, 1
	acquire := func(owner string, limit, end, token int64) [2]any {
		return [2]any{lockCall{lock: "l", what: "acquire", owner: owner, limit: limit, end: end}, lockAnswer{token: token}}
	}
	lost := func(owner string) [2]any {
		return [2]any{lockCall{lock: "l", what: "acquire", owner: owner, limit: 1, end: never}, lockAnswer{lost: true}}
	}
	release := func(owner string, n int64) [2]any {
		return [2]any{lockCall{lock: "l", what: "release", owner: owner}, lockAnswer{n: n}}
	}
	extend := func(owner string, end, n int64) [2]any {
		return [2]any{lockCall{lock: "l", what: "extend", owner: owner, end: end}, lockAnswer{n: n}}
	}
	broken := func(n int64) [2]any { return [2]any{lockCall{lock: "l", what: "break"}, lockAnswer{n: n}} }
	flushed := [2]any{lockCall{lock: "l", what: "flush"}, lockAnswer{}}
	evicted := [2]any{lockCall{lock: "l", what: "evict"}, lockAnswer{}}
	swapped := [2]any{lockCall{lock: "l", what: "swap"}, lockAnswer{}}
	foreign := func(owner string, end, n int64) [2]any {
		return [2]any{lockCall{lock: "l", what: "foreign", owner: owner, end: end}, lockAnswer{n: n}}
	}
	also := [2]any{lockCall{lock: "l", what: "acquire", owner: "x", limit: 1, end: never, also: true}, lockAnswer{}}
	for _, c := range []struct {
		name  string
		right bool
		ops   [][2]any
	}{
		{"a foreign lock, released by its value", true, [][2]any{foreign("a", never, 1), acquire("b", 1, never, 0), release("a", 1), acquire("b", 1, never, 5)}},
		{"a foreign lock and ours", false, [][2]any{foreign("a", never, 1), acquire("b", 1, never, 5)}},
		{"ours and a foreign lock", false, [][2]any{acquire("b", 1, never, 5), foreign("a", never, 1)}},
		{"a foreign lock refused while held", true, [][2]any{acquire("b", 0, never, 5), foreign("a", never, 0)}},
		{"refused while somebody waits for it and another", true, [][2]any{also}},
		{"taken and given back", true, [][2]any{acquire("a", 1, never, 5), release("a", 1), acquire("b", 1, never, 6)}},
		{"two exclusive holders", false, [][2]any{acquire("a", 1, never, 5), acquire("b", 1, never, 6)}},
		{"after the lease", true, [][2]any{acquire("a", 1, now, 5), acquire("b", 1, never, 6), release("a", 0)}},
		{"a token that does not grow", false, [][2]any{acquire("a", 1, now, 5), acquire("b", 1, never, 5)}},
		{"two who share", true, [][2]any{acquire("a", 0, never, 5), acquire("b", 0, never, 6)}},
		{"one who shares and one alone", false, [][2]any{acquire("a", 0, never, 5), acquire("b", 1, never, 6)}},
		{"two of two", true, [][2]any{acquire("a", 2, never, 5), acquire("b", 2, never, 6)}},
		{"three of two", false, [][2]any{acquire("a", 2, never, 5), acquire("b", 2, never, 6), acquire("c", 2, never, 7)}},
		{"three of two, one after its lease", true, [][2]any{acquire("a", 2, never, 5), acquire("b", 2, now, 6), acquire("c", 2, never, 7)}},
		{"twice the same owner", false, [][2]any{acquire("a", 2, never, 5), acquire("a", 2, never, 6)}},
		{"refused while free", false, [][2]any{acquire("a", 1, never, 0)}},
		{"refused while held", true, [][2]any{acquire("a", 1, never, 5), acquire("b", 1, never, 0)}},
		{"released by another", false, [][2]any{acquire("a", 1, never, 5), release("b", 1)}},
		{"released twice", false, [][2]any{acquire("a", 1, never, 5), release("a", 1), release("a", 1)}},
		{"a release that was lost", false, [][2]any{acquire("a", 1, never, 5), release("a", 0)}},
		{"extended beyond another's grant", false, [][2]any{acquire("a", 1, now, 5), extend("a", never, 1), acquire("b", 1, never, 6)}},
		{"extended after it was gone", false, [][2]any{acquire("a", 1, now, 5), acquire("b", 1, never, 6), extend("a", never, 1)}},
		{"broken", true, [][2]any{acquire("a", 1, never, 5), broken(1), acquire("b", 1, never, 6)}},
		{"broken, and more than there were", false, [][2]any{acquire("a", 1, never, 5), broken(2)}},
		{"broken, and none where there was one", false, [][2]any{acquire("a", 1, never, 5), broken(0)}},
		{"flushed", true, [][2]any{acquire("a", 1, never, 5), flushed, release("a", 0), acquire("b", 1, never, 6)}},
		{"flushed, and held on", false, [][2]any{acquire("a", 1, never, 5), flushed, release("a", 1)}},
		{"evicted", true, [][2]any{acquire("a", 1, never, 5), evicted, release("a", 0), acquire("b", 1, never, 6)}},
		{"an eviction of another", true, [][2]any{acquire("a", 1, never, 5), evicted, acquire("b", 1, never, 0)}},
		{"an eviction, and two after it", false, [][2]any{acquire("a", 1, never, 5), evicted, acquire("b", 1, never, 6), acquire("c", 1, never, 7)}},
		{"in another database", true, [][2]any{acquire("a", 1, never, 5), swapped, release("a", 0), acquire("b", 1, never, 6), swapped, release("b", 0), release("a", 1)}},
		{"held on in another database", false, [][2]any{acquire("a", 1, never, 5), swapped, release("a", 1)}},
		{"back, and free", false, [][2]any{acquire("a", 1, never, 5), swapped, swapped, acquire("b", 1, never, 6)}},
		{"a lost answer that was a grant", true, [][2]any{lost("a"), acquire("b", 1, never, 0)}},
		{"a lost answer that was none", true, [][2]any{lost("a"), acquire("b", 1, never, 5)}},
		{"a lost answer, and two others", false, [][2]any{lost("a"), acquire("b", 1, never, 5), acquire("c", 1, never, 6)}},
	} {
		var history []porcupine.Operation
		for i, op := range c.ops {
			at := int64(i * 10)
			out := op[1].(lockAnswer)
			out.at = at + 5
			history = append(history, porcupine.Operation{ClientId: i, Input: op[0], Output: out, Call: at, Return: at + 5})
		}
		if right := porcupine.CheckOperations(lockService, history); right != c.right {
			t.Errorf("%s: the model says %v", c.name, right)
		}
	}
}
