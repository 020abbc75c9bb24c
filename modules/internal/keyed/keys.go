// Package keyed decides which task of a queue may run next when tasks have keys, such as
// the tenant each belongs to, and a rule says how many of a key may run. It touches no
// server: the caller holds the tasks back and adds them to the stream, and says so here.
//
// A task is in when it is in the stream or in work, and held when it waits to be let in.
// Each key with held tasks stands in a line. Keys are let in by weighted round robin: each
// key has a turn, a number; the least turn comes first and then moves back by a step, which
// is smaller for a greater weight. A key that comes to the line is placed one step behind
// the turn that was served last, so the others are served about once before it.
//
// Times are unix milliseconds and always given. Nothing here is safe for concurrent use.
package keyed

import (
	"cmp"

	"holdfast/internal/deadline"
)

// ID is the id of a stream entry.
type ID struct{ Ms, Seq uint64 }

// Compare is negative when id is before o, 0 when they are the same.
func (id ID) Compare(o ID) int {
	return cmp.Or(cmp.Compare(id.Ms, o.Ms), cmp.Compare(id.Seq, o.Seq))
}

// MostWeight is the greatest weight of a key.
const MostWeight = 1000

// round is the step of a key of weight 1.
const round = 1 << 20

// aheadMost is how many bytes of held tasks are kept in memory.
const aheadMost = 256 << 10

// Keys are the keys of one queue. A key of which nothing is in, held or lent takes no memory.
type Keys struct {
	// Walk is where the caller stands that reads what is in and held from elsewhere.
	Walk Walk
	// Audit is the number of the full key that the caller looks at next, and Audited when
	// it came to the end of them.
	Audit   int
	Audited int64
	// Recalled, if set, hears that the Keys may not be Quiet any more.
	Recalled func()

	rule    Rule
	names   map[string]*key
	entries entries
	tasks   map[ID][]byte // see Name
	turn    int64         // served last
	held    int64
	ahead   int // bytes of the tasks that were read ahead

	ready deadline.Heap[*key] // may be let in, by turn
	full  deadline.Heap[*key] // Most of the key are in, by turn
	later deadline.Heap[*key] // may not be let in before a time, by that time
	lines deadline.Heap[*key] // all with held tasks, the longest first
	pace  *Pace
	loans []*Loan
}

// Walk tells what is not known yet.
type Walk struct {
	Entry ID     // the entries up to this one are known
	Key   []byte // the lines up to this one's are known

	// Entered says that all entries are known, and Held that all lines are. Nothing is let
	// in before.
	Entered, Held bool
}

type key struct {
	name string
	in   linked
	line *line // nil when nothing is held
	loan *Loan // nil when its room is not lent
}

type line struct {
	held, weight, turn int64
	due                int64 // of the first held task; 0: at once
	ahead              [][]byte

	place  deadline.Item[*key] // in ready, full or later
	heap   *deadline.Heap[*key]
	length deadline.Item[*key]
}

// New returns the keys of a queue of which nothing is known but the rule and the pace. The
// pace begins anew if the rule has another rate than it had.
func New(r Rule, p *Pace) *Keys {
	if r.Ordered {
		r.Most, r.Soft = 1, false
	}
	p.follow(r)
	return &Keys{rule: r, pace: p, names: map[string]*key{}, tasks: map[ID][]byte{}}
}

// Rule returns the rule.
func (s *Keys) Rule() Rule { return s.rule }

// Known reports whether all that is in and held is known.
func (s *Keys) Known() bool { return s.Walk.Entered && s.Walk.Held }

// Empty reports whether there is nothing to remember. Nil is empty.
func (s *Keys) Empty() bool {
	return s == nil || s.Quiet() && s.entries.live == 0 && s.pace.over.Len() == 0
}

// In is the number of entries that are in, as far as the rule counts them.
func (s *Keys) In() int { return s.entries.live }

// InOf is how many of them are of the key.
func (s *Keys) InOf(name []byte) int {
	if k := s.names[string(name)]; k != nil {
		return int(k.in.n)
	}
	return 0
}

// Held is the number of held tasks. Nil holds none.
func (s *Keys) Held() int64 {
	if s == nil {
		return 0
	}
	return s.held
}

// HeldOf is how many of them are of the key.
func (s *Keys) HeldOf(name []byte) int64 {
	if k := s.names[string(name)]; k != nil && k.line != nil {
		return k.line.held
	}
	return 0
}

// Lines is the number of keys with held tasks.
func (s *Keys) Lines() int { return s.lines.Len() }

// Line is a key with held tasks.
type Line struct {
	Name         string
	Held, Weight int64
	In           int
}

