package taskqueue

import (
	"bytes"

	"holdfast/modules/internal/dispatch"
	"holdfast/modules/internal/keyed"
	"holdfast/modules/internal/resp"
	"holdfast/redismodule"
)

// take gives c up to room tasks of the group, into s.taken: what c has already, if it
// resumes, what anyone may have, then what leases ran out of, then new tasks in their order.
func (s *state) take(ctx *redismodule.Ctx, g *dispatch.Group, c *claim, room int) (n int, err error) {
	if !s.expireBefore(ctx, g.Queue) {
		return 0, nil // the timer goes on
	}
	if c.resume {
		n = s.takeOwn(ctx, g, c, room)
	}
	if g.Available && n < room {
		n += s.takeAvailable(ctx, g, c, room-n)
	}
	if n < room && c.lease > 0 && g.Leases.Due(c.lease) <= ctx.Now() {
		n += s.walk(ctx, g, c, room-n)
	}
	if n < room {
		var fresh int
		fresh, err = s.takeNew(ctx, g, c, room-n)
		n += fresh
		if q := g.Queue; err == nil && n < room && q.Keys.Held() > 0 && s.letIn(ctx, q, room-n, true) > 0 {
			s.setKeyed(ctx, q)
			fresh, err = s.takeNew(ctx, g, c, room-n)
			n += fresh
		}
		if n > 0 {
			err = nil // there is something to answer
		}
	}
	s.stats.delivered += int64(n)
	g.Counters.Delivered += int64(n)
	return n, err
}

// takeNew reads what was delivered to nobody in the group yet, making the group
// when it is not there: from the first entry on, or tasks published before the
// first consumer came would be lost.
func (s *state) takeNew(ctx *redismodule.Ctx, g *dispatch.Group, c *claim, room int) (int, error) {
	for made := false; ; made = true {
		cmd := ctx.Cmd("XREADGROUP").Arg(words.group)
		if c.args != nil {
			cmd.Arg(c.args[1]).Arg(c.args[2])
		} else {
			cmd.Str(c.group).Str(c.consumer)
		}
		if cmd.Arg(words.count); room == 1 {
			cmd.Arg(words.one)
		} else {
			cmd.Int(int64(room))
		}
		if cmd.Arg(words.streams); c.args != nil {
			cmd.Arg(c.args[3])
		} else {
			cmd.Str(g.Queue.Stream)
		}
		r := cmd.Arg(words.fresh).Call("")
		raw := r.Raw()
		err := failed(raw)
		if err == nil {
			p := read(raw)
			n := 0
			if p.Array() > 0 {
				p.Array()
				p.Skip() // the stream's name
				n = max(p.Array(), 0)
			}
			g.Took(n, room)
			s.handedOut(ctx, g.Queue, n, p)
			s.waited(ctx, g, n, p)
			if s.taken.add(r, n, p.Rest()); n > 0 {
				s.taken.whole = r
			}
			return n, nil
		}
		r.Free()
		if made || !bytes.HasPrefix(view(err.Error()), []byte("NOGROUP")) {
			return 0, err
		}
		if err := s.makeGroup(ctx, g); err != nil {
			return 0, err
		}
	}
}

// makeGroup makes a group, and its stream if there is none. A full server makes no stream,
// but a group of one that is there it must make, or that could not be drained.
func (s *state) makeGroup(ctx *redismodule.Ctx, g *dispatch.Group) error {
	q := g.Queue
	kind := ctx.TypeOf(redismodule.Text(view(q.Stream)))
	if q.Keys != nil && q.Keys.Rule() != (keyed.Rule{}) && s.groupsOf(ctx, q.Stream) > 0 {
		return errGroups
	}
	cmd, flags := ctx.Cmd("XGROUP").Str("CREATE").Str(q.Stream).Str(g.Name).Str("0"), ""
	if kind == redismodule.TypeNone {
		cmd.Str("MKSTREAM")
		flags = "ME"
	}
	if err := cmd.Do(flags); err != nil {
		return err
	}
	s.distrust(ctx, q) // it has one more group
	s.learn(ctx, q)
	g.Available = false // the new group has no consumers
	return nil
}

// claimBatch is how many tasks are taken over at a time.
const claimBatch = 100

// takeAvailable gives c tasks that lie with the consumer available.
func (s *state) takeAvailable(ctx *redismodule.Ctx, g *dispatch.Group, c *claim, room int) (n int) {
	for n < room {
		r := ctx.Cmd("XPENDING").Str(g.Queue.Stream).Str(g.Name).Str("-").Str("+").
			Int(int64(min(room-n, claimBatch))).Str(available).Call("")
		p := read(r.Raw())
		found := 0
		if failure(r) == nil {
			found = p.Array()
		}
		if found == 0 {
			g.Available = false
			s.findLeaving(ctx, g)
			r.Free()
			return n
		}
		var take batch
		buried := false
		for range found {
			t := readPending(&p)
			if c.poisoned(t.deliveries) {
				buried = s.bury(ctx, g, c.dead, t, reasonDeliveries) || buried
			} else {
				take.add(t.id)
			}
		}
		got := s.takeOver(ctx, g, c, &take)
		r.Free()
		if got == 0 && !buried {
			return n // what is left there can be neither taken nor buried now
		}
		n += got
	}
	return n
}

