package redismodule

/*
#include "bridge.h"
#cgo nocallback hf_timer_stop
#cgo nocallback hf_timer_start
*/
import "C"

import "holdfast/internal/deadline"

// pause is how long the timer waits for a write pause to end before it asks
// again: writing during one aborts the server.
const pause = 50

// farthest is how far ahead the server's timer is set at most, in milliseconds:
// the server counts in microseconds, which a large number would overflow.
const farthest = 1 << 32

// timer is a module's one server timer. It serves the module's own deadline and
// those of its blocked clients.
type timer struct {
	m     *module
	due   int64 // the module's deadline in unix ms, 0 for none
	waits deadline.Heap[*Blocked]

	id    C.RedisModuleTimerID
	armed int64 // when the server timer fires; 0: there is none
}

// SetTimer has Module.Timer run at the given unix millisecond, or at once after
// this callback when that has passed. It replaces an earlier deadline.
func (ctx *Ctx) SetTimer(at int64) {
	ctx.m.timer.due = max(at, 1)
	ctx.m.timer.arm(ctx)
}

// TimerAt is the deadline last given to SetTimer, 0 if there is none.
func (ctx *Ctx) TimerAt() int64 { return ctx.m.timer.due }

// StopTimer drops the deadline.
func (ctx *Ctx) StopTimer() {
	ctx.m.timer.due = 0
	ctx.m.timer.arm(ctx)
}

// arm makes the server's timer fire at the earliest deadline. A timer that is set for
// earlier is left alone: to fire once in vain costs less than to change it.
func (t *timer) arm(ctx *Ctx) {
	next, any := t.waits.Next()
	if t.due != 0 && (!any || t.due < next) {
		next, any = t.due, true
	}
	if !any {
		t.stop(ctx)
		return
	}
	if t.armed != 0 && t.armed <= next {
		return
	}
	t.stop(ctx)
	t.armed = next
	t.id = C.hf_timer_start(C.int(t.m.slot), C.longlong(min(max(next-ctx.Now(), 0), farthest)))
}

func (t *timer) stop(ctx *Ctx) {
	if t.armed != 0 {
		t.armed = 0
		C.hf_timer_stop(C.int(t.m.slot), t.id)
	}
}

// fire runs when the server's timer does. The timer that fires must not be
// stopped, so it is forgotten first.
func (t *timer) fire(ctx *Ctx) {
	t.armed = 0
	now := ctx.Now()
	// Blocked clients must get their timeouts, also when the module's Timer panics.
	defer func() {
		t.expire(now)
		t.arm(ctx)
	}()
	if t.due != 0 && t.due <= now {
		switch {
		case ctx.MayWrite():
			t.due = 0
			if t.m.Timer != nil {
				t.m.Timer(ctx)
			}
		case ctx.Flags()&FlagPrimary == 0:
			t.due = 0 // RoleChanged sets it again
			if t.m.ReplicaTimer != nil {
				t.m.ReplicaTimer(ctx)
			}
		default:
			t.due = now + pause
		}
	}
}
