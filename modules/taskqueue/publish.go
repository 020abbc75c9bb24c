package taskqueue

import (
	"slices"
	"strconv"

	"holdfast/modules/internal/keyed"
	"holdfast/modules/syntax"
	"holdfast/redismodule"
)

// publish is TASK.PUBLISH stream payload [retry_count] [DELAY ms | AT unix_ms]
// [UNIQUE id ttl_ms [UNTIL DONE]] [EXPIRE ms] [LIMIT n] [KEY key [WEIGHT w]]
// [HEADERS count name value …] [WITHSTATUS].
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
	if len(opts) == 2 && opts[0].Is("KEY") && isKey(opts[1].Bytes()) {
		if done, err := s.publishKeyed(ctx, stream, payload, retries, opts[1]); done || err != nil {
			return err
		}
	}
	p, err := publishOptions(ctx, opts)
	if err != nil {
		return err
	}
	return s.publishWith(ctx, stream, payload, retries, p)
}

func isKey(b []byte) bool { return len(b) > 0 && len(b) <= keyMost }

func isPublishOption(a redismodule.Arg) bool {
	return slices.ContainsFunc(publishWords, a.Is)
}

var publishWords = []string{"DELAY", "AT", "UNIQUE", "EXPIRE", "LIMIT", "KEY", "HEADERS", "WITHSTATUS"}

// publishPlain publishes without options: XADD, and the longest waiting consumer is served.
func (s *state) publishPlain(ctx *redismodule.Ctx, stream, payload redismodule.Arg, retries int64) error {
	_, id, err := runAdd(firstEntry(ctx, stream, payload, retries))
	if err != nil {
		return err
	}
	s.stats.published++
	ctx.ReplyBytes(id)
	s.published(ctx, text(stream.Bytes()), 1)
	return nil
}

// firstEntry begins the XADD of a task.
func firstEntry(ctx *redismodule.Ctx, stream, payload redismodule.Arg, retries int64) *redismodule.Cmd {
	cmd := ctx.Cmd("XADD").Arg(stream).Arg(words.star).Arg(words.payload).Arg(payload).
		Arg(words.timestamp).Bytes(tasks.seconds(ctx)).Arg(words.retries)
	if retries == 0 {
		return cmd.Arg(words.zero)
	}
	return cmd.Int(retries)
}

// seconds is the unix time in seconds. The text is made once a second.
func (s *state) seconds(ctx *redismodule.Ctx) []byte {
	if now := ctx.Now() / 1000; now != s.second {
		s.second = now
		s.secondText = strconv.AppendInt(s.secondText[:0], now, 10)
	}
	return s.secondText
}

// publishKeyed publishes with the option KEY alone, unless the task is to be held back: as
// publishWith does, and without copies.
func (s *state) publishKeyed(ctx *redismodule.Ctx, stream, payload redismodule.Arg, retries int64, key redismodule.Arg) (done bool, err error) {
	name := text(stream.Bytes())
	q := s.keyed(ctx, name)
	if q != nil && !s.admit(ctx, q, key.Bytes()) {
		return false, nil
	}
	id, text, err := runAdd(firstEntry(ctx, stream, payload, retries).Arg(words.key).Arg(key))
	if err != nil {
		return false, err
	}
	if q != nil {
		s.entered(ctx, q, key.Bytes(), id)
		s.lend(q, key.Bytes())
	}
	s.stats.published++
	ctx.ReplyBytes(text)
	s.published(ctx, name, 1)
	return true, nil
}

