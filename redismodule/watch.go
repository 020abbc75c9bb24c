package redismodule

/*
#include "bridge.h"
#cgo noescape hf_watch
#cgo noescape hf_hash_name
#cgo nocallback hf_watch
#cgo nocallback hf_unwatch
#cgo nocallback hf_watched
#cgo nocallback hf_hash_name
*/
import "C"

import "unsafe"

// WatchID stands for a watched key of a module: a hash of its database and name, good until
// the server restarts.
type WatchID uint64

// Watch has Module.KeyEvent hear of a key. Watches are counted: each needs its Unwatch. The
// first one subscribes this library to the module's classes of key events, unless another of
// its modules has. That costs every write of those classes on the server about 0.1 µs from
// then on; servers offer no way to unsubscribe.
func (ctx *Ctx) Watch(db int, name []byte) WatchID { return ctx.watch(db, name, 0) }

// Hold is Watch, and until LetGo the key's commands do not take their fast path.
func (ctx *Ctx) Hold(db int, name []byte) WatchID { return ctx.watch(db, name, 1) }

func (ctx *Ctx) watch(db int, name []byte, hold C.int) WatchID {
	if !ctx.m.watching {
		ctx.m.watching = true
		C.hf_want_keys(C.int(ctx.m.slot), C.int(ctx.m.KeyEvents))
	}
	return WatchID(C.hf_watch(C.int(ctx.m.slot), C.int(db), chars(name), C.size_t(len(name)), hold))
}

// Unwatch takes one Watch back. It may be called outside callbacks of the module.
func Unwatch(id WatchID) { C.hf_unwatch(C.uint64_t(id), 0) }

// LetGo takes one Hold back.
func LetGo(id WatchID) { C.hf_unwatch(C.uint64_t(id), 1) }

// Unwatch takes one Watch of a key back.
func (ctx *Ctx) Unwatch(db int, name []byte) { Unwatch(ctx.KeyID(db, name)) }

// KeyID is the WatchID that a key has or would have.
func (ctx *Ctx) KeyID(db int, name []byte) WatchID {
	h := uint64(C.hf_hash_name(C.int(db), chars(name), C.size_t(len(name))))
	return WatchID(h&^(maxModules-1) | uint64(ctx.m.slot))
}

// Watched is the number of different keys and connections watched.
func (ctx *Ctx) Watched() int { return int(C.hf_watched(C.int(ctx.m.slot))) }

// WatchClient has Module.ClientGone hear when a connection closes. Watches are counted. The
// first one subscribes to the server's events of connections.
func (ctx *Ctx) WatchClient(id uint64) {
	if !ctx.m.clients {
		ctx.m.clients = true
		C.hf_want_event(C.int(ctx.m.slot), eventClient)
	}
	C.hf_watch(C.int(ctx.m.slot), -1, (*C.char)(unsafe.Pointer(&id)), 8, 0)
}

// UnwatchClient takes one WatchClient back.
func (ctx *Ctx) UnwatchClient(id uint64) {
	ctx.Unwatch(-1, unsafe.Slice((*byte)(unsafe.Pointer(&id)), 8))
}

// UnwatchAll takes every Watch, Hold and WatchClient of the module back.
func (ctx *Ctx) UnwatchAll() { C.hf_unwatch_all(C.int(ctx.m.slot)) }
