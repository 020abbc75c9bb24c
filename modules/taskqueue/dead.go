package taskqueue

import (
	"bytes"
	"strconv"

	"holdfast/internal/dispatch"
	"holdfast/modules/syntax"
	"holdfast/redismodule"
)

// The fields of every task, in this order, before its headers.
var (
	fieldPayload   = []byte("payload")
	fieldTimestamp = []byte("timestamp")
	fieldRetries   = []byte("retry_count")
)

// The fields that say why a dead task is dead and where it came from. They stand
// between the task's own and its headers, so that it can be redriven whole.
const (
	deadReason     = "reason"
	deadStream     = "origin_stream"
	deadGroup      = "origin_group"
	deadConsumer   = "origin_consumer"
	deadID         = "origin_id"
	deadFirst      = "first_timestamp" // unix seconds of its first publication
	deadDeliveries = "deliveries"
	deadAt         = "failed_at" // unix seconds
)

const (
	reasonRetries    = "retries exhausted"
	reasonDeliveries = "deliveries exhausted"
)

const errOwnDead redismodule.Error = "ERR a stream cannot be its own dead stream"

// isOwnField tells whether a field is one the module writes; no header may have
// its name.
func isOwnField(name string) bool {
	switch name {
	case "payload", "timestamp", "retry_count",
		deadReason, deadStream, deadGroup, deadConsumer, deadID, deadFirst, deadDeliveries, deadAt:
		return true
	}
	return false
}

// source is an entry that was read, in memory of its own: it outlives the reply
// and whatever is done to the stream. It is reused.
type source struct {
	raw    []byte
	fields [][]byte // names and values in turn
}

// read reads one entry; what is not there has no fields.
func (e *source) read(ctx *redismodule.Ctx, stream, id string) bool {
	e.fields = e.fields[:0]
	r := ctx.Cmd("XRANGE").Str(stream).Str(id).Str(id).Call("")
	defer r.Free()
	p := read(r.Raw())
	if failure(r) != nil || p.Array() != 1 {
		return false
	}
	e.parse(p.Rest())
	return true
}

// parse takes an entry as it stands in a reply and answers its id.
func (e *source) parse(entry []byte) (id []byte) {
	if cap(e.raw) > 1<<20 {
		e.raw = nil // one huge entry should not cost its size for ever
	}
	e.raw = append(e.raw[:0], entry...)
	e.fields = e.fields[:0]
	p := read(e.raw)
	p.Array()
	id = p.Bytes()
	for range p.Array() {
		e.fields = append(e.fields, p.Bytes())
	}
	return id
}

// field is the value of a field, nil when there is none.
func (e *source) field(name []byte) []byte {
	for i := 0; i+1 < len(e.fields); i += 2 {
		if bytes.Equal(e.fields[i], name) {
			return e.fields[i+1]
		}
	}
	return nil
}

func (e *source) number(name []byte) (int64, bool) { return redismodule.ParseInt(e.field(name)) }

// timestamp is when the task was first published: it stays through all retries.
// An entry that has none, or is gone, counts from now.
func (e *source) timestamp(ctx *redismodule.Ctx) int64 {
	if t, ok := e.number(fieldTimestamp); ok {
		return t
	}
	return ctx.Now() / 1000
}

func (e *source) retries() int64 {
	n, _ := e.number(fieldRetries)
	return max(n, 0)
}

// headers are the fields that are neither the task's own nor a dead one's; of
// an entry of someone else's making, all of them.
func (e *source) headers() (h [][]byte) {
	for i := 0; i+1 < len(e.fields); i += 2 {
		if !isOwnField(text(e.fields[i])) {
			h = append(h, e.fields[i], e.fields[i+1])
		}
	}
	return h
}

// death is where a dead task came from, as far as it is known.
type death struct {
	reason, stream, group, consumer, id string
	deliveries                          int64
}

