package distlock

import (
	"holdfast/internal/locktable"
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
	Reply: "A map of mode, limit (0 for shared and for none), holders (owner, token, ttl_ms, held_ms, session, meta) " +
		"and waiters (owner, mode, waited_ms), the first in line first; nil when it is neither held nor waited for.",
	Handler: lockInfo,
}

func lockInfo(ctx *redismodule.Ctx, args []redismodule.Arg) error {
	type holder struct {
		owner string
		meta  string
		locktable.Record
	}
	now := ctx.Now()
	store.enterCommand(ctx, args[1])
	store.reading = true
	defer func() { store.reading = false }()
	var holders []holder
	limit, err := table.Holders(now, store.db, args[1].Bytes(), func(owner []byte, r *locktable.Record) {
		holders = append(holders, holder{string(owner), string(r.Meta), *r})
	})
	if err != nil {
		return refusal(err)
	}
	waiters := table.QueueLen(store.db, args[1].Bytes())
	if len(holders) == 0 && waiters == 0 {
		ctx.ReplyNull()
		return nil
	}

	ctx.ReplyMap(4)
	ctx.ReplyString("mode")
	if len(holders) == 0 {
		ctx.ReplyString("none")
	} else {
		replyMode(ctx, limit)
	}
	ctx.ReplyString("limit")
	ctx.ReplyInt(limit)
	ctx.ReplyString("holders")
	ctx.ReplyArray(len(holders))
	for _, h := range holders {
		ctx.ReplyMap(6)
		ctx.ReplyString("owner")
		ctx.ReplyString(h.owner)
		ctx.ReplyString("token")
		ctx.ReplyInt(h.Token)
		ctx.ReplyString("ttl_ms")
		ctx.ReplyInt(h.Expires - now)
		ctx.ReplyString("held_ms")
		ctx.ReplyInt(max(now-h.Acquired, 0))
		ctx.ReplyString("session")
		ctx.ReplyBool(h.Session)
		ctx.ReplyString("meta")
		ctx.ReplyString(h.meta)
	}
	ctx.ReplyString("waiters")
	ctx.ReplyArray(waiters)
	table.Waiters(store.db, args[1].Bytes(), func(w *locktable.Waiter) {
		ctx.ReplyMap(3)
		ctx.ReplyString("owner")
		ctx.ReplyString(w.Owner)
		ctx.ReplyString("mode")
		replyMode(ctx, w.Limit)
		ctx.ReplyString("waited_ms")
		ctx.ReplyInt(max(now-w.Since, 0))
	})
	return nil
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
	w.Int("grants", s.Grants)
	w.Int("contended", s.Contended)
	w.Int("handed_over", s.HandedOver)
	w.Int("refused", s.Refused)
	w.Int("released", s.Released)
	w.Int("extended", s.Extended)
	w.Int("expired_while_held", s.Expired)
	w.Int("timeouts", s.Timeouts)
	w.Int("ghosts_reclaimed", s.Ghosts)
	w.Int("sessions_ended", s.Sessions)
	w.Int("broken", s.Broken)
	w.Int("deadlocks", s.Deadlocks)
	w.Int("queue_full", s.QueueFull)
	w.Int("last_token", table.LastToken())
	w.Int("quarantine_left_ms", table.QuarantineLeft(now))
}