// takeOwn gives c tasks that it has already, and begins their leases anew: its process
// started again under its name, or a reply was lost.
func (s *state) takeOwn(ctx *redismodule.Ctx, g *dispatch.Group, c *claim, room int) (n int) {
	after := "-"
	for n < room {
		r := ctx.Cmd("XPENDING").Str(g.Queue.Stream).Str(g.Name).Str(after).Str("+").
			Int(int64(min(room-n, claimBatch))).Str(c.consumer).Call("")
		p := read(r.Raw())
		found := 0
		if failure(r) == nil {
			found = p.Array()
		}
		var take batch
		for range found {
			t := readPending(&p)
			after = "(" + text(t.id)
			if c.poisoned(t.deliveries) {
				s.bury(ctx, g, c.dead, t, reasonDeliveries)
			} else {
				take.add(t.id)
			}
		}
		n += s.takeOver(ctx, g, c, &take)
		r.Free()
		if found == 0 {
			return n
		}
	}
	return n
}

// pending is one line of XPENDING.
type pending struct {
	id         []byte
	owner      []byte
	idle       int64
	deliveries int64
}

func readPending(p *resp.Reader) (t pending) {
	p.Array()
	t.id, t.owner = p.Bytes(), p.Bytes()
	t.idle, _ = p.Int()
	t.deliveries, _ = p.Int()
	return t
}

func (c *claim) poisoned(deliveries int64) bool {
	return c.deliveries > 0 && deliveries >= c.deliveries
}

// batch is ids to be claimed in one call.
type batch struct {
	ids [claimBatch][]byte
	n   int
}

func (b *batch) add(id []byte) {
	b.ids[b.n] = id
	b.n++
}

// takeOver gives c the tasks of a batch and empties it. Entries that are not in
// the stream any more are dropped from the pending list and counted, never
// handed out.
func (s *state) takeOver(ctx *redismodule.Ctx, g *dispatch.Group, c *claim, b *batch) int {
	asked := b.n
	if asked == 0 {
		return 0
	}
	introduce(ctx, g.Queue.Stream, g.Name, c.consumer)
	cmd := ctx.Cmd("XCLAIM").Str(g.Queue.Stream).Str(g.Name).Str(c.consumer).Str("0")
	for _, id := range b.ids[:asked] {
		cmd.Bytes(id)
	}
	b.n = 0
	r := cmd.Call("")
	if failure(r) != nil {
		r.Free()
		return 0
	}
	p := read(r.Raw())
	n := p.Array()
	s.taken.add(r, n, p.Rest())
	s.stats.reclaimed += int64(n)
	g.Counters.Reclaimed += int64(n)
	s.lose(g, asked-n)
	return n
}

// introduce makes a consumer that XCLAIM would make. From 7.2 on XCLAIM makes it
// also when there is nothing left to claim, and then tells no replica.
func introduce(ctx *redismodule.Ctx, stream, group, consumer string) {
	_ = ctx.Cmd("XGROUP").Str("CREATECONSUMER").Str(stream).Str(group).Str(consumer).Do("")
}

func (s *state) lose(g *dispatch.Group, n int) {
	s.stats.lost += int64(n)
	g.Counters.Lost += int64(n)
}

// stride is how many pending tasks a walk reads at a time.
const stride = 100

// walk makes one step through the pending list of a group, for tasks whose
// lease ran out. With c they are its, up to room; without, each goes to the
// longest waiting of those that take it over by now. It answers how many c got.
func (s *state) walk(ctx *redismodule.Ctx, g *dispatch.Group, c *claim, room int) (got int) {
	now := ctx.Now()
	h := &g.Leases
	after := h.Step(now)
	var scratch [48]byte
	from := after.Append(append(scratch[:0], '('))
	r := ctx.Cmd("XPENDING").Str(g.Queue.Stream).Str(g.Name).Bytes(from).Str("+").Int(stride).Call("")
	defer r.Free()
	if failure(r) != nil {
		h.Done() // no stream or no group: nothing is pending
		return 0
	}
	p := read(r.Raw())
	found := p.Array()
	var take batch
	var to *claim       // who is given the tasks of take
	var waiting *waiter // if it waits
	flush := func() {
		if to == nil {
			return
		}
		n := s.takeOver(ctx, g, to, &take)
		if c != nil {
			got += n
		} else if n > 0 {
			s.stats.delivered += int64(n)
			g.Counters.Delivered += int64(n)
			s.hand(ctx, g, waiting)
		}
		to = nil
	}
	for range found {
		t := readPending(&p)
		id, _ := dispatch.ParseID(t.id)
		var next *claim
		var w *waiter
		if c == nil {
			if w = waiterOf(g.FrontFor(t.idle)); w != nil {
				next = &w.claim
			}
		} else if t.idle >= c.lease {
			next = c
		}
		if next == nil {
			h.Stays(id, now-t.idle)
			continue
		}
		if next.poisoned(t.deliveries) {
			s.bury(ctx, g, next.dead, t, reasonDeliveries)
			h.Passed(id)
			continue
		}
		if to != nil && to != next {
			flush()
		}
		to, waiting = next, w
		take.add(t.id)
		h.Passed(id)
		if c != nil && take.n == room || c == nil && take.n == to.count {
			flush()
			if c != nil {
				return got // the walk goes on from here for the next who asks
			}
		}
	}
	flush()
	if found < stride {
		h.Done()
	}
	return got
}
