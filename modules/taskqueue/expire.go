package taskqueue

import (
	"holdfast/modules/internal/dispatch"
	"holdfast/modules/internal/resp"
	"holdfast/redismodule"
)

// The sorted set {stream}:expiring holds the entries that expire and were not handed out
// yet, each with the time of its expiry (unix ms) as its score. While the set is there, the
// Handler of TASK.CONSUME hands out the stream's tasks, and the timer waits for the first.

const expiringKey = "expiring"

// expires notes when an entry expires that was just added.
func (s *state) expires(ctx *redismodule.Ctx, stream string, id []byte, at int64) {
	key, ok := s.sideKey(stream, expiringKey)
	if !ok {
		return
	}
	if ctx.Cmd("ZADD").Bytes(key).Int(at).Bytes(id).Do("") != nil {
		return
	}
	s.shutPasses(ctx, stream) // the Handler hands out the stream's tasks from now on
	q := s.queue(ctx, stream)
	if first := q.DueAt(dispatch.Expiring); first == 0 || at < first {
		s.table.SetDue(q, dispatch.Expiring, at)
	}
	s.rearm(ctx)
}

// expireBefore expires what is due before tasks of the stream are handed out. It returns
// false when more is due than a callback has time for.
func (s *state) expireBefore(ctx *redismodule.Ctx, q *dispatch.Queue) bool {
	if at := q.DueAt(dispatch.Expiring); at == 0 || at > ctx.Now() {
		return true
	}
	for began := ctx.Monotonic(); !s.expireDue(ctx, q); {
		if ctx.Monotonic()-began >= slice {
			return false
		}
	}
	s.findDelayed(ctx, q)
	return true
}

// handedOut removes n entries from the set of those that expire: they were given to a
// consumer. p is at the first of them.
func (s *state) handedOut(ctx *redismodule.Ctx, q *dispatch.Queue, n int, p resp.Reader) {
	if q.DueAt(dispatch.Expiring) == 0 || n == 0 {
		return
	}
	key, _ := s.sideKey(q.Stream, expiringKey)
	cmd := ctx.Cmd("ZREM").Bytes(key)
	for range n {
		p.Array()
		cmd.Bytes(p.Bytes())
		p.Skip()
	}
	_ = cmd.Do("")
	if !ctx.Exists(redismodule.Text(key)) {
		s.findDelayed(ctx, q)
	}
}

// expireBatch is how many entries one step looks at.
const expireBatch = 64

// expireDue ends entries whose time is over and that no group was given. It returns false
// when more of them may be due.
func (s *state) expireDue(ctx *redismodule.Ctx, q *dispatch.Queue) (all bool) {
	key, ok := s.sideKey(q.Stream, expiringKey)
	if !ok {
		return true
	}
	set := append([]byte(nil), key...)
	r := ctx.Cmd("ZRANGEBYSCORE").Bytes(set).Str("-inf").Int(ctx.Now()).Str("LIMIT").Str("0").Int(expireBatch).Call("")
	defer r.Free()
	if failure(r) != nil {
		return true
	}
	p := read(r.Raw())
	n := max(p.Array(), 0)
	if n == 0 {
		return true
	}
	given := lastGiven(ctx, q.Stream)
	var ids, gone [][]byte
	for range n {
		id := p.Bytes()
		ids = append(ids, id)
		if fields, ok := s.takeHeld(ctx, q.Stream, id); ok {
			l, _ := readLife(fields)
			if l.task == nil {
				l.task = id
			}
			s.expireHeld(ctx, q, fields, l.task, id)
			continue
		}
		at, ok := dispatch.ParseID(id)
		if ok && given.Compare(at) < 0 && s.source.read(ctx, q.Stream, text(id)) && s.source.expires > 0 {
			s.expire(ctx, q, text(id))
			gone = append(gone, id)
		}
	}
	if len(gone) > 0 {
		cmd := ctx.Cmd("XDEL").Str(q.Stream)
		for _, id := range gone {
			cmd.Bytes(id)
		}
		_ = cmd.Do("")
		s.left(ctx, q, gone)
	}
	cmd := ctx.Cmd("ZREM").Bytes(set)
	for _, id := range ids {
		cmd.Bytes(id)
	}
	_ = cmd.Do("")
	return n < expireBatch
}

// left is gone for ids as they stand in a reply. The timer serves who waits.
func (s *state) left(ctx *redismodule.Ctx, q *dispatch.Queue, ids [][]byte) {
	if q.Keys == nil {
		return
	}
	args := make([]redismodule.Arg, len(ids))
	for i, id := range ids {
		args[i] = redismodule.Text(id)
	}
	s.gone(ctx, q, false, args...)
	s.table.LookAt(q, ctx.Now())
}

// forgetExpiry removes an id from the set of those that expire.
func (s *state) forgetExpiry(ctx *redismodule.Ctx, stream string, id []byte) {
	if key, ok := s.sideKey(stream, expiringKey); ok {
		_ = ctx.Cmd("ZREM").Bytes(key).Bytes(id).Do("")
	}
}

// lastGiven returns the greatest id up to which any group has read.
func lastGiven(ctx *redismodule.Ctx, stream string) (last dispatch.ID) {
	r := ctx.Cmd("XINFO").Str("GROUPS").Str(stream).Call("")
	defer r.Free()
	if failure(r) != nil {
		return last
	}
	p := read(r.Raw())
	for range p.Array() {
		for range p.Array() / 2 {
			if text(p.Bytes()) != "last-delivered-id" {
				p.Skip()
			} else if id, ok := dispatch.ParseID(p.Bytes()); ok && last.Compare(id) < 0 {
				last = id
			}
		}
	}
	return last
}

// expire moves the task in s.source to the dead stream that consumers of its stream named
// last, if any did, and frees what it holds. id is its entry's. The caller deletes the
// entry. A task that the dead stream does not take has expired all the same.
func (s *state) expire(ctx *redismodule.Ctx, q *dispatch.Queue, id string) {
	l := s.source.life
	task := s.source.taskID(id)
	if group, dead := q.Dead(); dead != "" {
		d := death{reason: reasonExpired, stream: q.Stream, group: group, id: id}
		if _, err := s.die(ctx, dead, s.source.field(fieldPayload), s.source.retries(), s.source.moved(id), d); err == nil {
			s.addedDead(ctx, dead)
		}
	}
	s.stats.expired++
	s.counted(q.DB, q.Stream).expired++
	if l.undone {
		s.free(ctx, q.Stream, l, task)
	}
	s.leftFrom(ctx, q.Stream, l.task, view(id))
}
