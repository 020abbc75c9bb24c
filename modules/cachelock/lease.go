package cachelock

import (
	"holdfast/modules/internal/leasetable"
	"holdfast/modules/syntax"
	"holdfast/redismodule"
)

var extendCommand = redismodule.Command{
	Name:       "cache.extend",
	Summary:    "Lets the loader be alone for longer, up to the end of its whole load.",
	Complexity: "O(1)",
	Since:      "1.0.0",
	Arity:      4,
	Flags:      "write fast",
	Categories: "write fast",
	Keys:       oneKey(redismodule.KeyRW | redismodule.KeyUpdate),
	Args:       []redismodule.Argument{keyArgument, tokenArgument, leaseArgument},
	Reply:      "1 when the lease now ends lease-ms from now, or with load-ms if that is sooner; 0 when it is no longer yours or load-ms is over.",
	Handler: func(ctx *redismodule.Ctx, args []redismodule.Arg) error {
		k, token, err := leaseOf(ctx, args)
		if err != nil {
			return err
		}
		lease, err := syntax.Millis(args[3], "cache.extend", ctx.Now())
		if err != nil {
			return err
		}
		ctx.ReplyBool(table.Extend(k, token, ctx.Now(), bounded(lease)))
		serveIfAnyWait(ctx)
		return nil
	},
}

var unlockCommand = redismodule.Command{
	Name:       "cache.unlock",
	Summary:    "Gives a lease up: the first who waits is told to load.",
	Complexity: "O(1)",
	Since:      "1.0.0",
	Arity:      3,
	Flags:      "write fast",
	Categories: "write fast",
	Keys:       oneKey(redismodule.KeyRW | redismodule.KeyUpdate),
	Args:       []redismodule.Argument{keyArgument, tokenArgument},
	Reply:      "1 when given up; 0 when it is no longer yours.",
	Handler: func(ctx *redismodule.Ctx, args []redismodule.Arg) error {
		k, token, err := leaseOf(ctx, args)
		if err != nil {
			return err
		}
		_, ok := table.End(k, token, ctx.Now())
		if ok {
			table.Promote(k, ctx.Now())
		}
		serveIfAnyWait(ctx)
		ctx.ReplyBool(ok)
		return nil
	},
}

var failCommand = redismodule.Command{
	Name:       "cache.fail",
	Summary:    "Tells all who wait that the load failed, so that they do not load in turn.",
	Complexity: "O(1), and O(N) for the N who wait, in batches",
	Since:      "1.0.0",
	Arity:      -4,
	Flags:      "write",
	Categories: "write slow",
	Keys:       oneKey(redismodule.KeyRW | redismodule.KeyAccess | redismodule.KeyUpdate),
	Args: []redismodule.Argument{
		keyArgument, tokenArgument,
		{Name: "message", Summary: "What they are told, behind LOADFAILED."},
		{Name: "backoff-ms", Type: redismodule.ArgInteger, Token: "BACKOFF", Optional: true, Summary: "For so long nobody is told LOAD, in milliseconds; 0 is none."},
	},
	Reply: "The number told: they get the old value as STALE if there is one, else the error. 0 also when the lease is no longer yours. " +
		"During BACKOFF callers are told the same at once; what ends a lease ends it.",
	Handler: fail,
}

// loadFailed begins the error that callers are told when a load failed.
const loadFailed = "LOADFAILED "

func fail(ctx *redismodule.Ctx, args []redismodule.Arg) error {
	k, token, err := leaseOf(ctx, args)
	if err != nil {
		return err
	}
	backoff, err := backoffOption(ctx, args[4:])
	if err != nil {
		return err
	}
	// Nobody waits where there is an old value: those callers were given it at once.
	told, ok := table.Fail(k, token, ctx.Now(), loadFailed+args[3].String(), bounded(backoff))
	if ok {
		stats.failures++
	}
	serveIfAnyWait(ctx)
	ctx.ReplyInt(int64(told))
	return nil
}

// backoffOption reads [BACKOFF ms].
func backoffOption(ctx *redismodule.Ctx, args []redismodule.Arg) (ms int64, err error) {
	given := false
	for o := syntax.NewOptions(args); err == nil && o.Next(); given = true {
		if !o.Is("BACKOFF") || given {
			return 0, redismodule.ErrSyntax
		}
		ms, err = millisOrZero(ctx, o.Value(), "cache.fail")
		if o.Err() != nil {
			return 0, o.Err()
		}
	}
	return ms, err
}

// leaseOf reads the key and the token of a command about a lease. It refuses a key
// of another type.
func leaseOf(ctx *redismodule.Ctx, args []redismodule.Arg) (leasetable.Key, uint64, error) {
	watches.ctx = ctx
	k := keyOf(ctx, args[1])
	token, err := tokenOf(args[2])
	if err != nil {
		return k, 0, err
	}
	e, err := open(ctx.Look(args[1]))
	e.Close()
	return k, token, err
}
