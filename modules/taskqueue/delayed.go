package taskqueue

import (
	"bytes"
	"errors"
	"math"
	"strconv"

	"holdfast/modules/internal/dispatch"
	"holdfast/modules/internal/resp"
	"holdfast/redismodule"
)

// schedule puts a task into the stream's delayed set, due at a time, and answers
// its id.
func (s *state) schedule(ctx *redismodule.Ctx, stream string, at int64, fields [][]byte) ([]byte, error) {
	key, err := s.needSideKey(stream, delayedKey)
	if err != nil {
		return nil, err
	}
	// Serials grow over restarts and promotions too, while clocks do.
	s.serial = max(s.serial+1, ctx.Now()*1000)
	id := dispatch.AppendDelayedID(nil, at, s.serial)
	member := append(append([]byte(nil), id...), ' ')
	for _, f := range fields {
		member = dispatch.AppendField(member, f)
	}
	if err := ctx.Cmd("ZADD").Bytes(key).Int(at).Bytes(member).Do(""); err != nil {
		return nil, err
	}
	s.stats.delayed++
	switch q := s.table.Queue(ctx.DB(), view(stream)); {
	case !q.Trusted:
		s.learn(ctx, q) // which finds it
	case q.DueAt(dispatch.Delayed) == 0:
		s.findDelayed(ctx, q)
	default:
		q.Scheduled++
		if at < q.DueAt(dispatch.Delayed) {
			s.table.SetDue(q, dispatch.Delayed, at)
		}
	}
	s.rearm(ctx)
	return id, nil
}

// findDelayed looks when the stream's first delayed task is due and when its first
// entry expires.
func (s *state) findDelayed(ctx *redismodule.Ctx, q *dispatch.Queue) {
	due, delayed := s.firstOf(ctx, q.Stream, delayedKey)
	expiry, _ := s.firstOf(ctx, q.Stream, expiringKey)
	q.Scheduled = delayed
	s.table.SetDue(q, dispatch.Delayed, due)
	s.table.SetDue(q, dispatch.Expiring, expiry)
}

// firstOf returns the least score in one of the stream's sorted sets, in unix
// milliseconds, 0 when there is no set, and the number of its members.
func (s *state) firstOf(ctx *redismodule.Ctx, stream, kind string) (at, n int64) {
	key, ok := s.sideKey(stream, kind)
	if !ok {
		return 0, 0
	}
	k := ctx.Look(redismodule.Text(key))
	isSet, length := k.Type == redismodule.TypeZSet, k.Len()
	k.Close()
	if !isSet {
		return 0, 0
	}
	r := ctx.Cmd("ZRANGE").Bytes(key).Str("0").Str("0").Str("WITHSCORES").Call("")
	defer r.Free()
	if failure(r) != nil { // refused for now, see state.cluster
		return ctx.Now() + 500, int64(length)
	}
	p := read(r.Raw())
	p.Array()
	p.Skip()
	return max(score(&p), 1), int64(length)
}

// score reads a score as a time; an operator may have put anything there.
func score(p *resp.Reader) int64 {
	f, err := strconv.ParseFloat(text(p.Bytes()), 64)
	if err != nil || f != f {
		return 0
	}
	return int64(min(max(math.Ceil(f), 0), latest))
}

// moveBatch is how many due tasks are moved before others get their turn.
const moveBatch = 64

// moveDue adds to the stream what is due by now. All that one callback writes
// reaches replicas and the AOF as one transaction, so a task is in the set or in
// the stream, wherever the server dies.
func (s *state) moveDue(ctx *redismodule.Ctx, q *dispatch.Queue) {
	if at := q.DueAt(dispatch.Delayed); at == 0 || at > ctx.Now() {
		return
	}
	name, ok := s.sideKey(q.Stream, delayedKey)
	if !ok {
		return
	}
	key := append([]byte(nil), name...)
	r := ctx.Cmd("ZRANGEBYSCORE").Bytes(key).Str("-inf").Int(ctx.Now()).Str("WITHSCORES").
		Str("LIMIT").Str("0").Int(moveBatch).Call("")
	defer r.Free()
	if failure(r) != nil { // it is no sorted set any more, or not to be touched now
		s.findDelayed(ctx, q)
		return
	}
	p := read(r.Raw())
	moved, err := 0, error(nil)
	s.gather(ctx, q.Stream, func() {
		for range max(p.Array(), 0) / 2 {
			member, due := p.Bytes(), score(&p)
			id, fields, ok := dispatch.ParseDelayed(member, s.fields[:0])
			s.fields = fields
			if !ok { // put there by hand: the member is the payload
				fields = s.task(member, ctx.Now()/1000, 0)
			}
			if err = s.fallDue(ctx, q, id, fields); err != nil {
				return // The stream's key holds something else. The task stays where it is.
			}
			s.stats.lateness.Record(ctx.Now() - due)
			moved++
		}
	})
	if moved > 0 { // they are the first of the set
		q.Added(moved)
		err = errors.Join(err, ctx.Cmd("ZREMRANGEBYRANK").Bytes(key).Str("0").Int(int64(moved-1)).Do(""))
	}
	if s.findDelayed(ctx, q); err != nil {
		s.table.SetDue(q, dispatch.Delayed, ctx.Now()+1000)
	}
}

// delayedRemoved says that delayed tasks of the stream were removed.
func (s *state) delayedRemoved(ctx *redismodule.Ctx, stream string) {
	if q := s.table.Find(ctx.DB(), view(stream)); q != nil {
		s.findDelayed(ctx, q)
		s.table.Looked(q)
		s.rearm(ctx)
	}
}

// moveBefore moves what is due before a task is added that is due as well, so that tasks
// due together come in the order of their publication also when the timer is late. It
// reports whether all was moved within the callback's time.
func (s *state) moveBefore(ctx *redismodule.Ctx, stream string) bool {
	q := s.table.Find(ctx.DB(), view(stream))
	if q == nil {
		return true
	}
	due := func() bool {
		at := q.DueAt(dispatch.Delayed)
		return at != 0 && at <= ctx.Now()
	}
	for began := ctx.Monotonic(); due() && ctx.Monotonic()-began < slice; {
		s.moveDue(ctx, q)
	}
	return !due()
}

// findMember finds a delayed task by its id, nil when it is not there. The set
// is in the order of due times and, where those are the same, of the members'
// bytes, which begin with the id: so it takes a search by halves, however many
// are due together.
func findMember(ctx *redismodule.Ctx, key []byte, due int64, id []byte) ([]byte, error) {
	k := ctx.Look(redismodule.Text(key))
	n, kind := k.Len(), k.Type
	k.Close()
	switch kind {
	case redismodule.TypeNone:
		return nil, nil
	case redismodule.TypeZSet:
	default:
		return nil, redismodule.ErrWrongType
	}
	for lo, hi := 0, n; lo < hi; {
		mid := lo + (hi-lo)/2
		r := ctx.Cmd("ZRANGE").Bytes(key).Int(int64(mid)).Int(int64(mid)).Str("WITHSCORES").Call("")
		p := read(r.Raw())
		if err := failure(r); err != nil || p.Array() != 2 {
			r.Free()
			return nil, err
		}
		member := p.Bytes()
		at := score(&p)
		if at == due && bytes.HasPrefix(member, id) && len(member) > len(id) && member[len(id)] == ' ' {
			member = append([]byte(nil), member...)
			r.Free()
			return member, nil
		}
		if at < due || at == due && bytes.Compare(member, id) < 0 {
			lo = mid + 1
		} else {
			hi = mid
		}
		r.Free()
	}
	return nil, nil
}
