package taskqueue

import (
	"slices"

	"holdfast/internal/slot"
	"holdfast/modules/internal/dispatch"
	"holdfast/modules/internal/resp"
	"holdfast/modules/syntax"
	"holdfast/redismodule"
)

// claim is who takes tasks, and which.
type claim struct {
	group, consumer string
	count           int
	lease           int64 // take over what was delivered so many ms ago; 0: never
	deliveries      int64 // bury what was delivered so many times; 0: never
	dead            string
	resume          bool                // give first what the consumer itself has pending
	args            *[4]redismodule.Arg // of a running command with one stream: they need no copies
}

// chunk is tasks as they stand in a reply: n entries, one after another.
type chunk struct {
	n       int
	entries []byte
}

// taken is what one callback takes from streams, until it is handed on. The
// entries stay in the server's replies.
type taken struct {
	chunks  []chunk
	replies []redismodule.Reply
	whole   redismodule.Reply // the reply that is the whole answer, if it is the only chunk
}

// add takes n entries that stand in a reply, and the reply with them. One without
// any is freed at once: a reply must not outlive the callback that made it.
func (h *taken) add(r redismodule.Reply, n int, entries []byte) {
	if n <= 0 {
		r.Free()
		return
	}
	h.chunks, h.replies = append(h.chunks, chunk{n, entries}), append(h.replies, r)
}

// takeWhole takes the whole reply out: whoever answers it frees it.
func (h *taken) takeWhole() redismodule.Reply {
	h.replies = h.replies[:len(h.replies)-1] // it is what was read last
	return h.whole
}

func (h *taken) free() {
	for _, r := range h.replies {
		r.Free()
	}
	h.chunks, h.replies, h.whole = h.chunks[:0], h.replies[:0], redismodule.Reply{}
}

func read(b []byte) resp.Reader { return resp.Read(b) }

// consume is TASK.CONSUME group consumer stream [count [block]] [LEASE ms]
// [MAXDELIVERIES n DEAD stream] [RESUME] [ALSO count stream …].
func consume(ctx *redismodule.Ctx, args []redismodule.Arg) error {
	s := &tasks
	c := &s.claim
	defer func() {
		s.taken.free()
		*c = claim{} // it points into the server's arguments
	}()
	*c = claim{group: text(args[1].Bytes()), consumer: text(args[2].Bytes()), count: 1}
	if reserved(c.consumer) {
		return redismodule.Error("ERR the consumer name '" + c.consumer + "' is the module's own; take another")
	}
	block, wait := int64(0), false
	opts := args[4:]
	if len(opts) > 0 && !isOption(opts[0]) {
		n, err := syntax.Int(opts[0], 1, 1<<62)
		if err != nil {
			return err
		}
		c.count = int(min(n, maxCount))
		if opts = opts[1:]; len(opts) > 0 && !isOption(opts[0]) {
			if block, err = syntax.Block(opts[0], "task.consume", ctx.Now()); err != nil {
				return err
			}
			wait, opts = true, opts[1:]
		}
	}
	var also []redismodule.Arg
	if len(opts) > 0 {
		var err error
		if also, err = consumeOptions(ctx, c, args[3], opts); err != nil {
			return err
		}
	}
	if len(also) == 0 {
		c.args = (*[4]redismodule.Arg)(args)
		return s.consumeOne(ctx, c, args[3], wait, block)
	}
	return s.consumeMany(ctx, c, append([]redismodule.Arg{args[3]}, also...), wait, block)
}

func isOption(a redismodule.Arg) bool {
	return a.Is("LEASE") || a.Is("MAXDELIVERIES") || a.Is("RESUME") || a.Is("ALSO")
}

func consumeOptions(ctx *redismodule.Ctx, c *claim, stream redismodule.Arg, opts []redismodule.Arg) (also []redismodule.Arg, err error) {
	o := syntax.NewOptions(opts)
	for o.Next() {
		switch {
		case o.Is("LEASE") && c.lease == 0:
			c.lease, err = syntax.Millis(o.Value(), "task.consume", ctx.Now())
		case o.Is("MAXDELIVERIES") && c.deliveries == 0:
			if c.deliveries, err = syntax.Int(o.Value(), 1, 1<<31); err != nil {
				break
			}
			if !o.Next() || !o.Is("DEAD") {
				return nil, redismodule.ErrSyntax
			}
			dead := o.Value()
			c.dead = text(dead.Bytes())
			if o.Err() == nil {
				err = otherKey(ctx, stream, dead, redismodule.KeyInsert)
			}
		case o.Is("RESUME") && !c.resume:
			c.resume = true
		case o.Is("ALSO") && also == nil:
			var n int64
			if n, err = syntax.Int(o.Value(), 1, 1000); err != nil {
				break
			}
			also = o.Values(n)
			for _, a := range also {
				if err = otherKey(ctx, stream, a, redismodule.KeyAccess|redismodule.KeyUpdate); err != nil {
					break
				}
			}
		default:
			o.Unknown()
		}
		if e := o.Err(); e != nil {
			return nil, e
		}
		if err != nil {
			return nil, err
		}
	}
	if c.deliveries > 0 {
		own := text(stream.Bytes()) == c.dead
		for _, a := range also {
			own = own || text(a.Bytes()) == c.dead
		}
		if own {
			return nil, errOwnDead
		}
	}
	return also, o.Err()
}