// die adds a task to a dead stream; its headers are those of the source.
func (s *state) die(ctx *redismodule.Ctx, dead string, payload []byte, timestamp, retries int64, d death) ([]byte, error) {
	fields := s.task(payload, timestamp, retries)
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

// bury moves a pending task to a dead stream, in one step. One that cannot be
// buried, because the key is no stream, stays where it is, and the answer is
// false.
func (s *state) bury(ctx *redismodule.Ctx, g *dispatch.Group, dead string, t pending, reason string) bool {
	stream, id := g.Queue.Stream, text(t.id)
	if !s.source.read(ctx, stream, id) {
		s.lose(g, 1)
		return ctx.Cmd("XACK").Str(stream).Str(g.Name).Str(id).Do("") == nil
	}
	d := death{reason, stream, g.Name, string(t.owner), string(t.id), t.deliveries}
	if _, err := s.die(ctx, dead, s.source.field(fieldPayload), s.source.timestamp(ctx), s.source.retries(), d); err != nil {
		return false
	}
	_ = s.ackOwn(ctx, stream, g.Name, id)
	s.stats.dead++
	// Whoever waits for dead tasks is served from the timer: the haul may hold
	// what is being taken for someone else.
	if q := s.table.Find(ctx.DB(), view(dead)); q != nil {
		q.Added(1)
		s.table.LookAt(q, ctx.Now())
	}
	return true
}

// redriveMost is how many tasks REDRIVE moves when it is not told, and
// redriveBatch how many it reads at a time: they may be large.
const (
	redriveMost  = 1000
	redriveBatch = 100
)

// redrive is TASK.REDRIVE dead_stream [COUNT n] [TO stream].
func redrive(ctx *redismodule.Ctx, args []redismodule.Arg) error {
	s := &tasks
	dead := args[1]
	if err := isStream(ctx, dead); err != nil {
		return err
	}
	count, to := int64(0), redismodule.Arg{}
	o := syntax.NewOptions(args[2:])
	for o.Next() {
		var err error
		switch {
		case o.Is("COUNT") && count == 0:
			count, err = syntax.Int(o.Value(), 1, 1<<62)
		case o.Is("TO") && to.Bytes() == nil:
			if to = o.Value(); o.Err() == nil {
				err = otherKey(ctx, dead, to, redismodule.KeyInsert)
			}
		default:
			o.Unknown()
		}
		if e := o.Err(); e != nil {
			return e
		}
		if err != nil {
			return err
		}
	}
	if count == 0 {
		count = redriveMost
	}
	moved, from := int64(0), []byte("-")
	for left, n := min(count, maxCount), redriveBatch; left > 0 && n == redriveBatch; left -= int64(n) {
		r := ctx.Cmd("XRANGE").Arg(dead).Bytes(from).Str("+").Str("COUNT").Int(min(left, redriveBatch)).Call("")
		err := failure(r)
		p := read(r.Raw())
		for n = max(p.Array(), 0); err == nil && p.More(); {
			id := s.source.parse(p.Skip())
			from = append(append(from[:0], '('), id...)
			var did bool
			if did, err = s.moveBack(ctx, dead, to, from[1:]); did {
				moved++
			}
		}
		r.Free()
		if err != nil {
			return redriveError(moved, err)
		}
	}
	ctx.ReplyInt(moved)
	s.rearm(ctx)
	return nil
}

// moveBack moves the dead task that was read last, unless it says nowhere where
// it came from.
func (s *state) moveBack(ctx *redismodule.Ctx, dead, to redismodule.Arg, id []byte) (bool, error) {
	target := text(to.Bytes())
	if to.Bytes() == nil {
		target = text(s.source.field([]byte(deadStream)))
		// The entry may have been written by anyone: the caller needs the right.
		if target != "" && !ctx.KeyAllowed(view(target), redismodule.KeyInsert) {
			return false, redismodule.ErrNoPermission
		}
	}
	if target == "" || target == text(dead.Bytes()) {
		return false, nil
	}
	fields := append(s.task(s.source.field(fieldPayload), s.source.timestamp(ctx), 0), s.source.headers()...)
	if _, err := s.put(ctx, target, 0, fields); err != nil {
		return false, err
	}
	if err := ctx.Cmd("XDEL").Arg(dead).Bytes(id).Do(""); err != nil {
		return false, err
	}
	s.stats.redriven++
	s.published(ctx, target, 1)
	return true, nil
}

// redriveError is the error that stopped a redrive; it does not hide what was
// moved before.
func redriveError(moved int64, err error) error {
	if moved == 0 {
		return err
	}
	return redismodule.Error(err.Error() + " (after " + strconv.FormatInt(moved, 10) + " tasks were moved)")
}
