package taskqueue

import (
	"holdfast/internal/dispatch"
	"holdfast/redismodule"
)

// extend is TASK.EXTEND stream group consumer id [id …].
func extend(ctx *redismodule.Ctx, args []redismodule.Arg) error {
	s := &tasks
	stream, group, owner := args[1], args[2], args[3]
	for _, id := range args[4:] {
		if _, ok := dispatch.ParseID(id.Bytes()); !ok {
			return errID
		}
	}
	n := int64(0)
	for _, id := range args[4:] {
		if _, ok := s.pending(ctx, text(stream.Bytes()), text(group.Bytes()), text(id.Bytes()), text(owner.Bytes())); !ok {
			continue
		}
		r := ctx.Cmd("XCLAIM").Arg(stream).Arg(group).Arg(owner).Str("0").Arg(id).Str("JUSTID").Call("")
		p := read(r.Raw())
		if failure(r) == nil && p.Array() == 1 {
			n++
		} else if g := s.known(ctx, stream, group); g != nil {
			s.lose(g, 1) // its entry is gone
		}
		r.Free()
	}
	return replyCount(ctx, stream, n)
}

func (s *state) known(ctx *redismodule.Ctx, stream, group redismodule.Arg) *dispatch.Group {
	if q := s.table.Find(ctx.DB(), stream.Bytes()); q != nil {
		return q.Group(group.Bytes())
	}
	return nil
}
