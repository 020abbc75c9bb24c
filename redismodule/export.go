package redismodule

/*
#include "bridge.h"
*/
import "C"

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"unsafe"
)

// This file is where C enters Go, and all of it: whatever is exported here may
// be called by the server at any time on its main thread, so each function
// contains panics itself. What recover cannot contain ends the server: stack
// overflow, concurrent map access, running out of memory, os.Exit.

const (
	eventRole    = 0
	eventFlushDB = 2
	eventLoading = 3
	eventClient  = 4
	eventSwapDB  = 11
	eventSlots   = 19 // of Valkey 9: atomic slot migration
)

const errInternal Error = "ERR internal error, see the server's log"

// waiting stands for the command of a client that was blocked.
var waiting boundCommand

// contain ends a callback: a panic becomes a line in the server's log, and an
// error reply where the client still waits for one.
func contain(ctx *Ctx) {
	if p := recover(); p != nil {
		ctx.m.panicked(p)
		if ctx.command != nil && !ctx.replied {
			ctx.ReplyError(errInternal)
		}
	}
	leave(ctx)
}

// panicked writes to the log what a callback of the module was ended by.
func (m *module) panicked(p any) {
	Log(LevelWarning, fmt.Sprintf("%s: panic: %v\n%s", m.Name, p, debug.Stack()))
}

//export goCommand
func goCommand(slot C.int, c *C.RedisModuleCtx, frame *C.hf_frame, args *C.hf_arg, n C.int) {
	b := &commands[slot]
	ctx := enter(c, b.m)
	ctx.command, ctx.frame = b, frame
	defer contain(ctx)
	if err := b.Handler(ctx, unsafe.Slice((*Arg)(unsafe.Pointer(args)), int(n))); err != nil {
		ctx.ReplyError(err)
	}
}

//export goKeyEvent
func goKeyEvent(slot C.int, c *C.RedisModuleCtx, event *C.char, name unsafe.Pointer, n C.size_t) {
	m := modules[slot]
	ctx := enter(c, m)
	defer contain(ctx)
	m.KeyEvent(ctx, C.GoString(event), unsafe.Slice((*byte)(name), int(n)))
}

//export goServerEvent
func goServerEvent(slot C.int, c *C.RedisModuleCtx, event, sub C.int, a, b C.longlong) {
	m := modules[slot]
	ctx := enter(c, m)
	defer contain(ctx)
	switch event {
	case eventRole:
		if sub != 0 {
			m.demoted()
		}
		m.RoleChanged(ctx, sub == 0)
	case eventFlushDB:
		if sub == 1 {
			m.FlushDB(ctx, int(a))
		}
	case eventLoading:
		if sub == 3 {
			m.Loaded(ctx)
		}
	case eventClient:
		if m.ClientGone != nil {
			m.ClientGone(ctx, uint64(a))
		}
	case eventSwapDB:
		m.SwapDB(ctx, int(a), int(b))
	case eventSlots:
		const imported, exported = 4, 5
		if sub == imported || sub == exported {
			m.SlotsMoved(ctx, sub == imported)
		}
	}
}

//export goInfo
func goInfo(slot C.int, c *C.RedisModuleInfoCtx) {
	m := modules[slot]
	ctx := enter(nil, m)
	defer contain(ctx)
	w := &Info{c, ctx}
	w.Section("")
	m.Info(w)
}

//export goTimer
func goTimer(slot C.int, c *C.RedisModuleCtx) {
	m := modules[slot]
	ctx := enter(c, m)
	defer contain(ctx)
	m.timer.fire(ctx)
}

//export goBlockReply
func goBlockReply(c *C.RedisModuleCtx, id C.uint64_t) {
	if b := lookup(uint64(id)); b != nil {
		ctx := enter(c, b.m)
		ctx.command = &waiting
		defer contain(ctx)
		defer b.freed(ctx) // what the server would say next
		b.reply(ctx)
	}
}

//export goBlockTimeout
func goBlockTimeout(c *C.RedisModuleCtx, bc *C.RedisModuleBlockedClient) {
	if b := byHandle[bc]; b != nil {
		ctx := enter(c, b.m)
		ctx.command = &waiting
		defer contain(ctx)
		b.unblocked(ctx)
	}
}

//export goBlockGone
func goBlockGone(c *C.RedisModuleCtx, bc *C.RedisModuleBlockedClient) {
	if b := byHandle[bc]; b != nil {
		ctx := enter(c, b.m)
		defer contain(ctx)
		b.gone(ctx)
	}
}

//export goBlockFree
func goBlockFree(c *C.RedisModuleCtx, id C.uint64_t) {
	if b := lookup(uint64(id)); b != nil {
		ctx := enter(c, b.m)
		defer contain(ctx)
		b.freed(ctx)
	}
}

//export goConfigGet
func goConfigGet(id C.uintptr_t) (v C.longlong) {
	b := configs[id]
	defer contain(enter(nil, b.m))
	return C.longlong(b.get())
}

//export goConfigSet
func goConfigSet(id C.uintptr_t, v C.longlong) {
	b := configs[id]
	defer contain(enter(nil, b.m))
	b.set(int64(v))
}

//export goLoad
func goLoad(c *C.RedisModuleCtx, argv **C.RedisModuleString, argc C.int, name *C.char) (rc C.int) {
	m := find(C.GoString(name))
	if m == nil {
		Log(LevelWarning, "load one of the modules, not the library they share")
		return 1
	}
	ctx := enter(c, m)
	defer contain(ctx)
	rc = 1 // what a panic leaves
	// The server is single-threaded and so are we: the runtime needs a thread
	// for the callbacks and one for its collector.
	runtime.GOMAXPROCS(2)
	// What is kept is small and has few pointers, and hot paths leave no garbage:
	// collecting twice as often costs nothing and saves resident memory.
	debug.SetGCPercent(50)
	if err := m.load(ctx, arguments(argv, argc)); err != nil {
		Log(LevelWarning, m.Name+" does not load: "+err.Error())
		return 1
	}
	crashLog(ctx)
	return 0
}

//export goUnload
func goUnload(c *C.RedisModuleCtx, name *C.char) (rc C.int) {
	m := find(C.GoString(name))
	if m == nil {
		return 1
	}
	ctx := enter(c, m)
	defer contain(ctx)
	rc = 1
	if err := m.unload(ctx); err != nil {
		Log(LevelNotice, m.Name+" does not unload: "+err.Error())
		return 1
	}
	return 0
}

// find is the module of a name; without one, the only module there is.
func find(name string) *module {
	if name == "" && len(modules) == 1 {
		return modules[0]
	}
	for _, m := range modules {
		if m.Name == name {
			return m
		}
	}
	return nil
}

func arguments(argv **C.RedisModuleString, argc C.int) []Arg {
	var args []Arg
	for _, s := range unsafe.Slice(argv, int(argc)) {
		var n C.size_t
		p := C.hf_ptrlen(s, &n)
		args = append(args, Arg{unsafe.Slice((*byte)(unsafe.Pointer(p)), int(n)), s})
	}
	return args
}

//export goConfigText
func goConfigText(id C.uintptr_t) *C.char { return C.CString(*configs[id].Text) }

// goConfigSetText sets a text, or tells why not in a text that C frees.
//
//export goConfigSetText
func goConfigSetText(id C.uintptr_t, p unsafe.Pointer, n C.size_t) (wrong *C.char) {
	b := configs[id]
	defer contain(enter(nil, b.m))
	if err := b.setText(string(unsafe.Slice((*byte)(p), int(n)))); err != nil {
		return C.CString(err.Error())
	}
	return nil
}
