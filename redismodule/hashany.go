package redismodule

/*
#include <string.h>
#include "bridge.h"

// What was found is kept here until the next call: Go memory that C writes into
// might move when a callback enters Go in between.
static struct { char *at; size_t cap; long len; } any;

static void hf_any_field(RedisModuleKey *key, RedisModuleString *field, RedisModuleString *value, void *p) {
    (void)key; (void)field; (void)p;
    if (any.len >= 0 || !value) return;
    size_t len;
    const char *s = RM_StringPtrLen(value, &len);
    if (len > any.cap) {
        if (any.at) RM_Free(any.at);
        any.at = RM_Alloc(any.cap = len < 256 ? 256 : len);
    }
    memcpy(any.at, s, len);
    any.len = (long)len;
}

static long hf_hash_any(RedisModuleKey *key) {
    RedisModuleScanCursor *cur = RM_ScanCursorCreate();
    any.len = -1;
    while (any.len < 0 && RM_ScanKey(key, cur, hf_any_field, NULL)) {}
    RM_ScanCursorDestroy(cur);
    return any.len;
}

static const void *hf_any(void) { return any.at; }
#cgo nocallback hf_any
*/
import "C"

import "unsafe"

// HashAny appends the value of some field of a hash to buf: whichever the
// server comes to first. A big hash is not walked for it.
func (k Key) HashAny(buf []byte) (value []byte, ok bool) {
	n := int(C.hf_hash_any(k.k))
	if n < 0 {
		return buf, false
	}
	return append(buf, unsafe.Slice((*byte)(C.hf_any()), n)...), true
}
