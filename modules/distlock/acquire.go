package distlock

import (
	"errors"
	"fmt"
	"math"

	"holdfast/modules/internal/locktable"
	"holdfast/modules/syntax"
	"holdfast/redismodule"
)

var acquireCommand = redismodule.Command{
	Name:       "lock.acquire",
	Summary:    "Takes a lock for a time, or waits in line for it.",
	Complexity: "O(1) for each lock, also where it is refused; O(N) for N holders of a shared lock or semaphore with leases that ran out, and, some holders at a time, for the first who waits",
	Since:      "1.0.0",
	Arity:      -4,
	Flags:      "write deny-oom fast blocking",
	Categories: "write fast blocking",
	Keys:       lockKey(redismodule.KeyRW | redismodule.KeyUpdate),
	Args: []redismodule.Argument{
		nameArgument, ownerArgument, ttlArgument,
		{Name: "mode", Type: redismodule.ArgOneOf, Optional: true, Args: []redismodule.Argument{
			{Name: "shared", Type: redismodule.ArgToken, Token: "SHARED", Summary: "Any number may hold it together."},
			{Name: "n", Type: redismodule.ArgInteger, Token: "LIMIT", Summary: "So many may hold it together."},
		}},
		{Name: "block-ms", Type: redismodule.ArgInteger, Token: "BLOCK", Optional: true, Summary: "Waits so long for its turn, first come, first served; 0 for ever."},
		{Name: "session", Type: redismodule.ArgToken, Token: "SESSION", Optional: true, Summary: "Released at once when this connection closes."},
		{Name: "text", Token: "META", Optional: true, Summary: "Whatever LOCK.INFO shall tell of the holder, up to 64 KB."},
		{Name: "withtoken", Type: redismodule.ArgToken, Token: "WITHTOKEN", Optional: true, Summary: "Answers the fencing token instead of 1."},
		{
			Name: "again", Type: redismodule.ArgToken, Token: "AGAIN", Optional: true,
			Summary: "Where owner holds it already in that mode, the answer is what it was and the lease begins anew: safe to send twice.",
		},
		alsoArgument,
	},
	Reply:   "1 (with WITHTOKEN the fencing token) when acquired; 0 when it is held, or BLOCK ran out.",
	Handler: acquire,
}

func acquire(ctx *redismodule.Ctx, args []redismodule.Arg) error {
	now := ctx.Now()
	ttl, err := leaseTime(args[3], "lock.acquire", now)
	if err != nil {
		return err
	}
	r := locktable.Request{
		Name: args[1].Bytes(), Owner: args[2].Bytes(), DB: ctx.DB(), TTL: ttl, Limit: locktable.Exclusive,
	}
	if err := tooLong("owner", r.Owner, locktable.MaxOwner); err != nil {
		return err
	}
	var o acquireOptions
	if len(args) > 4 {
		if err := o.read(ctx, args, &r, now); err != nil {
			return err
		}
	}
	store.enterCommand(ctx, args[1], args[2])
	defer store.leave()
	store.openFastPath(now)
	v, err := table.Acquire(now, &r)
	switch {
	case err != nil:
		rearm(ctx)
		return refusal(err)
	case v.Wait:
		w := &waiter{withToken: o.withToken}
		w.Handle = w
		if w.blocked, err = ctx.Block(o.block, w); err != nil {
			table.Drop(v)
			return err
		}
		table.Enqueue(now, &r, v, &w.Waiter)
	case o.withToken:
		ctx.ReplyInt(v.Token)
	default:
		ctx.ReplyBool(v.Token != 0)
	}
	rearm(ctx)
	return nil
}

type acquireOptions struct {
	block     int64
	withToken bool
}

func (o *acquireOptions) read(ctx *redismodule.Ctx, args []redismodule.Arg, r *locktable.Request, now int64) (err error) {
	mode := false
	options := syntax.NewOptions(args[4:])
	for err == nil && options.Next() {
		switch {
		case options.Is("BLOCK"):
			o.block, err = syntax.Block(options.Value(), "lock.acquire", now)
			r.Block = true
		case options.Is("WITHTOKEN"):
			o.withToken = true
		case options.Is("SESSION"):
			r.Session = true
		case options.Is("META"):
			r.Meta = options.Value().Bytes()
			err = tooLong("META text", r.Meta, locktable.MaxMeta)
		case options.Is("AGAIN"):
			r.Again = true
		case options.Is("ALSO"):
			r.Also, err = also(ctx, args[1], options.Rest(), redismodule.KeyUpdate)
		case options.Is("SHARED") && !mode:
			mode, r.Limit = true, locktable.Shared
		case options.Is("LIMIT") && !mode:
			mode = true
			r.Limit, err = syntax.Int(options.Value(), 1, math.MaxInt32)
		default:
			options.Unknown()
		}
		if options.Err() != nil {
			return options.Err()
		}
	}
	if err != nil {
		return err
	}
	r.Block = r.Block && ctx.CanBlock()
	if r.Session {
		// A script has no connection of its own that could close.
		if r.Client = ctx.ClientID(); ctx.Flags()&redismodule.FlagLua != 0 {
			return redismodule.Error("ERR SESSION needs a connection: it cannot be asked for in a script")
		}
	}
	return nil
}

// refusal is what a client is told of an error of the table.
func refusal(err error) error {
	var deadlock *locktable.DeadlockError
	switch {
	case errors.Is(err, locktable.ErrWrongType):
		return redismodule.ErrWrongType
	case errors.Is(err, locktable.ErrMoved): // the word that cluster clients ask again for
		return redismodule.Error("TRYAGAIN the lock's slot moves to another node")
	case errors.Is(err, locktable.ErrQueueFull):
		return redismodule.Error(fmt.Sprintf(
			"QUEUEFULL %d wait for this lock already; distlock.max-waiters sets how many may", config.MaxWaiters))
	case errors.As(err, &deadlock):
		return redismodule.Error("DEADLOCK " + deadlock.Error())
	}
	return err
}

// waiter is a client that waits in line.
type waiter struct {
	locktable.Waiter
	withToken bool
	blocked   *redismodule.Blocked
}

// Wake is called by the table when the waiter was granted the lock, cannot be,
// or was withdrawn. If its time ran out in the same instant, Timeout finds the grant.
func (w *waiter) Wake() { w.blocked.Wake() }

func (w *waiter) Reply(ctx *redismodule.Ctx) {
	switch {
	case w.Err != nil:
		ctx.ReplyError(refusal(w.Err))
	case w.withToken:
		ctx.ReplyInt(w.Token)
	default:
		ctx.ReplyBool(w.Token != 0)
	}
}

func (w *waiter) Timeout(ctx *redismodule.Ctx) {
	within(ctx, func() { table.Timeout(&w.Waiter) })
	w.Reply(ctx) // 0, unless it was granted meanwhile
	arm(ctx)
}

func (w *waiter) Gone(ctx *redismodule.Ctx) {
	within(ctx, func() { table.Gone(&w.Waiter) })
	arm(ctx)
}
