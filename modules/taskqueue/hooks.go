package taskqueue

import (
	"holdfast/internal/dispatch"
	"holdfast/redismodule"
)

// ackUndone makes acknowledgements in a stream go by their Handler, which looks what they
// end.
func (s *state) ackUndone(ctx *redismodule.Ctx, stream string) {
	s.shutPasses(ctx, stream)
}

// expiring makes the Handler hand out the stream's tasks, and has the stream looked at
// when the first of them expires.
func (s *state) expiring(ctx *redismodule.Ctx, stream string, at int64) {
	s.shutPasses(ctx, stream)
	q := s.queue(ctx, stream)
	if first := q.DueAt(dispatch.Expiring); first == 0 || at < first {
		s.table.SetDue(q, dispatch.Expiring, at)
	}
	s.rearm(ctx)
}

// shutPasses has all commands on a stream go by their Handler, until it opens a pass again.
func (s *state) shutPasses(ctx *redismodule.Ctx, stream string) {
	if q := s.table.Find(ctx.DB(), view(stream)); q != nil {
		q.Groups(s.passes.shut)
	}
}
