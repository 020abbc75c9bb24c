package redismodule

/*
#include "bridge.h"

static int hf_cr_type(RedisModuleCallReply *r) { return r ? RM_CallReplyType(r) : -1; }
static size_t hf_cr_len(RedisModuleCallReply *r) { return RM_CallReplyLength(r); }
static long long hf_cr_int(RedisModuleCallReply *r) { return RM_CallReplyInteger(r); }
static const char *hf_cr_str(RedisModuleCallReply *r, size_t *n) { *n = 0; return RM_CallReplyStringPtr(r, n); }
static RedisModuleCallReply *hf_cr_elem(RedisModuleCallReply *r, size_t i) { return RM_CallReplyArrayElement(r, i); }
static void hf_cr_free(RedisModuleCallReply *r) { if (r) RM_FreeCallReply(r); }
static void hf_cr_reply(RedisModuleCtx *c, RedisModuleCallReply *r) { RM_ReplyWithCallReply(c, r); }
#cgo noescape hf_call
#cgo noescape hf_replicate
#cgo noescape hf_cr_str
#cgo noescape hf_reply_raw
#cgo nocallback hf_reply_raw
#cgo nocallback hf_replicate
#cgo nocallback hf_cr_type
#cgo nocallback hf_cr_len
#cgo nocallback hf_cr_int
#cgo nocallback hf_cr_str
#cgo nocallback hf_cr_elem
#cgo nocallback hf_cr_reply
*/
import "C"

import (
	"strconv"
	"unsafe"
)

// Cmd is a server command being put together; it ends with Call or Replicate.
// A Ctx has one, so put together and send one at a time.
type Cmd struct {
	ctx   *Ctx
	buf   []byte // the name, a NUL, then the arguments that are bytes
	parts []part
}

type part struct {
	n   uint64
	str uintptr
}

var _ [unsafe.Sizeof(C.hf_part{})]byte = [unsafe.Sizeof(part{})]byte{}

// Cmd begins a server command.
func (ctx *Ctx) Cmd(name string) *Cmd {
	c := &ctx.cmd
	c.ctx = ctx
	c.buf = append(append(c.buf[:0], name...), 0)
	c.parts = c.parts[:0]
	return c
}

// Arg adds an argument of the running command, without a copy.
func (c *Cmd) Arg(a Arg) *Cmd {
	if a.str == nil {
		return c.Bytes(a.data)
	}
	c.parts = append(c.parts, part{str: uintptr(unsafe.Pointer(a.str))})
	return c
}

// Bytes adds a string argument.
func (c *Cmd) Bytes(b []byte) *Cmd {
	c.buf = append(c.buf, b...)
	c.parts = append(c.parts, part{n: uint64(len(b))})
	return c
}

// Str adds a string argument.
func (c *Cmd) Str(s string) *Cmd {
	c.buf = append(c.buf, s...)
	c.parts = append(c.parts, part{n: uint64(len(s))})
	return c
}

// Int adds an integer argument.
func (c *Cmd) Int(n int64) *Cmd {
	before := len(c.buf)
	c.buf = strconv.AppendInt(c.buf, n, 10)
	c.parts = append(c.parts, part{n: uint64(len(c.buf) - before)})
	return c
}

// Call runs the command as the server itself, and answers its reply, which must
// be freed. Its effect goes to replicas and the AOF, as does the end of a key
// that it finds expired. flags is a word of letters:
//
//	E  answer refusals as error replies instead of a reply of type ReplyNone
//	C  check the calling user's permissions
//	M  refuse when maxmemory is reached
//	S  refuse what a script may not do
//	W  refuse writes
//
// The module hears no key events of what its call does; other modules do.
func (c *Cmd) Call(flags string) Reply { return c.call(flags, 1) }

