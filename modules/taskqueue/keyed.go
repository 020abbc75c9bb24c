package taskqueue

import (
	"bytes"

	"holdfast/modules/internal/dispatch"
	"holdfast/modules/internal/keyed"
	"holdfast/redismodule"
)

// A stream may have a rule for the keys of its tasks, which package keyed carries out. The
// rule is the hash {stream}:rule. Tasks that it holds back are in the sorted set
// {stream}:held, in the form that package dispatch describes; all others are in the stream.
// What is in memory is derived from the stream and the set: when nothing is believed of a
// stream, its Keys are read anew in bounded steps, and until then nothing is let in.

const (
	ruleKey = "rule"
	heldKey = "held"
)

const (
	keyMost    = 512 // bytes of a key
	letInMost  = 64  // tasks that are let in before others get their turn
	aheadMost  = 16  // tasks of a key that are read at a time
	keyedBatch = 64  // entries that are read at a time
	lineBatch  = 16  // keys with held tasks that are read at a time
	auditEvery = 500 // ms
	auditStep  = 64  // entries, about
	auditPause = 5   // ms between steps
)

// learnKeys finds out whether the stream's keys matter.
func (s *state) learnKeys(ctx *redismodule.Ctx, q *dispatch.Queue) {
	rule, is := s.ruleOf(ctx, q.Stream)
	if !is && s.heldIn(ctx, q.Stream) == 0 {
		return
	}
	q.SetKeys(keyed.New(rule, &q.Pace))
	q.Keys.Recalled = func() { q.Groups(s.passes.shutAck) }
	q.Keys.Walk.Entered = q.Keys.Rule().Most == 0 // nothing is counted
	s.table.SetDue(q, dispatch.Keyed, ctx.Now())
	s.rearm(ctx)
}

// keyed is the view of a stream whose keys matter, nil for others.
func (s *state) keyed(ctx *redismodule.Ctx, stream string) *dispatch.Queue {
	q := s.table.Find(ctx.DB(), view(stream))
	if q == nil {
		key, ok := s.sideKey(stream, ruleKey)
		if !ok || !ctx.Exists(redismodule.Text(key)) && s.heldIn(ctx, stream) == 0 {
			return nil
		}
		q = s.table.Queue(ctx.DB(), view(stream))
	}
	s.learn(ctx, q)
	if q.Keys == nil {
		return nil
	}
	if !q.Keys.Known() {
		s.readKeys(ctx, q, slice/4)
	}
	return q
}

// admit reports whether a new task of a key may go into the stream. A waiting consumer that
// nothing is there for takes it at once.
func (s *state) admit(ctx *redismodule.Ctx, q *dispatch.Queue, key []byte) bool {
	beyond := q.Keys.Rule().Soft && q.Starved() && !s.paused(ctx, q.Stream)
	return q.Keys.Admit(ctx.Now(), key, beyond)
}

// entered says that a task of a key was added to the stream now.
func (s *state) entered(ctx *redismodule.Ctx, q *dispatch.Queue, key []byte, id dispatch.ID) {
	q.Keys.Enter(key, keyed.ID(id))
	if q.Keys.Rule().Rate == 0 {
		return
	}
	// The entry may be later than the callback that added it. An id that is far ahead is of a
	// stream whose ids are.
	at := ctx.Now()
	if ms := int64(min(id.Ms, latest)); at < ms && ms < at+1000 {
		at = ms
	}
	q.Keys.Passed(at, key)
	s.setKeyed(ctx, q)
}

// setKeyed says when the stream's keys are to be looked at again.
func (s *state) setKeyed(ctx *redismodule.Ctx, q *dispatch.Queue) {
	at := q.Keys.Due(ctx.Now())
	switch {
	case !q.Keys.Known():
		at = ctx.Now()
	case q.Keys.Held() > 0 && q.Keys.Audit > 0:
		at = ctx.Now() + auditPause
	case q.Keys.Held() > 0 && (at == 0 || at > ctx.Now()+auditEvery):
		at = ctx.Now() + auditEvery
	}
	s.table.SetDue(q, dispatch.Keyed, at)
	s.rearm(ctx)
}

