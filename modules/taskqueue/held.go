package taskqueue

import (
	"bytes"
	"slices"

	"holdfast/modules/internal/dispatch"
	"holdfast/redismodule"
)

// heldIn is the number of a stream's held tasks.
func (s *state) heldIn(ctx *redismodule.Ctx, stream string) int64 {
	return s.sizeOf(ctx, stream, heldKey)
}

// findHeld finds a held task by its id, nil when it is not there. It also returns the name of
// the set.
func (s *state) findHeld(ctx *redismodule.Ctx, stream string, h dispatch.Held) (set, member []byte) {
	name, ok := s.sideKey(stream, heldKey)
	if !ok || !ctx.Exists(redismodule.Text(name)) {
		return nil, nil
	}
	set = bytes.Clone(name)
	for _, h.Front = range []bool{false, true} {
		from, to := h.Range(nil)
		r := ctx.Cmd("ZRANGEBYLEX").Bytes(set).Bytes(from).Bytes(to).Str("LIMIT").Str("0").Str("1").Call("")
		p := read(r.Raw())
		if failure(r) == nil && p.Array() == 1 {
			member = bytes.Clone(p.Bytes())
		}
		r.Free()
		if member != nil {
			return set, member
		}
	}
	return nil, nil
}

// takeHeld removes a held task and returns its fields; ok is false when it is not there.
func (s *state) takeHeld(ctx *redismodule.Ctx, stream string, id []byte) (fields [][]byte, ok bool) {
	h, is := dispatch.HeldOf(id)
	if !is {
		return nil, false
	}
	set, member := s.findHeld(ctx, stream, h)
	if member == nil || ctx.Cmd("ZREM").Bytes(set).Bytes(member).Do("") != nil {
		return nil, false
	}
	if q := s.keyed(ctx, stream); q != nil {
		q.Keys.Recount(h.Key, countHeld(ctx, set, h.Key), 0)
		q.Keys.Later(h.Key, 0) // whatever is first now
	}
	_, fields, ok = dispatch.ParseHeld(member, nil)
	return fields, ok
}

// expireHeld ends a held task that has expired. It leaves s.source as it is.
func (s *state) expireHeld(ctx *redismodule.Ctx, q *dispatch.Queue, fields [][]byte, task, id []byte) {
	was := s.source
	s.source = source{}
	s.source.set(fields)
	s.expire(ctx, q, string(task))
	s.leftFrom(ctx, q.Stream, task, id)
	s.source = was
}

// withTask adds the task's id to the fields of its first entry, in place if there is room.
// Fields that somebody else wrote stay as they are if they are fewer than those of a task.
func withTask(fields [][]byte, id []byte) [][]byte {
	if len(fields) < firstFields {
		return fields
	}
	return slices.Insert(fields, firstFields, view(lifeTask), id)
}
