package taskqueue

import (
	"holdfast/modules/internal/dispatch"
	"holdfast/modules/internal/histogram"
	"holdfast/modules/internal/resp"
	"holdfast/redismodule"
)

// The times of a group are measured by samples, and each sample counts for all that it
// stands for. What goes by a fast path does not come here; one call in fastSample does,
// and stands for the others. In a call with many tasks some stand for all.
const (
	fastSample = 64
	sampleMost = 16 // tasks of one call
	rarely     = 16 // one acknowledgement in so many, once enough are measured
	enough     = 256
)

// waited measures how long n new tasks waited for their first hand-out. p is at the first
// of them.
func (s *state) waited(ctx *redismodule.Ctx, g *dispatch.Group, n int, p resp.Reader) {
	if n == 0 {
		return
	}
	weight := uint64(1)
	if s.passes.isOpen(g, takePass) {
		weight = fastSample
	}
	measured := min(n, sampleMost)
	for i := range measured {
		if i > 0 {
			p.Skip() // the fields of the one before
		}
		p.Array()
		id, _ := dispatch.ParseID(p.Bytes())
		stands := uint64((n+i)/measured) * weight // n in all
		ms := ctx.Now() - int64(min(id.Ms, latest))
		g.Counters.Wait.RecordN(ms, stands)
		s.stats.wait.RecordN(ms, stands)
	}
}

// running measures for how long tasks were in work that are to be acknowledged.
func (s *state) running(ctx *redismodule.Ctx, stream, group redismodule.Arg, ids []redismodule.Arg) {
	g := s.known(ctx, stream, group)
	if g == nil || len(ids) == 0 {
		return
	}
	weight := uint64(len(ids))
	switch {
	case s.passes.isOpen(g, ackPass):
		weight *= fastSample
	case g.Counters.Run.Count() >= enough:
		if s.acks++; s.acks%rarely != 0 {
			return
		}
		weight *= rarely
	}
	if t, ok := s.pending(ctx, text(stream.Bytes()), text(group.Bytes()), text(ids[0].Bytes())); ok {
		g.Counters.Run.RecordN(t.idle, weight)
		s.stats.run.RecordN(t.idle, weight)
	}
}

// isOpen reports whether a pass of the group is open.
func (p passes) isOpen(g *dispatch.Group, kind int) bool {
	id := redismodule.PassID(g.Fast[kind])
	return id != 0 && p[id] == g
}

// replyTimes answers a map of what was measured.
func replyTimes(ctx *redismodule.Ctx, name string, h *histogram.Histogram) {
	ctx.ReplyString(name)
	ctx.ReplyMap(4)
	replyInts(ctx, named{"count", int64(h.Count())}, named{"p50", h.Quantile(0.5)}, named{"p99", h.Quantile(0.99)}, named{"max", h.Max()})
}

func infoTimes(w *redismodule.Info, name string, h *histogram.Histogram) {
	w.Int(name+"_ms_count", int64(h.Count()))
	w.Int(name+"_ms_p50", h.Quantile(0.5))
	w.Int(name+"_ms_p99", h.Quantile(0.99))
	w.Int(name+"_ms_max", h.Max())
}
