package redismodule

/*
#include "bridge.h"
#cgo nocallback hf_lock_log
*/
import "C"

import "unsafe"

// LockChange is what the fast path did to a lock.
type LockChange struct {
	Hash    WatchID // of the database and the name
	Expires int64   // unix ms; 0: released
	At      int64   // unix ms
	Held    int64   // ms from the grant to the release; -1: no release
}

// LockPath is what the fast path of the locks (fast_lock.c) shares with their module.
type LockPath struct {
	Token  int64 // the greatest handed out
	Open   int64 // 1: the usual commands are answered in C
	MaxTTL int64 // ms

	Grants, Refused, Released, Extended int64 // carried out in C

	Logged int64 // entries of the log that are in use; commands go to Go while it is full
}

var (
	_ [unsafe.Sizeof(C.hf_lock_change{})]byte = [unsafe.Sizeof(LockChange{})]byte{}
	_ [C.HF_SHARED * 8]byte                   = [unsafe.Sizeof(LockPath{}) * 2]byte{}
)

// LockPath is that of the running module.
func (ctx *Ctx) LockPath() *LockPath { return (*LockPath)(unsafe.Pointer(ctx.Shared())) }

// Log empties the log, and is what it held until the fast path is next taken.
func (p *LockPath) Log() []LockChange {
	log := (*[C.HF_LOCK_LOG]LockChange)(unsafe.Pointer(C.hf_lock_log()))[:p.Logged]
	p.Logged = 0
	return log
}
