package taskqueue

import (
	"math/rand/v2"

	"holdfast/internal/dispatch"
	"holdfast/modules/syntax"
	"holdfast/redismodule"
)

// wait is how long a retry waits: DELAY ms, or BACKOFF base max.
type wait struct{ delay, base, limit int64 }

// option reads DELAY or BACKOFF if o stands at one; the two exclude each other.
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

// until is when a task retried so many times before is due again.
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
			reasoned, d.reason = true, text(o.Value().Bytes())
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
	timestamp := s.source.timestamp(ctx)
	if retries >= most {
		new, err := s.die(ctx, text(dead.Bytes()), payload.Bytes(), timestamp, retries, d)
		return s.retried(ctx, d, grouped, "DEAD", text(dead.Bytes()), new, withID, err)
	}
	fields := append(s.task(payload.Bytes(), timestamp, retries+1), s.source.headers()...)
	new, err := s.put(ctx, text(to.Bytes()), w.until(ctx, retries), fields)
	return s.retried(ctx, d, grouped, "RETRY", text(to.Bytes()), new, withID, err)
}

// retried ends RETRY and NACK: the task has been added elsewhere, so in the same
// step its source is acknowledged, and who waits for the new one is served.
func (s *state) retried(ctx *redismodule.Ctx, d death, acknowledge bool, outcome, to string, id []byte, withID bool, err error) error {
	if err != nil {
		return err
	}
	if acknowledge {
		if err := s.ackOwn(ctx, d.stream, d.group, d.id); err != nil {
			return err
		}
	}
	if outcome == "DEAD" {
		s.stats.dead++
	} else {
		s.stats.retried++
	}
	if withID {
		ctx.ReplyArray(2)
		ctx.ReplyString(outcome)
		ctx.ReplyBytes(id)
	} else {
		ctx.ReplySimple("OK")
	}
	s.published(ctx, to, 1)
	s.rearm(ctx)
	return nil
}

// nack is TASK.NACK stream group consumer id [DELAY ms | BACKOFF base_ms max_ms]
// [MAXRETRIES n DEAD stream] [REASON text].
func nack(ctx *redismodule.Ctx, args []redismodule.Arg) error {
	s := &tasks
	const command = "task.nack"
	id, err := fullID(args[4])
	if err != nil {
		return err
	}
	d := death{
		stream: text(args[1].Bytes()), group: text(args[2].Bytes()), consumer: text(args[3].Bytes()),
		id: id, reason: reasonRetries,
	}
	var w wait
	var dead redismodule.Arg
	most, reasoned := int64(-1), false
	o := syntax.NewOptions(args[5:])
	for o.Next() {
		var err error
		switch {
		case o.Is("MAXRETRIES") && most < 0:
			if most, err = syntax.Int(o.Value(), 0, 1<<62); err != nil {
				break
			}
			if !o.Next() || !o.Is("DEAD") {
				return redismodule.ErrSyntax
			}
			if dead = o.Value(); o.Err() == nil {
				err = otherKey(ctx, args[1], dead, redismodule.KeyInsert)
			}
			if text(dead.Bytes()) == d.stream && err == nil {
				err = errOwnDead
			}
		case o.Is("REASON") && !reasoned:
			reasoned, d.reason = true, text(o.Value().Bytes())
		default:
			var is bool
			if is, err = w.option(ctx, &o, command); !is {
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
	if err := isStream(ctx, args[1]); err != nil {
		return err
	}
	t, ok := s.pending(ctx, d.stream, d.group, d.id, d.consumer)
	if !ok {
		ctx.ReplyNullArray()
		return nil
	}
	d.deliveries = t.deliveries
	if !s.source.read(ctx, d.stream, d.id) {
		// Its entry was trimmed or deleted: there is nothing left to retry.
		if g := s.known(ctx, args[1], args[2]); g != nil {
			s.lose(g, 1)
		}
		if err := ctx.Cmd("XACK").Str(d.stream).Str(d.group).Str(d.id).Do(""); err != nil {
			return err
		}
		ctx.ReplyNullArray()
		return nil
	}
	retries := s.source.retries()
	if most >= 0 && retries >= most {
		new, err := s.die(ctx, text(dead.Bytes()), s.source.field(fieldPayload), s.source.timestamp(ctx), retries, d)
		return s.retried(ctx, d, true, "DEAD", text(dead.Bytes()), new, true, err)
	}
	fields := append(s.task(s.source.field(fieldPayload), s.source.timestamp(ctx), retries+1), s.source.headers()...)
	new, err := s.put(ctx, d.stream, w.until(ctx, retries), fields)
	return s.retried(ctx, d, true, "RETRY", d.stream, new, true, err)
}

func isStream(ctx *redismodule.Ctx, key redismodule.Arg) error {
	k := ctx.Look(key)
	defer k.Close()
	if k.Type != redismodule.TypeNone && k.Type != redismodule.TypeStream {
		return redismodule.ErrWrongType
	}
	return nil
}
