package redismodule

/*
#include "bridge.h"

static RedisModuleScanCursor *hf_hash_cursor(void) { return RM_ScanCursorCreate(); }
static void hf_hash_cursor_free(RedisModuleScanCursor *c) { RM_ScanCursorDestroy(c); }
typedef struct { const char *at; size_t len; } hf_text_read;
static hf_text_read hf_text_in_place(RedisModuleKey *k) { hf_text_read r; r.at = hf_text(k, &r.len); return r; }
#cgo noescape hf_text_put
*/
import "C"

import (
	"math"
	"unsafe"
)

// SetText makes the key a string that expires at expireAt (unix ms), whatever it was: as
// SET name value PXAT ms, the one command that replicas get. It reports whether it did.
func (w Writer) SetText(value []byte, expireAt int64) bool {
	c := w.c()
	return c != nil && C.hf_text_put(w.ctx(), c, chars(value), C.size_t(len(value)), C.int64_t(expireAt)) != 0
}

// Text appends a string's value to buf; ok is false where there is none. A short string
// may change its encoding, as the key is open to be written: see Reader.String.
func (w Writer) Text(buf []byte) (value []byte, ok bool) {
	c := w.c()
	if c == nil || w.Type != TypeString {
		return buf, false
	}
	r := C.hf_text_in_place(c)
	return append(buf, unsafe.Slice((*byte)(unsafe.Pointer(r.at)), int(r.len))...), true
}

// HashCursor is where a walk through a hash goes on. The zero value is the beginning. It
// outlives the key's handle; a field that is there all the while is met at least once.
type HashCursor struct{ c *C.RedisModuleScanCursor }

// HashSome calls fn with about so many further fields of a hash, until fn returns false,
// and reports whether there are more. A value longer than most is not copied: fn is told
// an empty one. The bytes are valid during the call.
func (r Reader) HashSome(at *HashCursor, fields, most int, fn func(field, value []byte) bool) (more bool) {
	c := r.c()
	if c == nil {
		return false
	}
	if at.c == nil {
		at.c = C.hf_hash_cursor()
	}
	some := C.hf_hash_some(c, at.c, C.long(min(fields, math.MaxInt32)), C.size_t(most))
	defer C.hf_pack_free(some.at)
	var field []byte
	unpack(some.at, int(some.len), func(b []byte) bool {
		if field == nil {
			field = b
			return true
		}
		f := field
		field = nil
		return fn(f, b)
	})
	return some.more != 0
}

// Close ends the walk. HashSome would begin anew.
func (at *HashCursor) Close() {
	if at.c != nil {
		C.hf_hash_cursor_free(at.c)
		at.c = nil
	}
}
