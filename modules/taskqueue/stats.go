package taskqueue

import (
	"holdfast/modules/internal/dispatch"
	"holdfast/modules/internal/histogram"
	"holdfast/modules/internal/resp"
	"holdfast/redismodule"
)

// stats are counted since the server started.
type stats struct {
	published, delivered, acked, retried, dead, reclaimed, redriven, cancelled, expired int64
	delayed                                                                             int64               // tasks put off
	letIn                                                                               int64               // held tasks that were added to their stream
	lost                                                                                int64               // pending tasks whose entry was trimmed or deleted
	ghosts                                                                              int64               // hand-outs whose connection was gone
	lateness                                                                            histogram.Histogram // ms between due and added
	wait, run                                                                           histogram.Histogram // see dispatch.Counters
}

func info(w *redismodule.Info) {
	s := &tasks
	s.passes.count()
	scheduled, streams, held := int64(0), int64(0), int64(0)
	s.table.Each(func(q *dispatch.Queue) {
		scheduled += q.Scheduled
		held += q.Keys.Held()
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
	w.Int("put_off", s.stats.delayed)
	w.Int("let_in", s.stats.letIn)
	infoTimes(w, "lateness", &s.stats.lateness)
	infoTimes(w, "wait", &s.stats.wait)
	infoTimes(w, "run", &s.stats.run)
	w.Int("streams", int64(s.catalog.n))
	w.Int("waiting", int64(s.table.Waiting()))
	w.Int("waiting_streams", streams)
	w.Int("delayed", scheduled)
	w.Int("held", held)
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
	added, length, oldest := s.streamInfo(ctx, stream)
	q := s.table.Find(ctx.DB(), args[1].Bytes())
	waiting := 0
	if q != nil {
		waiting = q.Waiting()
	}
	var counters streamCounters
	if k := s.catalog.find(dispatch.Key{DB: ctx.DB(), Stream: stream}); k != nil {
		counters = k.streamCounters
	}
	ctx.ReplyMap(11 + heldFields)
	replyInts(ctx, named{"length", length}, named{"delayed", s.delayedIn(ctx, stream)})
	ctx.ReplyString("paused")
	ctx.ReplyBool(s.paused(ctx, stream))
	replyInts(ctx, named{"waiting", int64(waiting)}, named{"oldest_age_ms", oldest},
		named{"published", added}, named{"retried", counters.retried}, named{"dead", counters.dead},
		named{"expired", counters.expired}, named{"cancelled", counters.cancelled})
	s.heldStatus(ctx, stream).reply(ctx)
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

func (s *state) groupStatus(ctx *redismodule.Ctx, stream string, length int64, q *dispatch.Queue, p *resp.Reader) {
	g := readGroup(p)
	lag, free := s.lag(ctx, stream, g), int64(0)
	s.consumers(ctx, stream, g.name, func(consumer string, pending int64) {
		if consumer == available {
			free = pending
		}
		if reserved(consumer) {
			g.consumers--
		}
	})
	waiting, lease := 0, int64(0)
	var c dispatch.Counters
	if believed := groupOf(q, g.name); believed != nil {
		waiting, lease, c = believed.Waiting(), believed.Lease, believed.Counters
	}
	ctx.ReplyMap(13)
	ctx.ReplyString("name")
	ctx.ReplyString(g.name)
	replyInts(ctx, named{"ready", min(lag, length) + free}, named{"pending", g.pending - free}, named{"consumers", g.consumers},
		named{"waiting", int64(waiting)}, named{"oldest_pending_ms", s.oldestPending(ctx, stream, g.name)},
		named{"delivered", c.Delivered}, named{"acked", c.Acked}, named{"reclaimed", c.Reclaimed}, named{"lost_trimmed", c.Lost},
		named{"lease_ms", lease})
	replyTimes(ctx, "wait_ms", &c.Wait)
	replyTimes(ctx, "run_ms", &c.Run)
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
