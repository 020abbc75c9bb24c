package redismodule

/*
#include "bridge.h"
*/
import "C"

import (
	"math"

	"holdfast/internal/deadline"
)

// Waiter is a module's side of a blocked client. Exactly one of its methods is called,
// once, whatever ends the wait. No command runs between a deadline and its Timeout.
type Waiter interface {
	// Reply answers the client after Blocked.Wake.
	Reply(ctx *Ctx)
	// Timeout answers the client when its time ran out or CLIENT UNBLOCK ended
	// the wait, and takes the waiter out of the module's queues.
	Timeout(ctx *Ctx)
	// Gone hears that the wait is over without an answer of the module's: the connection
	// closed, CLIENT UNBLOCK … ERROR, or the server became a replica. It may
	// come after Wake, instead of Reply: what was given to the client reached
	// nobody, and belongs to the next in line. Gone must not write; Ctx.SetTimer
	// is the way to do it at once.
	Gone(ctx *Ctx)
}

// Blocked is a blocked client.
type Blocked struct {
	m      *module
	bc     *C.RedisModuleBlockedClient
	waiter Waiter // nil once it has been called
	client uint64
	id     uint64 // slot and generation, as the server keeps it for us
	woken  bool   // the server was asked to unblock it
	late   bool   // woken because its time ran out
	demote bool   // woken because the server became a replica
	due    deadline.Item[*Blocked]
}

// C keeps numbers, never Go pointers. A number holds a slot and how often the slot had been
// used, so a number that outlives its client finds nothing.
var (
	slots    []*Blocked
	uses     []uint32
	free     []uint32
	byHandle = map[*C.RedisModuleBlockedClient]*Blocked{}
)

func (b *Blocked) register() {
	var slot uint32
	if n := len(free); n > 0 {
		slot, free = free[n-1], free[:n-1]
	} else {
		slot = uint32(len(slots))
		slots, uses = append(slots, nil), append(uses, 0)
	}
	uses[slot]++
	slots[slot] = b
	b.id = uint64(uses[slot])<<32 | uint64(slot)
	byHandle[b.bc] = b
}

func lookup(id uint64) *Blocked {
	slot := uint32(id)
	if int(slot) >= len(slots) || uses[slot] != uint32(id>>32) {
		return nil
	}
	return slots[slot]
}

func (b *Blocked) unregister() {
	slot := uint32(b.id)
	slots[slot] = nil
	free = append(free, slot)
	delete(byHandle, b.bc)
}

// ErrCannotWait answers a client whose connection the server cannot block.
const ErrCannotWait Error = "ERR this connection cannot wait because it is subscribed to channels: send the command without BLOCK, or on another connection"

// Block makes the client of the running command wait: ms milliseconds at most, for ever if
// ms is 0. The command then answers nothing. Call it where CanBlock is true, and before the
// waiter is put anywhere: the error, to be returned, is ErrCannotWait. Valkey from 8.1 on
// does not block a RESP3 connection that is subscribed.
func (ctx *Ctx) Block(ms int64, w Waiter) (*Blocked, error) {
	if ctx.command == nil || ctx.command == &waiting || ctx.replied {
		return nil, ErrCannotWait
	}
	bc := C.hf_block(ctx.raw())
	if bc == nil {
		return nil, ErrCannotWait
	}
	b := &Blocked{m: ctx.m, bc: bc, waiter: w, client: ctx.ClientID()}
	b.register()
	b.m.blocked++
	ctx.replied = true
	if ms > 0 {
		b.due.Value = b
		ctx.m.timer.waits.Put(&b.due, ctx.Now()+min(ms, math.MaxInt64-ctx.Now()))
		ctx.m.timer.arm(ctx)
	}
	return b, nil
}

// ClientID is the number of the blocked connection.
func (b *Blocked) ClientID() uint64 { return b.client }

// Wake ends the wait: Reply follows before any other command runs, or Gone if
// the client is not there any more. It reports whether it did: false means that
// the wait had ended already.
func (b *Blocked) Wake() bool {
	if b.woken || b.waiter == nil {
		return false
	}
	b.woken = true
	b.m.timer.waits.Remove(&b.due)
	C.hf_unblock(b.bc, C.uint64_t(b.id))
	return true
}

// done takes the waiter out, for the one method that is called.
func (b *Blocked) done() Waiter {
	w := b.waiter
	b.waiter = nil
	b.m.timer.waits.Remove(&b.due)
	return w
}

// expire wakes the clients whose deadline has passed.
func (t *timer) expire(now int64) {
	for it := t.waits.PopDue(now); it != nil; it = t.waits.PopDue(now) {
		b := it.Value
		b.late = b.Wake()
	}
}

// demoted ends the waits of a module when the server becomes a replica. Most servers have
// ended them by then; a node of a Valkey cluster only redirects clients that it knows the
// keys of, and would leave ours.
func (m *module) demoted() {
	for _, b := range slots {
		if b != nil && b.m == m {
			b.demote = b.Wake()
		}
	}
}

const errDemoted Error = "UNBLOCKED the wait was ended because this server became a replica"

func (b *Blocked) reply(ctx *Ctx) {
	w := b.done()
	switch {
	case w == nil:
	case b.demote:
		w.Gone(ctx)
		ctx.ReplyError(errDemoted)
	case b.late:
		w.Timeout(ctx)
	default:
		w.Reply(ctx)
	}
}

// unblocked handles CLIENT UNBLOCK. The server goes on by itself after the reply, but each
// handle needs its UnblockClient, also when the waiter panics.
func (b *Blocked) unblocked(ctx *Ctx) {
	defer b.release()
	if w := b.done(); w != nil {
		w.Timeout(ctx)
	}
}

func (b *Blocked) gone(ctx *Ctx) {
	defer b.release()
	if w := b.done(); w != nil {
		w.Gone(ctx)
	}
}

func (b *Blocked) release() {
	if !b.woken {
		b.woken = true
		C.hf_unblock(b.bc, C.uint64_t(b.id))
	}
}

// freed is the last callback for a blocked client.
func (b *Blocked) freed(ctx *Ctx) {
	b.m.blocked--
	b.unregister()
	if w := b.done(); w != nil {
		w.Gone(ctx)
	}
}
