package taskqueue

import "holdfast/redismodule"

// ackUndone has acknowledgements in a stream go by their Handler from now on: they have
// to look what they end.
func (s *state) ackUndone(ctx *redismodule.Ctx, stream string) {
	s.soles.remove(ctx, ctx.DB(), stream)
	s.passes.shutAll()
}

// expiring has the stream's tasks handed out by the Handler from now on.
func (s *state) expiring(*redismodule.Ctx, string) { s.passes.shutAll() }