// Longest returns the keys with the most held tasks, at most so many, the longest line first.
func (s *Keys) Longest(most int) (lines []Line) {
	if s.lines.Len() == 0 {
		return nil
	}
	// In a heap, whatever comes next is a child of one that came before.
	next := []int{0}
	for len(next) > 0 && len(lines) < most {
		best := 0
		for i := range next {
			if s.lines.At(next[i]).At() < s.lines.At(next[best]).At() {
				best = i
			}
		}
		at := next[best]
		next[best] = next[len(next)-1]
		next = next[:len(next)-1]
		for child := 2*at + 1; child <= 2*at+2 && child < s.lines.Len(); child++ {
			next = append(next, child)
		}
		k := s.lines.At(at).Value
		lines = append(lines, Line{k.name, k.line.held, k.line.weight, int(k.in.n)})
	}
	return lines
}

// Admit reports whether a new task of the key may go straight in. Then Enter follows; if not,
// Hold. Beyond says that a consumer waits for it.
func (s *Keys) Admit(now int64, name []byte, beyond bool) bool {
	if !s.Known() || s.pace.free(name) > now {
		return false
	}
	if s.refresh(now); s.ready.Len() > 0 {
		return false // others come first
	}
	beyond = beyond && s.rule.Soft
	k := s.names[string(name)]
	switch {
	case k == nil:
		return true
	case k.line != nil:
		return false
	case s.rule.Most == 0 || k.in.n < s.rule.Most:
		return true
	}
	return beyond && s.full.Len() == 0
}

// Enter says that an entry of the key is in. It may be said twice.
func (s *Keys) Enter(name []byte, id ID) {
	s.known(id)
	if _, is := s.entries.find(id); !is && s.rule.Most > 0 {
		s.enter(s.key(name), id)
	}
}

// known says that the entries up to this one are known, if those before it are.
func (s *Keys) known(id ID) {
	if s.Walk.Entered {
		s.Walk.Entry = id
	}
}

func (s *Keys) enter(k *key, id ID) {
	s.entries.add(k, id)
	s.tell(k)
	s.put(k, 0)
}

// Name says by which name the caller knows the task of an entry that is in.
func (s *Keys) Name(id ID, task []byte) {
	if _, is := s.entries.find(id); is {
		s.tasks[id] = task
	}
}

// NameOf is that name until the entry leaves, nil for none.
func (s *Keys) NameOf(id ID) []byte { return s.tasks[id] }

// Passed says that a task of the key was let in now, for the rate.
func (s *Keys) Passed(now int64, name []byte) {
	if s.rule.Rate == 0 {
		return
	}
	s.pace.passed(name, now)
	if k := s.names[string(name)]; k != nil {
		s.put(k, now)
	}
}

// Leave says that an entry is in no more, and reports whether it was.
func (s *Keys) Leave(id ID) bool {
	i, is := s.entries.find(id)
	if !is {
		return false
	}
	k := s.entries.remove(i)
	delete(s.tasks, id)
	s.tell(k)
	s.put(k, 0)
	s.drop(k)
	return true
}

// Hold says that a task of the key is held: behind the others of its key, or with front
// before them and not to be let in before due. The weight of a key is the one said last.
func (s *Keys) Hold(name []byte, weight int64, front bool, due int64) {
	k := s.key(name)
	s.count(k, s.heldOf(k)+1, weight)
	if front {
		k.line.due = due
		s.forgetAhead(k.line)
	}
	s.put(k, 0)
}

// Recount says how many tasks of the key are held, whatever was said before.
func (s *Keys) Recount(name []byte, held, weight int64) {
	if held == 0 && s.names[string(name)] == nil {
		return
	}
	k := s.key(name)
	s.count(k, held, weight)
	if k.line != nil {
		s.forgetAhead(k.line)
	}
	s.put(k, 0)
	s.drop(k)
}

// Later says that the first held task of the key must not be let in before due.
func (s *Keys) Later(name []byte, due int64) {
	if k := s.names[string(name)]; k != nil && k.line != nil {
		k.line.due = due
		s.put(k, 0)
	}
}

// Next returns the key whose first held task is to be let in now; ok is false for none.
// Beyond says that a consumer waits, so that a soft rule lets in more. Served follows, or
// Later or Recount if the caller finds something else.
func (s *Keys) Next(now int64, beyond bool) (name string, ok bool) {
	if s.refresh(now); !s.Walk.Entered || s.rule.All && s.pace.free(nil) > now {
		return "", false
	}
	switch {
	case s.ready.Len() > 0:
		return s.ready.At(0).Value.name, true
	case beyond && s.rule.Soft && s.full.Len() > 0:
		return s.full.At(0).Value.name, true
	}
	return "", false
}

// ReadAhead keeps the next held tasks of a key, as the caller read them, so that it need not
// read each by itself. Each is kept until it is served, all until the line may begin with
// another one. There is a bound for all keys together, see AheadRoom.
func (s *Keys) ReadAhead(name []byte, tasks [][]byte) {
	k := s.names[string(name)]
	if k == nil || k.line == nil {
		return
	}
	s.forgetAhead(k.line)
	for _, t := range tasks {
		if s.AheadRoom() < len(t) {
			return
		}
		s.ahead += len(t)
		k.line.ahead = append(k.line.ahead, t)
	}
}

