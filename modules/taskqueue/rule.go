package taskqueue

import (
	"bytes"

	"holdfast/modules/internal/keyed"
	"holdfast/modules/syntax"
	"holdfast/redismodule"
)

const ruleMost = 1 << 20 // of LIMIT, SHARE and RATE

// ruleOf reads the rule of a stream.
func (s *state) ruleOf(ctx *redismodule.Ctx, stream string) (r keyed.Rule, is bool) {
	key, ok := s.sideKey(stream, ruleKey)
	if !ok {
		return r, false
	}
	k := ctx.Look(redismodule.Text(key))
	defer k.Close()
	if k.Type != redismodule.TypeHash {
		return r, false
	}
	number := func(field string) int64 {
		text, _ := k.HashGet(redismodule.Text(view(field)), nil)
		n, _ := redismodule.ParseInt(text)
		return max(n, 0)
	}
	if r.Most = number("limit"); r.Most == 0 {
		r.Most = number("share")
		r.Soft = r.Most > 0
	}
	if r.Rate, r.Per = number("rate"), number("per_ms"); r.Rate == 0 || r.Per == 0 {
		r.Rate, r.Per = 0, 0
	}
	r.All, r.Ordered = number("all") > 0, number("ordered") > 0
	return r, true
}

// ruling holds the options of TASK.KEYS.
type ruling struct {
	keyed.Rule
	none  bool
	count int64
	sets  bool // whether there is any but COUNT
}

// keys is TASK.KEYS stream [NONE | [LIMIT n | SHARE n] [RATE n PER ms [ALL]] [ORDERED]] or
// TASK.KEYS stream [COUNT n].
func keys(ctx *redismodule.Ctx, args []redismodule.Arg) error {
	s := &tasks
	stream := text(args[1].Bytes())
	if err := isStream(ctx, args[1]); err != nil {
		return err
	}
	r, err := ruleOptions(ctx, args[2:])
	if err != nil {
		return err
	}
	if !r.sets {
		s.tellRule(ctx, stream, r.count)
		return nil
	}
	name, err := s.needSideKey(stream, ruleKey)
	if err != nil {
		return err
	}
	hash := bytes.Clone(name)
	switch ctx.TypeOf(redismodule.Text(hash)) {
	case redismodule.TypeNone, redismodule.TypeHash:
	default:
		return redismodule.ErrWrongType
	}
	if !r.none && s.groupsOf(ctx, stream) > 1 {
		return errGroups
	}
	if err := r.write(ctx, hash); err != nil {
		return err
	}
	q := s.table.Queue(ctx.DB(), view(stream))
	s.distrust(ctx, q)
	s.learn(ctx, q)
	s.lookKeys(ctx, q)
	s.feed(ctx, stream)
	ctx.ReplySimple("OK")
	return nil
}

const errGroups redismodule.Error = "ERR a stream with a rule for keys (TASK.KEYS) can have one group only: with several, which tasks are in work has no meaning. Publish to a stream for each group, or take the rule away with TASK.KEYS stream NONE"

func ruleOptions(ctx *redismodule.Ctx, opts []redismodule.Arg) (r ruling, err error) {
	o := syntax.NewOptions(opts)
	for o.Next() {
		switch {
		case o.Is("LIMIT") && r.Most == 0:
			r.Most, err = syntax.Int(o.Value(), 1, ruleMost)
		case o.Is("SHARE") && r.Most == 0:
			r.Most, err = syntax.Int(o.Value(), 1, ruleMost)
			r.Soft = true
		case o.Is("RATE") && r.Rate == 0:
			if r.Rate, err = syntax.Int(o.Value(), 1, ruleMost); err != nil {
				break
			}
			if !o.Next() || !o.Is("PER") {
				return r, redismodule.ErrSyntax
			}
			r.Per, err = syntax.Millis(o.Value(), "task.keys", ctx.Now())
		case o.Is("ALL") && r.Per > 0 && !r.All:
			r.All = true
		case o.Is("ORDERED") && !r.Ordered:
			r.Ordered = true
		case o.Is("NONE") && !r.none:
			r.none = true
		case o.Is("COUNT") && r.count == 0:
			r.count, err = syntax.Int(o.Value(), 1, 1<<62)
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
	ruled := r.Rule != keyed.Rule{}
	r.sets = ruled || r.none
	if r.none && ruled || r.sets && r.count > 0 {
		return r, redismodule.ErrSyntax
	}
	if r.Ordered && (r.Soft || r.Most > 1) {
		return r, redismodule.Error("ERR ORDERED means LIMIT 1: tasks of a key that run at the same time have no order")
	}
	return r, nil
}

// write makes the rule the hash's value.
func (r ruling) write(ctx *redismodule.Ctx, hash []byte) error {
	if err := ctx.Cmd("DEL").Bytes(hash).Do(""); err != nil || r.none {
		return err
	}
	cmd := ctx.Cmd("HSET").Bytes(hash)
	number := func(field string, n int64) {
		if n > 0 {
			cmd.Str(field).Int(n)
		}
	}
	flag := func(field string, is bool) {
		if is {
			cmd.Str(field).Str("1")
		}
	}
	if r.Soft {
		number("share", r.Most)
	} else {
		number("limit", r.Most)
	}
	number("rate", r.Rate)
	number("per_ms", r.Per)
	flag("all", r.All)
	flag("ordered", r.Ordered)
	return cmd.Do("")
}

// groupsOf is the number of a stream's groups.
func (s *state) groupsOf(ctx *redismodule.Ctx, stream string) int {
	r := ctx.Cmd("XINFO").Str("GROUPS").Str(stream).Call("")
	defer r.Free()
	p := read(r.Raw())
	if failure(r) != nil {
		return 0
	}
	return p.Array()
}

// tellRule answers the rule of a stream, and the keys that hold most.
func (s *state) tellRule(ctx *redismodule.Ctx, stream string, count int64) {
	r, _ := s.ruleOf(ctx, stream)
	s.keyed(ctx, stream) // what is in may have to be read first
	held := s.heldIn(ctx, stream)
	n, lines := s.linesOf(ctx, stream, int(min(max(count, 1), topMost)))
	limit, share := r.Most, int64(0)
	switch {
	case r.Ordered:
		limit = 1
	case r.Soft:
		limit, share = 0, r.Most
	}
	ctx.ReplyMap(9)
	for _, f := range []named{{"limit", limit}, {"share", share}, {"rate", r.Rate}, {"per_ms", r.Per}} {
		if ctx.ReplyString(f.name); f.value > 0 {
			ctx.ReplyInt(f.value)
		} else {
			ctx.ReplyNull()
		}
	}
	ctx.ReplyString("all")
	ctx.ReplyBool(r.All)
	ctx.ReplyString("ordered")
	ctx.ReplyBool(r.Ordered)
	replyInts(ctx, named{"held", held}, named{"keys", n})
	ctx.ReplyString("lines")
	ctx.ReplyArray(len(lines))
	for _, l := range lines {
		ctx.ReplyMap(4)
		ctx.ReplyString("key")
		ctx.ReplyString(l.Name)
		replyInts(ctx, named{"held", l.Held}, named{"in", int64(l.In)}, named{"weight", l.Weight})
	}
}
