package redismodule

/*
#include <stdlib.h>
#include "bridge.h"
static void hf_attribs(RedisModuleCtx *c, const char *name, int ver) { RM_SetModuleAttribs(c, name, ver, 1); }
static int hf_busy(const char *name) { return RM_IsModuleNameBusy(name); }
static void hf_options(RedisModuleCtx *c, int o) { RM_SetModuleOptions(c, o); }

// Valkey 8.1 and later.
static int hf_valkey(void) { return RM_RegisterScriptingEngine != NULL; }

static int hf_version(void) { return RM_GetServerVersion(); }
static int hf_strict(void) { return getenv("HOLDFAST_STRICT") != NULL; } // Go's own environment is empty in here
*/
import "C"

import (
	"fmt"
	"os"
	"runtime/debug"
	"unsafe"
)

// Module options. The module keeps no state that diskless loading with swapdb would harm.
// It tells clients that watch or track a key itself, because it knows what changed.
// And it can be loaded while slots migrate atomically, a word of Valkey's alone.
const (
	moduleOptions = 2 | 4
	valkeyOptions = 1 << 5
)

// load registers a module with the server that loads it.
func (m *module) load(ctx *Ctx, args []Arg) error {
	name := C.CString(m.Name)
	defer C.free(unsafe.Pointer(name))
	if C.hf_busy(name) != 0 {
		return fmt.Errorf("a module named %s is loaded already", m.Name)
	}
	C.hf_attribs(ctx.c, name, C.int(m.Version))
	options := C.int(moduleOptions)
	if C.hf_valkey() != 0 {
		options |= valkeyOptions
	}
	C.hf_options(ctx.c, options)
	clustered = ctx.Flags()&FlagCluster != 0
	strict = C.hf_strict() != 0
	m.reset()
	C.hf_join(ctx.raw(), C.int(m.slot))
	defer func() {
		if !m.loaded {
			C.hf_leave(C.int(m.slot))
		}
	}()
	if m.noFastPath = len(args) > 0 && args[0].String() == "no-fast-path"; m.noFastPath { // for tests that compare
		args = args[1:]
	}
	m.passes()
	for i := range m.Commands {
		if err := m.register(ctx, &m.Commands[i]); err != nil {
			return err
		}
	}
	if err := m.registerConfigs(ctx); err != nil {
		return err
	}
	if err := m.loadArgs(args); err != nil {
		return err
	}
	if m.Load != nil {
		if err := m.Load(ctx); err != nil {
			return err
		}
	}
	if m.Info != nil {
		C.hf_info_register(ctx.c, C.int(m.slot))
	}
	// Subscriptions come last: 7.0 keeps those of a module that failed to load.
	for event, wanted := range map[int]bool{
		eventRole:    m.RoleChanged != nil,
		eventFlushDB: m.FlushDB != nil,
		eventLoading: m.Loaded != nil,
		eventSwapDB:  m.SwapDB != nil,
	} {
		if wanted && C.hf_want_event(C.int(m.slot), C.int(event)) != 0 {
			return fmt.Errorf("cannot subscribe to server event %d", event)
		}
	}
	if m.SlotsMoved != nil && C.hf_valkey() != 0 {
		C.hf_want_event(C.int(m.slot), eventSlots) // Valkey 8.1 knows of none
	}
	m.loaded = true
	return nil
}

// reset forgets what an earlier life of the module left in this process.
func (m *module) reset() {
	m.watching, m.clients, m.blocked, m.loaded = false, false, 0, false
	m.timer = timer{m: m}
	C.hf_unwatch_all(C.int(m.slot))
	C.hf_pass_forget(C.int(m.slot))
}

func (m *module) unload(ctx *Ctx) error {
	if m.Unload != nil {
		if err := m.Unload(ctx); err != nil {
			return err
		}
	}
	m.timer.due = 0
	m.timer.stop(ctx)
	m.reset()
	C.hf_leave(C.int(m.slot))
	return nil
}

// crashLog sends the trace of a fatal Go error to the server's log file: stderr
// is lost in a daemon. Without a log file stderr is where everything goes.
func crashLog(ctx *Ctx) {
	r := ctx.Cmd("CONFIG").Str("GET").Str("logfile").Call("")
	defer r.Free()
	if r.Type() != ReplyArray || r.Len() != 2 {
		return
	}
	path := string(r.Elem(1).Bytes())
	if path == "" {
		return
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return
	}
	defer func() { _ = f.Close() }()
	_ = debug.SetCrashOutput(f, debug.CrashOptions{})
}

// ServerVersion is major<<16 | minor<<8 | patch. Ask for functions rather than
// for versions: Valkey counts its own.
func (ctx *Ctx) ServerVersion() int { return int(C.hf_version()) }
