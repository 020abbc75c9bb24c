package taskqueue

import "holdfast/redismodule"

// ackUndone makes acknowledgements in a stream go by their Handler, which looks what they
// end.
func (s *state) ackUndone(ctx *redismodule.Ctx, stream string) {
	s.soles.remove(ctx, ctx.DB(), stream)
	s.passes.shutAll()
}

// expiring makes the Handler hand out the stream's tasks, and has the stream looked at
// when the first of them expires.
func (s *state) expiring(ctx *redismodule.Ctx, stream string, at int64) {
	s.passes.shutAll()
	switch q := s.queue(ctx, stream); {
	case q.DelayedAt() == 0 || !q.Expiring:
		s.findDelayed(ctx, q)
	case at < q.DelayedAt():
		s.table.Delayed(q, at)
	}
	s.rearm(ctx)
}
