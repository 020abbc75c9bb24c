package keyed_test

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"holdfast/modules/internal/keyed"
)

// world is a queue as a naive model sees it: lists that are searched from end to end. It asks
// the Keys what to do and holds them to what was promised.
type world struct {
	t       *rapid.T
	keys    *keyed.Keys
	pace    keyed.Pace
	rule    keyed.Rule
	now     int64
	next    uint64
	held    map[string][]*task // in the order in which they are to be let in
	ready   []*task            // in the stream
	work    []*task
	waiting int // consumers that wait for one task each
	passed  map[string][]int64
	all     []int64
	order   map[string]uint64 // the number of the last task of a key that was let in first
	began   map[string]map[string]int
	seen    map[uint64]bool
	loans   map[string]*loan
	log     []func() // what was let in and left by loans, to be told
}

// loan is room that the world fills by itself.
type loan struct {
	left int64
	loan *keyed.Loan
}

type task struct {
	n     uint64 // of the publication
	key   string
	id    keyed.ID
	due   int64
	tries int
	in    bool
}

var names = []string{"a", "b", "c", "dd"}

var weights = map[string]int64{"a": 1, "b": 1, "c": 3, "dd": 1}

func (w *world) in(key string) (n int64) {
	for _, list := range [][]*task{w.ready, w.work} {
		for _, t := range list {
			if t.key == key {
				n++
			}
		}
	}
	return n
}

// allowed says what the rule allows, computed from the lists alone.
func (w *world) allowed(key string, beyond bool) bool {
	r := w.rule
	if r.Most > 0 && w.in(key) >= r.Most && !(beyond && r.Soft) {
		return false
	}
	if r.Rate == 0 {
		return true
	}
	times := w.passed[key]
	if r.All {
		times = w.all
	}
	n := int64(0)
	for _, at := range times {
		if at > w.now-r.Per {
			n++
		}
	}
	return n < r.Rate
}

func (w *world) enter(t *task, beyond bool) {
	w.join(t, beyond)
	w.keys.Enter([]byte(t.key), t.id)
	w.keys.Passed(w.now, []byte(t.key))
}

// lend borrows the room of a key, if it is lent.
func (w *world) lend(name string) {
	if !w.keys.Lends([]byte(name)) {
		return
	}
	l := &loan{}
	if w.loans[name] != nil {
		w.loans[name].loan.End()
	}
	w.loans[name] = l
	l.loan = w.keys.Lend([]byte(name), &l.left)
}

// catchUp tells what loans were used for.
func (w *world) catchUp() {
	for _, tell := range w.log {
		tell()
	}
	w.log = nil
}

// straight publishes by a loan alone, and reports whether it did.
func (w *world) straight(t *task) bool {
	l := w.loans[t.key]
	if l == nil || l.left <= 0 {
		return false
	}
	if w.heldIn() > 0 {
		w.t.Fatalf("room of %s is lent while tasks are held", t.key)
	}
	l.left--
	w.join(t, false)
	w.log = append(w.log, func() { l.loan.Enter(t.id) })
	return true
}

func (w *world) heldIn() (n int) {
	for _, line := range w.held {
		n += len(line)
	}
	return n
}

// join lets a task in, as far as the lists are concerned.
func (w *world) join(t *task, beyond bool) {
	if !w.allowed(t.key, beyond) {
		w.t.Fatalf("a task of %s was let in (beyond: %v) where the rule %+v does not allow it", t.key, beyond, w.rule)
	}
	if t.in {
		w.t.Fatalf("task %d was let in twice", t.n)
	}
	t.in = true
	if w.rule.Ordered && t.tries == 0 {
		if t.n < w.order[t.key] {
			w.t.Fatalf("task %d of %s was let in after task %d", t.n, t.key, w.order[t.key])
		}
		w.order[t.key] = t.n
	}
	w.next++
	t.id = keyed.ID{Ms: 1, Seq: w.next}
	w.ready = append(w.ready, t)
	w.passed[t.key] = append(w.passed[t.key], w.now)
	w.all = append(w.all, w.now)
}

func (w *world) publish(t *task) {
	beyond := w.waiting > 0 && len(w.ready) == 0
	if w.keys.Admit(w.now, []byte(t.key), beyond) {
		if len(w.held[t.key]) > 0 {
			w.t.Fatalf("a task of %s overtook one that is held", t.key)
		}
		w.enter(t, beyond)
	} else {
		w.hold(t, false, 0)
	}
	w.letIn()
}

