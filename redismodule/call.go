package redismodule

/*
#include "bridge.h"

static int hf_cr_type(RedisModuleCallReply *r) { return r ? RM_CallReplyType(r) : -1; }
static size_t hf_cr_len(RedisModuleCallReply *r) { return r ? RM_CallReplyLength(r) : 0; }
static long long hf_cr_int(RedisModuleCallReply *r) { return hf_cr_type(r) == 2 ? RM_CallReplyInteger(r) : 0; }
static const char *hf_cr_str(RedisModuleCallReply *r, size_t *n) { *n = 0; return r ? RM_CallReplyStringPtr(r, n) : NULL; }
static RedisModuleCallReply *hf_cr_elem(RedisModuleCallReply *r, size_t i) { return i < hf_cr_len(r) ? RM_CallReplyArrayElement(r, i) : NULL; }
static void hf_cr_free(RedisModuleCallReply *r) { if (r) RM_FreeCallReply(r); }
static void hf_cr_reply(RedisModuleCtx *c, RedisModuleCallReply *r) { RM_ReplyWithCallReply(c, r); }
#cgo noescape hf_call
#cgo noescape hf_add_entry
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
	"bytes"
	"fmt"
	"strconv"
	"strings"
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

// Call runs the command as the server itself and returns its reply, to be freed; what is
// left is freed when the callback returns. Its effect goes to replicas and the AOF, as
// does the end of a key that it finds expired. It is refused while a key is open (see
// Reader): the call could end the key and leave the open one pointing at freed memory.
// flags is a word of letters:
//
//	E  answer refusals as error replies instead of a reply of type ReplyNone
//	C  check the calling user's permissions
//	M  refuse when maxmemory is reached
//	S  refuse what a script may not do
//	W  refuse writes
//
// The module hears no key events of what its call does; other modules do.
func (c *Cmd) Call(flags string) Reply {
	if refused := c.refused(); refused != nil {
		return Reply{raw: refused}
	}
	r := c.call(flags, 1)
	return c.ctx.held(r)
}

func (c *Cmd) call(flags string, keep C.int) C.hf_called {
	if strings.Trim(flags, "ECMSW") != "" {
		panic("redismodule: unknown flag of a call: " + flags)
	}
	return C.hf_call(c.ctx.raw(), C.int(c.ctx.m.slot),
		charsOf(flags), C.size_t(len(flags)),
		chars(c.buf), (*C.hf_part)(unsafe.Pointer(unsafe.SliceData(c.parts))), C.size_t(len(c.parts)), keep)
}

// refused is the error of a call that must not be made, nil for none.
func (c *Cmd) refused() []byte {
	if openKeys == 0 {
		return nil
	}
	what := fmt.Sprintf("call of %s while %d keys are open", c.buf[:bytes.IndexByte(c.buf, 0)], openKeys)
	if strict {
		panic("redismodule: " + what)
	}
	Log(LevelWarning, "refused the "+what+": a defect of the module "+c.ctx.m.Name)
	return []byte("-" + string(errInternal) + "\r\n")
}

// Do is Call for commands of which only success matters: it frees the reply and
// answers its error, if it was one.
func (c *Cmd) Do(flags string) error {
	if refused := c.refused(); refused != nil {
		return errInternal
	}
	r := c.call(flags, 0)
	if r.len > 0 && *r.raw != '-' {
		return nil
	}
	reply := c.ctx.held(r)
	defer reply.Free()
	return reply.Err()
}

// Added is an entry that AddEntry added.
type Added struct {
	Ms, Seq uint64
	ID      []byte // both, as in replies; valid until the next AddEntry
}

// AddEntry runs a command that was put together as XADD key * field value …, and does what
// Call would do, at about half the cost. ok is false where there is no stream at the key or it
// takes no more: nothing was done then, and Call says why.
func (c *Cmd) AddEntry() (e Added, ok bool) {
	if c.refused() != nil {
		return e, false
	}
	r := C.hf_add_entry(c.ctx.raw(), C.int(c.ctx.m.slot), chars(c.buf),
		(*C.hf_part)(unsafe.Pointer(unsafe.SliceData(c.parts))), C.size_t(len(c.parts)))
	id := unsafe.Slice((*byte)(unsafe.Pointer(&C.hf_added_id)), int(r.len))
	return Added{uint64(r.id.ms), uint64(r.id.seq), id}, r.len > 0
}

// Replicate sends the command to replicas and the AOF without running it here.
// All that one callback replicates arrives as one transaction.
func (c *Cmd) Replicate() {
	C.hf_replicate(c.ctx.raw(), chars(c.buf),
		(*C.hf_part)(unsafe.Pointer(unsafe.SliceData(c.parts))), C.size_t(len(c.parts)))
}

// Reply is the answer to a Call, or an element of one. Its methods answer zero values once
// it was freed, and for what has another type. What is left is freed when the callback
// returns.
type Reply struct {
	r     *C.RedisModuleCallReply
	raw   []byte // of a whole reply
	place uint32 // in replies
	use   uint32
}

// replies are those that have not been freed, as keys are the keys that are open.
var replies []openReply

type openReply struct {
	r   *C.RedisModuleCallReply
	ctx *Ctx // nil: the place is free
	use uint32
}

func (ctx *Ctx) held(c C.hf_called) Reply {
	r := Reply{r: c.reply, raw: unsafe.Slice((*byte)(unsafe.Pointer(c.raw)), int(c.len))}
	if c.reply == nil {
		return r
	}
	for r.place = 0; int(r.place) < len(replies) && replies[r.place].ctx != nil; r.place++ {
	}
	if int(r.place) == len(replies) {
		replies = append(replies, openReply{})
	}
	o := &replies[r.place]
	o.r, o.ctx, o.use = c.reply, ctx, o.use+1
	r.use = o.use
	ctx.replies++
	return r
}

// c is the reply in C, nil once it was freed.
func (r Reply) c() *C.RedisModuleCallReply {
	if int(r.place) < len(replies) && replies[r.place].use == r.use && replies[r.place].ctx != nil {
		return r.r
	}
	return nil
}

// take gives a whole reply up without freeing it.
func (r Reply) take() *C.RedisModuleCallReply {
	c := r.c()
	if c == nil || replies[r.place].r != c {
		return nil
	}
	o := &replies[r.place]
	o.ctx.replies--
	o.r, o.ctx = nil, nil
	return c
}

// freeReplies frees what a callback left.
func (ctx *Ctx) freeReplies() {
	for i := 0; ctx.replies > 0 && i < len(replies); i++ {
		if o := &replies[i]; o.ctx == ctx {
			Reply{r: o.r, place: uint32(i), use: o.use}.Free()
		}
	}
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
func (r Reply) Type() ReplyType { return ReplyType(C.hf_cr_type(r.c())) }

// Len is the length of an array or a string.
func (r Reply) Len() int { return int(C.hf_cr_len(r.c())) }

// Int is an integer reply.
func (r Reply) Int() int64 { return int64(C.hf_cr_int(r.c())) }

// Bytes is a string, status or error in place, valid until the reply is freed.
func (r Reply) Bytes() []byte {
	var n C.size_t
	p := C.hf_cr_str(r.c(), &n)
	return unsafe.Slice((*byte)(unsafe.Pointer(p)), int(n))
}

// Elem is an array's element, the zero Reply where there is none. It belongs to the array:
// Free does nothing to it.
func (r Reply) Elem(i int) Reply {
	return Reply{r: C.hf_cr_elem(r.c(), C.size_t(i)), place: r.place, use: r.use}
}

// Raw is the whole reply of a call as it would go over the wire, in RESP2, in
// place: valid until the reply is freed, nil when the call was refused before it
// ran. Nothing is parsed, where Type and Elem take the reply apart: for long
// arrays that are passed on, or read once from front to back (package resp).
func (r Reply) Raw() []byte {
	if r.r != nil && r.c() == nil {
		return nil
	}
	return r.raw
}

// Err is the error the call ended with, or nil.
func (r Reply) Err() error {
	switch r.Type() {
	case ReplyErr:
		return Error(r.Bytes())
	case ReplyNone:
		if r.r == nil && r.raw != nil {
			return errInternal
		}
		return Error("ERR the server refused a call of the module")
	}
	return nil
}

// Free gives a whole reply back. It may be called more than once.
func (r Reply) Free() {
	if c := r.take(); c != nil {
		C.hf_cr_free(c)
	}
}

// Reply answers the client with a call's reply.
func (ctx *Ctx) Reply(r Reply) {
	c := r.c()
	if c == nil {
		panic("redismodule: a reply that is none, or was freed")
	}
	ctx.replied = true
	C.hf_cr_reply(ctx.raw(), c)
}

// ReplyLast is Reply and Free in one, for the whole answer of a command: both
// are done when its Handler has returned, and cost no crossing.
func (ctx *Ctx) ReplyLast(r Reply) {
	c := r.take()
	if c == nil || ctx.frame == nil {
		panic("redismodule: ReplyLast is for a command's handler and a whole reply")
	}
	ctx.replied = true
	ctx.frame.reply, ctx.frame.answer = C.HF_ANSWER, c
}

// ReplyRaw answers arrays, strings and integers as they stand in a part of some
// Reply's Raw.
func (ctx *Ctx) ReplyRaw(b []byte) {
	ctx.replied = true
	C.hf_reply_raw(ctx.raw(), chars(b), C.size_t(len(b)))
}
