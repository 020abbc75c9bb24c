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

// WatchID is what is kept of a watched key: a hash of its database and name,
// good until the server restarts.
type WatchID uint64

// Watch makes Module.KeyEvent hear of a key. Watches are counted: each needs
// its Unwatch, or UnwatchID with what this returns. The first one subscribes the module to its event classes, which
// costs every write of those classes on the server about 0.1 µs from then on;
// servers offer no way to unsubscribe.
func (ctx *Ctx) Watch(db int, name []byte) WatchID { return ctx.watch(db, name, 0) }

// Hold is Watch, and until LetGo commands that have a Shortcut for that key go to their
// Handler.
func (ctx *Ctx) Hold(db int, name []byte) WatchID { return ctx.watch(db, name, 1) }

func (ctx *Ctx) watch(db int, name []byte, hold C.int) WatchID {
	if !ctx.m.watching {
		ctx.m.watching = true
		C.hf_subscribe_keys(ctx.raw(), C.int(ctx.m.slot), C.int(ctx.m.KeyEvents))
	}
	return WatchID(C.hf_watch(C.int(ctx.m.slot), C.int(db), unsafe.Pointer(unsafe.SliceData(name)), C.size_t(len(name)), hold))
}

// Unwatch takes one Watch of a key back.
func (ctx *Ctx) Unwatch(db int, name []byte) {
	ctx.UnwatchID(KeyID(db, name))
}

// UnwatchID is Unwatch for a key whose name is forgotten.
func (ctx *Ctx) UnwatchID(id WatchID) { C.hf_unwatch(C.int(ctx.m.slot), C.uint64_t(id), 0) }

// LetGo takes one Hold back.
func (ctx *Ctx) LetGo(id WatchID) { C.hf_unwatch(C.int(ctx.m.slot), C.uint64_t(id), 1) }

// KeyID is the WatchID that a key has or would have.
func KeyID(db int, name []byte) WatchID {
	return WatchID(C.hf_hash_name(C.int(db), unsafe.Pointer(unsafe.SliceData(name)), C.size_t(len(name))))
}

// Watched is the number of different keys and connections watched.
func (ctx *Ctx) Watched() int { return int(C.hf_watched(C.int(ctx.m.slot))) }

// WatchClient makes Module.ClientGone hear when a connection closes. Watches
// are counted. The server is asked for such events only while any is watched.
func (ctx *Ctx) WatchClient(id uint64) {
	if !ctx.m.clients {
		ctx.m.clients = true
		C.hf_subscribe_event(ctx.raw(), C.int(ctx.m.slot), eventClient, 1)
	}
	C.hf_watch(C.int(ctx.m.slot), -1, unsafe.Pointer(&id), 8, 0)
}

// UnwatchClient takes one WatchClient back.
func (ctx *Ctx) UnwatchClient(id uint64) {
	C.hf_unwatch(C.int(ctx.m.slot), C.hf_hash_name(-1, unsafe.Pointer(&id), 8), 0)
}

// UnwatchAll takes every Watch, Hold and WatchClient of the module back.
func (ctx *Ctx) UnwatchAll() { C.hf_unwatch_all(C.int(ctx.m.slot)) }
