package redismodule

/*
#include "bridge.h"
#cgo noescape hf_pass_id
#cgo noescape hf_pass_open
#cgo nocallback hf_pass_id
#cgo nocallback hf_pass_open
#cgo nocallback hf_pass_shut
#cgo nocallback hf_pass_uses
#cgo nocallback hf_fast_answered
*/
import "C"

import (
	"fmt"
	"unsafe"
)

// The fast path answers the usual case of some commands in C (fast.c); docs/fast-path.md
// explains it. This file is what the Go code of those commands' modules says to it. Other
// modules need none of it.

// fast gives a command its fast path, if fast.c has one of that name.
func (c *Command) fast(slot int, m *module) {
	name, off := append([]byte(c.Name), 0), C.int(0)
	if m.noFastPath {
		off = 1
	}
	C.hf_fast_set(C.int(slot), C.int(m.slot), chars(name), off)
}

// passes tells C which events leave the passes of a module open.
func (m *module) passes() {
	for _, event := range m.Harmless {
		withC(event, func(c *C.char) {
			if C.hf_harmless(C.int(m.slot), c) == 0 {
				panic(fmt.Sprintf("redismodule: %s has too many harmless events, or %q is too long", m.Name, event))
			}
		})
	}
	withC(m.KeySuffix, func(c *C.char) {
		if C.hf_suffix(C.int(m.slot), c) == 0 {
			panic("redismodule: KeySuffix is too long: " + m.KeySuffix)
		}
	})
}

// Direct is how many calls of a command were answered without its Handler since its module
// was loaded.
func Direct(command string) int {
	i := C.int(slotOf(command))
	if i < 0 {
		return 0
	}
	return int(C.hf_fast_answered(i))
}

// Shared are numbers that the module's fast path sees too.
func (ctx *Ctx) Shared() *[C.HF_SHARED]int64 {
	return (*[C.HF_SHARED]int64)(unsafe.Pointer(&C.hf_shared[ctx.m.slot]))
}

// PassID names a pass: a command, a database and two names, such as a stream and a group.
type PassID uint64

// Pass is the id of the pass that a command needs in a database for two of its arguments.
func Pass(command string, db int, a, b []byte) PassID {
	i := slotOf(command)
	if i < 0 {
		panic("redismodule: no command " + command)
	}
	return PassID(C.hf_pass_id(C.int(i), C.int(commands[i].m.slot), C.int(db), chars(a), C.size_t(len(a)),
		chars(b), C.size_t(len(b))))
}

// PassFlags say what the fast path does with a pass.
type PassFlags int

const (
	PassThen   PassFlags = C.HF_PASS_THEN   // it runs its second native command too
	PassLogged PassFlags = C.HF_PASS_LOGGED // it has Module.CatchUp hear what it acknowledged
)

// OpenPass opens a pass: the fast path may answer the command until the pass is shut. It is
// shut by ShutPass, when the fast path fails, and by C, before Module.KeyEvent runs, at the
// first foreign event on the watched key that it hangs on (on, 0 for none) that is not in
// Module.Harmless, when that watch ends, and at every server event that the module hears.
// While the guard, a key's name, exists, the pass is not used.
//
// OpenPass returns the pass that it replaced, if any (the same one, or another where there
// are too many), and what its uses came to, as ShutPass does.
func OpenPass(id PassID, on WatchID, guard []byte, flags PassFlags) (shut PassID, uses int64) {
	was := C.hf_pass_open(C.uint64_t(id), C.uint64_t(on), chars(guard), C.size_t(len(guard)), C.int(flags))
	return PassID(was.id), int64(was.uses)
}

// ShutPass shuts a pass and returns what its uses came to since it was last asked: the number
// of entries read or acknowledged.
func ShutPass(id PassID) (uses int64) { return int64(C.hf_pass_shut(C.uint64_t(id))) }

// UsesOfPass returns the same number and leaves the pass as it is.
func UsesOfPass(id PassID) (uses int64) { return int64(C.hf_pass_uses(C.uint64_t(id))) }