// holdBack puts a task among those that are held and returns its id there. With front it
// comes before the others of its key, and is not let in before due.
func (s *state) holdBack(ctx *redismodule.Ctx, q *dispatch.Queue, l life, fields [][]byte, front bool, due int64) ([]byte, error) {
	set, err := s.needSideKey(q.Stream, heldKey)
	if err != nil {
		return nil, err
	}
	s.serial = max(s.serial+1, ctx.Now()*1000)
	h := dispatch.Held{Key: l.key, Front: front, Serial: s.serial, Due: due}
	member := h.Append(nil)
	for _, f := range fields {
		member = dispatch.AppendField(member, f)
	}
	if err := ctx.Cmd("ZADD").Bytes(set).Str("0").Bytes(member).Do(""); err != nil {
		return nil, err
	}
	id := h.AppendID(nil)
	q.Keys.Hold(l.key, max(l.weight, 1), front, due)
	if l.task != nil {
		s.remember(ctx, q.Stream, l.task, id)
	}
	if l.expires > 0 {
		s.expires(ctx, q.Stream, id, l.expires)
	}
	if q.Keys.Held() == 1 || q.DueAt(dispatch.Keyed) == 0 || due > 0 {
		s.setKeyed(ctx, q)
	}
	return id, nil
}

// letting is what a call of letIn has still to write. Its memory is reused.
type letting struct {
	set    []byte   // the name of the set of held tasks
	out    [][]byte // members that are in the stream now
	index  [][]byte // ids of tasks, each followed by that of its entry
	fields [][]byte // of a task
	text   []byte   // of the entries' ids
}

// letIn adds held tasks to the stream, as the rule allows: about so many at most. It returns
// how many. Beyond says that a consumer waits for them.
func (s *state) letIn(ctx *redismodule.Ctx, q *dispatch.Queue, most int, beyond bool) (n int) {
	l := s.letting
	if s.letting = nil; l == nil { // to add a task may let in others, of another stream
		l = &letting{}
	}
	defer func() {
		clear(l.fields)
		s.letting = l
	}()
	set, _ := s.sideKey(q.Stream, heldKey)
	l.set = append(l.set[:0], set...)
	for tries := 0; n < most && tries < most+letInMost; tries++ {
		name, ok := q.Keys.Next(ctx.Now(), beyond)
		if !ok {
			break
		}
		added, err := s.letInOne(ctx, q, l, view(name))
		if err != nil {
			// The stream's key holds something else. The task stays where it is.
			s.table.SetDue(q, dispatch.Keyed, ctx.Now()+1000)
			break
		}
		if added {
			n++
		}
	}
	s.finish(ctx, q, l)
	return n
}

// finish removes from the set what is in the stream now.
func (s *state) finish(ctx *redismodule.Ctx, q *dispatch.Queue, l *letting) {
	if len(l.out) > 0 {
		set := ctx.Write(redismodule.Text(l.set))
		for _, member := range l.out {
			set.ZSetRem(member)
		}
		set.Close()
	}
	s.rememberAll(ctx, q.Stream, l.index)
	clear(l.out)
	clear(l.index)
	l.out, l.index, l.text = l.out[:0], l.index[:0], l.text[:0]
}

// firstHeld returns the first held task of a key, nil where the set has none. With it the next
// ones are read, as far as there is room for them.
func (s *state) firstHeld(ctx *redismodule.Ctx, q *dispatch.Queue, l *letting, key []byte) ([]byte, error) {
	if member := q.Keys.Ahead(key); member != nil {
		return member, nil
	}
	s.finish(ctx, q, l) // the set has no more of those that were let in
	from, to := dispatch.HeldRange(nil, key)
	most := min(max(q.Keys.AheadRoom()/max(s.heldSize, 256), 1), aheadMost)
	r := ctx.Cmd("ZRANGEBYLEX").Bytes(l.set).Bytes(from).Bytes(to).Str("LIMIT").Arg(words.zero).Int(int64(most)).Call("")
	defer r.Free()
	if err := failure(r); err != nil {
		return nil, err
	}
	p := read(r.Raw())
	n := max(p.Array(), 0)
	if n == 0 {
		return nil, nil
	}
	members := make([][]byte, n)
	for i := range members {
		members[i] = bytes.Clone(p.Bytes())
	}
	s.heldSize = len(members[0])
	q.Keys.ReadAhead(key, members)
	return members[0], nil
}

