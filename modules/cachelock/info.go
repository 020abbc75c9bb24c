package cachelock

import (
	"strings"

	"holdfast/modules/internal/histogram"
	"holdfast/redismodule"
)

// statistics counts since the module was loaded.
type statistics struct {
	hits, absent, stale, misses      int
	grants, coalesced                int
	parked, timeouts                 int
	staleSets, failures, invalidated int
	refused                          int                 // callers not told LOAD because of a backoff
	loadTimes                        histogram.Histogram // ms from LOAD to the value
}

// info writes the cachelock section of INFO.
func info(w *redismodule.Info) {
	for _, f := range []struct {
		name  string
		value int
	}{
		{"hits", stats.hits + redismodule.Direct("cache.get") + redismodule.Direct("cache.fetch")},
		{"absent_hits", stats.absent},
		{"stale_hits", stats.stale},
		{"misses", stats.misses},
		// A promoted waiter is one more load, and one miss less that was served by
		// another caller's load.
		{"loads", stats.grants + table.Promotions()},
		{"coalesced", stats.coalesced},
		{"loads_avoided", stats.coalesced - table.Promotions()},
		{"parked", stats.parked},
		{"wait_timeouts", stats.timeouts},
		{"promotions", table.Promotions()},
		{"loads_failed", stats.failures},
		{"refused_in_backoff", stats.refused},
		{"leases_invalidated", stats.invalidated},
		{"stale_sets_refused", stats.staleSets},
		{"load_ms_p50", int(stats.loadTimes.Quantile(0.5))},
		{"load_ms_p99", int(stats.loadTimes.Quantile(0.99))},
		{"load_ms_max", int(stats.loadTimes.Max())},
		{"leases", table.Leases(w.Now())},
		{"lease_bytes", table.Bytes()},
		{"leases_evicted", table.Evicted()},
		{"backoffs", table.Backoffs(w.Now())},
		{"waiting", table.Waiting()},
	} {
		w.Int(f.name, int64(f.value))
	}
	infoGroups(w)
}

var infoCommand = redismodule.Command{
	Name:       "cache.info",
	Summary:    "Tells what is known of a key: its value, its lease, and who waits.",
	Complexity: "O(1)",
	Since:      "1.0.0",
	Arity:      2,
	Flags:      "readonly fast",
	Categories: "read fast",
	Keys:       oneKey(redismodule.KeyRO | redismodule.KeyAccess),
	Args:       []redismodule.Argument{keyArgument},
	Reply: "A map: value (present, absent, ttl_ms as PTTL answers, bytes), lease (age_ms, left_ms, budget_left_ms; nil if there is none), waiters, failed (message, left_ms of the BACKOFF that goes on; nil if none does). " +
		"nil when there is none of these. A replica knows of no leases and waiters.",
	Handler: func(ctx *redismodule.Ctx, args []redismodule.Arg) error {
		e, err := open(ctx.Look(args[1]))
		defer e.Close()
		if err != nil {
			return err
		}
		k := keyOf(ctx, args[1])
		lease, leased := table.Lease(k, ctx.Now())
		waiting := table.WaitingFor(k)
		message, left, failed := table.Backoff(k, ctx.Now())
		if !e.there() && !leased && !failed && waiting == 0 {
			ctx.ReplyNull()
			return nil
		}
		ctx.ReplyMap(4)
		ctx.ReplyString("value")
		present := e.there() && !e.absent
		bytes := 0
		if present {
			bytes = e.Len()
		}
		ctx.ReplyMap(4)
		field(ctx, "present", toInt(present))
		field(ctx, "absent", toInt(e.absent))
		field(ctx, "ttl_ms", e.ttl(ctx.Now()))
		field(ctx, "bytes", int64(bytes))
		ctx.ReplyString("lease")
		if leased {
			ctx.ReplyMap(3)
			field(ctx, "age_ms", lease.Age)
			field(ctx, "left_ms", lease.Left)
			field(ctx, "budget_left_ms", lease.BudgetLeft)
		} else {
			ctx.ReplyNull()
		}
		field(ctx, "waiters", int64(waiting))
		ctx.ReplyString("failed")
		if failed {
			ctx.ReplyMap(2)
			ctx.ReplyString("message")
			ctx.ReplyString(strings.TrimPrefix(message, loadFailed))
			field(ctx, "left_ms", left)
		} else {
			ctx.ReplyNull()
		}
		return nil
	},
}

func field(ctx *redismodule.Ctx, name string, v int64) {
	ctx.ReplyString(name)
	ctx.ReplyInt(v)
}

func toInt(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
