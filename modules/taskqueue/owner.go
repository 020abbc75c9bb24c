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

// forget is TASK.FORGET stream group consumer.
func forget(ctx *redismodule.Ctx, args []redismodule.Arg) error {
	s := &tasks
	stream, group, gone := args[1], args[2], args[3]
	if text(gone.Bytes()) == available {
		return redismodule.Error("ERR the consumer '" + available + "' holds tasks that anyone may take; it cannot be forgotten")
	}
	total := int64(0)
	for {
		r := ctx.Cmd("XPENDING").Arg(stream).Arg(group).Str("-").Str("+").Int(claimBatch).Arg(gone).Call("")
		if err := failure(r); err != nil {
			r.Free()
			return err
		}
		p := read(r.Raw())
		found := p.Array()
		if found == 0 {
			r.Free()
			break
		}
		introduce(ctx, text(stream.Bytes()), text(group.Bytes()), available)
		cmd := ctx.Cmd("XCLAIM").Arg(stream).Arg(group).Str(available).Str("0")
		for range found {
			cmd.Bytes(readPending(&p).id)
		}
		c := cmd.Str("JUSTID").Call("")
		q := read(c.Raw())
		err := failure(c)
		if err == nil {
			n := q.Array()
			total += int64(n)
			s.lose(s.group(ctx, text(stream.Bytes()), text(group.Bytes())), found-n)
		}
		c.Free()
		r.Free()
		if err != nil {
			return err
		}
	}
	if err := ctx.Cmd("XGROUP").Str("DELCONSUMER").Arg(stream).Arg(group).Arg(gone).Do(""); err != nil {
		return err
	}
	ctx.ReplyInt(total)
	if total > 0 {
		g := s.group(ctx, text(stream.Bytes()), text(group.Bytes()))
		g.Available = true
		s.table.LookAt(g.Queue, ctx.Now())
		s.rearm(ctx)
	}
	return nil
}