// Ahead returns the first held task of the key if it was read ahead, else nil.
func (s *Keys) Ahead(name []byte) []byte {
	if k := s.names[string(name)]; k != nil && k.line != nil && len(k.line.ahead) > 0 {
		return k.line.ahead[0]
	}
	return nil
}

// AheadRoom is how many more bytes ReadAhead keeps.
func (s *Keys) AheadRoom() int { return aheadMost - s.ahead }

func (s *Keys) forgetAhead(l *line) {
	for _, t := range l.ahead {
		s.ahead -= len(t)
	}
	l.ahead = nil
}

// Served says that a held task of the key was let in. Enter and Passed tell the rest.
func (s *Keys) Served(name []byte) {
	k := s.names[string(name)]
	if k == nil || k.line == nil {
		return
	}
	l := k.line
	if len(l.ahead) > 0 {
		s.ahead -= len(l.ahead[0])
		l.ahead[0] = nil
		l.ahead = l.ahead[1:]
	}
	s.turn = max(s.turn, l.turn)
	l.turn = s.turn + round/l.weight // a key that could not be let in for long has nothing to catch up
	l.due = 0
	s.count(k, l.held-1, 0)
	s.put(k, 0)
	s.drop(k)
}

// Due is when a time comes at which a held task may be let in or a window is over, 0 for never.
func (s *Keys) Due(now int64) (at int64) {
	free := int64(1)
	if s.rule.All {
		free = max(s.pace.free(nil), 1)
	}
	earlier := func(t int64) {
		if at == 0 || t < at {
			at = t
		}
	}
	if s.ready.Len() > 0 || s.rule.Soft && s.full.Len() > 0 && free > now {
		earlier(free)
	}
	if t, ok := s.later.Next(); ok {
		earlier(max(t, free))
	}
	if t, ok := s.pace.over.Next(); ok {
		earlier(t)
	}
	return at
}

// Full appends the entries of the i-th of the keys that have held tasks and as many in as the
// rule allows; ok is false when there are not so many keys. The order changes with each call of
// another method.
func (s *Keys) Full(i int, ids []ID) (all []ID, ok bool) {
	if i >= s.full.Len() {
		return ids, false
	}
	return s.entries.of(s.full.At(i).Value, ids), true
}

func (s *Keys) key(name []byte) *key {
	k := s.names[string(name)]
	if k == nil {
		k = &key{name: string(name)}
		s.names[k.name] = k
	}
	return k
}

// drop forgets a key of which nothing is to be known.
func (s *Keys) drop(k *key) {
	if k.line == nil && k.in.n == 0 && k.loan == nil {
		delete(s.names, k.name)
	}
}

func (s *Keys) heldOf(k *key) int64 {
	if k.line == nil {
		return 0
	}
	return k.line.held
}

// count sets the number of a key's held tasks, and its weight unless that is 0.
func (s *Keys) count(k *key, held, weight int64) {
	quiet := s.held == 0
	s.held += held - s.heldOf(k)
	if held == 0 {
		if l := k.line; l != nil {
			if l.heap != nil {
				l.heap.Remove(&l.place)
			}
			s.lines.Remove(&l.length)
			s.forgetAhead(l)
			k.line = nil
		}
		return
	}
	l := k.line
	if l == nil {
		l = &line{weight: 1}
		l.place.Value, l.length.Value = k, k
		k.line = l
	}
	if weight > 0 {
		l.weight = min(weight, MostWeight)
	}
	if l.turn == 0 {
		l.turn = s.turn + round/l.weight - 1 // before the keys that have had this turn
	}
	l.held = held
	s.lines.Put(&l.length, -held)
	if quiet {
		s.Recall()
	}
}

// put moves a key into the heap where it belongs. Without now, a key whose time has come stays
// in later until the next refresh.
func (s *Keys) put(k *key, now int64) {
	l := k.line
	if l == nil {
		return
	}
	due := l.due
	if s.rule.Rate > 0 && !s.rule.All {
		due = max(due, s.pace.free([]byte(k.name)))
	}
	to, at := &s.ready, l.turn
	switch {
	case due > now:
		to, at = &s.later, due
	case s.rule.Most > 0 && k.in.n >= s.rule.Most:
		to = &s.full
	}
	if l.heap != to && l.heap != nil {
		l.heap.Remove(&l.place)
	}
	l.heap = to
	to.Put(&l.place, at)
}

// refresh looks again at the keys whose time has come.
func (s *Keys) refresh(now int64) {
	s.pace.forget(now)
	for i := s.later.PopDue(now); i != nil; i = s.later.PopDue(now) {
		s.put(i.Value, now)
	}
}
