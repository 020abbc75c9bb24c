package taskqueue

import (
	"slices"
	"strconv"

	"holdfast/modules/internal/dispatch"
	"holdfast/redismodule"
)

// burst is how many tasks are handed out in one go before others get their turn.
const burst = 256

// waiter is a blocked consumer.
type waiter struct {
	dispatch.Waiter
	claim   claim
	db      int
	blocked *redismodule.Blocked
	answer  []byte // tasks of one stream, as a reply; nil until it is given some
	err     error  // told instead
}

// block makes the running command's client wait in the queues of the groups. Paused
// says that one of the streams is.
func (s *state) block(ctx *redismodule.Ctx, c *claim, ms int64, groups []*dispatch.Group, paused bool) error {
	w := &waiter{claim: *c, db: ctx.DB()}
	w.claim.args, w.claim.resume = nil, false // they are the running command's
	w.claim.group = groups[0].Name
	w.claim.consumer = string(view(c.consumer))
	w.claim.dead = string(view(c.dead))
	w.Owner = w
	var err error
	if w.blocked, err = ctx.Block(ms, w); err != nil {
		return err
	}
	s.table.Join(&w.Waiter, c.lease, groups...)
	for _, g := range groups {
		ctx.Hold(w.db, view(g.Queue.Stream))
		if paused {
			s.lookLater(ctx, g.Queue)
		}
		s.lookAgain(ctx, g.Queue)
	}
	return nil
}

// leave takes the waiter out of the queues it stands in.
func (s *state) leave(w *waiter) {
	w.Groups(func(g *dispatch.Group) { redismodule.LetGo(redismodule.WatchID(g.Queue.Watches[0])) })
	s.table.Leave(&w.Waiter)
}

func waiterOf(w *dispatch.Waiter) *waiter {
	if w == nil {
		return nil
	}
	return w.Owner.(*waiter)
}

// serve hands new tasks of the stream to those who wait, about so many at most
// to each group: one task wakes one. It tells whether there may be more.
func (s *state) serve(ctx *redismodule.Ctx, q *dispatch.Queue, most int) (more bool) {
	for i := len(q.WaitedIn()) - 1; i >= 0; i-- {
		g := q.WaitedIn()[i]
		left := most
		for left > 0 {
			w := waiterOf(g.Front())
			if w == nil {
				break
			}
			n, err := s.take(ctx, g, &w.claim, w.claim.count)
			if n == 0 || err != nil {
				break
			}
			s.hand(ctx, g, w)
			left -= n
		}
		more = more || left <= 0
		s.taken.free()
	}
	return more
}

// published hands on what was added to a stream a moment ago.
func (s *state) published(ctx *redismodule.Ctx, stream string, n int) {
	q := s.table.Find(ctx.DB(), view(stream))
	if q == nil || !q.Listed { // a rule and a consumer may be older than their stream
		s.catalog.add(dispatch.Key{DB: ctx.DB(), Stream: stream})
		if q != nil {
			q.Listed = q.Trusted
		}
		s.rearm(ctx)
	}
	if q == nil || len(q.WaitedIn()) == 0 {
		return
	}
	s.learn(ctx, q)
	q.Added(n)
	if s.paused(ctx, stream) {
		s.lookLater(ctx, q)
		return
	}
	s.serve(ctx, q, n)
	s.rearm(ctx)
}

// hand gives what was taken to a waiter and ends its wait. The answer is a copy, because
// between the hand-out and the reply the entries may be deleted.
func (s *state) hand(ctx *redismodule.Ctx, g *dispatch.Group, w *waiter) {
	stream, n, size := g.Queue.Stream, 0, 0
	for _, c := range s.taken.chunks {
		n += c.n
		size += len(c.entries)
	}
	a := append(make([]byte, 0, size+len(stream)+64), "*1\r\n*2\r\n$"...)
	a = append(strconv.AppendInt(a, int64(len(stream)), 10), "\r\n"...)
	a = append(append(a, stream...), "\r\n*"...)
	a = append(strconv.AppendInt(a, int64(n), 10), "\r\n"...)
	for _, c := range s.taken.chunks {
		a = append(a, c.entries...)
	}
	w.answer = a
	s.taken.free()
	s.leave(w)
	if !w.blocked.Wake() { // its wait had ended: nobody will see the tasks
		w.Gone(ctx)
	}
}

// Reply answers with the tasks the waiter was given.
func (w *waiter) Reply(ctx *redismodule.Ctx) {
	if w.err != nil {
		ctx.ReplyError(w.err)
		return
	}
	ctx.ReplyRaw(w.answer)
}

