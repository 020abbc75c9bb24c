package taskqueue

import (
	"holdfast/internal/dispatch"
	"holdfast/internal/histogram"
	"holdfast/internal/resp"
	"holdfast/redismodule"
)

// stats are counted since the server started.
type stats struct {
	published, delivered, acked, retried, dead, reclaimed, redriven, cancelled, expired int64
	delayed                                                                             int64               // tasks put off
	lost                                                                                int64               // pending tasks whose entry was trimmed or deleted
	ghosts                                                                              int64               // hand-outs whose connection was gone
	lateness                                                                            histogram.Histogram // ms between due and added
}

func info(w *redismodule.Info) {
	s := &tasks
	s.passes.count()
	scheduled, streams := int64(0), int64(0)
	s.table.Each(func(q *dispatch.Queue) {
		scheduled += q.Scheduled
		if len(q.WaitedIn()) > 0 {
			streams++
		}
	})
	w.Int("published", s.stats.published+int64(redismodule.Direct("task.publish")))
	w.Int("delivered", s.stats.delivered)
	w.Int("acked", s.stats.acked)
	w.Int("retried", s.stats.retried)
	w.Int("dead", s.stats.dead)
	w.Int("redriven", s.stats.redriven)
	w.Int("cancelled", s.stats.cancelled)
	w.Int("expired", s.stats.expired)
	w.Int("reclaimed", s.stats.reclaimed)
	w.Int("ghosts_reclaimed", s.stats.ghosts)
	w.Int("lost_trimmed", s.stats.lost)
	w.Int("delayed_total", s.stats.delayed)
	w.Int("lateness_p50_ms", s.stats.lateness.Quantile(0.5))
	w.Int("lateness_p99_ms", s.stats.lateness.Quantile(0.99))
	w.Int("lateness_max_ms", s.stats.lateness.Max())
	w.Int("waiting", int64(s.table.Waiting()))
	w.Int("waiting_streams", streams)
	w.Int("delayed", scheduled)
	w.Int("shortcuts", int64(redismodule.Direct("task.publish")+redismodule.Direct("task.consume")+redismodule.Direct("task.ack")))
}

// status is TASK.STATS stream.
func status(ctx *redismodule.Ctx, args []redismodule.Arg) error {
	s := &tasks
	s.passes.count()
	stream := text(args[1].Bytes())
	if err := isStream(ctx, args[1]); err != nil {
		return err
	}
	length := int64(s.length(ctx, stream))
	q := s.table.Find(ctx.DB(), args[1].Bytes())
	waiting := 0
	if q != nil {
		waiting = q.Waiting()
	}
	delayed := 0
	if key, ok := s.sideKey(stream, delayedKey); ok {
		k := ctx.Look(redismodule.Text(key))
		if k.Type == redismodule.TypeZSet {
			delayed = k.Len()
		}
		k.Close()
	}
	ctx.ReplyMap(6)
	ctx.ReplyString("length")
	ctx.ReplyInt(length)
	ctx.ReplyString("delayed")
	ctx.ReplyInt(int64(delayed))
	ctx.ReplyString("paused")
	ctx.ReplyBool(s.paused(ctx, stream))
	ctx.ReplyString("waiting")
	ctx.ReplyInt(int64(waiting))
	ctx.ReplyString("oldest_age_ms")
	ctx.ReplyInt(s.oldestAge(ctx, stream))
	ctx.ReplyString("groups")
	r := ctx.Cmd("XINFO").Str("GROUPS").Arg(args[1]).Call("")
	defer r.Free()
	if failure(r) != nil { // there is no such stream
		ctx.ReplyArray(0)
		return nil
	}
	p := read(r.Raw())
	n := p.Array()
	ctx.ReplyArray(n)
	for range n {
		s.groupStatus(ctx, stream, length, q, &p)
	}
	return nil
}

// oldestAge is how long ago the oldest entry of the stream was added, by its id.
func (s *state) oldestAge(ctx *redismodule.Ctx, stream string) int64 {
	r := ctx.Cmd("XRANGE").Str(stream).Str("-").Str("+").Str("COUNT").Str("1").Call("")
	defer r.Free()
	p := read(r.Raw())
	if failure(r) != nil || p.Array() != 1 {
		return 0
	}
	p.Array()
	id, _ := dispatch.ParseID(p.Bytes())
	return max(ctx.Now()-int64(min(id.Ms, latest)), 0)
}

func (s *state) groupStatus(ctx *redismodule.Ctx, stream string, length int64, q *dispatch.Queue, p *resp.Reader) {
	var name, last string
	var consumers, pending, lag int64
	known := false
	for range p.Array() / 2 {
		switch text(p.Bytes()) {
		case "name":
			name = text(p.Bytes())
		case "consumers":
			consumers, _ = p.Int()
		case "pending":
			pending, _ = p.Int()
		case "last-delivered-id":
			last = text(p.Bytes())
		case "lag":
			lag, known = p.Int()
		default:
			p.Skip()
		}
	}
	if !known {
		lag = s.countAfter(ctx, stream, last)
	}
	var g *dispatch.Group
	if q != nil {
		g = q.Group(view(name))
	}
	waiting := 0
	var c dispatch.Counters
	if g != nil {
		waiting, c = g.Waiting(), g.Counters
	}
	free := int64(0)
	s.consumers(ctx, stream, name, func(consumer string, pending int64) {
		if consumer == available {
			free = pending
		}
		if reserved(consumer) {
			consumers--
		}
	})
	ctx.ReplyMap(10)
	ctx.ReplyString("name")
	ctx.ReplyString(name)
	for _, f := range []struct {
		name  string
		value int64
	}{
		{"ready", min(lag, length) + free},
		{"pending", pending - free},
		{"consumers", consumers},
		{"waiting", int64(waiting)},
		{"oldest_pending_ms", s.oldestPending(ctx, stream, name)},
		{"delivered", c.Delivered},
		{"acked", c.Acked},
		{"reclaimed", c.Reclaimed},
		{"lost_trimmed", c.Lost},
	} {
		ctx.ReplyString(f.name)
		ctx.ReplyInt(f.value)
	}
}

// countMost bounds what is counted entry by entry, for a stream whose deletions
// leave the server itself without a number.
const countMost = 10_000

func (s *state) countAfter(ctx *redismodule.Ctx, stream, id string) int64 {
	k := ctx.Look(redismodule.Text(view(stream)))
	defer k.Close()
	after, _ := dispatch.ParseID(view(id))
	return int64(k.EntriesAfter(after.Ms, after.Seq, countMost))
}

// oldestPending is how long ago the pending task with the lowest id was
// delivered last.
func (s *state) oldestPending(ctx *redismodule.Ctx, stream, group string) int64 {
	r := ctx.Cmd("XPENDING").Str(stream).Str(group).Str("-").Str("+").Str("1").Call("")
	defer r.Free()
	p := read(r.Raw())
	if failure(r) != nil || p.Array() != 1 {
		return 0
	}
	return readPending(&p).idle
}
