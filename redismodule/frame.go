package redismodule

/*
#include "bridge.h"
#cgo nocallback hf_opens
*/
import "C"

import "unsafe"

// A crossing into C costs as much as what it does for a small command. This file
// lets a command leave to the C side what it begins and ends with: the key is
// open when its Handler is entered, and what the Handler decided is done when
// it has returned. A free lock is taken without leaving Go once.

// Opening is what is done before a command's Handler is entered.
type Opening struct {
	Write bool
	Field int // the argument that names a field to read if it is a hash; 0 for none
}

func (c *Command) opens(slot int) {
	mode := 0
	if c.Opens.Write {
		mode = C.HF_WRITE
	}
	C.hf_opens(C.int(slot), C.int(mode), C.int(c.Opens.Field))
}

// Begun is a command's key as it was opened for it.
type Begun struct {
	Writer
	Len int
	DB  int
}

// Begin is the key that was opened because Command.Opens says so, once, and
// appends the value of the field to buf. The key is the Handler's to close.
func (ctx *Ctx) Begin(buf []byte) (at Begun, value []byte, ok bool) {
	f := ctx.frame
	ctx.now = int64(f.now)
	at = Begun{Writer: Writer{ctx.opened(f.key, f._type, f.expire_at)}, Len: int(f.len), DB: int(f.db)}
	f.key = nil
	if f.field < 0 {
		return at, buf, false
	}
	return at, append(buf, unsafe.Slice((*byte)(f.value), int(f.field))...), true
}

// Change is one write to a hash opened for writing, and the event it raises. The
// zero value is none.
type Change struct {
	Put      bool // Field to Value; with ExpireAt >= 0 the key's expiry, as HashPut
	Delete   bool // the key, as Writer.Delete
	Field    Arg
	Value    []byte
	ExpireAt int64
	Class    EventClass // 0 for no event
	Event    EventName
}

// Apply makes the change and raises the event, now.
func (k Writer) Apply(c *Change) {
	switch {
	case c.Put:
		k.HashPut(c.Field, c.Value, c.ExpireAt)
	case c.Delete:
		k.Delete()
	}
	if c.Class != 0 {
		k.Notify(c.Class, c.Event)
	}
}

// End is the last a command's Handler does with a key: the change is made, the
// key closed and n answered as soon as the Handler has returned. It is for
// changes whose field is an argument, and whose value is small: others are not
// taken, and it says so.
func (k Writer) End(c *Change, n int64) bool {
	if k.c() == nil {
		return false
	}
	ctx := keys[k.place].ctx
	f := ctx.frame
	if f == nil || f.key != nil || c.Put && c.Field.str == nil || len(c.Value) > len(f.text) {
		return false
	}
	f.key = k.take()
	switch {
	case c.Put:
		f.change, f.field_name, f.expire_at = C.HF_PUT, c.Field.str, C.int64_t(c.ExpireAt)
		f.text_len = C.size_t(copy(text(f), c.Value))
	case c.Delete:
		f.change = C.HF_DELETE
	}
	if c.Class != 0 {
		f.event_class = C.int(c.Class)
		f.event = c.Event.c
	}
	f.reply, f.number = C.HF_NUMBER, C.longlong(n)
	ctx.replied = true
	return true
}

// first notes a reply, and tells whether it is a command's and begins there: then,
// unless it is an array, it is all of it, and can be given when the Handler has
// returned, without a crossing of its own.
func (ctx *Ctx) first() bool {
	first := ctx.frame != nil && !ctx.replied
	ctx.replied = true
	return first
}

// text is room for what a frame takes along.
func text(f *C.hf_frame) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(&f.text)), len(f.text))
}
