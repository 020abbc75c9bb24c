package cachelock

import (
	"holdfast/modules/internal/leasetable"
	"holdfast/modules/syntax"
	"holdfast/redismodule"
)

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
	Reply: "LOAD: you load. WAIT: another one is loading, or a load failed with BACKOFF. HIT: a value is there, or it is known that there is none. " +
		"With WITHTOKEN an array of that and the token, nil except with LOAD.",
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
	e, err := open(ctx.Read(args[1]))
	e.Close()
	if err != nil {
		return err
	}
	status, token := leasetable.Hit, uint64(0)
	if e.there() {
		stats.hits++
		groupOf(args[1].Bytes()).hits++
	} else {
		stats.misses++
		groupOf(args[1].Bytes()).misses++
		if status, token = seek(ctx, args[1], lease, load); status == leasetable.Failed {
			status = leasetable.Wait
		}
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

// seek asks the table for the lease of a key. The status is Load with a token, Wait
// when another caller loads, or Failed during a backoff.
func seek(ctx *redismodule.Ctx, name redismodule.Arg, lease, load int64) (leasetable.Status, uint64) {
	k := keyOf(ctx, name)
	if token, ok := table.Grant(k, ctx.Now(), lease, load); ok {
		stats.grants++
		groupOf(k.Name).loads++
		return leasetable.Load, token
	}
	if _, _, ok := table.Backoff(k, ctx.Now()); ok {
		stats.refused++
		return leasetable.Failed, 0
	}
	stats.coalesced++
	groupOf(k.Name).coalesced++
	return leasetable.Wait, 0
}