func (w *world) hold(t *task, front bool, due int64) {
	t.due, t.in = due, false
	if len(w.held[t.key]) == 0 {
		w.began[t.key] = map[string]int{}
	}
	if front {
		w.held[t.key] = slices.Insert(w.held[t.key], 0, t)
	} else {
		w.held[t.key] = append(w.held[t.key], t)
	}
	w.keys.Hold([]byte(t.key), weights[t.key], front, due)
}

// letIn does what the module does after each change, and holds the outcome to the promises.
func (w *world) letIn() {
	for {
		w.consume()
		beyond := w.waiting > 0 && len(w.ready) == 0
		name, ok := w.keys.Next(w.now, beyond)
		if !ok {
			break
		}
		line := w.held[name]
		if len(line) == 0 {
			w.t.Fatalf("%s has nothing held", name)
		}
		if line[0].due > w.now { // not known since a restart
			w.keys.Later([]byte(name), line[0].due)
			continue
		}
		w.readAhead(name, line)
		w.held[name] = line[1:]
		w.fair(name)
		w.keys.Served([]byte(name))
		w.enter(line[0], beyond)
	}
	idle := w.waiting > 0 && len(w.ready) == 0
	for key, line := range w.held {
		if len(line) == 0 {
			continue
		}
		if line[0].due <= w.now && w.allowed(key, false) {
			w.t.Fatalf("%s has %d held tasks though the rule %+v allows one more", key, len(line), w.rule)
		}
		if idle && line[0].due <= w.now && w.allowed(key, true) {
			w.t.Fatalf("a consumer waits while %s has held tasks", key)
		}
		if !idle {
			continue
		}
		if at, due := w.allowedAt(key, line[0].due), w.keys.Due(w.now); at > 0 && (due == 0 || due > at) {
			w.t.Fatalf("a consumer waits, at %d it may have a task of %s, and the next time named is %d", at, key, due)
		}
	}
}

// allowedAt is the time to come at which a held task may be let in for who waits, though
// nothing but the time changes; 0 for none.
func (w *world) allowedAt(key string, due int64) (first int64) {
	now := w.now
	defer func() { w.now = now }()
	times := []int64{due}
	for _, at := range slices.Concat(w.passed[key], w.all) {
		times = append(times, at+w.rule.Per)
	}
	for _, w.now = range times {
		if w.now > now && w.now >= due && (first == 0 || w.now < first) && w.allowed(key, true) {
			first = w.now
		}
	}
	return first
}

// readAhead reads the next tasks of a line unless that was done before, and then checks that
// what was read is still the first.
func (w *world) readAhead(name string, line []*task) {
	if got := w.keys.Ahead([]byte(name)); got != nil {
		if string(got) != fmt.Sprint(line[0].n) {
			w.t.Fatalf("task %s was read ahead, and task %d is the first of %s", got, line[0].n, name)
		}
		return
	}
	var next [][]byte
	for _, t := range line[:min(len(line), 3)] {
		next = append(next, fmt.Append(nil, t.n))
	}
	w.keys.ReadAhead([]byte(name), next)
}

// fair counts how often other keys are served before one that could be served.
func (w *world) fair(name string) {
	delete(w.began, name)
	for key, others := range w.began {
		if len(w.held[key]) == 0 || w.held[key][0].due > w.now || !w.allowed(key, true) || !w.rule.Soft && !w.allowed(key, false) {
			delete(w.began, key)
			continue
		}
		// A key that may go beyond stands behind those that need not.
		if !w.allowed(key, false) && w.allowed(name, false) {
			continue
		}
		others[name]++
		if most := 1 + int(weights[name]/weights[key]); others[name] > most {
			w.t.Fatalf("%s was served %d times before %s", name, others[name], key)
		}
	}
}

func (w *world) consume() {
	for w.waiting > 0 && len(w.ready) > 0 {
		w.work, w.ready = append(w.work, w.ready[0]), w.ready[1:]
		w.waiting--
	}
}

// take takes a task out of the stream or out of work.
func (w *world) take(label string, straight bool) *task {
	n := len(w.ready) + len(w.work)
	if n == 0 {
		return nil
	}
	list, i := &w.ready, rapid.IntRange(0, n-1).Draw(w.t, label)
	if i >= len(w.ready) {
		list, i = &w.work, i-len(w.ready)
	}
	t := (*list)[i]
	*list = slices.Delete(slices.Clone(*list), i, i+1)
	if straight {
		w.log = append(w.log, func() { w.keys.Leave(t.id) })
		return t
	}
	w.keys.Leave(t.id)
	if w.rule.Most > 0 && w.keys.Leave(t.id) {
		w.t.Fatalf("task %d left twice", t.n)
	}
	return t
}

