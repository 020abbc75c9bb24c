package redismodule

/*
#include <string.h>
#include "bridge.h"

typedef struct { void *out; size_t cap; long got; } any_value;

static void hf_any_field(RedisModuleKey *key, RedisModuleString *field, RedisModuleString *value, void *p) {
    (void)key; (void)field;
    any_value *a = p;
    if (a->got >= 0 || !value) return;
    size_t len;
    const char *s = RM_StringPtrLen(value, &len);
    memcpy(a->out, s, len < a->cap ? len : a->cap);
    a->got = (long)len;
}

// The length of one value, its bytes in out as far as they fit; -1: no field.
static long hf_hash_any(RedisModuleKey *key, void *out, size_t cap) {
    any_value a = { out, cap, -1 };
    RedisModuleScanCursor *cur = RM_ScanCursorCreate();
    while (a.got < 0 && RM_ScanKey(key, cur, hf_any_field, &a)) {}
    RM_ScanCursorDestroy(cur);
    return a.got;
}
#cgo noescape hf_hash_any
*/
import "C"

import "unsafe"

// HashAny appends the value of some field of a hash to buf: whichever the
// server comes to first. A big hash is not walked for it.
func (k Key) HashAny(buf []byte) (value []byte, ok bool) {
	for {
		room := buf[len(buf):cap(buf)]
		n := int(C.hf_hash_any(k.k, unsafe.Pointer(unsafe.SliceData(room)), C.size_t(len(room))))
		if n < 0 {
			return buf, false
		}
		if n <= len(room) {
			return buf[:len(buf)+n], true
		}
		buf = append(make([]byte, 0, len(buf)+n), buf...)
	}
}
