// Package distlock is the module of that name: the LOCK commands and their
// handlers. The handlers read arguments, let the lock table decide, and answer;
// everything that is hard about locks is in modules/internal/locktable.
package distlock

import (
	"holdfast/modules/internal/locktable"
	"holdfast/redismodule"
)

// config is what CONFIG SET distlock.* sets.
var config struct {
	locktable.Limits
	maxTTL int64
}

// The service of this server. There is one, as there is one main thread.
var (
	store keyspace
	table *locktable.Table
	walk  rescan
)

// Module is all of distlock as the server sees it.
var Module = redismodule.Module{
	Name:    "distlock",
	Version: 1,
	Summary: "Locks that are handed over: the server knows who waits.",

	Commands: []redismodule.Command{
		acquireCommand, extendCommand, releaseCommand,
		infoCommand, listCommand, breakCommand, fenceCommand,
	},

	Configs: []redismodule.Config{
		{
			Name: "max-ttl-ms", Summary: "Longest lease that may be asked for, in milliseconds.",
			Int: &config.maxTTL, Default: 86_400_000, Min: 1, Max: 1 << 40,
		},
		{
			Name: "max-waiters", Summary: "How many may wait for one lock; the next is answered QUEUEFULL.",
			Int: &config.MaxWaiters, Default: 10_000, Min: 0, Max: 1 << 31,
		},
		{
			Name:    "quarantine-ms",
			Summary: "How long, in milliseconds, a started or promoted node grants no lock that it has no record of.",
			Int:     &config.Quarantine, Default: 0, Min: 0, Max: 1 << 40,
		},
	},

	Info: writeInfo,

	Load: func(ctx *redismodule.Ctx) error {
		store = newKeyspace(ctx)
		table = locktable.New(&store, &config.Limits, ctx.Now())
		walk.start(ctx)
		return nil
	},
	Unload: func(*redismodule.Ctx) error {
		walk.stop()
		return nil
	},

	Changed: func() { store.fast.Open, store.fast.MaxTTL = 0, config.maxTTL },

	KeyEvents: redismodule.EventGeneric | redismodule.EventExpired | redismodule.EventEvicted,
	KeyEvent: func(ctx *redismodule.Ctx, _ string, name []byte) {
		table.Touched(ctx.DB(), name)
		arm(ctx)
	},
	FlushDB: func(ctx *redismodule.Ctx, db int) {
		table.TouchedAll(db)
		arm(ctx)
	},
	SwapDB: func(ctx *redismodule.Ctx, a, b int) {
		table.Swap(a, b)
		arm(ctx)
	},
	ClientGone: func(ctx *redismodule.Ctx, client uint64) {
		within(ctx, func() { table.Disconnected(client) })
		arm(ctx)
	},
	SlotsMoved: func(ctx *redismodule.Ctx, here bool) {
		table.TouchedAll(-1) // the waiters of a lock that went are sent on
		if here {
			walk.start(ctx)
		}
		arm(ctx)
	},
	Loaded: lead,
	RoleChanged: func(ctx *redismodule.Ctx, primary bool) {
		if primary {
			lead(ctx)
			return
		}
		walk.stop()
		within(ctx, table.Follow)
	},
	Timer: func(ctx *redismodule.Ctx) {
		store.enter(ctx)
		defer store.leave()
		began := ctx.Monotonic()
		table.Run(ctx.Now(), func() bool { return ctx.Monotonic()-began > slice })
		walk.step(ctx)
		arm(ctx)
	},
}

// slice is how many microseconds of work are done in one go, before the clients'
// commands that have come meanwhile.
const slice = 1000

// lead begins anew with what the keyspace holds now.
func lead(ctx *redismodule.Ctx) {
	store.fast.Open = 0
	within(ctx, func() { table.Lead(ctx.Now()) })
	table.TouchedAll(-1)
	walk.start(ctx)
	arm(ctx)
}

// within runs fn, which watches keys or connections and opens no lock, in a
// callback that may come in the middle of another one of ours.
func within(ctx *redismodule.Ctx, fn func()) {
	outer := store.ctx
	defer func() { store.ctx = outer }()
	store.ctx = ctx
	fn()
}

// arm sets the timer for what the table has to do next.
func arm(ctx *redismodule.Ctx) {
	now := ctx.Now()
	at, ok := table.Next(now)
	if walk.more && (!ok || at > now+walkEvery) {
		at, ok = now+walkEvery, true
	}
	if ok {
		ctx.SetTimer(at)
	} else if ctx.TimerAt() != 0 {
		ctx.StopTimer()
	}
}

// rearm is arm for commands: it costs nothing when nobody waits, before or
// after.
func rearm(ctx *redismodule.Ctx) {
	if table.Waiting() > 0 || ctx.TimerAt() != 0 {
		arm(ctx)
	}
}
