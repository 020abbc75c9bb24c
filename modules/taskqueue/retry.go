package taskqueue

import (
	"math/rand/v2"

	"holdfast/modules/internal/dispatch"
	"holdfast/modules/syntax"
	"holdfast/redismodule"
)

// wait is how long a retry waits: DELAY ms, or BACKOFF base max, all in milliseconds.
type wait struct{ delay, base, limit int64 }

// option reads DELAY or BACKOFF and reports whether o is at one of them. A command takes
// one of the two.
func (w *wait) option(ctx *redismodule.Ctx, o *syntax.Options, command string) (is bool, err error) {
	switch {
	case *w != wait{}:
		return false, nil
	case o.Is("DELAY"):
		w.delay, err = syntax.Delay(o.Value(), command, ctx.Now())
	case o.Is("BACKOFF"):
		if w.base, err = syntax.Millis(o.Value(), command, ctx.Now()); err == nil {
			w.limit, err = syntax.Millis(o.Value(), command, ctx.Now())
		}
	default:
		return false, nil
	}
	if err == nil && o.Err() == nil && max(w.delay, w.limit) > latest-ctx.Now() {
		_, err = dueAt(ctx, latest, command)
	}
	return true, err
}

// until returns when the next try is due, in unix milliseconds. retries is how many there
// were before.
func (w wait) until(ctx *redismodule.Ctx, retries int64) int64 {
	if w.base > 0 {
		return ctx.Now() + dispatch.Backoff(w.base, w.limit, retries, rand.Uint64())
	}
	return ctx.Now() + w.delay
}

// retry is TASK.RETRY stream id payload retry_count retry_stream dead_stream
// max_retries [GROUP g [CONSUMER c]] [DELAY ms | BACKOFF base_ms max_ms]
// [REASON text] [WITHID].
func retry(ctx *redismodule.Ctx, args []redismodule.Arg) error {
	s := &tasks
	const command = "task.retry"
	stream, payload, to, dead := text(args[1].Bytes()), args[3], args[5], args[6]
	retries, err := syntax.Int(args[4], 0, 1<<62)
	if err != nil {
		return err
	}
	most, err := syntax.Int(args[7], 0, 1<<62)
	if err != nil {
		return err
	}
	id, err := fullID(args[2])
	if err != nil {
		return err
	}
	d := death{reason: reasonRetries, stream: stream, id: id}
	var w wait
	var owner []string
	reason := ""
	grouped, reasoned, withID := false, false, false
	o := syntax.NewOptions(args[8:])
	for o.Next() {
		switch {
		case o.Is("GROUP") && !grouped:
			grouped, d.group = true, text(o.Value().Bytes())
		case o.Is("CONSUMER") && grouped && owner == nil:
			d.consumer = text(o.Value().Bytes())
			owner = []string{d.consumer}
		case o.Is("REASON") && !reasoned:
			reasoned, reason = true, text(o.Value().Bytes())
			d.reason = reason
		case o.Is("WITHID") && !withID:
			withID = true
		default:
			is, e := w.option(ctx, &o, command)
			if err = e; !is {
				o.Unknown()
			}
		}
		if e := o.Err(); e != nil {
			return e
		}
		if err != nil {
			return err
		}
	}
	if err := oneSlot(ctx, args[1], to, dead); err != nil {
		return err
	}
	for _, key := range []redismodule.Arg{args[1], to, dead} {
		if err := isStream(ctx, key); err != nil {
			return err
		}
	}
	if grouped {
		t, ok := s.pending(ctx, stream, d.group, d.id, owner...)
		if !ok {
			ctx.ReplyNull()
			return nil
		}
		d.deliveries = t.deliveries
	}
	s.source.read(ctx, stream, d.id)
	l := s.source.tried(ctx, d.id, d.consumer, reason)
	if retries >= most {
		target := text(dead.Bytes())
		new, err := s.die(ctx, target, payload.Bytes(), retries, l, d)
		return s.retried(ctx, d, grouped, "DEAD", target, new, withID, err)
	}
	target := text(to.Bytes())
	if target != stream {
		l.unique, l.undone = nil, false // a unique id belongs to its stream
	}
	fields := append(s.compose(payload.Bytes(), s.source.timestamp(ctx), retries+1, l), s.source.headers()...)
	new, err := s.putBack(ctx, target, w.until(ctx, retries), fields)
	return s.retried(ctx, d, grouped, "RETRY", target, new, withID, err)
}

// retried ends RETRY and NACK after the task was added to the stream to: it acknowledges
// the entry that was tried, replies, and serves consumers that wait in to. All of it is
// one step for replicas and the append-only file.
func (s *state) retried(ctx *redismodule.Ctx, d death, acknowledge bool, outcome, to string, id []byte, withID bool, err error) error {
	if err != nil {
		return err
	}
	if acknowledge {
		if err := s.ackOwn(ctx, d.stream, d.group, d.id); err != nil {
			return err
		}
		if to != d.stream {
			s.leftFrom(ctx, d.stream, s.source.task, view(d.id))
		}
	}
	switch outcome {
	case "DEAD":
		s.stats.dead++
		s.counted(ctx.DB(), d.stream).dead++
	case "RETRY":
		s.stats.retried++
		s.counted(ctx.DB(), d.stream).retried++
	}
	if withID {
		ctx.ReplyArray(2)
		ctx.ReplyString(outcome)
		ctx.ReplyBytes(id)
	} else {
		ctx.ReplySimple("OK")
	}
	s.published(ctx, to, 1)
	s.feed(ctx, d.stream)
	s.rearm(ctx)
	return nil
}

// isStream returns WRONGTYPE when the key holds another type than a stream.
func isStream(ctx *redismodule.Ctx, key redismodule.Arg) error {
	if kind := ctx.TypeOf(key); kind != redismodule.TypeNone && kind != redismodule.TypeStream {
		return redismodule.ErrWrongType
	}
	return nil
}