// Timeout answers nil: there was nothing in time.
func (w *waiter) Timeout(ctx *redismodule.Ctx) {
	tasks.leave(w)
	tasks.rearm(ctx)
	ctx.ReplyNullArray()
}

// Gone gives back what the waiter was given, to be handed to the next.
func (w *waiter) Gone(ctx *redismodule.Ctx) {
	tasks.leave(w)
	if w.answer == nil {
		tasks.rearm(ctx)
		return
	}
	p := read(w.answer)
	p.Array()
	p.Array()
	stream, n := string(p.Bytes()), p.Array()
	h := dispatch.Handout{Key: dispatch.Key{DB: w.db, Stream: stream}, Group: w.claim.group, Consumer: w.claim.consumer}
	for range n {
		p.Array()
		if id, ok := dispatch.ParseID(p.Bytes()); ok {
			h.IDs = append(h.IDs, id)
		}
		p.Skip()
	}
	slices.SortFunc(h.IDs, dispatch.ID.Compare)
	tasks.table.GiveBack(h)
	tasks.stats.ghosts++
	tasks.rearm(ctx)
}

// giveBack makes tasks available that were handed to connections that were gone, until the
// callback's time is over. Their counts of deliveries are what they were: nobody saw them.
func (s *state) giveBack(ctx *redismodule.Ctx, began int64) {
	for h := s.table.Unseen(); h != nil && ctx.Monotonic()-began < slice; h = s.table.Unseen() {
		ctx.SelectDB(h.DB)
		g := s.group(ctx, h.Stream, h.Group)
		ids := h.IDs[:min(len(h.IDs), claimBatch)]
		h.IDs = h.IDs[len(ids):]
		s.stats.delivered -= int64(len(ids))
		g.Counters.Delivered -= int64(len(ids))
		s.giveBackSome(ctx, h, ids)
		s.madeAvailable(ctx, g)
	}
}

// giveBackSome claims, of ids in their order, what the consumer still has: in one call for
// each count of deliveries, which is mostly the same.
func (s *state) giveBackSome(ctx *redismodule.Ctx, h *dispatch.Handout, ids []dispatch.ID) {
	introduce(ctx, h.Stream, h.Group, available)
	for deliveries, ids := range s.ownedOf(ctx, h, ids) {
		cmd := ctx.Cmd("XCLAIM").Str(h.Stream).Str(h.Group).Str(available).Str("0")
		var scratch [48]byte
		for _, id := range ids {
			cmd.Bytes(id.Append(scratch[:0]))
		}
		_ = cmd.Str("RETRYCOUNT").Int(max(deliveries-1, 0)).Str("JUSTID").Do("")
	}
}

// ownedOf is those of the ids that are pending for the consumer, by how often they were
// delivered.
func (s *state) ownedOf(ctx *redismodule.Ctx, h *dispatch.Handout, ids []dispatch.ID) map[int64][]dispatch.ID {
	owned := map[int64][]dispatch.ID{}
	for len(ids) > 0 {
		var from, to [48]byte
		most := 2 * len(ids) // the consumer may have others in between
		r := ctx.Cmd("XPENDING").Str(h.Stream).Str(h.Group).Bytes(ids[0].Append(from[:0])).Bytes(ids[len(ids)-1].Append(to[:0])).
			Int(int64(most)).Str(h.Consumer).Call("")
		if failure(r) != nil {
			r.Free()
			return owned
		}
		p := read(r.Raw())
		found := p.Array()
		for range found {
			t := readPending(&p)
			id, _ := dispatch.ParseID(t.id)
			for len(ids) > 0 && ids[0].Compare(id) < 0 {
				ids = ids[1:]
			}
			if len(ids) > 0 && ids[0] == id {
				owned[t.deliveries] = append(owned[t.deliveries], id)
				ids = ids[1:]
			}
		}
		r.Free()
		if found < most {
			break // there are no more
		}
	}
	return owned
}

// pending is what a group knows of a task, if the owner still has it, or with no
// owner named, whoever has. ok is false when it is not pending so.
func (s *state) pending(ctx *redismodule.Ctx, stream, group, id string, owner ...string) (t pending, ok bool) {
	cmd := ctx.Cmd("XPENDING").Str(stream).Str(group).Str(id).Str(id).Str("1")
	for _, o := range owner {
		cmd.Str(o)
	}
	r := cmd.Call("")
	defer r.Free()
	if failure(r) != nil {
		return t, false
	}
	p := read(r.Raw())
	if p.Array() != 1 {
		return t, false
	}
	t = readPending(&p)
	t.id, t.owner = nil, nil // they were the reply's
	return t, true
}
