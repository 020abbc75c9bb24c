package cachelock

import (
	"holdfast/modules/internal/leasetable"
	"holdfast/modules/syntax"
	"holdfast/redismodule"
)

// The arguments that several commands document alike.
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

// leaseTimes reads lease-ms and load-ms, the second and third argument.
func leaseTimes(ctx *redismodule.Ctx, args []redismodule.Arg, command string) (lease, load int64, err error) {
	if lease, err = millis(ctx, args[2], command); err != nil {
		return 0, 0, err
	}
	load, err = millis(ctx, args[3], command)
	return bounded(lease), bounded(load), err
}

// bounded cuts a lease or a backoff to cachelock.max-ttl-ms. An error would be of no
// use to the caller: with a shorter lease the cache serves as well.
func bounded(ms int64) int64 { return min(ms, config.maxTTL) }

// millis is syntax.Millis. It asks for the time only where the sum could overflow,
// because a hit should not have to ask.
func millis(ctx *redismodule.Ctx, a redismodule.Arg, command string) (int64, error) {
	const nearly = 1 << 62
	if n, ok := a.Int(); ok && 0 < n && n < nearly {
		return n, nil
	}
	return syntax.Millis(a, command, ctx.Now())
}

// millisOrZero is millis for a duration that may be 0 too.
func millisOrZero(ctx *redismodule.Ctx, a redismodule.Arg, command string) (int64, error) {
	if n, ok := a.Int(); ok && n == 0 {
		return 0, nil
	}
	return millis(ctx, a, command)
}

// tokenOf reads a token. A word that cannot be a token is a mistake of the caller,
// not a stale token.
func tokenOf(a redismodule.Arg) (uint64, error) {
	n, ok := a.Int()
	if !ok || n <= 0 {
		return 0, redismodule.ErrNotInteger
	}
	return uint64(n), nil
}

// ifTokenOption reads [TOKEN t]. Without it the token is AnyToken.
func ifTokenOption(args []redismodule.Arg) (token uint64, err error) {
	for o := syntax.NewOptions(args); o.Next(); {
		if !o.Is("TOKEN") || token != 0 {
			return 0, redismodule.ErrSyntax
		}
		value := o.Value()
		if o.Err() != nil {
			return 0, o.Err()
		}
		if token, err = tokenOf(value); err != nil {
			return 0, err
		}
	}
	return token, nil
}

func replyToken(ctx *redismodule.Ctx, token uint64) {
	if token == 0 {
		ctx.ReplyNull()
	} else {
		ctx.ReplyInt(int64(token))
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
