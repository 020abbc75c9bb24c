package redismodule

/*
#include "bridge.h"

static void hf_any_field(RedisModuleKey *key, RedisModuleString *field, RedisModuleString *value, void *len) {
    (void)key; (void)field;
    if (*(long *)len < 0 && value) *(long *)len = hf_keep(value);
}

static long hf_hash_any(RedisModuleKey *key) {
    RedisModuleScanCursor *cur = RM_ScanCursorCreate();
    long len = -1;
    while (len < 0 && RM_ScanKey(key, cur, hf_any_field, &len)) {}
    RM_ScanCursorDestroy(cur);
    return len;
}
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
	return append(buf, unsafe.Slice((*byte)(C.hf_got()), n)...), true
}