// restart forgets all and reads it again, as far as the lists tell.
func (w *world) restart(r keyed.Rule) {
	w.rule = r
	old := w.keys
	old.Recall()
	w.loans = map[string]*loan{}
	if w.keys = keyed.New(r, &w.pace); old == nil || old.Rule() != w.keys.Rule() {
		w.passed, w.all = map[string][]int64{}, nil
	}
	w.began = map[string]map[string]int{}
	for _, t := range slices.Concat(w.ready, w.work) {
		w.keys.Enter([]byte(t.key), t.id)
	}
	w.keys.Walk.Entered = true
	for _, name := range names {
		w.keys.Recount([]byte(name), int64(len(w.held[name])), weights[name])
	}
	w.keys.Walk.Held = true
	w.letIn()
}

func (w *world) counts() {
	held, lines, longest, in := 0, 0, 0, 0
	for _, line := range w.held {
		held += len(line)
		longest = max(longest, len(line))
		if len(line) > 0 {
			lines++
		}
	}
	if w.rule.Most > 0 {
		in = len(w.ready) + len(w.work)
	}
	n := int64(0)
	for i, l := range w.keys.Longest(len(names)) {
		if i == 0 {
			n = l.Held
		}
		if int(l.Held) != len(w.held[l.Name]) {
			w.t.Fatalf("%s has %d held tasks, want %d", l.Name, l.Held, len(w.held[l.Name]))
		}
	}
	for name, l := range w.loans {
		if l.left != 0 && l.left != w.rule.Most-w.in(name) {
			w.t.Fatalf("%d more tasks of %s may go in, and %d are under the rule %+v", l.left, name, w.in(name), w.rule)
		}
	}
	got := fmt.Sprint(w.keys.Held(), w.keys.Lines(), n, w.keys.In())
	if want := fmt.Sprint(held, lines, longest, in); got != want {
		w.t.Fatalf("held, keys, the longest line and entries are %s, want %s", got, want)
	}
}

func rules() *rapid.Generator[keyed.Rule] {
	return rapid.Custom(func(t *rapid.T) keyed.Rule {
		var r keyed.Rule
		switch rapid.IntRange(0, 3).Draw(t, "kind") {
		case 0:
			r.Most = rapid.Int64Range(1, 3).Draw(t, "limit")
		case 1:
			r.Most, r.Soft = rapid.Int64Range(1, 3).Draw(t, "share"), true
		case 2:
			r.Most, r.Ordered = 1, true
		}
		if rapid.Bool().Draw(t, "rated") {
			r.Rate, r.Per, r.All = rapid.Int64Range(1, 3).Draw(t, "rate"), rapid.Int64Range(1, 50).Draw(t, "per"), rapid.Bool().Draw(t, "all")
		}
		return r
	})
}