// otherKey checks a stream that the server could not: it stands behind an
// option. Declaring it there would be worse than not: a client could write its
// arguments so that the server finds no keys at all, and checks none.
func otherKey(ctx *redismodule.Ctx, stream, other redismodule.Arg, use redismodule.KeyFlags) error {
	if err := oneSlot(ctx, stream, other); err != nil {
		return err
	}
	if !ctx.KeyAllowed(other.Bytes(), use) {
		return redismodule.ErrNoPermission
	}
	return isStream(ctx, other)
}

// oneSlot refuses, in a cluster, streams of different slots. The server does so by
// itself only for keys that stand together, whatever the key specs say.
func oneSlot(ctx *redismodule.Ctx, stream redismodule.Arg, others ...redismodule.Arg) error {
	if ctx.Flags()&redismodule.FlagCluster == 0 {
		return nil
	}
	for _, o := range others {
		if !slot.Same(stream.Bytes(), o.Bytes()) {
			return redismodule.Error("CROSSSLOT Keys in request don't hash to the same slot")
		}
	}
	return nil
}

// consumeOne serves the usual case, passing the server's reply through where it
// is the whole answer.
func (s *state) consumeOne(ctx *redismodule.Ctx, c *claim, stream redismodule.Arg, wait bool, block int64) error {
	g := s.group(ctx, text(stream.Bytes()), c.group)
	s.asked(g, c)
	var n int
	var err error
	paused := false
	now := int64(0)
	if c.lease > 0 { // else it is not asked for
		now = ctx.Now()
	}
	if !wait || c.resume || !g.Empty(c.lease, now) {
		if paused = !s.settle(ctx, g); !paused {
			n, err = s.take(ctx, g, c, c.count)
		}
	}
	if n == 0 {
		s.tidy(ctx, g.Queue.Stream)
	}
	switch {
	case err != nil:
		return err
	case n == 0 && wait && ctx.CanBlock():
		err = s.block(ctx, c, block, []*dispatch.Group{g}, paused)
	case n == 0:
		ctx.ReplyNullArray()
	case len(s.taken.chunks) == 1 && s.taken.whole.Raw() != nil:
		ctx.ReplyLast(s.taken.takeWhole())
		s.openTake(g, c)
	default:
		ctx.ReplyArray(1)
		replyTasks(ctx, stream.Bytes(), s.taken.chunks)
	}
	s.rearm(ctx)
	return err
}

// asked notes what a consumer of the group says of its tasks.
func (s *state) asked(g *dispatch.Group, c *claim) {
	g.NameDead(c.dead)
	if c.lease > 0 {
		g.Lease = c.lease
	}
}

func (s *state) consumeMany(ctx *redismodule.Ctx, c *claim, streams []redismodule.Arg, wait bool, block int64) error {
	type part struct {
		paused   bool
		from, to int // in taken.chunks
	}
	// A stream that fails would leave tasks of the ones before it
	// delivered to nobody: so look first.
	if err := isStream(ctx, streams[0]); err != nil {
		return err
	}
	parts := make([]part, len(streams))
	groups := make([]*dispatch.Group, len(streams))
	for i, stream := range streams {
		groups[i] = s.group(ctx, text(stream.Bytes()), c.group)
		s.asked(groups[i], c)
		parts[i].paused = !s.settle(ctx, groups[i])
	}
	total, gave := 0, 0
	var err error
	for i := range parts {
		if parts[i].paused || total == c.count {
			continue
		}
		parts[i].from = len(s.taken.chunks)
		n, failed := s.take(ctx, groups[i], c, c.count-total)
		if failed != nil && total == 0 {
			return failed
		}
		if n > 0 {
			parts[i].to = len(s.taken.chunks)
			total += n
			gave++
		}
	}
	switch {
	case total > 0:
		ctx.ReplyArray(gave)
		for i, p := range parts {
			if p.to > p.from {
				replyTasks(ctx, streams[i].Bytes(), s.taken.chunks[p.from:p.to])
			}
		}
	case wait && ctx.CanBlock():
		err = s.block(ctx, c, block, groups, slices.ContainsFunc(parts, func(p part) bool { return p.paused }))
	default:
		ctx.ReplyNullArray()
	}
	s.rearm(ctx)
	return err
}

// settle serves who waits already, before a newcomer can overtake them. It tells
// whether there is anything to take at all: a paused stream gives nothing.
func (s *state) settle(ctx *redismodule.Ctx, g *dispatch.Group) bool {
	q := g.Queue
	if s.paused(ctx, q.Stream) {
		return false
	}
	if g.Waiting() > 0 && (s.length(ctx, q.Stream) > 0 || q.Keys.Held() > 0) {
		s.serve(ctx, q, burst)
	}
	return true
}

// replyTasks answers [stream, [[id, [field, value, …]], …]].
func replyTasks(ctx *redismodule.Ctx, stream []byte, chunks []chunk) {
	n := 0
	for _, c := range chunks {
		n += c.n
	}
	ctx.ReplyArray(2)
	ctx.ReplyBytes(stream)
	ctx.ReplyArray(n)
	for _, c := range chunks {
		ctx.ReplyRaw(c.entries)
	}
}
