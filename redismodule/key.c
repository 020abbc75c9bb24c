/* Keys. Steps that go together are one crossing. Each write goes to replicas and the AOF
 * in the same step. Every function here is safe with a NULL key and any type. */
#include "bridge.h"
#include <string.h>

hf_opened hf_open(RedisModuleCtx *ctx, RedisModuleString *name, const char *p, size_t len, int mode) {
    RedisModuleString *own = name ? NULL : RM_CreateString(NULL, p, len);
    hf_opened out = { .key = RM_OpenKey(ctx, name ? name : own, mode) };
    out.type = RM_KeyType(out.key); /* 0 for NULL */
    out.expire_at = out.type ? RM_GetAbsExpire(out.key) : -1;
    if (own) RM_FreeString(NULL, own);
    return out;
}

void hf_close(RedisModuleKey *key) { if (key) RM_CloseKey(key); }

/* The server counts what is opened to read. */
void hf_close_counting(RedisModuleCtx *ctx, RedisModuleKey *key) {
    RedisModuleString *name = (RedisModuleString *)RM_GetKeyNameFromModuleKey(key);
    RM_RetainString(NULL, name);
    RM_CloseKey(key);
    hf_close(RM_OpenKey(ctx, name, HF_READ));
    RM_FreeString(NULL, name);
}

static RedisModuleString *name_of(RedisModuleKey *key) {
    return (RedisModuleString *)RM_GetKeyNameFromModuleKey(key);
}

int hf_is_named(RedisModuleKey *key, RedisModuleString *name, const char *p, size_t len) {
    size_t is_len;
    const char *is = RM_StringPtrLen(name_of(key), &is_len);
    if (name) p = RM_StringPtrLen(name, &len);
    return is_len == len && (!len || !memcmp(is, p, len));
}

/* The value read last is kept in C until the next call, because Go's stack may move
 * while the server is asked. A large one is not kept for the next callback. */
static struct { char *at; size_t cap; } got;
enum { GOT_KEPT = 1 << 16 };

static long keep(const char *p, size_t len) {
    if (len > got.cap || got.cap > GOT_KEPT) {
        if (got.at) RM_Free(got.at);
        got.at = RM_Alloc(got.cap = len < 256 ? 256 : len);
    }
    memcpy(got.at, p, len);
    return (long)len;
}

long hf_keep(RedisModuleString *value) {
    size_t len;
    const char *p = RM_StringPtrLen(value, &len);
    return keep(p, len);
}

const void *hf_got(void) { return got.at; }

int hf_got_trim(void) {
    if (got.cap <= GOT_KEPT) return 0;
    RM_Free(got.at);
    got.at = NULL;
    got.cap = 0;
    return 1;
}

/* The length of the field's value, -1 for none; hf_got is its bytes. */
long hf_hash_get(RedisModuleKey *key, RedisModuleString *fstr, const char *f, size_t flen) {
    if (RM_KeyType(key) != HF_HASH) return -1;
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
    if (at < 0 || RM_SetAbsExpire(key, at)) return;
    RM_Replicate(ctx, "PEXPIREAT", "sl", name_of(key), (long long)at);
}

int hf_hash_put(RedisModuleCtx *ctx, RedisModuleKey *key, RedisModuleString *fstr, const char *f, size_t flen, const char *v, size_t vlen, int64_t expire_at) {
    int type = RM_KeyType(key);
    if (!key || (type && type != HF_HASH)) return 0;
    RedisModuleString *field = fstr ? fstr : RM_CreateString(NULL, f, flen), *value = RM_CreateString(NULL, v, vlen);
    RM_HashSet(key, 0, field, value, NULL);
    RM_Replicate(ctx, "HSET", "sss", name_of(key), field, value);
    expire(ctx, key, expire_at);
    RM_SignalModifiedKey(ctx, name_of(key));
    if (!fstr) RM_FreeString(NULL, field);
    RM_FreeString(NULL, value);
    return 1;
}

int hf_hash_del(RedisModuleCtx *ctx, RedisModuleKey *key, RedisModuleString *fstr, const char *f, size_t flen, int64_t expire_at) {
    if (RM_KeyType(key) != HF_HASH) return 0;
    RedisModuleString *field = fstr ? fstr : RM_CreateString(NULL, f, flen);
    int n = RM_HashSet(key, 0, field, (RedisModuleString *)1, NULL); /* 1: delete the field */
    if (n) {
        RM_Replicate(ctx, "HDEL", "ss", name_of(key), field);
        if (RM_KeyType(key)) expire(ctx, key, expire_at);
        RM_SignalModifiedKey(ctx, name_of(key));
    }
    if (!fstr) RM_FreeString(NULL, field);
    return n;
}