func TestKeysAreLetInAsTheRuleSaysAndNothingIsLost(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &world{t: t, now: 1000, held: map[string][]*task{}, order: map[string]uint64{}}
		w.restart(rules().Draw(t, "rule"))
		var published, done uint64
		t.Repeat(map[string]func(*rapid.T){
			"publish": func(t *rapid.T) {
				w.t = t
				w.catchUp()
				for range rapid.IntRange(1, 3).Draw(t, "n") {
					published++
					w.publish(&task{n: published, key: rapid.SampledFrom(names).Draw(t, "key")})
				}
			},
			"consume": func(t *rapid.T) {
				w.t = t
				w.catchUp()
				w.waiting++
				w.letIn()
			},
			"go away": func(t *rapid.T) { w.waiting = 0 },
			"lend": func(t *rapid.T) {
				w.t = t
				w.catchUp()
				w.lend(rapid.SampledFrom(names).Draw(t, "key"))
			},
			"publish straight": func(t *rapid.T) {
				w.t = t
				if w.straight(&task{n: published + 1, key: rapid.SampledFrom(names).Draw(t, "key")}) {
					published++
				}
			},
			"settle straight": func(t *rapid.T) {
				w.t = t
				if w.keys.Quiet() && w.take("which", true) != nil {
					done++
				}
			},
			"unsure": func(t *rapid.T) {
				w.t = t
				w.catchUp()
				w.keys.Unsure()
				for name, l := range w.loans {
					if l.left != 0 {
						t.Fatalf("room of %s is lent by Keys that are not sure", name)
					}
				}
				w.keys.Walk.Entered = true
				w.letIn()
			},
			"no more loan": func(t *rapid.T) {
				w.t = t
				w.catchUp()
				if l := w.loans[rapid.SampledFrom(names).Draw(t, "key")]; l != nil {
					l.loan.End()
				}
			},
			"settle": func(t *rapid.T) {
				w.t = t
				w.catchUp()
				if w.take("which", false) != nil {
					done++
				}
				w.letIn()
			},
			"retry": func(t *rapid.T) {
				w.t = t
				w.catchUp()
				k := w.take("which", false)
				if k == nil {
					return
				}
				k.tries++
				due := rapid.SampledFrom([]int64{0, w.now + 20}).Draw(t, "due")
				if w.rule.Ordered {
					w.hold(k, true, due)
				} else {
					k.in = false
					w.publish(k)
				}
				w.letIn()
			},
			"cancel": func(t *rapid.T) {
				w.t = t
				w.catchUp()
				key := rapid.SampledFrom(names).Draw(t, "key")
				if line := w.held[key]; len(line) > 0 {
					i := rapid.IntRange(0, len(line)-1).Draw(t, "i")
					w.held[key] = slices.Delete(slices.Clone(line), i, i+1)
					w.keys.Recount([]byte(key), int64(len(line)-1), 0)
					if i == 0 && len(line) > 1 {
						w.keys.Later([]byte(key), w.held[key][0].due)
					}
					done++
				}
				w.letIn()
			},
			"time": func(t *rapid.T) {
				w.t = t
				w.catchUp()
				w.now += rapid.Int64Range(1, 40).Draw(t, "ms")
				w.letIn()
			},
			"restart": func(t *rapid.T) {
				w.t = t
				w.catchUp()
				w.restart(w.rule)
			},
			"": func(t *rapid.T) {
				w.t = t
				if len(w.log) == 0 {
					w.counts()
				}
				left := uint64(len(w.ready) + len(w.work))
				for _, line := range w.held {
					left += uint64(len(line))
				}
				if left+done != published {
					t.Fatalf("of %d tasks %d are done and %d are there", published, done, left)
				}
			},
		})
		w.t = t
		w.catchUp()
		for i := 0; done < published; i++ {
			if i > 10_000 {
				t.Fatalf("%d tasks are held for ever", published-done)
			}
			if at := w.keys.Due(w.now); len(w.ready)+len(w.work) == 0 && at == 0 {
				t.Fatal("tasks are held and no time is named at which to look again")
			} else if len(w.ready)+len(w.work) == 0 {
				w.now = max(w.now, at)
				w.letIn()
				continue
			}
			w.take("last", false)
			done++
			w.letIn()
		}
		w.now += 1000
		w.keys.Next(w.now, false)
		if w.keys.Recall(); len(w.loans) > 0 && w.keys.Lends([]byte("a")) {
			t.Fatal("a key of which nothing is in is remembered after its loan")
		}
		if none := keyed.New(w.rule, &keyed.Pace{}); w.keys.AheadRoom() != none.AheadRoom() {
			t.Fatal("tasks that were read ahead are kept though none is held")
		}
		if !w.keys.Empty() || w.keys.Due(w.now) != 0 {
			t.Fatal("keys are remembered though nothing is in or held")
		}
	})
}

// A rule that changes begins anew and applies to what is held.
func TestARuleThatChangesAppliesToWhatIsHeld(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &world{t: t, now: 1000, held: map[string][]*task{}, order: map[string]uint64{}}
		w.restart(keyed.Rule{Most: 1})
		for i := range rapid.IntRange(0, 20).Draw(t, "tasks") {
			w.publish(&task{n: uint64(i), key: rapid.SampledFrom(names).Draw(t, "key")})
		}
		w.restart(rules().Draw(t, "rule"))
		w.order = map[string]uint64{}
		w.restart(keyed.Rule{})
		if w.keys.Held() != 0 || !w.keys.Empty() {
			t.Fatalf("%d tasks are held without a rule", w.keys.Held())
		}
	})
}

func BenchmarkAKeyOfOneTask(b *testing.B) {
	s := keyed.New(keyed.Rule{Most: 1}, &keyed.Pace{})
	s.Walk.Entered, s.Walk.Held = true, true
	name := []byte("tenant-0000000")
	b.ReportAllocs()
	for i := range b.N {
		name = fmt.Appendf(name[:7], "%07d", i)
		s.Enter(name, keyed.ID{Ms: 1, Seq: uint64(i)})
	}
}
