package cachelock

import (
	"holdfast/modules/internal/leasetable"
	"holdfast/modules/syntax"
	"holdfast/redismodule"
)

var fetchCommand = redismodule.Command{
	Name:       "cache.fetch",
	Summary:    "Reads a value, or says who loads it, or waits until it is there: in one step.",
	Complexity: "O(1)",
	Since:      "1.0.0",
	Arity:      -4,
	Flags:      "write blocking",
	Categories: "write blocking slow",
	Keys:       oneKey(redismodule.KeyRW | redismodule.KeyAccess | redismodule.KeyUpdate),
	Args: []redismodule.Argument{
		keyArgument, leaseArgument, loadArgument,
		{Name: "block-ms", Type: redismodule.ArgInteger, Token: "BLOCK", Optional: true, Summary: "Waits so long for the value, in milliseconds; 0 for ever. An error where the server cannot block the connection: Valkey 8.1 and later, while it is subscribed."},
		{Name: "refresh-ms", Type: redismodule.ArgInteger, Token: "REFRESH", Optional: true, Summary: "A value with less than this left to live is loaded anew by one caller. A remembered absence is not."},
	},
	Reply: "An array of status, value and token. HIT value. LOAD token: you load; with the old value if there is one. " +
		"STALE value: someone refreshes it, or its last load failed with BACKOFF. ABSENT: it is known that there is none. WAIT: someone loads, and BLOCK was absent or ran out. " +
		"LOADFAILED when the loader failed and there is no old value.",
	// The binding answers a hit without REFRESH, and the handler is not called.
	Handler: fetch,
}

func fetch(ctx *redismodule.Ctx, args []redismodule.Arg) error {
	lease, load, o, err := fetchArguments(ctx, args)
	if err != nil {
		return err
	}
	e, err := open(ctx.Read(args[1]))
	if err == nil && e.there() {
		fetchThere(ctx, args[1], e, lease, load, o.refresh)
	}
	e.Close()
	if err != nil || e.there() {
		return err
	}
	watches.ctx = ctx
	stats.misses++
	groupOf(args[1].Bytes()).misses++
	status, token := seek(ctx, args[1], lease, load)
	if status == leasetable.Wait && o.block && ctx.CanBlock() && int64(table.Waiting()) < config.maxWaiters {
		w := &waiter{}
		w.LeaseMs, w.LoadMs = lease, load
		if w.Who, err = ctx.Block(o.blockMs, w); err != nil {
			return err
		}
		table.Wait(keyOf(ctx, args[1]), &w.Waiter)
		stats.parked++
		serve(ctx)
		return nil
	}
	outcome := leasetable.Outcome{Status: status, Token: token}
	if status == leasetable.Failed {
		outcome.Err, _, _ = table.Backoff(keyOf(ctx, args[1]), ctx.Now())
	}
	serveIfAnyWait(ctx)
	replyFetch(ctx, outcome)
	return nil
}

// fetchThere answers with a value that may have to be refreshed, or with a
// remembered absence, which is not refreshed.
func fetchThere(ctx *redismodule.Ctx, name redismodule.Arg, e entry, lease, load, refresh int64) {
	status, token := leasetable.Hit, uint64(0)
	switch {
	case e.absent:
		status = leasetable.Absent
	case refresh > 0 && e.ExpireAt >= 0 && e.ttl(ctx.Now()) < refresh:
		watches.ctx = ctx
		if k := keyOf(ctx, name); table.WaitingFor(k) > 0 {
			table.Resolve(k, e.outcome()) // another client has just stored it: it is what they wait for
		}
		if status, token = seek(ctx, name, lease, load); status != leasetable.Load {
			status = leasetable.Stale
		}
		serveIfAnyWait(ctx)
	}
	countFetch(name, status)
	ctx.ReplyArray(3)
	ctx.ReplyString(words[status])
	if e.absent {
		ctx.ReplyNull()
	} else {
		value, _ := e.String(nil)
		ctx.ReplyBytes(value)
	}
	replyToken(ctx, token)
}

func countFetch(name redismodule.Arg, status leasetable.Status) {
	groupOf(name.Bytes()).hits++
	switch status {
	case leasetable.Absent:
		stats.absent++
	case leasetable.Stale:
		stats.stale++
	default:
		stats.hits++
	}
}

// replyFetch tells a caller what was decided.
func replyFetch(ctx *redismodule.Ctx, o leasetable.Outcome) {
	if o.Status == leasetable.Failed {
		ctx.ReplyError(redismodule.Error(o.Err))
		return
	}
	ctx.ReplyArray(3)
	ctx.ReplyString(words[o.Status])
	if o.Status == leasetable.Hit {
		ctx.ReplyBytes(o.Value)
	} else {
		ctx.ReplyNull()
	}
	replyToken(ctx, o.Token)
}

func fetchArguments(ctx *redismodule.Ctx, args []redismodule.Arg) (lease, load int64, o fetchOptions, err error) {
	if lease, load, err = leaseTimes(ctx, args, "cache.fetch"); err == nil && len(args) > 4 {
		err = o.read(ctx, args[4:])
	}
	return lease, load, o, err
}

type fetchOptions struct {
	block            bool
	blockMs, refresh int64
}

func (f *fetchOptions) read(ctx *redismodule.Ctx, args []redismodule.Arg) (err error) {
	o := syntax.NewOptions(args)
	refresh := false
	for err == nil && o.Next() {
		switch {
		case o.Is("BLOCK") && !f.block:
			f.block = true
			f.blockMs, err = millisOrZero(ctx, o.Value(), "cache.fetch")
		case o.Is("REFRESH") && !refresh:
			refresh = true
			f.refresh, err = millisOrZero(ctx, o.Value(), "cache.fetch")
		default:
			o.Unknown()
		}
		if o.Err() != nil {
			return o.Err()
		}
	}
	return err
}
