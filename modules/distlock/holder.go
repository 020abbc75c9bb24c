package distlock

import (
	"fmt"
	"math"

	"holdfast/internal/slot"
	"holdfast/modules/internal/locktable"
	"holdfast/modules/syntax"
	"holdfast/redismodule"
)

// What the commands' documentation has in common.
var (
	nameArgument  = redismodule.Argument{Name: "name", Type: redismodule.ArgKey, Summary: "The lock."}
	ownerArgument = redismodule.Argument{Name: "owner", Summary: "Who holds it: any string of up to 64 KB, different for everyone who may."}
	ttlArgument   = redismodule.Argument{Name: "ttl-ms", Type: redismodule.ArgInteger, Summary: "How long the lease lasts from now, in milliseconds."}
	tokenArgument = redismodule.Argument{
		Name: "token", Type: redismodule.ArgInteger, Token: "TOKEN", Optional: true,
		Summary: "Only the grant that answered this fencing token is meant, and no later one of the same owner.",
	}
	alsoArgument = redismodule.Argument{
		Name: "also", Token: "ALSO", Type: redismodule.ArgString, Optional: true, Multiple: true,
		Summary: "Further locks, to the end of the command: all or none. In a cluster all must share a slot.",
	}
)

func lockKey(flags redismodule.KeyFlags) []redismodule.KeySpec {
	return []redismodule.KeySpec{{Flags: flags, Index: 1}}
}

var extendCommand = redismodule.Command{
	Name:       "lock.extend",
	Summary:    "Makes the lease of a lock's holder end at another time. Never acquires a lock.",
	Complexity: "O(1) for each lock, and O(N) for N holders when the last of them to run out moves forward",
	Since:      "1.0.0",
	Arity:      -4,
	Flags:      "write fast",
	Categories: "write fast",
	Keys:       lockKey(redismodule.KeyRW | redismodule.KeyUpdate),
	Args:       []redismodule.Argument{nameArgument, ownerArgument, ttlArgument, tokenArgument, alsoArgument},
	Reply:      "1 when the lease now ends ttl-ms from now; 0 when owner does not hold the lock, or not all of them.",
	Handler: func(ctx *redismodule.Ctx, args []redismodule.Arg) error {
		ttl, err := leaseTime(args[3], "lock.extend", ctx.Now())
		if err != nil {
			return err
		}
		c, err := claim(ctx, args, args[4:], redismodule.KeyUpdate)
		if err != nil {
			return err
		}
		store.enterCommand(ctx, args[1], args[2])
		defer store.leave()
		ok, err := table.Extend(ctx.Now(), &c, ttl)
		rearm(ctx)
		if err != nil {
			return refusal(err)
		}
		ctx.ReplyBool(ok)
		return nil
	},
}

var releaseCommand = redismodule.Command{
	Name:       "lock.release",
	Summary:    "Gives a lock back, and with it to the next in line. Without TOKEN it also ends the owner's own waits for it.",
	Complexity: "O(1) for each lock and each who gets one, and O(N) for N holders when the last of them to run out leaves",
	Since:      "1.0.0",
	Arity:      -3,
	Flags:      "write fast", // not deny-oom: a full server must drain
	Categories: "write fast",
	Keys:       lockKey(redismodule.KeyRW | redismodule.KeyDelete),
	Args:       []redismodule.Argument{nameArgument, ownerArgument, tokenArgument, alsoArgument},
	Reply:      "How many locks were released: without ALSO 1, or 0 when owner does not hold the lock.",
	Handler: func(ctx *redismodule.Ctx, args []redismodule.Arg) error {
		c, err := claim(ctx, args, args[3:], redismodule.KeyDelete)
		if err != nil {
			return err
		}
		store.enterCommand(ctx, args[1], args[2])
		defer store.leave()
		n, err := table.Release(ctx.Now(), &c)
		rearm(ctx)
		if err != nil {
			return refusal(err)
		}
		ctx.ReplyInt(int64(n))
		return nil
	},
}

// claim reads name, owner and the options of a command by a holder.
func claim(ctx *redismodule.Ctx, args, rest []redismodule.Arg, use redismodule.KeyFlags) (c locktable.Claim, err error) {
	c = locktable.Claim{DB: ctx.DB(), Name: args[1].Bytes(), Owner: args[2].Bytes()}
	for o := syntax.NewOptions(rest); o.Next(); {
		switch {
		case o.Is("TOKEN"):
			c.Token, err = syntax.Int(o.Value(), 1, math.MaxInt64)
		case o.Is("ALSO"):
			c.Also, err = also(ctx, args[1], o.Rest(), use)
		default:
			o.Unknown()
		}
		if o.Err() != nil {
			return c, o.Err()
		}
		if err != nil {
			return c, err
		}
	}
	return c, nil
}

// also reads the names behind ALSO. The key specs do not declare them: with a
// keyword among its key specs, the server would find no keys at all in a command
// that lacks the keyword, and clients would ask it for the keys of each. So what
// the server checks of a key is checked here.
func also(ctx *redismodule.Ctx, name redismodule.Arg, names []redismodule.Arg, use redismodule.KeyFlags) (all [][]byte, err error) {
	if len(names) == 0 {
		return nil, redismodule.ErrSyntax
	}
	inCluster := ctx.Flags()&redismodule.FlagCluster != 0
	seen := map[string]bool{string(name.Bytes()): true}
	for _, n := range names {
		if seen[string(n.Bytes())] {
			return nil, redismodule.Error("ERR the same lock is named twice")
		}
		seen[string(n.Bytes())] = true
		if !ctx.KeyAllowed(n.Bytes(), use) {
			return nil, redismodule.ErrNoPermission
		}
		if inCluster && !slot.Same(name.Bytes(), n.Bytes()) {
			return nil, redismodule.Error("CROSSSLOT Keys in request don't hash to the same slot")
		}
		all = append(all, n.Bytes())
	}
	return all, nil
}

// leaseTime reads ttl_ms.
func leaseTime(a redismodule.Arg, command string, now int64) (int64, error) {
	ttl, err := syntax.Millis(a, command, now)
	if err == nil && ttl > config.maxTTL {
		err = redismodule.Error(fmt.Sprintf(
			"ERR invalid expire time in '%s' command: distlock.max-ttl-ms is %d", command, config.maxTTL))
	}
	return ttl, err
}

// tooLong is the error of an owner or META that no record can hold.
func tooLong(what string, b []byte, most int) error {
	if len(b) <= most {
		return nil
	}
	return redismodule.Error(fmt.Sprintf("ERR the %s is longer than %d bytes", what, most))
}
