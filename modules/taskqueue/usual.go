package taskqueue

import (
	"holdfast/internal/dispatch"
	"holdfast/redismodule"
)

// Most calls of a busy queue are one native command: nobody waits, nothing is paused,
// no task lies about. Those are shortcuts, which the server takes without Go being
// entered. Where that depends on what only this module knows, it opens passes, and
// shuts them as soon as it is no longer so. What came of them is counted here.

var (
	// A stream that somebody waits in is held.
	usualPublish = &redismodule.Shortcut{
		Call: "XADD $1 * payload $2 timestamp $now retry_count $3|0",
		Args: 3, Integers: []redismodule.Bounds{{Least: 0, Most: 1 << 30}}, Key: 1,
	}
	// The pass says that no tasks lie with the consumer available, and is guarded by
	// the key of a pause. Block_ms counts only when there is nothing to take.
	usualConsume = &redismodule.Shortcut{
		Call: "XREADGROUP GROUP $1 $2 COUNT $4|1 STREAMS $3 >",
		Args: 4, Integers: []redismodule.Bounds{{Least: 1, Most: passCount}, {Least: 0, Most: 1 << 40}}, Key: 3,
		Except: redismodule.Prefix{Arg: 2, Text: ownPrefix}, Pass: [2]int{3, 1},
	}
	// The pass says that the stream has no other group, or that entries are kept anyhow;
	// then it is for XACK alone.
	usualAck = &redismodule.Shortcut{
		Call: "XACK $1 $2 $3", Then: "XDEL $1 $3",
		Args: 4, Pass: [2]int{1, 2},
	}
)

// passCount is the most tasks that are taken without the Handler.
const passCount = 1000

// passes are the open ones, and where to count what comes of each.
type passes map[redismodule.PassID]tally

// tally is a number of a group and the same of the module.
type tally struct{ group, all *int64 }

func (t tally) add(n int64) {
	*t.group += n
	*t.all += n
}

func (p passes) open(id redismodule.PassID, t tally, guard []byte, then bool) {
	if shut, uses := redismodule.OpenPass(id, guard, then); shut != 0 {
		p[shut].add(uses)
		delete(p, shut)
	}
	p[id] = t
}

func (p passes) shut(id redismodule.PassID) {
	if t, ok := p[id]; ok {
		t.add(redismodule.ShutPass(id))
		delete(p, id)
	}
}

func (p passes) shutAll() {
	for id := range p {
		p.shut(id)
	}
}

// count brings the numbers up to date.
func (p passes) count() {
	for id, t := range p {
		t.add(redismodule.UsesOfPass(id))
	}
}

// takable opens the way to what was taken a moment ago in the usual manner, if
// the next can be taken so too.
func (s *state) takable(g *dispatch.Group, c *claim) {
	if g.Available || g.Queue.Expiring || len(g.Queue.Crowd()) > 0 || c.lease > 0 || c.deliveries > 0 || maxCount < passCount {
		return
	}
	if guard, ok := s.sideKey(g.Queue.Stream, pausedKey); ok {
		s.passes.open(takePass(g), tally{&g.Counters.Delivered, &s.stats.delivered}, guard, false)
	}
}

func takePass(g *dispatch.Group) redismodule.PassID {
	return redismodule.Pass("task.consume", g.Queue.DB, view(g.Queue.Stream), view(g.Name))
}

// ackable opens the way to acknowledge what the only group of a stream has, or any
// if entries are kept.
func (s *state) ackable(ctx *redismodule.Ctx, stream, group string) {
	k := dispatch.Key{DB: ctx.DB(), Stream: stream}
	only, sole := s.soles[k]
	if !sole && !keepAcked || s.holding(ctx, stream) {
		return
	}
	id := redismodule.Pass("task.ack", k.DB, view(stream), view(group))
	if sole {
		only.acks = id
		k.Stream = s.queue(ctx, stream).Stream // a name that stays
		s.soles[k] = only
	}
	s.passes.open(id, tally{&s.group(ctx, stream, group).Counters.Acked, &s.stats.acked}, nil, !keepAcked)
}

// madeAvailable says that tasks lie with the consumer available.
func (s *state) madeAvailable(ctx *redismodule.Ctx, g *dispatch.Group) {
	g.Available = true
	s.passes.shut(takePass(g))
	s.table.LookAt(g.Queue, ctx.Now())
}
