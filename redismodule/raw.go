package redismodule

/*
#include "bridge.h"

static const char *hf_cr_raw(RedisModuleCallReply *r, size_t *n) { *n = 0; return r ? RM_CallReplyProto(r, n) : NULL; }
#cgo noescape hf_cr_raw
#cgo nocallback hf_cr_raw
*/
import "C"

import "unsafe"

// Raw is the reply as it would go over the wire, in RESP2, in place: valid until
// the reply is freed, nil when the call was refused before it ran. Nothing is
// parsed, where Type and Elem take the whole reply apart: for long arrays that
// are passed on, or read once from front to back (package resp).
func (r Reply) Raw() []byte {
	var n C.size_t
	p := C.hf_cr_raw(r.r, &n)
	return unsafe.Slice((*byte)(unsafe.Pointer(p)), int(n))
}
