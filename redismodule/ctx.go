package redismodule

/*
#cgo CFLAGS: -O2 -Wall -Wextra
#include "bridge.h"

static long long hf_ms(void) { return RM_Milliseconds(); }
static uint64_t hf_us(void) { return RM_MonotonicMicroseconds(); }
static int hf_flags(RedisModuleCtx *c) { return RM_GetContextFlags(c); }
static unsigned long long hf_client(RedisModuleCtx *c) { return RM_GetClientId(c); }
static int hf_db(RedisModuleCtx *c) { return RM_GetSelectedDb(c); }
static int hf_select(RedisModuleCtx *c, int db) { return RM_SelectDb(c, db); }
static float hf_memory(void) { return RM_GetUsedMemoryRatio(); }
static void hf_random(void *p, size_t n) { RM_GetRandomBytes(p, n); }
#cgo noescape hf_random
#cgo nocallback hf_ms
#cgo nocallback hf_us
#cgo nocallback hf_flags
#cgo nocallback hf_client
#cgo nocallback hf_db
#cgo nocallback hf_select
#cgo nocallback hf_random
#cgo nocallback hf_got_trim
*/
import "C"

import "unsafe"

const (
	maxModules  = C.HF_MODULES
	maxCommands = C.HF_COMMANDS
)

// Ctx is the server as seen from inside one callback. It is worth nothing once
// the callback has returned: do not keep it.
type Ctx struct {
	c       *C.RedisModuleCtx // see raw
	m       *module
	command *boundCommand // nil outside commands
	frame   *C.hf_frame   // of the command, likewise
	now     int64
	replied bool
	cmd     Cmd
	keys    int    // how many it has open
	replies int    // how many it has not freed
	text    []byte // scratch for texts that C wants NUL-terminated
}

// Callbacks nest (a command's call can raise an event that enters Go again), so
// contexts are a stack, reused for ever: entering allocates nothing.
var (
	stack []*Ctx
	depth int
)

// scratchMost is how many bytes of each scratch are kept for the next callback: one call
// with a huge argument should not cost its size for ever.
const scratchMost = 1 << 16

// readLarge says that C read a value of more than scratchMost in this callback.
var readLarge bool

// clustered says that this server is a node of a cluster. strict has misuse of the binding
// panic, where it otherwise answers an error.
var clustered, strict bool

func enter(c *C.RedisModuleCtx, m *module) *Ctx {
	if depth == len(stack) {
		stack = append(stack, new(Ctx))
	}
	ctx := stack[depth]
	depth++
	ctx.c, ctx.m, ctx.command, ctx.frame, ctx.now, ctx.replied = c, m, nil, nil, 0, false
	if C.hf_keyed_logged > 0 && m.CatchUp != nil {
		m.catchUp()
	}
	return ctx
}

func leave(ctx *Ctx) {
	ctx.closeKeys()
	ctx.freeReplies()
	depth--
	if cap(ctx.cmd.buf)+cap(ctx.text) > scratchMost || cap(ctx.cmd.parts) > scratchMost/int(unsafe.Sizeof(part{})) {
		ctx.cmd, ctx.text = Cmd{}, nil
	}
	if readLarge {
		readLarge = false
		C.hf_got_trim()
	}
	ctx.c, ctx.frame = nil, nil
}

// raw is the context in C. A Ctx that was kept beyond its callback has none.
func (ctx *Ctx) raw() *C.RedisModuleCtx {
	if ctx.c == nil {
		panic("redismodule: this Ctx belongs to a callback that has returned, or reads no keys")
	}
	return ctx.c
}

// Now is the server's unix time in milliseconds, read once in a callback.
func (ctx *Ctx) Now() int64 {
	if ctx.now == 0 {
		ctx.now = int64(C.hf_ms())
	}
	return ctx.now
}

// Monotonic is a clock in microseconds that never steps back, for measuring.
func (ctx *Ctx) Monotonic() int64 { return int64(C.hf_us()) }

// Random fills b from the server's generator.
func (ctx *Ctx) Random(b []byte) {
	if len(b) > 0 {
		C.hf_random(unsafe.Pointer(&b[0]), C.size_t(len(b)))
	}
}

// ClientID is the number of the connection that sent the command; 0 where
// there is none.
func (ctx *Ctx) ClientID() uint64 { return uint64(C.hf_client(ctx.raw())) }

// DB is the number of the selected database.
func (ctx *Ctx) DB() int {
	if ctx.frame != nil {
		return int(ctx.frame.db)
	}
	return int(C.hf_db(ctx.raw()))
}

// SelectDB selects another database for this callback.
func (ctx *Ctx) SelectDB(db int) {
	C.hf_select(ctx.raw(), C.int(db))
	if ctx.frame != nil {
		ctx.frame.db = C.int(db)
	}
}

// Flags tell about the server and where the callback runs.
type Flags int

// What Ctx.Flags can tell.
const (
	FlagLua          Flags = 1 << 0
	FlagMulti        Flags = 1 << 1
	FlagPrimary      Flags = 1 << 2
	FlagReplica      Flags = 1 << 3
	FlagCluster      Flags = 1 << 5
	FlagOOM          Flags = 1 << 10
	FlagReplicated   Flags = 1 << 12 // the command comes from the primary
	FlagLoading      Flags = 1 << 13
	FlagDenyBlocking Flags = 1 << 21
	FlagRESP3        Flags = 1 << 22
)

// Flags asks the server; it costs more than it looks.
func (ctx *Ctx) Flags() Flags { return Flags(C.hf_flags(ctx.raw())) }

// CanBlock reports whether a command may make its client wait here: not in
// MULTI, scripts and functions, nor when the command comes from the primary.
func (ctx *Ctx) CanBlock() bool {
	return ctx.Flags()&(FlagLua|FlagMulti|FlagDenyBlocking|FlagReplicated|FlagLoading) == 0
}

// MayWrite reports whether a callback that no client caused may write: on a primary that
// is not loading, whose writes are not paused, and which would not refuse a client's write
// either (min-replicas-to-write, a disk that is full). A write that disregards a pause
// aborts the server or makes its replicas differ.
func (ctx *Ctx) MayWrite() bool { return C.hf_may_write(ctx.raw()) != 0 }

// MemoryFull reports whether maxmemory is reached.
func (ctx *Ctx) MemoryFull() bool { return float32(C.hf_memory()) > 1 }

// Module is the module the callback belongs to.
func (ctx *Ctx) Module() *Module { return ctx.m.Module }