int hf_zset_rem(RedisModuleCtx *ctx, RedisModuleKey *key, const char *m, size_t len) {
    if (RM_KeyType(key) != HF_ZSET) return 0;
    RedisModuleString *member = RM_CreateString(NULL, m, len);
    int n = 0;
    RM_ZsetRem(key, member, &n);
    if (n) {
        RM_Replicate(ctx, "ZREM", "ss", name_of(key), member);
        RM_SignalModifiedKey(ctx, name_of(key));
    }
    RM_FreeString(NULL, member);
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
    if (!RM_KeyType(key) || at < 0) return 0;
    expire(ctx, key, at);
    RM_SignalModifiedKey(ctx, name_of(key));
    return 1;
}

void hf_notify(RedisModuleCtx *ctx, RedisModuleKey *key, int class, const char *event) {
    if (key && event) RM_NotifyKeyspaceEvent(ctx, class, event, name_of(key));
}

/* RM_StringDMA replaces an int or embstr string by a raw one. That is a write to the
 * keyspace: OBJECT ENCODING changes, and memory shared with a BGSAVE child is copied.
 * Strings longer than SHORT are raw in every server; shorter ones are read by GET. */
enum { SHORT = 128 };

int hf_is_short(RedisModuleKey *key) { return RM_ValueLength(key) <= SHORT; }

/* The length of the string at *key, -1 for none; hf_got is its bytes. No key may be open
 * during a call: *key is another handle afterwards, and with others open none is made. */
long hf_string_get(RedisModuleCtx *ctx, RedisModuleKey **key, int others) {
    if (RM_KeyType(*key) != HF_STRING) return -1;
    size_t len;
    if (others || !hf_is_short(*key)) {
        const char *p = RM_StringDMA(*key, &len, 1);
        return keep(p, len);
    }
    RedisModuleString *name = name_of(*key);
    RM_RetainString(NULL, name);
    RM_CloseKey(*key);
    RedisModuleCallReply *r = RM_Call(ctx, "GET", "!s", name);
    const char *p = r && RM_CallReplyType(r) == 0 ? RM_CallReplyStringPtr(r, &len) : NULL; /* 0: a string */
    long n = p ? keep(p, len) : -1;
    if (r) RM_FreeCallReply(r);
    *key = RM_OpenKey(ctx, name, HF_LOOK);
    RM_FreeString(NULL, name);
    return n;
}

/* ---- walks: what is found is packed as length, bytes, length, bytes … --- */

typedef struct { char *at; size_t len, cap; unsigned types; } pack;

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

hf_packed hf_hash_all(RedisModuleKey *key) {
    pack b = { 0 };
    if (RM_KeyType(key) != HF_HASH) return (hf_packed){ 0 };
    RedisModuleScanCursor *cur = RM_ScanCursorCreate();
    while (RM_ScanKey(key, cur, pack_field, &b)) {}
    RM_ScanCursorDestroy(cur);
    return (hf_packed){ b.at, b.len, 0 };
}

static void pack_name(RedisModuleCtx *ctx, RedisModuleString *name, RedisModuleKey *key, void *p) {
    pack *b = p;
    RedisModuleKey *own = NULL;
    if (!key) key = own = RM_OpenKey(ctx, name, HF_LOOK);
    if (b->types >> RM_KeyType(key) & 1) pack_add(b, name);
    if (own) RM_CloseKey(own);
}

/* types has a bit for each type of key that is wanted. */
hf_packed hf_scan(RedisModuleCtx *ctx, RedisModuleScanCursor *cur, int buckets, unsigned types) {
    pack b = { .types = types };
    int more = 1;
    while (buckets-- > 0 && (more = RM_Scan(ctx, cur, pack_name, &b))) {}
    return (hf_packed){ b.at, b.len, more };
}

void hf_pack_free(void *packed) { if (packed) RM_Free(packed); }

/* ---- one field of a hash, whichever the server comes to first ------------- */

typedef struct { long len, most; } any;

static void any_field(RedisModuleKey *key, RedisModuleString *field, RedisModuleString *value, void *p) {
    (void)key; (void)field;
    any *a = p;
    if (a->len != -1 || !value) return;
    size_t len;
    RM_StringPtrLen(value, &len);
    a->len = (long)len <= a->most ? hf_keep(value) : -2;
}

/* The length of its value; -1 for no field, -2 for a value longer than most. */
long hf_hash_any(RedisModuleKey *key, long most) {
    any a = { -1, most };
    if (RM_KeyType(key) != HF_HASH) return -1;
    RedisModuleScanCursor *cur = RM_ScanCursorCreate();
    while (a.len == -1 && RM_ScanKey(key, cur, any_field, &a)) {}
    RM_ScanCursorDestroy(cur);
    return a.len;
}
