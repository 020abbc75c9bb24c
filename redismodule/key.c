/* Keys: steps that go together are one crossing. What is written reaches replicas
 * and the AOF in the same step. */
#include "bridge.h"
#include <string.h>

void hf_open(RedisModuleCtx *ctx, RedisModuleString *name, const void *p, size_t len, int mode, hf_opened *out) {
    RedisModuleString *own = name ? NULL : RM_CreateString(NULL, p, len);
    out->key = RM_OpenKey(ctx, name ? name : own, mode);
    out->type = RM_KeyType(out->key); /* 0 for NULL */
    out->expire_at = out->type ? RM_GetAbsExpire(out->key) : -1;
    if (own) RM_FreeString(NULL, own);
}

void hf_close(RedisModuleKey *key) { if (key) RM_CloseKey(key); }

static RedisModuleString *name_of(RedisModuleKey *key) {
    return (RedisModuleString *)RM_GetKeyNameFromModuleKey(key);
}

/* What was read last is kept in C until the next call, because Go's stack may move
 * while the server is asked. */
static struct { char *at; size_t cap; } got;

long hf_keep(RedisModuleString *value) {
    size_t len;
    const char *p = RM_StringPtrLen(value, &len);
    if (len > got.cap) {
        if (got.at) RM_Free(got.at);
        got.at = RM_Alloc(got.cap = len < 256 ? 256 : len);
    }
    memcpy(got.at, p, len);
    return (long)len;
}

const void *hf_got(void) { return got.at; }

/* The field's length, -1 for none; hf_got is its bytes. */
long hf_hash_get(RedisModuleKey *key, RedisModuleString *fstr, const void *f, size_t flen) {
    RedisModuleString *field = fstr ? fstr : RM_CreateString(NULL, f, flen), *value = NULL;
    long n = -1;
    if (RM_HashGet(key, 0, field, &value, NULL) == 0 && value) {
        n = hf_keep(value);
        RM_FreeString(NULL, value);
    }
    if (!fstr) RM_FreeString(NULL, field);
    return n;
}

static void expire(RedisModuleCtx *ctx, RedisModuleKey *key, int64_t at) {
    RM_SetAbsExpire(key, at);
    RM_Replicate(ctx, "PEXPIREAT", "sl", name_of(key), (long long)at);
}

int hf_hash_put(RedisModuleCtx *ctx, RedisModuleKey *key, RedisModuleString *fstr, const void *f, size_t flen, const void *v, size_t vlen, int64_t expire_at) {
    RedisModuleString *field = fstr ? fstr : RM_CreateString(NULL, f, flen), *value = RM_CreateString(NULL, v, vlen);
    RM_HashSet(key, 0, field, value, NULL);
    RM_Replicate(ctx, "HSET", "sss", name_of(key), field, value);
    if (expire_at >= 0) expire(ctx, key, expire_at);
    RM_SignalModifiedKey(ctx, name_of(key));
    if (!fstr) RM_FreeString(NULL, field);
    RM_FreeString(NULL, value);
    return 0;
}

int hf_hash_del(RedisModuleCtx *ctx, RedisModuleKey *key, RedisModuleString *fstr, const void *f, size_t flen, int64_t expire_at) {
    RedisModuleString *field = fstr ? fstr : RM_CreateString(NULL, f, flen);
    int n = RM_HashSet(key, 0, field, (RedisModuleString *)1, NULL); /* 1: delete the field */
    if (n) {
        RM_Replicate(ctx, "HDEL", "ss", name_of(key), field);
        if (expire_at >= 0 && RM_KeyType(key)) expire(ctx, key, expire_at);
        RM_SignalModifiedKey(ctx, name_of(key));
    }
    if (!fstr) RM_FreeString(NULL, field);
    return n;
}

int hf_delete(RedisModuleCtx *ctx, RedisModuleKey *key) {
    if (!RM_KeyType(key)) return 0;
    RM_Replicate(ctx, "DEL", "s", name_of(key));
    RM_DeleteKey(key);
    RM_SignalModifiedKey(ctx, name_of(key));
    return 1;
}

int hf_expire_at(RedisModuleCtx *ctx, RedisModuleKey *key, int64_t at) {
    expire(ctx, key, at);
    RM_SignalModifiedKey(ctx, name_of(key));
    return 0;
}

void hf_notify(RedisModuleCtx *ctx, RedisModuleKey *key, int class, const char *event) {
    RM_NotifyKeyspaceEvent(ctx, class, event, name_of(key));
}

/* ---- walks: what is found is packed as length, bytes, length, bytes … --- */

typedef struct { char *at; size_t len, cap; int type; } pack;

static void pack_add(pack *b, RedisModuleString *s) {
    size_t n;
    const char *p = RM_StringPtrLen(s, &n);
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

static void pack_field(RedisModuleKey *key, RedisModuleString *field, RedisModuleString *value, void *b) {
    (void)key;
    pack_add(b, field);
    pack_add(b, value);
}

void *hf_hash_all(RedisModuleKey *key, size_t *len) {
    pack b = { 0 };
    RedisModuleScanCursor *cur = RM_ScanCursorCreate();
    while (RM_ScanKey(key, cur, pack_field, &b)) {}
    RM_ScanCursorDestroy(cur);
    *len = b.len;
    return b.at;
}

static void pack_name(RedisModuleCtx *ctx, RedisModuleString *name, RedisModuleKey *key, void *p) {
    pack *b = p;
    RedisModuleKey *own = NULL;
    if (!key) key = own = RM_OpenKey(ctx, name, 1 | 1 << 16);
    if (RM_KeyType(key) == b->type) pack_add(b, name);
    if (own) RM_CloseKey(own);
}

hf_packed hf_scan(RedisModuleCtx *ctx, RedisModuleScanCursor *cur, int buckets, int type) {
    pack b = { .type = type };
    int more = 1;
    while (buckets-- > 0 && (more = RM_Scan(ctx, cur, pack_name, &b))) {}
    return (hf_packed){ b.at, b.len, more };
}

void hf_pack_free(void *packed) { if (packed) RM_Free(packed); }
