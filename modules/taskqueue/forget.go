package taskqueue

import (
	"slices"
	"strings"

	"holdfast/modules/internal/dispatch"
	"holdfast/redismodule"
)

// forgotten is a consumer whose tasks are being made available. One that holds
// more than a callback has time for is marked by an empty consumer whose name is
// this and its own: so it is known after a restart or a promotion too, and its
// tasks are not stuck.
const forgotten = ownPrefix + "forget:"

// reserved tells whether a consumer's name is the module's own.
func reserved(consumer string) bool {
	return consumer == available || strings.HasPrefix(consumer, forgotten)
}

// forget is TASK.FORGET stream group consumer.
func forget(ctx *redismodule.Ctx, args []redismodule.Arg) error {
	s := &tasks
	stream, group, consumer := text(args[1].Bytes()), text(args[2].Bytes()), text(args[3].Bytes())
	if reserved(consumer) {
		return redismodule.Error("ERR the consumer '" + consumer + "' is the module's own; it cannot be forgotten")
	}
	n, left, err := s.takeFrom(ctx, stream, group, consumer, ctx.Monotonic())
	if err != nil {
		return err
	}
	if left {
		s.consumers(ctx, stream, group, func(name string, pending int64) {
			if name == consumer {
				n += pending
			}
		})
		introduce(ctx, stream, group, forgotten+consumer)
		s.goesOn(s.group(ctx, stream, group), consumer)
	}
	ctx.ReplyInt(n)
	s.rearm(ctx)
	return nil
}

// goesOn notes that tasks of a forgotten consumer are still to be made available.
func (s *state) goesOn(g *dispatch.Group, consumer string) {
	if !slices.Contains(g.Leaving, consumer) {
		g.Leaving = append(g.Leaving, strings.Clone(consumer))
	}
	s.leaving[g] = true
}

// takeFrom makes tasks of a forgotten consumer available until its time is over
// or there are none, and then removes it. It tells how many and whether any are
// left.
func (s *state) takeFrom(ctx *redismodule.Ctx, stream, group, consumer string, began int64) (n int64, left bool, err error) {
	for {
		r := ctx.Cmd("XPENDING").Str(stream).Str(group).Str("-").Str("+").Int(claimBatch).Str(consumer).Call("")
		p, err := read(r.Raw()), failure(r)
		found := 0
		if err == nil {
			found = p.Array()
		}
		if found == 0 {
			r.Free()
			if err == nil {
				err = ctx.Cmd("XGROUP").Str("DELCONSUMER").Str(stream).Str(group).Str(consumer).Do("")
			}
			return n, false, err
		}
		if ctx.Monotonic()-began >= slice {
			r.Free()
			return n, true, nil
		}
		if n == 0 {
			introduce(ctx, stream, group, available)
		}
		cmd := ctx.Cmd("XCLAIM").Str(stream).Str(group).Str(available).Str("0")
		for range found {
			cmd.Bytes(readPending(&p).id)
		}
		c := cmd.Str("JUSTID").Call("")
		r.Free()
		q, err := read(c.Raw()), failure(c)
		got := 0
		if err == nil {
			got = q.Array()
		}
		c.Free()
		if err != nil {
			return n, true, err
		}
		n += int64(got)
		g := s.group(ctx, stream, group)
		s.lose(g, found-got)
		s.madeAvailable(ctx, g)
	}
}

// forgetOn goes on with forgotten consumers until the callback's time is over.
func (s *state) forgetOn(ctx *redismodule.Ctx, began int64) {
	for g := range s.leaving {
		ctx.SelectDB(g.Queue.DB)
		for len(g.Leaving) > 0 {
			if ctx.Monotonic()-began >= slice {
				return
			}
			consumer := g.Leaving[0]
			if _, left, err := s.takeFrom(ctx, g.Queue.Stream, g.Name, consumer, began); left && err == nil {
				return
			}
			// A group that cannot be asked now is asked when somebody takes from it.
			g.Leaving = g.Leaving[1:]
			_ = ctx.Cmd("XGROUP").Str("DELCONSUMER").Str(g.Queue.Stream).Str(g.Name).Str(forgotten + consumer).Do("")
		}
		delete(s.leaving, g)
	}
}

// findLeaving finds forgotten consumers of a group by their marks.
func (s *state) findLeaving(ctx *redismodule.Ctx, g *dispatch.Group) {
	s.consumers(ctx, g.Queue.Stream, g.Name, func(name string, _ int64) {
		if of, is := strings.CutPrefix(name, forgotten); is {
			s.goesOn(g, of)
		}
	})
}

// consumers calls f for each consumer of a group, with how many tasks are
// pending for it.
func (s *state) consumers(ctx *redismodule.Ctx, stream, group string, f func(name string, pending int64)) {
	r := ctx.Cmd("XINFO").Str("CONSUMERS").Str(stream).Str(group).Call("")
	defer r.Free()
	p := read(r.Raw())
	if failure(r) != nil {
		return
	}
	for range p.Array() {
		var name []byte
		var pending int64
		for range p.Array() / 2 {
			switch text(p.Bytes()) {
			case "name":
				name = p.Bytes()
			case "pending":
				pending, _ = p.Int()
			default:
				p.Skip()
			}
		}
		f(text(name), pending)
	}
}