func (c *Cmd) call(flags string, keep C.int) Reply {
	r := C.hf_call(c.ctx.c, C.int(c.ctx.m.slot),
		(*C.char)(unsafe.Pointer(unsafe.StringData(flags))), C.size_t(len(flags)),
		(*C.char)(unsafe.Pointer(&c.buf[0])), (*C.hf_part)(unsafe.Pointer(unsafe.SliceData(c.parts))), C.size_t(len(c.parts)), keep)
	return Reply{r.reply, unsafe.Slice((*byte)(unsafe.Pointer(r.raw)), int(r.len))}
}

// Do is Call for commands of which only success matters: it frees the reply and
// answers its error, if it was one.
func (c *Cmd) Do(flags string) error {
	r := c.call(flags, 0)
	if len(r.raw) > 0 && r.raw[0] != '-' {
		return nil
	}
	defer r.Free()
	return r.Err()
}

// Replicate sends the command to replicas and the AOF without running it here.
// All that one callback replicates arrives as one transaction.
func (c *Cmd) Replicate() {
	C.hf_replicate(c.ctx.c, (*C.char)(unsafe.Pointer(&c.buf[0])),
		(*C.hf_part)(unsafe.Pointer(unsafe.SliceData(c.parts))), C.size_t(len(c.parts)))
}

// Reply is the answer to a Call. Free it before the
// callback returns.
type Reply struct {
	r   *C.RedisModuleCallReply
	raw []byte // of a whole reply
}

// ReplyType is what a Reply is.
type ReplyType int

// The types of replies. Calls speak RESP2, so these are all.
const (
	ReplyNone  ReplyType = -1 // the call was refused before it ran
	ReplyStr   ReplyType = 0
	ReplyErr   ReplyType = 1
	ReplyInt   ReplyType = 2
	ReplyArray ReplyType = 3
	ReplyNil   ReplyType = 4
)

// Type is the reply's type.
func (r Reply) Type() ReplyType { return ReplyType(C.hf_cr_type(r.r)) }

// Len is the length of an array or a string.
func (r Reply) Len() int { return int(C.hf_cr_len(r.r)) }

// Int is an integer reply.
func (r Reply) Int() int64 { return int64(C.hf_cr_int(r.r)) }

// Bytes is a string, status or error in place, valid until the reply is freed.
func (r Reply) Bytes() []byte {
	var n C.size_t
	p := C.hf_cr_str(r.r, &n)
	return unsafe.Slice((*byte)(unsafe.Pointer(p)), int(n))
}

// Elem is an array's element; it belongs to the array and is not freed.
func (r Reply) Elem(i int) Reply { return Reply{r: C.hf_cr_elem(r.r, C.size_t(i))} }

// Raw is the whole reply of a call as it would go over the wire, in RESP2, in
// place: valid until the reply is freed, nil when the call was refused before it
// ran. Nothing is parsed, where Type and Elem take the reply apart: for long
// arrays that are passed on, or read once from front to back (package resp).
func (r Reply) Raw() []byte { return r.raw }

// Err is the error the call ended with, or nil.
func (r Reply) Err() error {
	switch r.Type() {
	case ReplyErr:
		return Error(r.Bytes())
	case ReplyNone:
		return Error("ERR the server refused a call of the module")
	}
	return nil
}

// Free gives the reply back. Freeing the zero Reply is harmless.
func (r Reply) Free() { C.hf_cr_free(r.r) }

// Reply answers the client with a call's reply.
func (ctx *Ctx) Reply(r Reply) {
	ctx.replied = true
	C.hf_cr_reply(ctx.c, r.r)
}

// ReplyLast is Reply and Free in one, for the whole answer of a command: both
// are done when its Handler has returned, and cost no crossing.
func (ctx *Ctx) ReplyLast(r Reply) {
	ctx.replied = true
	ctx.frame.reply, ctx.frame.answer = C.HF_ANSWER, r.r
}

// ReplyRaw answers arrays, strings and integers as they stand in a part of some
// Reply's Raw.
func (ctx *Ctx) ReplyRaw(b []byte) {
	ctx.replied = true
	C.hf_reply_raw(ctx.c, (*C.char)(unsafe.Pointer(unsafe.SliceData(b))), C.size_t(len(b)))
}
