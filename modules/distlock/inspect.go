package distlock

import (
	"math"

	"holdfast/modules/internal/histogram"
	"holdfast/modules/internal/locktable"
	"holdfast/redismodule"
)

var infoCommand = redismodule.Command{
	Name:       "lock.info",
	Summary:    "Tells who holds a lock and who waits for it.",
	Complexity: "O(N) for N holders and waiters",
	Since:      "1.0.0",
	Arity:      2,
	Flags:      "readonly",
	Categories: "read slow",
	Keys:       lockKey(redismodule.KeyRO | redismodule.KeyAccess),
	Args:       []redismodule.Argument{nameArgument},
	Reply: "A map of mode, limit (0 for shared and for none), holders (owner, token, ttl_ms, held_ms, session, meta, foreign) " +
		"and waiters (owner, mode, waited_ms, also), the first in line first, and expired_while_held; nil when it is neither held nor " +
		"waited for. foreign is 1 for a client's SET NX PX: then owner is the value, and token and held_ms are nil. " +
		"ttl_ms is -1 for a lock that was made to PERSIST. also is for how many further locks the waiter waits with this one. " +
		"expired_while_held counts the lock's leases that ran out, since the server started.",
	Handler: lockInfo,
}

func lockInfo(ctx *redismodule.Ctx, args []redismodule.Arg) error {
	store.enterCommand(ctx, args[1], redismodule.Arg{})
	defer store.leave()
	in, err := inspect(ctx.Now(), ctx.DB(), args[1].Bytes(), math.MaxInt)
	if err != nil {
		return refusal(err)
	}
	if in.holding == 0 && in.waiting == 0 {
		ctx.ReplyNull()
		return nil
	}
	ctx.ReplyMap(5)
	in.reply(ctx)
	return nil
}

// inspection is what LOCK.INFO tells of one lock.
type inspection struct {
	now              int64
	limit            int64
	holders          []heldBy
	waiters          []*locktable.Waiter
	holding, waiting int // all of them
	ranOut           int64
}

type heldBy struct {
	owner, meta string
	locktable.Holder
}

// inspect looks at a lock, and takes down so many holders and waiters at most.
func inspect(now int64, db int, name []byte, most int) (in inspection, err error) {
	in.now = now
	in.limit, err = table.Holders(now, db, name, func(owner []byte, h *locktable.Holder) {
		if in.holding++; len(in.holders) < most {
			in.holders = append(in.holders, heldBy{string(owner), string(h.Meta), *h})
		}
	})
	in.waiting = table.QueueLen(db, name)
	table.Waiters(db, name, func(w *locktable.Waiter) bool {
		in.waiters = append(in.waiters, w)
		return len(in.waiters) < most
	})
	in.ranOut = table.RanOut(now, db, name)
	return in, err
}

// reply answers the five fields of the map.
func (in *inspection) reply(ctx *redismodule.Ctx) {
	ctx.ReplyString("mode")
	if len(in.holders) == 0 {
		ctx.ReplyString("none")
	} else {
		replyMode(ctx, in.limit)
	}
	ctx.ReplyString("limit")
	ctx.ReplyInt(in.limit)
	ctx.ReplyString("holders")
	ctx.ReplyArray(len(in.holders))
	for i := range in.holders {
		in.holders[i].reply(ctx, in.now)
	}
	ctx.ReplyString("waiters")
	ctx.ReplyArray(len(in.waiters))
	for _, w := range in.waiters {
		ctx.ReplyMap(4)
		ctx.ReplyString("owner")
		ctx.ReplyString(w.Owner)
		ctx.ReplyString("mode")
		replyMode(ctx, w.Limit)
		ctx.ReplyString("waited_ms")
		ctx.ReplyInt(max(in.now-w.Since, 0))
		ctx.ReplyString("also")
		ctx.ReplyInt(int64(w.Also()))
	}
	ctx.ReplyString("expired_while_held")
	ctx.ReplyInt(in.ranOut)
}

func (h *heldBy) reply(ctx *redismodule.Ctx, now int64) {
	ctx.ReplyMap(7)
	ctx.ReplyString("owner")
	ctx.ReplyString(h.owner)
	ctx.ReplyString("token")
	if h.Foreign {
		ctx.ReplyNull()
	} else {
		ctx.ReplyInt(h.Token)
	}
	ctx.ReplyString("ttl_ms")
	if h.Endless() {
		ctx.ReplyInt(-1)
	} else {
		ctx.ReplyInt(h.Expires - now)
	}
	ctx.ReplyString("held_ms")
	if h.Foreign {
		ctx.ReplyNull()
	} else {
		ctx.ReplyInt(max(now-h.Acquired, 0))
	}
	ctx.ReplyString("session")
	ctx.ReplyBool(h.Session)
	ctx.ReplyString("meta")
	ctx.ReplyString(h.meta)
	ctx.ReplyString("foreign")
	ctx.ReplyBool(h.Foreign)
}

// replyMode answers exclusive, shared or limit. The number stands beside it.
func replyMode(ctx *redismodule.Ctx, limit int64) {
	switch limit {
	case locktable.Exclusive:
		ctx.ReplyString("exclusive")
	case locktable.Shared:
		ctx.ReplyString("shared")
	default:
		ctx.ReplyString("limit")
	}
}

func writeInfo(w *redismodule.Info) {
	now := w.Now()
	s := &table.Stats
	w.Int("held", table.Held(now))
	w.Int("waiting", int64(table.Waiting()))
	w.Int("grants", s.Grants+store.fast.Grants)
	w.Int("contended", s.Contended)
	w.Int("handed_over", s.HandedOver)
	w.Int("refused", s.Refused+store.fast.Refused)
	w.Int("released", s.Released+store.fast.Released)
	w.Int("extended", s.Extended+store.fast.Extended)
	w.Int("expired_while_held", s.Expired)
	w.Int("timeouts", s.Timeouts)
	w.Int("withdrawn", s.Withdrawn)
	w.Int("ghosts_reclaimed", s.Ghosts)
	w.Int("sessions_ended", s.Sessions)
	w.Int("broken", s.Broken)
	w.Int("deadlocks", s.Deadlocks)
	w.Int("queue_full", s.QueueFull)
	w.Int("last_token", table.LastToken())
	w.Int("quarantine_left_ms", table.QuarantineLeft(now))
	for _, times := range []struct {
		name string
		*histogram.Histogram
	}{{"wait_ms", &s.Wait}, {"hold_ms", &s.Hold}} {
		w.Int(times.name+"_count", int64(times.Count()))
		w.Int(times.name+"_p50", times.Quantile(0.5))
		w.Int(times.name+"_p99", times.Quantile(0.99))
		w.Int(times.name+"_max", times.Max())
	}
}
