// Package cachelock is the module of that name: a cache that cannot stampede. The
// handlers read arguments, let the lease table decide who loads, write values as
// plain strings, and answer. What is hard about leases and waiters is in
// modules/internal/leasetable.
package cachelock

import (
	"encoding/binary"

	"holdfast/modules/internal/leasetable"
	"holdfast/redismodule"
)

// config is what CONFIG SET cachelock.* sets.
var config struct {
	maxLeases, maxTTL, maxWaiters int64
	statsPrefixes                 string
}

// The state of the module. All of it runs on the server's main thread.
var (
	table *leasetable.Table[*redismodule.Blocked]
	stats statistics
	px    redismodule.Arg

	cluster   bool  // a key's slot may move to another node while somebody waits
	slotCheck int64 // in a cluster: when to ask again whether this node serves the keys
)

// Module is all of cachelock as the server sees it.
var Module = redismodule.Module{
	Name:    "cachelock",
	Version: 1,
	Summary: "A cache that cannot stampede: who misses together causes one load and is handed its value.",

	Commands: []redismodule.Command{
		lockCommand, setCommand, getCommand, fetchCommand,
		extendCommand, unlockCommand, failCommand,
		setNilCommand, delCommand, infoCommand, loadsCommand,
	},

	Configs: []redismodule.Config{
		{
			Name:    "max-leases",
			Summary: "How many leases and backoffs there are at most; a new one then takes the place of one that nobody waits for.",
			Int:     &config.maxLeases, Default: 1_000_000, Min: 1, Max: 1 << 31,
		},
		{
			Name:    "max-ttl-ms",
			Summary: "Longest lease, whole load and backoff, in milliseconds; a longer one is cut to it.",
			Int:     &config.maxTTL, Default: 86_400_000, Min: 1, Max: 1 << 40,
		},
		{
			Name:    "max-waiters",
			Summary: "How many clients may wait in CACHE.FETCH at a time; the next is answered WAIT at once.",
			Int:     &config.maxWaiters, Default: 10_000, Min: 0, Max: 1 << 31,
		},
		{
			Name:    "stats-prefixes",
			Summary: "Up to 64 prefixes of keys, with spaces between them; INFO counts each by itself. A key counts for the longest that it begins with.",
			Text:    &config.statsPrefixes,
			Check:   func(text string) error { _, err := parsePrefixes(text); return err },
		},
	},
	Changed: configure,

	Load: func(ctx *redismodule.Ctx) error {
		stats = statistics{}
		px = redismodule.Intern("PX")
		cluster = ctx.Flags()&redismodule.FlagCluster != 0
		table = leasetable.New[*redismodule.Blocked](firstToken(ctx), &watches)
		groups, slotCheck = nil, 0
		configure()
		return nil
	},
	Info: info,

	KeyEvents: redismodule.EventGeneric | redismodule.EventString | redismodule.EventList |
		redismodule.EventSet | redismodule.EventHash | redismodule.EventZSet |
		redismodule.EventStream | redismodule.EventModule,
	KeyEvent: func(ctx *redismodule.Ctx, event string, name []byte) {
		// A new TTL makes no value wrong. Expiry and eviction do not either: the
		// module does not ask for events of those classes.
		if event == "expire" || event == "persist" {
			return
		}
		watches.ctx = ctx
		if _, ok := table.End(leasetable.Key{DB: ctx.DB(), Name: name}, leasetable.AnyToken, ctx.Now()); ok {
			stats.invalidated++
		}
		arm(ctx)
	},
	FlushDB: func(ctx *redismodule.Ctx, db int) { flush(ctx, db) },
	SwapDB:  func(ctx *redismodule.Ctx, a, b int) { flush(ctx, a); flush(ctx, b) },
	// The leases were granted for other data than what was loaded now or what comes
	// from another primary. Losing them costs one more load each.
	SlotsMoved: func(ctx *redismodule.Ctx, _ bool) {
		slotCheck = 0 // the waiters of a key that went are sent on
		arm(ctx)
	},
	Loaded:      func(ctx *redismodule.Ctx) { flush(ctx, -1) },
	RoleChanged: func(ctx *redismodule.Ctx, _ bool) { flush(ctx, -1) },

	Timer: turn,
}

// configure follows the settings.
func configure() {
	table.Max = int(config.maxLeases)
	setGroups(config.statsPrefixes)
}

// firstToken draws a random token whenever the module is loaded. Tokens are below
// 2^53, so that every client's integers hold them, and all have sixteen digits. The
// range is 2^52 wide, so a token from before a restart is never the one that its key
// has now.
func firstToken(ctx *redismodule.Ctx) uint64 {
	var b [8]byte
	ctx.Random(b[:])
	return 1e15 + binary.NativeEndian.Uint64(b[:])>>12
}

func flush(ctx *redismodule.Ctx, db int) {
	watches.ctx = ctx
	table.Flush(db)
	arm(ctx)
}

// watches tells the binding which keys have leases. Every callback that may grant or
// end a lease first gives it its context.
var watches watcher

type watcher struct{ ctx *redismodule.Ctx }

func (w *watcher) Watch(k leasetable.Key) uint64 { return uint64(w.ctx.Watch(k.DB, k.Name)) }
func (w *watcher) Unwatch(id uint64)             { redismodule.Unwatch(redismodule.WatchID(id)) }
func (w *watcher) UnwatchAll()                   { w.ctx.UnwatchAll() }
