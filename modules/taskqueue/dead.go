package taskqueue

import (
	"strconv"

	"holdfast/modules/internal/dispatch"
	"holdfast/redismodule"
)

const (
	reasonRetries    = "retries exhausted"
	reasonDeliveries = "deliveries exhausted"
	reasonExpired    = "expired"
)

const errOwnDead redismodule.Error = "ERR a stream cannot be its own dead stream"

// death is why a task is dead and where it came from, as far as it is known.
type death struct {
	reason, stream, group, consumer, id string
	deliveries                          int64
}

// die adds the task in s.source to a dead stream, with its headers.
func (s *state) die(ctx *redismodule.Ctx, dead string, payload []byte, retries int64, l life, d death) ([]byte, error) {
	timestamp := s.source.timestamp(ctx)
	if l.undone {
		l.unique, l.undone = nil, false // ackOwn frees it
	}
	fields := s.compose(payload, timestamp, retries, l)
	add := func(name, value string) {
		if value != "" {
			fields = append(fields, view(name), view(value))
		}
	}
	add(deadReason, d.reason)
	add(deadStream, d.stream)
	add(deadGroup, d.group)
	add(deadConsumer, d.consumer)
	add(deadID, d.id)
	add(deadFirst, strconv.FormatInt(timestamp, 10))
	if d.deliveries > 0 {
		add(deadDeliveries, strconv.FormatInt(d.deliveries, 10))
	}
	add(deadAt, strconv.FormatInt(ctx.Now()/1000, 10))
	return s.put(ctx, dead, 0, append(fields, s.source.headers()...))
}

// bury moves a pending task to a dead stream, in one step. When the dead stream's key
// holds another type, the task stays where it is and bury returns false.
func (s *state) bury(ctx *redismodule.Ctx, g *dispatch.Group, dead string, t pending, reason string) bool {
	stream, id := g.Queue.Stream, text(t.id)
	if !s.source.read(ctx, stream, id) {
		s.lose(g, 1)
		ok := ctx.Cmd("XACK").Str(stream).Str(g.Name).Str(id).Do("") == nil
		s.gone(ctx, g.Queue, false, redismodule.Text(t.id))
		return ok
	}
	owner := text(t.owner)
	d := death{reason, stream, g.Name, owner, id, t.deliveries}
	l := s.source.tried(ctx, id, owner, reason)
	if _, err := s.die(ctx, dead, s.source.field(fieldPayload), s.source.retries(), l, d); err != nil {
		return false
	}
	_ = s.ackOwn(ctx, stream, g.Name, id)
	s.leftFrom(ctx, stream, s.source.task, t.id)
	s.stats.dead++
	s.counted(ctx.DB(), stream).dead++
	s.addedDead(ctx, dead)
	if g.Queue.Keys != nil {
		s.table.LookAt(g.Queue, ctx.Now()) // something may have been let in
	}
	return true
}

// addedDead lets the timer serve the consumers of a dead stream. The caller may be taking
// tasks for another consumer, which the same scratch holds.
func (s *state) addedDead(ctx *redismodule.Ctx, dead string) {
	if q := s.table.Find(ctx.DB(), view(dead)); q != nil {
		q.Added(1)
		s.table.LookAt(q, ctx.Now())
	}
}
