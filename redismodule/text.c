/* Strings that a module writes, and hashes that are walked some fields at a time. */
#include "bridge.h"
#include <string.h>

/* As SET name value PXAT ms, which is what replicas and the AOF get. */
int hf_text_put(RedisModuleCtx *ctx, RedisModuleKey *key, const char *v, size_t len, int64_t expire_at) {
    if (!key) return 0;
    RedisModuleString *name = (RedisModuleString *)RM_GetKeyNameFromModuleKey(key), *value = RM_CreateString(NULL, v, len);
    RM_StringSet(key, value);
    RM_SetAbsExpire(key, expire_at);
    RM_Replicate(ctx, "SET", "sscl", name, value, "PXAT", (long long)expire_at);
    RM_SignalModifiedKey(ctx, name);
    RM_FreeString(NULL, value);
    return 1;
}

/* A string's bytes in place, for a key that is open for writing. */
const char *hf_text(RedisModuleKey *key, size_t *len) {
    *len = 0;
    return RM_KeyType(key) == HF_STRING ? RM_StringDMA(key, len, 1) : NULL;
}

typedef struct { char *at; size_t len, cap, most; long fields; } fields;

static void add(fields *b, const char *p, size_t n) {
    uint32_t n32 = (uint32_t)n;
    if (b->len + 4 + n > b->cap) {
        size_t cap = (b->len + 4 + n) * 2;
        char *grown = RM_Alloc(cap);
        if (b->at) { memcpy(grown, b->at, b->len); RM_Free(b->at); }
        b->at = grown;
        b->cap = cap;
    }
    memcpy(b->at + b->len, &n32, 4);
    memcpy(b->at + b->len + 4, p, n);
    b->len += 4 + n;
}

/* What is too long is not copied: its value is packed as an empty one. */
static void field(RedisModuleKey *key, RedisModuleString *name, RedisModuleString *value, void *p) {
    (void)key;
    fields *b = p;
    size_t name_len, len = 0;
    const char *n = RM_StringPtrLen(name, &name_len), *v = value ? RM_StringPtrLen(value, &len) : "";
    if (name_len > b->most) name_len = len = 0;
    if (len > b->most) len = 0;
    add(b, n, name_len);
    add(b, v, len);
    b->fields++;
}

hf_packed hf_hash_some(RedisModuleKey *key, RedisModuleScanCursor *cur, long some, size_t most) {
    fields b = { .most = most };
    if (RM_KeyType(key) != HF_HASH) return (hf_packed){ 0 };
    int more = 1;
    while (b.fields < some && (more = RM_ScanKey(key, cur, field, &b))) {}
    return (hf_packed){ b.at, b.len, more };
}
