package taskqueue

import (
	"strconv"

	"holdfast/internal/dispatch"
	"holdfast/modules/syntax"
	"holdfast/redismodule"
)

// publish is TASK.PUBLISH stream payload [retry_count] [DELAY ms | AT unix_ms]
// [UNIQUE id ttl_ms] [LIMIT n] [HEADERS count name value …].
func publish(ctx *redismodule.Ctx, args []redismodule.Arg) error {
	s := &tasks
	stream, payload, opts := args[1], args[2], args[3:]
	retries := int64(0)
	if len(opts) > 0 {
		if n, ok := opts[0].Int(); ok {
			if n < 0 {
				return redismodule.ErrNotInteger
			}
			retries, opts = n, opts[1:]
		} else if !isPublishOption(opts[0]) {
			return redismodule.ErrNotInteger
		}
	}
	if len(opts) == 0 {
		return s.publishPlain(ctx, stream, payload, retries)
	}
	p, err := publishOptions(ctx, opts)
	if err != nil {
		return err
	}
	return s.publishWith(ctx, stream, payload, retries, p)
}

func isPublishOption(a redismodule.Arg) bool {
	return a.Is("DELAY") || a.Is("AT") || a.Is("UNIQUE") || a.Is("LIMIT") || a.Is("HEADERS")
}

// publishPlain is the usual case: nothing but XADD and whoever waits.
func (s *state) publishPlain(ctx *redismodule.Ctx, stream, payload redismodule.Arg, retries int64) error {
	cmd := ctx.Cmd("XADD").Arg(stream).Arg(words.star).Arg(words.payload).Arg(payload).
		Arg(words.timestamp).Int(ctx.Now() / 1000).Arg(words.retries)
	if retries == 0 {
		cmd.Arg(words.zero)
	} else {
		cmd.Int(retries)
	}
	r := cmd.Call("")
	if err := failure(r); err != nil {
		r.Free()
		return err
	}
	s.stats.published++
	ctx.ReplyLast(r)
	s.published(ctx, text(stream.Bytes()), 1)
	return nil
}

type publishing struct {
	at      int64 // when it is due; 0: now
	unique  redismodule.Arg
	ttl     int64 // of unique; 0: there is none
	limit   int64 // 0: none
	headers []redismodule.Arg
}

func publishOptions(ctx *redismodule.Ctx, opts []redismodule.Arg) (p publishing, err error) {
	o := syntax.NewOptions(opts)
	timed, headed := false, false
	for o.Next() {
		switch {
		case o.Is("DELAY") && !timed:
			timed = true
			var ms int64
			if ms, err = syntax.Delay(o.Value(), "task.publish", ctx.Now()); ms > 0 {
				p.at, err = dueAt(ctx, ms, "task.publish")
			}
		case o.Is("AT") && !timed:
			timed = true
			p.at, err = syntax.Int(o.Value(), 0, latest)
		case o.Is("UNIQUE") && p.ttl == 0:
			p.unique = o.Value()
			p.ttl, err = syntax.Millis(o.Value(), "task.publish", ctx.Now())
		case o.Is("LIMIT") && p.limit == 0:
			p.limit, err = syntax.Int(o.Value(), 1, 1<<62)
		case o.Is("HEADERS") && !headed:
			headed = true
			var n int64
			if n, err = syntax.Int(o.Value(), 0, 1<<20); err != nil {
				break
			}
			p.headers = o.Values(2 * n)
			for i := 0; i < len(p.headers) && err == nil; i += 2 {
				if name := text(p.headers[i].Bytes()); isOwnField(name) {
					err = redismodule.Error("ERR the header name '" + name + "' is a field of the task itself; take another")
				}
			}
		default:
			o.Unknown()
		}
		if e := o.Err(); e != nil {
			return p, e
		}
		if err != nil {
			return p, err
		}
	}
	return p, nil
}

// latest is the latest time a task can be due: sorted sets keep scores exact up
// to 2^53, in milliseconds the year 287396.
const latest = 1 << 53

func dueAt(ctx *redismodule.Ctx, ms int64, command string) (int64, error) {
	if ms > latest-ctx.Now() {
		return 0, redismodule.Error("ERR invalid expire time in '" + command + "' command")
	}
	return ctx.Now() + ms, nil
}

