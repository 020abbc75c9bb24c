package cachelock

import (
	"bytes"

	"holdfast/internal/leasetable"
	"holdfast/redismodule"
)

// turn is what the timer does: waiters whose loader is out of time, or was taken
// from them, are seen to, and the next batch is woken.
func turn(ctx *redismodule.Ctx) {
	watches.ctx = ctx
	table.BeginTurn(ctx.Now())
	for range leasetable.Batch {
		k, ok := table.Unsettled()
		if !ok {
			break
		}
		settle(ctx, k)
	}
	serve(ctx)
}

// settle decides for those who wait for a key whose loader ran out of time or lost
// its lease by other hands: a plain SET brought a value for them, or somebody has
// to load anew.
func settle(ctx *redismodule.Ctx, k leasetable.Key) {
	ctx.SelectDB(k.DB)
	if cluster && !ctx.Serves(k.Name) {
		table.Tell(k, leasetable.Outcome{Status: leasetable.Failed, Err: "TRYAGAIN the key's slot moves to another node"})
		return
	}
	e, err := open(ctx.OpenName(k.Name, redismodule.Read))
	defer e.Close()
	switch {
	case err != nil:
		table.Tell(k, leasetable.Outcome{Status: leasetable.Failed, Err: err.Error()})
	case e.there():
		table.Tell(k, e.outcome())
	default:
		table.Promote(k, ctx.Now())
	}
}

// serve wakes who is ready, as many as this turn may, and sees to the timer. It
// ends whatever may have decided about waiters.
func serve(ctx *redismodule.Ctx) {
	for w := table.Ready(); w != nil; w = table.Ready() {
		w.Who.Wake()
	}
	arm(ctx)
}

func arm(ctx *redismodule.Ctx) {
	if at, ok := table.Next(ctx.Now()); ok {
		ctx.SetTimer(at)
	} else if ctx.TimerAt() != 0 {
		ctx.StopTimer()
	}
}

// waiter is a client parked by CACHE.FETCH.
type waiter struct {
	leasetable.Waiter[*redismodule.Blocked]
}

func (w *waiter) Reply(ctx *redismodule.Ctx) { replyFetch(ctx, w.Outcome()) }

// Timeout answers WAIT, unless something was decided in the same instant.
func (w *waiter) Timeout(ctx *redismodule.Ctx) {
	table.Leave(&w.Waiter)
	if w.Outcome().Status == leasetable.Wait {
		stats.timeouts++
	}
	replyFetch(ctx, w.Outcome())
	arm(ctx)
}

func (w *waiter) Gone(ctx *redismodule.Ctx) {
	watches.ctx = ctx
	table.Gone(&w.Waiter, ctx.Now())
	arm(ctx)
}

// entry is an open key as the cache sees it.
type entry struct {
	redismodule.Key
	absent bool // nothing is there, and that is known
}

// absentField is the one field of the hash that remembers that there is nothing.
var absentField = []byte("cachelock:absent")

// open takes in an opened key: a value, a remembered absence, or nothing.
// Whatever else it holds is not the cache's. The entry must be closed also when
// there is an error.
func open(k redismodule.Key) (entry, error) {
	switch k.Type {
	case redismodule.TypeNone, redismodule.TypeString:
		return entry{Key: k}, nil
	case redismodule.TypeHash:
		if k.Len() == 1 {
			var buf [8]byte
			if _, ok := k.HashGet(absentField, buf[:0]); ok {
				return entry{k, true}, nil
			}
		}
	}
	return entry{Key: k}, redismodule.ErrWrongType
}

func (e entry) there() bool { return e.Type != redismodule.TypeNone }

// ttl is as PTTL says it: -2 for nothing, -1 for no expiry.
func (e entry) ttl(now int64) int64 {
	switch {
	case !e.there():
		return -2
	case e.ExpireAt < 0:
		return -1
	}
	return max(e.ExpireAt-now, 0)
}

// outcome is what waiters are told of an entry that is there: its value, copied
// once for all of them, or that there is nothing.
func (e entry) outcome() leasetable.Outcome {
	if e.absent {
		return leasetable.Outcome{Status: leasetable.Absent}
	}
	return leasetable.Outcome{Status: leasetable.Hit, Value: bytes.Clone(e.Bytes())}
}
