package taskqueue

import "holdfast/redismodule"

// Entries that expire are in the sorted set {stream}:expiring, with the score of their
// expiry (unix ms), until they are handed out.

const expiringKey = "expiring"

// expires notes when an entry expires that was added a moment ago.
func (s *state) expires(ctx *redismodule.Ctx, stream string, id []byte, at int64) {
	key, ok := s.sideKey(stream, expiringKey)
	if !ok {
		return
	}
	if ctx.Cmd("ZADD").Bytes(key).Int(at).Bytes(id).Do("") != nil {
		return
	}
	s.expiring(ctx, stream)
}

// dropExpired counts a task that has expired before it was in its stream.
func (s *state) dropExpired(ctx *redismodule.Ctx, stream string, l life) {
	s.stats.expired++
	if l.undone {
		s.free(ctx, stream, l, l.task)
	}
}
