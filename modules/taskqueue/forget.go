package taskqueue

import (
	"strings"

	"holdfast/internal/dispatch"
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

// leaver is a forgotten consumer that still has tasks.
type leaver struct {
	dispatch.Key
	group, consumer string
}

// forget is TASK.FORGET stream group consumer.
func forget(ctx *redismodule.Ctx, args []redismodule.Arg) error {
	s := &tasks
	l := leaver{dispatch.Key{DB: ctx.DB(), Stream: text(args[1].Bytes())}, text(args[2].Bytes()), text(args[3].Bytes())}
	if reserved(l.consumer) {
		return redismodule.Error("ERR the consumer '" + l.consumer + "' is the module's own; it cannot be forgotten")
	}
	n, left, err := s.takeFrom(ctx, l, ctx.Monotonic())
	if err != nil {
		return err
	}
	if left {
		s.consumers(ctx, l.Stream, l.group, func(name string, pending int64) {
			if name == l.consumer {
				n += pending
			}
		})
		introduce(ctx, l.Stream, l.group, forgotten+l.consumer)
		s.leavers[l.clone()] = true
	}
	ctx.ReplyInt(n)
	s.rearm(ctx)
	return nil
}

func (l leaver) clone() leaver {
	l.Stream, l.group, l.consumer = strings.Clone(l.Stream), strings.Clone(l.group), strings.Clone(l.consumer)
	return l
}

// takeFrom makes tasks of a forgotten consumer available until its time is over
// or there are none, and then removes it. It tells how many and whether any are
// left.
func (s *state) takeFrom(ctx *redismodule.Ctx, l leaver, began int64) (n int64, left bool, err error) {
	for {
		r := ctx.Cmd("XPENDING").Str(l.Stream).Str(l.group).Str("-").Str("+").Int(claimBatch).Str(l.consumer).Call("")
		p, err := read(r.Raw()), failure(r)
		found := 0
		if err == nil {
			found = p.Array()
		}
		if found == 0 {
			r.Free()
			if err == nil {
				err = ctx.Cmd("XGROUP").Str("DELCONSUMER").Str(l.Stream).Str(l.group).Str(l.consumer).Do("")
			}
			return n, false, err
		}
		if ctx.Monotonic()-began >= slice {
			r.Free()
			return n, true, nil
		}
		if n == 0 {
			introduce(ctx, l.Stream, l.group, available)
		}
		cmd := ctx.Cmd("XCLAIM").Str(l.Stream).Str(l.group).Str(available).Str("0")
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
		g := s.group(ctx, l.Stream, l.group)
		s.lose(g, found-got)
		s.madeAvailable(ctx, g)
	}
}

// seeOff goes on with forgotten consumers for as long as a callback may work.
func (s *state) seeOff(ctx *redismodule.Ctx) {
	began := ctx.Monotonic()
	for l := range s.leavers {
		if ctx.Monotonic()-began >= slice {
			return
		}
		ctx.SelectDB(l.DB)
		if _, left, err := s.takeFrom(ctx, l, began); left && err == nil {
			continue
		}
		// A group that cannot be asked now is asked when somebody takes from it.
		delete(s.leavers, l)
		_ = ctx.Cmd("XGROUP").Str("DELCONSUMER").Str(l.Stream).Str(l.group).Str(forgotten + l.consumer).Do("")
	}
}

// findLeavers finds forgotten consumers of a group by their marks.
func (s *state) findLeavers(ctx *redismodule.Ctx, g *dispatch.Group) {
	s.consumers(ctx, g.Queue.Stream, g.Name, func(name string, _ int64) {
		if of, is := strings.CutPrefix(name, forgotten); is {
			s.leavers[leaver{g.Queue.Key, g.Name, strings.Clone(of)}] = true
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
