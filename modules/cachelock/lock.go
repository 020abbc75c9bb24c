package cachelock

import (
	"holdfast/internal/leasetable"
	"holdfast/modules/syntax"
	"holdfast/redismodule"
)

// What the commands' documentation has in common.
var (
	keyArgument   = redismodule.Argument{Name: "key", Type: redismodule.ArgKey, Summary: "The cached value's key."}
	leaseArgument = redismodule.Argument{Name: "lease-ms", Type: redismodule.ArgInteger, Summary: "How long the loader is alone, in milliseconds."}
	loadArgument  = redismodule.Argument{Name: "load-ms", Type: redismodule.ArgInteger, Summary: "How long the whole load may take with extensions, in milliseconds."}
	valueArgument = redismodule.Argument{Name: "value", Summary: "What was loaded."}
	ttlArgument   = redismodule.Argument{Name: "ttl-ms", Type: redismodule.ArgInteger, Summary: "How long it is kept, in milliseconds."}
	tokenArgument = redismodule.Argument{Name: "token", Type: redismodule.ArgInteger, Summary: "The token of the lease."}
	ifToken       = redismodule.Argument{Name: "token", Type: redismodule.ArgInteger, Token: "TOKEN", Optional: true, Summary: "Only if this is the token of the live lease."}
)

func oneKey(flags redismodule.KeyFlags) []redismodule.KeySpec {
	return []redismodule.KeySpec{{Flags: flags, Index: 1}}
}

// keyOf is the key that an argument names, for the lease table.
func keyOf(ctx *redismodule.Ctx, a redismodule.Arg) leasetable.Key {
	return leasetable.Key{DB: ctx.DB(), Name: a.Bytes()}
}

var lockCommand = redismodule.Command{
	Name:       "cache.lock",
	Summary:    "Asks who loads a missing value: exactly one caller is told to.",
	Complexity: "O(1)",
	Since:      "1.0.0",
	Arity:      -4,
	Flags:      "write fast", // not deny-oom: a full server is when loads must not multiply
	Categories: "write fast",
	Keys:       oneKey(redismodule.KeyRW | redismodule.KeyAccess | redismodule.KeyUpdate),
	Args: []redismodule.Argument{
		keyArgument, leaseArgument, loadArgument,
		{Name: "withtoken", Type: redismodule.ArgToken, Token: "WITHTOKEN", Optional: true, Summary: "Answers the token of the lease too."},
	},
	Reply:   "LOAD: you load. WAIT: another one is loading. HIT: a value is there, or it is known that there is none. With WITHTOKEN an array of that and the token, nil except with LOAD.",
	Handler: lock,
}

func lock(ctx *redismodule.Ctx, args []redismodule.Arg) error {
	watches.ctx = ctx
	lease, load, err := leaseTimes(ctx, args, "cache.lock")
	if err != nil {
		return err
	}
	withToken := false
	for o := syntax.NewOptions(args[4:]); o.Next(); withToken = true {
		if !o.Is("WITHTOKEN") || withToken {
			return redismodule.ErrSyntax
		}
	}
	e, err := open(ctx.Open(args[1], redismodule.Read))
	e.Close()
	if err != nil {
		return err
	}
	status, token := leasetable.Hit, uint64(0)
	if e.there() {
		stats.hits++
	} else {
		stats.misses++
		status, token = seek(ctx, args[1], lease, load)
		serveIfAnyWait(ctx)
	}
	if !withToken {
		ctx.ReplyString(words[status])
		return nil
	}
	ctx.ReplyArray(2)
	ctx.ReplyString(words[status])
	replyToken(ctx, token)
	return nil
}

// seek asks the table for the lease of a key.
func seek(ctx *redismodule.Ctx, name redismodule.Arg, lease, load int64) (leasetable.Status, uint64) {
	if token, ok := table.Grant(keyOf(ctx, name), ctx.Now(), lease, load); ok {
		stats.grants++
		return leasetable.Load, token
	}
	stats.coalesced++
	return leasetable.Wait, 0
}

// serveIfAnyWait is serve for commands that seldom decide about waiters.
func serveIfAnyWait(ctx *redismodule.Ctx) {
	if table.Waiting() > 0 {
		serve(ctx)
	}
}

// words are the statuses as clients read them.
var words = [...]string{
	leasetable.Wait:   "WAIT",
	leasetable.Load:   "LOAD",
	leasetable.Hit:    "HIT",
	leasetable.Stale:  "STALE",
	leasetable.Absent: "ABSENT",
}

func replyToken(ctx *redismodule.Ctx, token uint64) {
	if token == 0 {
		ctx.ReplyNull()
	} else {
		ctx.ReplyInt(int64(token))
	}
}

// leaseTimes reads lease-ms and load-ms, the second and third argument.
func leaseTimes(ctx *redismodule.Ctx, args []redismodule.Arg, command string) (lease, load int64, err error) {
	if lease, err = millis(ctx, args[2], command); err != nil {
		return 0, 0, err
	}
	load, err = millis(ctx, args[3], command)
	return lease, load, err
}

// millis is syntax.Millis, and asks for the time only where it matters: a hit
// should not have to.
func millis(ctx *redismodule.Ctx, a redismodule.Arg, command string) (int64, error) {
	const nearly = 1 << 62
	if n, ok := a.Int(); ok && 0 < n && n < nearly {
		return n, nil
	}
	return syntax.Millis(a, command, ctx.Now())
}

// tokenOf reads a token. What cannot be one is a mistake, not a stale token.
func tokenOf(a redismodule.Arg) (uint64, error) {
	n, ok := a.Int()
	if !ok || n <= 0 {
		return 0, redismodule.ErrNotInteger
	}
	return uint64(n), nil
}
