package taskqueue

import (
	"holdfast/modules/internal/dispatch"
	"holdfast/redismodule"
)

// Most calls of a busy queue come to one native command: nobody waits, the queue is not
// paused, no forgotten consumer's tasks are to be given first. C carries those out without
// entering Go (docs/fast-path.md). Where that depends on what is believed of the stream, a
// pass says that it may: for TASK.CONSUME that no tasks lie with the consumer available, and
// its guard is the key of a pause; for TASK.ACK that the stream has no other group, or that
// entries are kept anyhow. C shuts a pass at the first event on the stream that is not
// harmless and counts the uses; this file shuts it with the beliefs and adds the uses up.

// passCount is the most tasks that are taken without the Handler.
const passCount = 1000

// The passes of a group, in dispatch.Group.Fast.
const (
	takePass = iota
	ackPass
)

// passes are the open ones, and the groups they are of.
type passes map[redismodule.PassID]*dispatch.Group

// open opens a pass of a group. The server bounds the memory of passes: opening one may
// shut another.
func (p passes) open(g *dispatch.Group, kind int, id redismodule.PassID, guard []byte, flags redismodule.PassFlags) {
	if shut, uses := redismodule.OpenPass(id, redismodule.WatchID(g.Queue.Watches[0]), guard, flags); shut != 0 {
		p.used(shut, uses)
		delete(p, shut)
	}
	g.Fast[kind] = uint64(id)
	p[id] = g
}

// shut shuts the passes of a group.
func (p passes) shut(g *dispatch.Group) {
	p.shutOne(g, takePass)
	p.shutOne(g, ackPass)
}

func (p passes) shutAck(g *dispatch.Group) { p.shutOne(g, ackPass) }

func (p passes) shutOne(g *dispatch.Group, kind int) {
	if id := redismodule.PassID(g.Fast[kind]); id != 0 && p[id] == g {
		p.used(id, redismodule.ShutPass(id))
		delete(p, id)
	}
	g.Fast[kind] = 0
}

func (p passes) shutAll() {
	for _, g := range p {
		p.shut(g)
	}
}

// used counts n tasks that went by a pass.
func (p passes) used(id redismodule.PassID, n int64) {
	g := p[id]
	if g == nil {
		return
	}
	if uint64(id) == g.Fast[ackPass] {
		g.Counters.Acked += n
		tasks.stats.acked += n
	} else {
		g.Counters.Delivered += n
		tasks.stats.delivered += n
	}
}

// count brings the numbers up to date.
func (p passes) count() {
	for id := range p {
		p.used(id, redismodule.UsesOfPass(id))
	}
}

// openTake opens the fast path to a group from which tasks were just taken, if the next
// can be taken so too.
func (s *state) openTake(g *dispatch.Group, c *claim) {
	if !g.Queue.Trusted || g.Queue.Watches == nil || letsInMore(g.Queue) || g.Available || g.Queue.DueAt(dispatch.Expiring) != 0 || len(g.Queue.WaitedIn()) > 0 || c.lease > 0 || c.deliveries > 0 || maxCount < passCount {
		return
	}
	if guard, ok := s.sideKey(g.Queue.Stream, pausedKey); ok {
		id := redismodule.Pass("task.consume", g.Queue.DB, view(g.Queue.Stream), view(g.Name))
		s.passes.open(g, takePass, id, guard, 0)
	}
}

// letsInMore reports whether a consumer that would come back short is given held tasks.
func letsInMore(q *dispatch.Queue) bool { return q.Keys != nil && q.Keys.Rule().Soft }

// openAck opens the fast path to acknowledge what the only group of a stream has, or any
// group if entries are kept. Where keys are counted, that is so while no task is held that an
// end would let in, and C says what it acknowledged.
func (s *state) openAck(ctx *redismodule.Ctx, stream, group string) {
	g := s.group(ctx, stream, group)
	q, flags := g.Queue, redismodule.PassFlags(0)
	if !q.Exclusive && (!keepAcked || q.Keys != nil) || q.Watches == nil || s.holding(ctx, stream) {
		return
	}
	if !keepAcked {
		flags |= redismodule.PassThen
	}
	if q.Keys != nil {
		if !q.Keys.Quiet() {
			return
		}
		flags |= redismodule.PassLogged
	}
	s.passes.open(g, ackPass, redismodule.Pass("task.ack", q.DB, view(stream), view(group)), nil, flags)
}

// madeAvailable says that tasks lie with the module's own consumer.
func (s *state) madeAvailable(ctx *redismodule.Ctx, g *dispatch.Group) {
	g.Available = true
	s.passes.shut(g)
	s.table.LookAt(g.Queue, ctx.Now())
}

// shutPasses sends all commands on a stream to their Handlers, until one opens a pass again.
func (s *state) shutPasses(ctx *redismodule.Ctx, stream string) {
	if q := s.table.Find(ctx.DB(), view(stream)); q != nil {
		q.Groups(s.passes.shut)
	}
}
