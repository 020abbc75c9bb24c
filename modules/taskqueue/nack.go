package taskqueue

import (
	"holdfast/modules/syntax"
	"holdfast/redismodule"
)

// nacking holds the options of TASK.NACK.
type nacking struct {
	wait
	most   int64 // retries before the task is buried; negative: never
	dead   string
	to     string // the stream that gets the next try
	reason string
	said   bool // whether REASON was given
	snooze bool // NOCOUNT
}

// nack is TASK.NACK stream group consumer id [DELAY ms | BACKOFF base_ms max_ms]
// [MAXRETRIES n DEAD stream] [REASON text] [NOCOUNT] [TO stream].
func nack(ctx *redismodule.Ctx, args []redismodule.Arg) error {
	s := &tasks
	id, err := fullID(args[4])
	if err != nil {
		return err
	}
	n, err := nackOptions(ctx, args)
	if err != nil {
		return err
	}
	if err := isStream(ctx, args[1]); err != nil {
		return err
	}
	d := death{reason: reasonRetries, stream: text(args[1].Bytes()), group: text(args[2].Bytes()), consumer: text(args[3].Bytes()), id: id}
	if n.said {
		d.reason = n.reason
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
		s.gone(ctx, s.keyed(ctx, d.stream), false, redismodule.Text(view(d.id)))
		s.feed(ctx, d.stream)
		return nil
	}
	retries := s.source.retries()
	payload := s.source.field(fieldPayload)
	if n.snooze {
		return s.nacked(ctx, n, d, payload, retries, retries, s.source.moved(d.id))
	}
	l := s.source.tried(ctx, d.id, d.consumer, n.reason)
	if n.most >= 0 && retries >= n.most {
		new, err := s.die(ctx, n.dead, payload, retries, l, d)
		return s.retried(ctx, d, true, "DEAD", n.dead, new, true, err)
	}
	return s.nacked(ctx, n, d, payload, retries, retries+1, l)
}

// nacked publishes the task in s.source again, with a retry_count of retries. before is
// its present retry_count, by which BACKOFF waits.
func (s *state) nacked(ctx *redismodule.Ctx, n nacking, d death, payload []byte, before, retries int64, l life) error {
	if n.to != d.stream {
		l.unique, l.undone = nil, false // a unique id belongs to its stream
	}
	fields := append(s.compose(payload, s.source.timestamp(ctx), retries, l), s.source.headers()...)
	new, err := s.putBack(ctx, n.to, n.until(ctx, before), fields)
	return s.retried(ctx, d, true, "RETRY", n.to, new, true, err)
}

func nackOptions(ctx *redismodule.Ctx, args []redismodule.Arg) (n nacking, err error) {
	stream := text(args[1].Bytes())
	n.most, n.to = -1, stream
	onward := false
	// other reads a stream behind an option.
	other := func(o *syntax.Options) string {
		a := o.Value()
		if o.Err() == nil && text(a.Bytes()) != stream {
			err = otherKey(ctx, args[1], a, redismodule.KeyInsert)
		}
		return text(a.Bytes())
	}
	o := syntax.NewOptions(args[5:])
	for o.Next() {
		switch {
		case o.Is("MAXRETRIES") && n.most < 0:
			if n.most, err = syntax.Int(o.Value(), 0, 1<<62); err != nil {
				break
			}
			if !o.Next() || !o.Is("DEAD") {
				return n, redismodule.ErrSyntax
			}
			if n.dead = other(&o); n.dead == stream && err == nil {
				err = errOwnDead
			}
		case o.Is("TO") && !onward:
			onward, n.to = true, other(&o)
		case o.Is("REASON") && !n.said:
			n.said, n.reason = true, text(o.Value().Bytes())
		case o.Is("NOCOUNT") && !n.snooze:
			n.snooze = true
		default:
			var is bool
			if is, err = n.option(ctx, &o, "task.nack"); !is {
				o.Unknown()
			}
		}
		if e := o.Err(); e != nil {
			return n, e
		}
		if err != nil {
			return n, err
		}
	}
	return n, nil
}
