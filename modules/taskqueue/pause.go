package taskqueue

import (
	"holdfast/modules/internal/dispatch"
	"holdfast/redismodule"
)

// paused tells whether the stream hands out nothing.
func (s *state) paused(ctx *redismodule.Ctx, stream string) bool {
	key, ok := s.sideKey(stream, pausedKey)
	if !ok {
		return false
	}
	return ctx.Exists(redismodule.Text(key))
}

// lookLater has a paused queue looked at again, for a flag that is taken away by
// hand. TASK.RESUME needs none of this.
func (s *state) lookLater(ctx *redismodule.Ctx, q *dispatch.Queue) {
	s.table.LookAt(q, ctx.Now()+1000)
	s.rearm(ctx)
}

// pause is TASK.PAUSE stream, resume is TASK.RESUME stream.
func pause(ctx *redismodule.Ctx, args []redismodule.Arg) error {
	key, err := tasks.needSideKey(text(args[1].Bytes()), pausedKey)
	if err != nil {
		return err
	}
	if err := ctx.Cmd("SET").Bytes(key).Int(ctx.Now()).Do(""); err != nil {
		return err
	}
	ctx.ReplySimple("OK")
	return nil
}

func resume(ctx *redismodule.Ctx, args []redismodule.Arg) error {
	s := &tasks
	stream := text(args[1].Bytes())
	key, err := s.needSideKey(stream, pausedKey)
	if err != nil {
		return err
	}
	if err := ctx.Cmd("DEL").Bytes(key).Do(""); err != nil {
		return err
	}
	ctx.ReplySimple("OK")
	if q := s.table.Find(ctx.DB(), view(stream)); q != nil && len(q.WaitedIn()) > 0 {
		s.table.LookAt(q, ctx.Now())
		s.rearm(ctx)
	}
	return nil
}
