package redismodule

/*
#include "bridge.h"

// Replies the string at a key, closes it and answers the key's type; with any
// other type it replies nothing. word: as [word value nil] instead, unless the
// key expires before until.
static int hf_reply_value(RedisModuleCtx *ctx, RedisModuleString *name, const char *word, size_t n, int64_t until) {
    RedisModuleKey *key = RM_OpenKey(ctx, name, 1);
    int type = RM_KeyType(key);
    if (type == 1) {
        size_t len;
        const char *value = RM_StringDMA(key, &len, 1);
        if (word) {
            int64_t at = until ? RM_GetAbsExpire(key) : -1;
            if (at >= 0 && at < until) {
                RM_CloseKey(key);
                return -type;
            }
            RM_ReplyWithArray(ctx, 3);
            RM_ReplyWithStringBuffer(ctx, word, n);
        }
        RM_ReplyWithStringBuffer(ctx, value, len);
        if (word) RM_ReplyWithNull(ctx);
    }
    if (key) RM_CloseKey(key);
    return type;
}
#cgo noescape hf_reply_value
*/
import "C"

import "unsafe"

// ReplyValue answers the string at a key, in one crossing where opening,
// reading, answering and closing take four. It tells the key's type; nothing is
// answered unless that is TypeString.
func (ctx *Ctx) ReplyValue(name Arg) KeyType {
	t := KeyType(C.hf_reply_value(ctx.c, name.str, nil, 0, 0))
	ctx.replied = ctx.replied || t == TypeString
	return t
}

// ReplyWordAndValue is ReplyValue for the answer [word, value, nil], and only if
// the key does not expire before until (unix ms; 0: whenever it does).
func (ctx *Ctx) ReplyWordAndValue(word string, name Arg, until int64) bool {
	t := KeyType(C.hf_reply_value(ctx.c, name.str, (*C.char)(unsafe.Pointer(unsafe.StringData(word))), C.size_t(len(word)), C.int64_t(until)))
	ctx.replied = ctx.replied || t == TypeString
	return t == TypeString
}
