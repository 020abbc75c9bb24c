package taskqueue

import (
	"bytes"
	"strconv"

	"holdfast/modules/syntax"
	"holdfast/redismodule"
)

// redriveMost is the default of COUNT. redriveBatch is how many entries are read at a
// time: they may be large.
const (
	redriveMost  = 1000
	redriveBatch = 100
)

// redriving holds the arguments of TASK.REDRIVE.
type redriving struct {
	dead    redismodule.Arg
	ids     []redismodule.Arg
	count   int64 // 0: not given
	to      redismodule.Arg
	onward  bool // whether TO was given
	payload redismodule.Arg
	repair  bool // whether PAYLOAD was given
}

// redrive is TASK.REDRIVE dead_stream [IDS n id … | COUNT n] [TO stream] [PAYLOAD p].
func redrive(ctx *redismodule.Ctx, args []redismodule.Arg) error {
	s := &tasks
	if err := isStream(ctx, args[1]); err != nil {
		return err
	}
	r, err := redriveOptions(ctx, args)
	if err != nil {
		return err
	}
	var moved int64
	if r.ids != nil {
		moved, err = s.redriveIDs(ctx, &r)
	} else {
		moved, err = s.redriveFirst(ctx, &r)
	}
	if err != nil {
		return redriveError(moved, err)
	}
	ctx.ReplyInt(moved)
	s.rearm(ctx)
	return nil
}

func redriveOptions(ctx *redismodule.Ctx, args []redismodule.Arg) (r redriving, err error) {
	r.dead = args[1]
	o := syntax.NewOptions(args[2:])
	for o.Next() {
		switch {
		case o.Is("IDS") && r.ids == nil && r.count == 0:
			var n int64
			if n, err = syntax.Int(o.Value(), 1, 1<<31); err == nil {
				r.ids = o.Values(n)
			}
		case o.Is("COUNT") && r.count == 0 && r.ids == nil:
			r.count, err = syntax.Int(o.Value(), 1, 1<<62)
		case o.Is("TO") && !r.onward:
			r.onward, r.to = true, o.Value()
			if o.Err() == nil {
				err = otherKey(ctx, r.dead, r.to, redismodule.KeyInsert)
			}
		case o.Is("PAYLOAD") && !r.repair:
			r.repair, r.payload = true, o.Value()
		default:
			o.Unknown()
		}
		if e := o.Err(); e != nil {
			return r, e
		}
		if err != nil {
			return r, err
		}
	}
	if r.repair && len(r.ids) != 1 {
		return r, redismodule.Error("ERR PAYLOAD repairs one task: name it by IDS 1 id")
	}
	return r, nil
}

// redriveIDs moves the tasks that IDS names, by their own ids or those of their entries.
func (s *state) redriveIDs(ctx *redismodule.Ctx, r *redriving) (moved int64, err error) {
	dead := text(r.dead.Bytes())
	for _, a := range r.ids {
		entry := s.entryOf(ctx, dead, a.Bytes())
		if entry == "" {
			continue
		}
		did, err := s.moveBack(ctx, r, view(entry))
		if err != nil {
			return moved, err
		}
		if did {
			moved++
		}
	}
	return moved, nil
}

// entryOf reads a task's entry into s.source and returns the entry's id, or "" when the
// stream holds none. name is as in placesOf.
func (s *state) entryOf(ctx *redismodule.Ctx, stream string, name []byte) string {
	for _, at := range s.placesOf(ctx, stream, name) {
		if s.source.read(ctx, stream, text(at)) {
			return text(at)
		}
	}
	return ""
}

// redriveFirst moves the tasks at the beginning of the dead stream.
func (s *state) redriveFirst(ctx *redismodule.Ctx, r *redriving) (moved int64, err error) {
	left, from := r.count, []byte("-")
	if left == 0 {
		left = redriveMost
	}
	left = min(left, maxCount)
	for n := redriveBatch; left > 0 && n == redriveBatch; left -= int64(n) {
		list := ctx.Cmd("XRANGE").Arg(r.dead).Bytes(from).Str("+").Str("COUNT").Int(min(left, redriveBatch)).Call("")
		err := failure(list)
		p := read(list.Raw())
		for n = max(p.Array(), 0); err == nil && p.More(); {
			id := s.source.parse(p.Skip())
			from = append(append(from[:0], '('), id...)
			var did bool
			if did, err = s.moveBack(ctx, r, from[1:]); did {
				moved++
			}
		}
		list.Free()
		if err != nil {
			return moved, err
		}
	}
	return moved, nil
}

// moveBack moves the dead task in s.source to the stream that its entry or TO names, where
// it begins anew with its id and history. It returns false when neither names one.
func (s *state) moveBack(ctx *redismodule.Ctx, r *redriving, id []byte) (bool, error) {
	dead, target := text(r.dead.Bytes()), text(r.to.Bytes())
	if !r.onward {
		target = text(s.source.field([]byte(deadStream)))
		// Anyone may have written the entry, so the caller needs the permission.
		if target != "" && !ctx.KeyAllowed(view(target), redismodule.KeyInsert) {
			return false, redismodule.ErrNoPermission
		}
	}
	if target == "" || target == dead {
		return false, nil
	}
	payload := s.source.field(fieldPayload)
	if r.repair {
		payload = r.payload.Bytes()
	}
	l := s.source.moved(text(id))
	if s.source.task == nil {
		if first := s.source.field([]byte(deadID)); first != nil {
			// The version before buried it and noted no task_id.
			l.task = first
		}
	}
	l.failure = nil
	if !bytes.Equal(s.source.field([]byte(deadStream)), view(target)) {
		l.unique, l.undone = nil, false // a unique id belongs to its stream
	}
	fields := append(s.compose(payload, s.source.timestamp(ctx), 0, l), s.source.headers()...)
	if _, err := s.put(ctx, target, 0, fields); err != nil {
		return false, err
	}
	s.leftFrom(ctx, dead, s.source.task, id)
	if err := ctx.Cmd("XDEL").Arg(r.dead).Bytes(id).Do(""); err != nil {
		return false, err
	}
	s.stats.redriven++
	s.published(ctx, target, 1)
	return true, nil
}

// redriveError adds to the error that stopped a redrive how many tasks had been moved.
func redriveError(moved int64, err error) error {
	if moved == 0 {
		return err
	}
	return redismodule.Error(err.Error() + " (after " + strconv.FormatInt(moved, 10) + " tasks were moved)")
}
