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
	watched []redismodule.WatchID
	only    [1]redismodule.WatchID // the usual one
	// What it was given, from one stream, as it is answered: a copy, because between
	// the hand-out and the reply the entries may be deleted.
	stream string
	given  int    // how many
	answer []byte // from the first entry on behind head bytes
	head   int
	err    error // told instead
}

// block makes the running command's client wait in the queues of the groups. Paused
// says that one of the streams is.
func (s *state) block(ctx *redismodule.Ctx, c *claim, ms int64, groups []*dispatch.Group, paused bool) error {
	w := &waiter{claim: *c, db: ctx.DB()}
	w.watched = w.only[:0]
	w.claim.args = nil // they do not outlive the command
	w.claim.resume = false
	w.claim.group = groups[0].Name
	w.claim.consumer = string(view(c.consumer))
	w.claim.dead = string(view(c.dead))
	w.Owner, w.Lease, w.claim.waiter = w, c.lease, w
	var err error
	if w.blocked, err = ctx.Block(ms, w); err != nil {
		return err
	}
	s.table.Join(&w.Waiter, groups...)
	for _, g := range groups {
		w.watched = append(w.watched, ctx.Hold(w.db, view(g.Queue.Stream)))
		if paused {
			s.lookLater(ctx, g.Queue)
		}
		s.lookAgain(ctx, g.Queue)
	}
	return nil
}

// leave takes the waiter out of the queues it stands in.
func (s *state) leave(ctx *redismodule.Ctx, w *waiter) {
	if s.table.Leave(&w.Waiter) {
		for _, id := range w.watched {
			redismodule.LetGo(id)
		}
	}
}

func claimOf(w *dispatch.Waiter) *claim {
	if w == nil {
		return nil
	}
	return &w.Owner.(*waiter).claim
}

// serve hands new tasks of the stream to those who wait, about so many at most
// to each group: one task wakes one. It tells whether there may be more.
func (s *state) serve(ctx *redismodule.Ctx, q *dispatch.Queue, most int) (more bool) {
	for i := len(q.WaitedIn()) - 1; i >= 0; i-- {
		g := q.WaitedIn()[i]
		left := most
		for left > 0 {
			front := g.Front()
			if front == nil {
				break
			}
			w := front.Owner.(*waiter)
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

// hand gives what was taken to a waiter and ends its wait.
func (s *state) hand(ctx *redismodule.Ctx, g *dispatch.Group, w *waiter) {
	w.stream = g.Queue.Stream
	size := 0
	for _, c := range s.taken.chunks {
		w.given += c.n
		size += len(c.entries)
	}
	w.answer = append(make([]byte, 0, size+len(w.stream)+64), "*1\r\n*2\r\n$"...)
	w.answer = append(strconv.AppendInt(w.answer, int64(len(w.stream)), 10), "\r\n"...)
	w.answer = append(append(w.answer, w.stream...), "\r\n*"...)
	w.answer = append(strconv.AppendInt(w.answer, int64(w.given), 10), "\r\n"...)
	w.head = len(w.answer)
	for _, c := range s.taken.chunks {
		w.answer = append(w.answer, c.entries...)
	}
	s.taken.free()
	s.leave(ctx, w)
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
	tasks.leave(ctx, w)
	tasks.rearm(ctx)
	ctx.ReplyNullArray()
}

// Gone gives back what the waiter was given, to be handed to the next.
func (w *waiter) Gone(ctx *redismodule.Ctx) {
	tasks.leave(ctx, w)
	if w.given == 0 {
		tasks.rearm(ctx)
		return
	}
	h := dispatch.Handout{Key: dispatch.Key{DB: w.db, Stream: w.stream}, Group: w.claim.group, Consumer: w.claim.consumer}
	p := read(w.answer[w.head:])
	for range w.given {
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