type publishing struct {
	at         int64 // unix ms when the task is due; 0: now
	unique     redismodule.Arg
	ttl        int64 // ms for which unique is held; 0: no unique id
	undone     bool  // unique is held only until the task is done
	expire     int64 // ms from at until the task expires; 0: never
	limit      int64 // entries and held tasks from which the task is refused; 0: none
	key        []byte
	weight     int64 // of the key; 0: not given
	headers    []redismodule.Arg
	withStatus bool
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
		case o.Is("UNTIL") && p.ttl > 0 && !p.undone:
			if p.undone = true; !o.Next() || !o.Is("DONE") {
				return p, redismodule.ErrSyntax
			}
		case o.Is("EXPIRE") && p.expire == 0:
			p.expire, err = syntax.Millis(o.Value(), "task.publish", ctx.Now())
		case o.Is("WITHSTATUS") && !p.withStatus:
			p.withStatus = true
		case o.Is("LIMIT") && p.limit == 0:
			p.limit, err = syntax.Int(o.Value(), 1, 1<<62)
		case o.Is("KEY") && p.key == nil:
			if p.key = o.Value().Bytes(); o.Err() == nil && !isKey(p.key) {
				err = redismodule.Error("ERR a key has 1 to " + strconv.Itoa(keyMost) + " bytes")
			}
		case o.Is("WEIGHT") && p.key != nil && p.weight == 0:
			p.weight, err = syntax.Int(o.Value(), 1, keyed.MostWeight)
		case o.Is("HEADERS") && !headed:
			headed = true
			var n int64
			if n, err = syntax.Int(o.Value(), 0, 1<<20); err != nil {
				break
			}
			p.headers = o.Values(2 * n)
			for i := 0; i < len(p.headers) && err == nil; i += 2 {
				if name := p.headers[i].Bytes(); isOwnField(name) {
					err = redismodule.Error("ERR the header name '" + text(name) + "' is a field of the task itself; take another")
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
	if p.expire > latest-max(p.at, ctx.Now()) {
		_, err = dueAt(ctx, latest, "task.publish")
	}
	return p, err
}

// latest is the latest time at which a task can be due, in unix milliseconds: scores of
// sorted sets are exact up to 2^53, which is in the year 287396.
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
		var err error
		if unique, err = s.uniqueName(name, p.unique.Bytes()); err != nil {
			return err
		}
		who, err := holderOf(ctx, unique)
		if err != nil {
			return err
		}
		if who == nil && !ctx.Serves(unique) {
			return redismodule.Error("TRYAGAIN the stream's slot moves to another node, and the unique id may be there")
		}
		if who != nil && !s.removed(ctx, name, unique, who) {
			p.reply(ctx, "DUPLICATE", who)
			return nil
		}
	}
	if p.expire > 0 {
		if _, err := s.needSideKey(name, expiringKey); err != nil {
			return err
		}
	}
	if p.limit > 0 {
		if length += s.heldIn(ctx, name); length >= p.limit {
			return redismodule.Error("QUEUEFULL the stream holds " + strconv.FormatInt(length, 10) + " entries, the limit is " + strconv.FormatInt(p.limit, 10))
		}
	}
	// moveBefore uses the scratch that holds the fields.
	if p.at > 0 && p.at <= ctx.Now() && !s.moveBefore(ctx, name) {
		p.at = ctx.Now() + 1 // behind those that are due and not moved yet
	}
	fields := s.compose(payload.Bytes(), ctx.Now()/1000, retries, p.life(ctx))
	for _, h := range p.headers {
		fields = append(fields, h.Bytes())
	}
	id, err := s.put(ctx, name, p.at, fields)
	if err != nil {
		return err
	}
	if p.ttl > 0 {
		if err := s.hold(ctx, name, unique, id, p.ttl, p.undone); err != nil {
			return err
		}
	}
	s.stats.published++
	p.reply(ctx, "NEW", id)
	if p.at <= ctx.Now() {
		s.published(ctx, name, 1)
	}
	s.rearm(ctx)
	return nil
}

// life returns what the task begins with. The time to its expiry counts from when it can
// first be handed out.
func (p *publishing) life(ctx *redismodule.Ctx) (l life) {
	if p.ttl > 0 {
		l.unique, l.undone = p.unique.Bytes(), p.undone
	}
	if p.expire > 0 {
		l.expires = max(p.at, ctx.Now()) + p.expire
	}
	l.key, l.weight = p.key, p.weight
	return l
}

func (p *publishing) reply(ctx *redismodule.Ctx, status string, id []byte) {
	if p.withStatus {
		ctx.ReplyArray(2)
		ctx.ReplyString(status)
	}
	ctx.ReplyBytes(id)
}

// mpublish is TASK.MPUBLISH stream payload [payload …].
func mpublish(ctx *redismodule.Ctx, args []redismodule.Arg) error {
	s := &tasks
	stream, payloads := args[1], args[2:]
	if err := isStream(ctx, stream); err != nil {
		return err
	}
	ctx.ReplyArrayLater()
	done := 0
	for _, payload := range payloads {
		_, id, err := runAdd(firstEntry(ctx, stream, payload, 0))
		if err != nil { // the stream has run out of ids, say
			ctx.ReplyError(err)
			continue
		}
		ctx.ReplyBytes(id)
		done++
	}
	ctx.EndArray(len(payloads))
	s.stats.published += int64(done)
	s.published(ctx, text(stream.Bytes()), done)
	return nil
}
