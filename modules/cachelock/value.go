package cachelock

import (
	"bytes"

	"holdfast/modules/internal/leasetable"
	"holdfast/modules/syntax"
	"holdfast/redismodule"
)

var getCommand = redismodule.Command{
	Name:       "cache.get",
	Summary:    "Reads a value.",
	Complexity: "O(1)",
	Since:      "1.0.0",
	Arity:      2,
	Flags:      "readonly fast",
	Categories: "read fast",
	Keys:       oneKey(redismodule.KeyRO | redismodule.KeyAccess),
	Args:       []redismodule.Argument{keyArgument},
	Reply:      "The value; nil when there is none, also when that is known.",
	// The fast path answers a hit.
	Handler: func(ctx *redismodule.Ctx, args []redismodule.Arg) error {
		e, err := open(ctx.Read(args[1]))
		defer e.Close()
		switch {
		case err != nil:
			return err
		case e.absent:
			stats.absent++
			groupOf(args[1].Bytes()).hits++
		case e.there():
			stats.hits++
			groupOf(args[1].Bytes()).hits++
			value, _ := e.String(nil)
			ctx.ReplyBytes(value)
			return nil
		default:
			stats.misses++
			groupOf(args[1].Bytes()).misses++
		}
		ctx.ReplyNull()
		return nil
	},
}

var setCommand = redismodule.Command{
	Name:       "cache.set",
	Summary:    "Stores a value, ends the lease and hands the value to all who wait for it.",
	Complexity: "O(1), and O(N) for the N who wait, in batches",
	Since:      "1.0.0",
	Arity:      -4,
	// Not deny-oom: the server would refuse it before anybody could be told.
	Flags:      "write",
	Categories: "write slow",
	Keys:       oneKey(redismodule.KeyRW | redismodule.KeyUpdate),
	Args:       []redismodule.Argument{keyArgument, valueArgument, ttlArgument, ifToken},
	Reply:      "OK; with TOKEN nil, and nothing stored, when that is not the live lease.",
	Handler: func(ctx *redismodule.Ctx, args []redismodule.Arg) error {
		return store(ctx, args[1], args[3], args[4:], "cache.set",
			func() leasetable.Outcome {
				return leasetable.Outcome{Status: leasetable.Hit, Value: bytes.Clone(args[2].Bytes())}
			},
			func(_ entry, ttl int64) error {
				return ctx.Cmd("SET").Arg(args[1]).Arg(args[2]).Arg(px).Int(ttl).Do("ME")
			})
	},
}

var setNilCommand = redismodule.Command{
	Name:       "cache.setnil",
	Summary:    "Remembers that there is no value, ends the lease and tells all who wait for it.",
	Complexity: "O(1), and O(N) for the N who wait, in batches",
	Since:      "1.0.0",
	Arity:      -3,
	Flags:      "write", // not deny-oom, as cache.set
	Categories: "write slow",
	Keys:       oneKey(redismodule.KeyRW | redismodule.KeyUpdate),
	Args:       []redismodule.Argument{keyArgument, ttlArgument, ifToken},
	Reply:      "OK; with TOKEN nil, and nothing stored, when that is not the live lease.",
	Handler: func(ctx *redismodule.Ctx, args []redismodule.Arg) error {
		return store(ctx, args[1], args[2], args[3:], "cache.setnil",
			func() leasetable.Outcome { return leasetable.Outcome{Status: leasetable.Absent} },
			func(old entry, ttl int64) error {
				if old.there() && !old.absent {
					// This SETRANGE changes nothing, but the server refuses it where there is
					// no room. So we ask before the old value is gone.
					if err := ctx.Cmd("SETRANGE").Arg(args[1]).Int(0).Str("").Do("ME"); err != nil {
						return err
					}
					if err := ctx.Cmd("DEL").Arg(args[1]).Do(""); err != nil {
						return err
					}
				}
				if err := ctx.Cmd("HSET").Arg(args[1]).Arg(absentField).Str("1").Do("ME"); err != nil {
					return err
				}
				return ctx.Cmd("PEXPIRE").Arg(args[1]).Int(ttl).Do("")
			})
	},
}

// store is what SET and SETNIL have in common. It decides about the waiters before
// it writes, from the arguments: so they get the value also when the server has no
// room for it, evicts it at once, or deletes it in the same transaction.
func store(ctx *redismodule.Ctx, name, ttlArg redismodule.Arg, options []redismodule.Arg, command string,
	outcome func() leasetable.Outcome, write func(old entry, ttl int64) error,
) error {
	watches.ctx = ctx
	ttl, err := syntax.Millis(ttlArg, command, ctx.Now())
	if err != nil {
		return err
	}
	token, err := ifTokenOption(options)
	if err != nil {
		return err
	}
	old, err := open(ctx.Look(name))
	old.Close()
	if err != nil {
		return err
	}
	k := keyOf(ctx, name)
	age, ok := table.End(k, token, ctx.Now())
	if !ok && token != leasetable.AnyToken {
		stats.staleSets++
		serveIfAnyWait(ctx)
		ctx.ReplyNull()
		return nil
	}
	if ok {
		stats.loadTimes.Record(age)
		groupOf(k.Name).loadTimes.Record(age)
	}
	if table.WaitingFor(k) > 0 {
		table.Resolve(k, outcome())
	}
	err = write(old, ttl)
	serveIfAnyWait(ctx)
	if err != nil {
		return err
	}
	ctx.ReplySimple("OK")
	return nil
}

var delCommand = redismodule.Command{
	Name:       "cache.del",
	Summary:    "Invalidates: removes values and makes every load begun before worthless.",
	Complexity: "O(N) for N keys",
	Since:      "1.0.0",
	Arity:      -2,
	Flags:      "write",
	Categories: "write slow",
	Keys:       []redismodule.KeySpec{{Flags: redismodule.KeyRM | redismodule.KeyDelete, Index: 1, Last: -1}},
	Args:       []redismodule.Argument{{Name: "key", Type: redismodule.ArgKey, Multiple: true, Summary: "A value's key; it need not be there."}},
	Reply:      "The number of values removed, remembered absences among them.",
	Handler:    del,
}

func del(ctx *redismodule.Ctx, args []redismodule.Arg) error {
	watches.ctx = ctx
	found := false
	for _, a := range args[1:] {
		switch ctx.TypeOf(a) {
		case redismodule.TypeNone:
			continue
		case redismodule.TypeString:
		default: // a remembered absence, or an error
			e, err := open(ctx.Look(a))
			e.Close()
			if err != nil {
				return err
			}
		}
		found = true
	}
	for _, a := range args[1:] {
		if _, ok := table.End(keyOf(ctx, a), leasetable.AnyToken, ctx.Now()); ok {
			stats.invalidated++
		}
	}
	removed := int64(0)
	if found {
		call := ctx.Cmd("DEL")
		for _, a := range args[1:] {
			call.Arg(a)
		}
		r := call.Call("E")
		removed = r.Int()
		err := r.Err()
		r.Free()
		if err != nil {
			return err
		}
	}
	if table.Waiting() > 0 {
		for _, a := range args[1:] {
			table.Promote(keyOf(ctx, a), ctx.Now())
		}
	}
	serveIfAnyWait(ctx)
	ctx.ReplyInt(removed)
	return nil
}
