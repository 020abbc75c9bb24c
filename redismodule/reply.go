package redismodule

/*
#include "bridge.h"

static void hf_r_int(RedisModuleCtx *c, long long n) { RM_ReplyWithLongLong(c, n); }
static void hf_r_buf(RedisModuleCtx *c, const char *p, size_t n) { RM_ReplyWithStringBuffer(c, p, n); }
static void hf_r_simple(RedisModuleCtx *c, const char *s) { RM_ReplyWithSimpleString(c, s); }
static void hf_r_null(RedisModuleCtx *c) { RM_ReplyWithNull(c); }
static void hf_r_nullarray(RedisModuleCtx *c) { RM_ReplyWithNullArray(c); }
static void hf_r_array(RedisModuleCtx *c, long n) { RM_ReplyWithArray(c, n); }
static void hf_r_map(RedisModuleCtx *c, long n) { RM_ReplyWithMap(c, n); }
static void hf_r_setarray(RedisModuleCtx *c, long n) { RM_ReplySetArrayLength(c, n); }
static void hf_r_setmap(RedisModuleCtx *c, long n) { RM_ReplySetMapLength(c, n); }
static void hf_r_double(RedisModuleCtx *c, double d) { RM_ReplyWithDouble(c, d); }
static void hf_r_arity(RedisModuleCtx *c) { RM_WrongArity(c); }
#cgo noescape hf_r_buf
#cgo noescape hf_r_simple
#cgo noescape hf_reply_error
#cgo nocallback hf_r_int
#cgo nocallback hf_r_buf
#cgo nocallback hf_r_simple
#cgo nocallback hf_r_null
#cgo nocallback hf_r_nullarray
#cgo nocallback hf_r_array
#cgo nocallback hf_r_map
#cgo nocallback hf_r_setarray
#cgo nocallback hf_r_setmap
#cgo nocallback hf_r_double
#cgo nocallback hf_r_arity
#cgo nocallback hf_reply_error
*/
import "C"

import (
	"strings"
	"unsafe"
)

// first notes a reply. It reports whether the reply may wait until the Handler has returned:
// it is a command's, and the first. Unless it begins an array, it is the whole answer then.
func (ctx *Ctx) first() bool {
	first := ctx.frame != nil && !ctx.replied
	ctx.replied = true
	return first
}

// text is the room of a reply that waits.
func text(f *C.hf_frame) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(&f.text)), len(f.text))
}

// ReplyInt answers an integer.
func (ctx *Ctx) ReplyInt(n int64) {
	if ctx.first() {
		ctx.frame.reply, ctx.frame.number = C.HF_NUMBER, C.longlong(n)
		return
	}
	C.hf_r_int(ctx.raw(), C.longlong(n))
}

// ReplyBool answers 1 or 0.
func (ctx *Ctx) ReplyBool(b bool) {
	if b {
		ctx.ReplyInt(1)
	} else {
		ctx.ReplyInt(0)
	}
}

// ReplyDouble answers a floating-point number.
func (ctx *Ctx) ReplyDouble(d float64) {
	ctx.replied = true
	C.hf_r_double(ctx.raw(), C.double(d))
}

// ReplyBytes answers a bulk string.
func (ctx *Ctx) ReplyBytes(b []byte) {
	if ctx.first() && len(b) <= len(ctx.frame.text) {
		ctx.frame.reply, ctx.frame.text_len = C.HF_TEXT, C.size_t(copy(text(ctx.frame), b))
		return
	}
	C.hf_r_buf(ctx.raw(), chars(b), C.size_t(len(b)))
}

// ReplyString answers a bulk string.
func (ctx *Ctx) ReplyString(s string) {
	ctx.ReplyBytes(unsafe.Slice(unsafe.StringData(s), len(s)))
}

// ReplySimple answers a status such as OK.
func (ctx *Ctx) ReplySimple(s string) {
	if ctx.first() && len(s) < len(ctx.frame.text) {
		n := copy(text(ctx.frame), s)
		ctx.frame.text[n], ctx.frame.reply = 0, C.HF_STATUS
		return
	}
	ctx.text = append(append(ctx.text[:0], s...), 0)
	C.hf_r_simple(ctx.raw(), chars(ctx.text))
}

// ReplyNull answers nil.
func (ctx *Ctx) ReplyNull() {
	ctx.replied = true
	C.hf_r_null(ctx.raw())
}

// ReplyNullArray answers nil where the command otherwise answers an array.
func (ctx *Ctx) ReplyNullArray() {
	ctx.replied = true
	C.hf_r_nullarray(ctx.raw())
}

// ReplyArray begins an array: the next n replies are its elements.
func (ctx *Ctx) ReplyArray(n int) { ctx.array(natural(n)) }

func (ctx *Ctx) array(n int) {
	ctx.replied = true
	C.hf_r_array(ctx.raw(), C.long(n))
}

// natural is a length. The server ends by an assertion for a negative one.
func natural(n int) int {
	if n < 0 {
		panic("redismodule: a negative length")
	}
	return n
}

// ReplyMap begins a map of n pairs; RESP2 clients see a flat array.
func (ctx *Ctx) ReplyMap(n int) { ctx.mapOf(natural(n)) }

func (ctx *Ctx) mapOf(n int) {
	ctx.replied = true
	C.hf_r_map(ctx.raw(), C.long(n))
}

// ReplyArrayLater begins an array whose length is not known yet; end it with
// EndArray. Arrays may nest.
func (ctx *Ctx) ReplyArrayLater() { ctx.array(-1) }

// EndArray says how many elements an array begun by ReplyArrayLater got.
func (ctx *Ctx) EndArray(n int) { C.hf_r_setarray(ctx.raw(), C.long(natural(n))) }

// ReplyMapLater begins a map whose length is not known yet; end it with EndMap.
func (ctx *Ctx) ReplyMapLater() { ctx.mapOf(-1) }

// EndMap says how many pairs a map begun by ReplyMapLater got.
func (ctx *Ctx) EndMap(n int) { C.hf_r_setmap(ctx.raw(), C.long(natural(n))) }

// ReplyError answers an error. Handlers return it instead.
func (ctx *Ctx) ReplyError(err error) {
	ctx.replied = true
	text := err.Error()
	if _, coded := err.(Error); !coded { //nolint:errorlint // the text of one that wraps an Error begins with no code
		text = "ERR " + text
	}
	// A line break would end the reply in the middle.
	if strings.ContainsAny(text, "\r\n\x00") {
		text = strings.NewReplacer("\r", " ", "\n", " ", "\x00", " ").Replace(text)
	}
	ctx.text = append(append(ctx.text[:0], text...), 0)
	C.hf_reply_error(ctx.raw(), chars(ctx.text))
}

// ReplyWrongArity answers as the server does for a wrong number of arguments.
func (ctx *Ctx) ReplyWrongArity() {
	ctx.replied = true
	C.hf_r_arity(ctx.raw())
}
