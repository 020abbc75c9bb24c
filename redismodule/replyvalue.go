package redismodule

/*
#include "bridge.h"

// Replies [word, value, nil] with the string at a key, unless that expires
// before until; with anything else it replies nothing.
static int hf_reply_value(RedisModuleCtx *ctx, RedisModuleString *name, const char *word, size_t n, int64_t until) {
    RedisModuleKey *key = RM_OpenKey(ctx, name, 1);
    int hit = RM_KeyType(key) == 1;
    if (hit && until) {
        int64_t at = RM_GetAbsExpire(key);
        hit = at < 0 || at >= until;
    }
    if (hit) {
        size_t len;
        const char *value = RM_StringDMA(key, &len, 1);
        RM_ReplyWithArray(ctx, 3);
        RM_ReplyWithStringBuffer(ctx, word, n);
        RM_ReplyWithStringBuffer(ctx, value, len);
        RM_ReplyWithNull(ctx);
    }
    if (key) RM_CloseKey(key);
    return hit;
}
*/
import "C"

import "unsafe"

// ReplyWordAndValue answers [word, value, nil] with the string at a key, in one
// crossing where opening, reading, answering and closing take seven. It answers
// nothing, and says so, if there is no string, or one that expires before until
// (unix ms; 0: whenever it does).
func (ctx *Ctx) ReplyWordAndValue(word string, name Arg, until int64) bool {
	hit := C.hf_reply_value(ctx.c, name.str, (*C.char)(unsafe.Pointer(unsafe.StringData(word))), C.size_t(len(word)), C.int64_t(until)) != 0
	ctx.replied = ctx.replied || hit
	return hit
}