// letInOne adds the first held task of a key to the stream, unless the set says something
// else than was believed. The rest is up to finish.
func (s *state) letInOne(ctx *redismodule.Ctx, q *dispatch.Queue, all *letting, key []byte) (added bool, err error) {
	member, err := s.firstHeld(ctx, q, all, key)
	if err != nil {
		return false, err
	}
	if member == nil {
		q.Keys.Recount(key, 0, 0)
		return false, nil
	}
	h, fields, ok := dispatch.ParseHeld(member, all.fields[:0])
	if !ok { // written by hand
		fields = append(all.fields[:0], fieldPayload, member, fieldTimestamp, []byte("0"), fieldRetries, []byte("0"))
	}
	all.fields = fields
	if h.Due > ctx.Now() {
		q.Keys.Later(key, h.Due)
		return false, nil
	}
	l, _ := readLife(fields)
	id := h.AppendID(nil)
	if l.task == nil {
		l.task = id
		fields = withTask(fields, id)
		all.fields = fields
	} else {
		l.task = bytes.Clone(l.task) // the Keys keep it longer than the member
	}
	var at dispatch.ID
	if l.expires > 0 && l.expires <= ctx.Now() {
		s.expireHeld(ctx, q, fields, l.task, id)
	} else {
		var text []byte
		if at, text, err = runAdd(addition(ctx, q.Stream, fields)); err != nil {
			return false, err
		}
		from := len(all.text)
		all.text = append(all.text, text...)
		entry := all.text[from:]
		all.index = append(all.index, l.task, entry)
		if l.expires > 0 {
			s.expires(ctx, q.Stream, entry, l.expires)
		}
		s.stats.letIn++
		added = true
	}
	if l.expires > 0 {
		s.forgetExpiry(ctx, q.Stream, id)
	}
	all.out = append(all.out, member)
	q.Keys.Served(key)
	if added {
		s.entered(ctx, q, key, at)
		q.Keys.Name(keyed.ID(at), l.task)
	}
	return added, nil
}

// gone says that entries are not in the stream or in work any more, and lets in what may
// take their places. over says that the tasks are done: those that were let in need not be found
// any more.
func (s *state) gone(ctx *redismodule.Ctx, q *dispatch.Queue, over bool, ids ...redismodule.Arg) {
	if q == nil || q.Keys == nil {
		return
	}
	for _, id := range ids {
		at, _ := dispatch.ParseID(id.Bytes())
		if task := q.Keys.NameOf(keyed.ID(at)); over && task != nil {
			q.Done = append(q.Done, task)
		}
		q.Keys.Leave(keyed.ID(at))
	}
	if len(q.Done) >= checkEvery {
		s.forgetDone(ctx, q)
	}
	q.Added(s.letIn(ctx, q, letInMost, false))
	if q.Keys.Held() > 0 || q.DueAt(dispatch.Keyed) != 0 {
		s.setKeyed(ctx, q)
	}
}

// feed serves who waits in a stream after tasks were let in.
func (s *state) feed(ctx *redismodule.Ctx, stream string) {
	q := s.table.Find(ctx.DB(), view(stream))
	if q == nil || q.Keys == nil || len(q.WaitedIn()) == 0 {
		return
	}
	if s.paused(ctx, stream) {
		s.lookLater(ctx, q)
		return
	}
	if s.serve(ctx, q, burst) {
		s.table.LookAt(q, ctx.Now())
	}
	s.rearm(ctx)
}

// lookKeys does what is due for the keys of a stream.
func (s *state) lookKeys(ctx *redismodule.Ctx, q *dispatch.Queue) {
	at := q.DueAt(dispatch.Keyed)
	if q.Keys == nil || at == 0 || at > ctx.Now() {
		return
	}
	if q.Keys.In() > s.length(ctx, q.Stream) { // others have deleted entries
		q.SetKeys(nil)
		if s.learnKeys(ctx, q); q.Keys == nil {
			return
		}
	}
	s.readKeys(ctx, q, slice/2)
	if !q.Keys.Walk.Entered {
		s.setKeyed(ctx, q)
		return
	}
	s.audit(ctx, q)
	if n := s.letIn(ctx, q, letInMost, false); n > 0 {
		if q.Added(n); n == letInMost {
			s.table.SetDue(q, dispatch.Keyed, ctx.Now())
			return
		}
	}
	if q.Keys.Rule() == (keyed.Rule{}) && q.Keys.Empty() {
		if _, is := s.ruleOf(ctx, q.Stream); !is {
			q.SetKeys(nil)
			s.table.SetDue(q, dispatch.Keyed, 0)
			return
		}
	}
	s.setKeyed(ctx, q)
}
