package cachelock

import (
	"holdfast/modules/internal/leasetable"
	"holdfast/redismodule"
)

// slotCheckMs is how often a node of a cluster asks whether it still serves the keys
// that clients wait for. The server does not tell when a slot has moved.
const slotCheckMs = 100

// turn is the module's timer. It looks after waiters whose loader is gone, and wakes
// the next batch.
func turn(ctx *redismodule.Ctx) {
	watches.ctx = ctx
	if cluster && ctx.Now() >= slotCheck {
		slotCheck = ctx.Now() + slotCheckMs
		table.Recheck(leasetable.Batch)
	}
	table.BeginTurn(ctx.Now())
	for range leasetable.Batch {
		k, ok := table.Undecided()
		if !ok {
			break
		}
		decide(ctx, k)
	}
	serve(ctx)
}

// decide looks after those who wait for a key whose loader may be gone. If another
// client stored a value, they get it. If nobody loads, the first of them does.
func decide(ctx *redismodule.Ctx, k leasetable.Key) {
	ctx.SelectDB(k.DB)
	if !ctx.Serves(k.Name) {
		table.Resolve(k, leasetable.Outcome{Status: leasetable.Failed, Err: "TRYAGAIN the key's slot moves to another node"})
		return
	}
	e, err := open(ctx.Look(redismodule.Text(k.Name)))
	defer e.Close()
	switch {
	case err != nil:
		table.Resolve(k, leasetable.Outcome{Status: leasetable.Failed, Err: err.Error()})
	case e.there():
		table.Resolve(k, e.outcome())
	default:
		table.Promote(k, ctx.Now())
	}
}

// serve wakes the waiters whose outcome is decided, at most a batch in a turn, and
// sets the timer. Everything that may have decided about waiters ends with it.
func serve(ctx *redismodule.Ctx) {
	for w := table.Ready(); w != nil; w = table.Ready() {
		if w.Outcome().Status == leasetable.Load {
			groupOf(w.Key().Name).loads++
		}
		w.Who.Wake()
	}
	arm(ctx)
}

// serveIfAnyWait is serve for commands that seldom decide about waiters.
func serveIfAnyWait(ctx *redismodule.Ctx) {
	if table.Waiting() > 0 {
		serve(ctx)
	}
}

func arm(ctx *redismodule.Ctx) {
	at, ok := table.Next(ctx.Now())
	if cluster && table.Waiting() > 0 && (!ok || at > slotCheck) {
		at, ok = max(slotCheck, ctx.Now()), true
	}
	if ok {
		ctx.SetTimer(at)
	} else if ctx.TimerAt() != 0 {
		ctx.StopTimer()
	}
}

// waiter is a client that waits in CACHE.FETCH.
type waiter struct {
	leasetable.Waiter[*redismodule.Blocked]
}

func (w *waiter) Reply(ctx *redismodule.Ctx) { replyFetch(ctx, w.Outcome()) }

// Timeout answers WAIT, or what was decided in the same instant.
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
