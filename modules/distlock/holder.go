package distlock

import "holdfast/redismodule"

// What the commands' documentation has in common.
var (
	nameArgument  = redismodule.Argument{Name: "name", Type: redismodule.ArgKey, Summary: "The lock."}
	ownerArgument = redismodule.Argument{Name: "owner", Summary: "Who holds it: any string, different for everyone who may."}
	ttlArgument   = redismodule.Argument{Name: "ttl-ms", Type: redismodule.ArgInteger, Summary: "How long the lease lasts from now, in milliseconds."}
)

func lockKey(flags redismodule.KeyFlags) []redismodule.KeySpec {
	return []redismodule.KeySpec{{Flags: flags, Index: 1}}
}

var extendCommand = redismodule.Command{
	Name:       "lock.extend",
	Summary:    "Makes the lease of a lock's holder end at another time. Never acquires a lock.",
	Complexity: "O(1), and O(N) for N holders when the last of them to run out moves forward",
	Since:      "1.0.0",
	Arity:      4,
	Flags:      "write fast",
	Categories: "write fast",
	Keys:       lockKey(redismodule.KeyRW | redismodule.KeyUpdate),
	Opens:      opening,
	Args:       []redismodule.Argument{nameArgument, ownerArgument, ttlArgument},
	Reply:      "1 when the lease now ends ttl-ms from now; 0 when owner does not hold the lock.",
	Handler: func(ctx *redismodule.Ctx, args []redismodule.Arg) error {
		store.begin(ctx, args[1], args[2])
		defer store.end()
		now := ctx.Now()
		ttl, err := leaseTime(args[3], "lock.extend", now)
		if err != nil {
			return err
		}
		ok, err := table.Extend(now, store.db, args[1].Bytes(), args[2].Bytes(), ttl)
		return holderReply(ctx, ok, err)
	},
}

var releaseCommand = redismodule.Command{
	Name:       "lock.release",
	Summary:    "Gives a lock back, and with it to the next in line.",
	Complexity: "O(1) for each who gets it, and O(N) for N holders when the last of them to run out leaves",
	Since:      "1.0.0",
	Arity:      3,
	Flags:      "write fast", // not deny-oom: a full server must drain
	Categories: "write fast",
	Keys:       lockKey(redismodule.KeyRW | redismodule.KeyDelete),
	Opens:      opening,
	Args:       []redismodule.Argument{nameArgument, ownerArgument},
	Reply:      "1 when released; 0 when owner does not hold the lock.",
	Handler: func(ctx *redismodule.Ctx, args []redismodule.Arg) error {
		store.begin(ctx, args[1], args[2])
		defer store.end()
		ok, err := table.Release(ctx.Now(), store.db, args[1].Bytes(), args[2].Bytes())
		return holderReply(ctx, ok, err)
	},
}

func holderReply(ctx *redismodule.Ctx, ok bool, err error) error {
	rearm(ctx)
	if err != nil {
		return refusal(err)
	}
	n := int64(0)
	if ok {
		n = 1
	}
	store.reply(n)
	return nil
}