func (s *state) publishWith(ctx *redismodule.Ctx, stream, payload redismodule.Arg, retries int64, p publishing) error {
	name := text(stream.Bytes())
	k := ctx.Look(stream)
	kind, length := k.Type, int64(k.Len())
	k.Close()
	if kind != redismodule.TypeNone && kind != redismodule.TypeStream {
		return redismodule.ErrWrongType
	}
	var unique []byte
	if p.ttl > 0 {
		key, err := s.needSideKey(name, uniqueKey)
		if err != nil {
			return err
		}
		unique = append(append(unique, key...), p.unique.Bytes()...)
		k := ctx.Look(redismodule.Text(unique))
		id, _ := k.String(nil)
		k.Close()
		switch k.Type {
		case redismodule.TypeString:
			ctx.ReplyBytes(id)
			return nil
		case redismodule.TypeNone:
		default:
			return redismodule.ErrWrongType
		}
	}
	if p.limit > 0 && length >= p.limit {
		return redismodule.Error("QUEUEFULL the stream holds " + strconv.FormatInt(length, 10) + " entries, the limit is " + strconv.FormatInt(p.limit, 10))
	}
	fields := s.task(payload.Bytes(), ctx.Now()/1000, retries)
	for _, h := range p.headers {
		fields = append(fields, h.Bytes())
	}
	id, err := s.put(ctx, name, p.at, fields)
	if err != nil {
		return err
	}
	if p.ttl > 0 {
		if err := ctx.Cmd("SET").Bytes(unique).Bytes(id).Str("PX").Int(p.ttl).Do(""); err != nil {
			return err
		}
	}
	s.stats.published++
	ctx.ReplyBytes(id)
	if p.at <= ctx.Now() {
		s.published(ctx, name, 1)
	}
	s.rearm(ctx)
	return nil
}

// task begins the fields of an entry; they are scratch, as are the numbers in
// them.
func (s *state) task(payload []byte, timestamp, retries int64) [][]byte {
	s.member = strconv.AppendInt(s.member[:0], timestamp, 10)
	n := len(s.member)
	s.member = strconv.AppendInt(s.member, retries, 10)
	s.fields = append(s.fields[:0], fieldPayload, payload, fieldTimestamp, s.member[:n:n], fieldRetries, s.member[n:len(s.member):len(s.member)])
	return s.fields
}

// put adds a task to the stream, or to its delayed ones when it is due later
// than now. The id it answers is a copy.
func (s *state) put(ctx *redismodule.Ctx, stream string, at int64, fields [][]byte) ([]byte, error) {
	if at > ctx.Now() {
		return s.schedule(ctx, stream, at, fields)
	}
	cmd := ctx.Cmd("XADD").Str(stream).Str("*")
	for _, f := range fields {
		cmd.Bytes(f)
	}
	r := cmd.Call("")
	defer r.Free()
	if err := failure(r); err != nil {
		return nil, err
	}
	p := read(r.Raw())
	return append([]byte(nil), p.Bytes()...), nil
}

// mpublish is TASK.MPUBLISH stream payload [payload …].
func mpublish(ctx *redismodule.Ctx, args []redismodule.Arg) error {
	s := &tasks
	stream, payloads := args[1], args[2:]
	k := ctx.Look(stream)
	kind := k.Type
	k.Close()
	if kind != redismodule.TypeNone && kind != redismodule.TypeStream {
		return redismodule.ErrWrongType
	}
	ctx.ReplyArrayLater()
	done := 0
	for _, payload := range payloads {
		r := ctx.Cmd("XADD").Arg(stream).Arg(words.star).Arg(words.payload).Arg(payload).
			Arg(words.timestamp).Int(ctx.Now() / 1000).Arg(words.retries).Arg(words.zero).Call("")
		// Ids can run out; then the error stands where the id would.
		if failure(r) == nil {
			done++
		}
		ctx.Reply(r)
		r.Free()
	}
	ctx.EndArray(len(payloads))
	s.stats.published += int64(done)
	s.published(ctx, text(stream.Bytes()), done)
	return nil
}

// cancel is TASK.CANCEL stream task_id.
func cancel(ctx *redismodule.Ctx, args []redismodule.Arg) error {
	s := &tasks
	stream, id := text(args[1].Bytes()), args[2].Bytes()
	key, ok := s.sideKey(stream, delayedKey)
	due, is := dispatch.DueOf(id)
	if !ok || !is {
		ctx.ReplyInt(0)
		return nil
	}
	member, err := findMember(ctx, key, due, id)
	if err != nil {
		return err
	}
	if member == nil {
		ctx.ReplyInt(0)
		return nil
	}
	if err := ctx.Cmd("ZREM").Bytes(key).Bytes(member).Do(""); err != nil {
		return err
	}
	if q := s.table.Find(ctx.DB(), view(stream)); q != nil {
		s.findDelayed(ctx, q)
		s.table.Looked(q)
		s.rearm(ctx)
	}
	ctx.ReplyInt(1)
	return nil
}
