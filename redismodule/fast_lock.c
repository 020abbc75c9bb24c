/* The fast path of the locks: an exclusive lock without META and SESSION is taken, extended
 * and released here while nobody waits for it and nothing is out of the ordinary. The form
 * of the string, and what a lease is, are modules/internal/locktable's (record.go). */
#include "bridge.h"
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* What Go and C share, in the order of LockPath. */
enum { TOKEN, OPEN, MAX_TTL, GRANTS, REFUSED, RELEASED, EXTENDED, LOGGED };

/* What becomes of locks, for the gauge and the hold times. Go reads it when it is full, and
 * before it notes a change of its own. */
static hf_lock_change log_[HF_LOCK_LOG];

hf_lock_change *hf_lock_log(void) { return log_; }

enum { OWNER_MOST = 256, TEXT_MOST = OWNER_MOST + 64, INLINE_MOST = 44, RECORD_MOST = 64 * 1024 + 128 };

#define WORD(text) ({ static RedisModuleString *s; s ? s : (s = RM_CreateString(NULL, text, sizeof text - 1)); })

static void note(int64_t *shared, uint64_t hash, int64_t expires, int64_t now, int64_t held) {
    log_[shared[LOGGED]++] = (hf_lock_change){ hash, expires, now, held };
}

/* A decimal number as a person would write it, 0 for anything else. */
static long long number(RedisModuleString *s, long long most) {
    size_t len;
    const char *p = RM_StringPtrLen(s, &len);
    if (len == 0 || len > 15 || *p == '0') return 0;
    long long n = 0;
    while (len-- > 0) {
        if (*p < '0' || *p > '9') return 0;
        n = n * 10 + (*p++ - '0');
    }
    return n <= most ? n : 0;
}

/* Whether the fast path may be taken for the lock argv[1]; hash is that of its name. */
static int may(hf_fast *f, RedisModuleCtx *ctx, RedisModuleString **argv, uint64_t *hash) {
    int64_t *shared = hf_shared[f->module];
    if (!shared[OPEN] || shared[LOGGED] == HF_LOCK_LOG) return 0;
    size_t len;
    int db = RM_GetSelectedDb(ctx);
    const char *name = RM_StringPtrLen(argv[1], &len);
    if (hf_is_held(f->module, db, name, len)) return 0;
    *hash = (hf_hash_name(db, name, len) & ~(uint64_t)(HF_MODULES - 1)) | (uint64_t)f->module; /* as Ctx.KeyID */
    return 1;
}

static int done(hf_fast *f, RedisModuleCtx *ctx, RedisModuleKey *key, int counter, long long answer) {
    hf_close(key);
    if (counter) hf_shared[f->module][counter]++;
    RM_ReplyWithLongLong(ctx, answer);
    f->answered++;
    return 1;
}

/* LOCK.ACQUIRE name owner ttl_ms [WITHTOKEN] */
int hf_fast_lock_acquire(hf_fast *f, RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    int64_t *shared = hf_shared[f->module];
    size_t owner_len, len;
    uint64_t hash;
    const char *owner = RM_StringPtrLen(argv[2], &owner_len), *p;
    int with_token = argc == 5 && (p = RM_StringPtrLen(argv[4], &len)) && len == 9 && !strncasecmp(p, "WITHTOKEN", 9);
    long long ttl = number(argv[3], shared[MAX_TTL]);
    if (!ttl || owner_len > OWNER_MOST || (argc != 4 && !with_token) || !may(f, ctx, argv, &hash)) return 0;
    RedisModuleKey *key = RM_OpenKey(ctx, argv[1], HF_WRITE);
    int type = RM_KeyType(key);
    int64_t now = RM_Milliseconds();
    if (type) {
        int64_t end = RM_GetAbsExpire(key);
        if (type == HF_STRING && end > now && RM_ValueLength(key) <= RECORD_MOST) return done(f, ctx, key, REFUSED, 0);
        hf_close(key);
        return 0;
    }
    int64_t token = shared[TOKEN] + 1 > now * 1000 ? shared[TOKEN] + 1 : now * 1000, expires = now + ttl;
    char text[TEXT_MOST], *end = text;
    memcpy(end, "exclusive ", 10);
    end = hf_digits(end + 10, token);
    *end++ = ' ';
    end = hf_digits(end, now);
    *end++ = ' ';
    memcpy(end, owner, owner_len);
    RedisModuleString *value = RM_CreateString(NULL, text, (size_t)(end - text) + owner_len);
    RM_StringSet(key, value);
    RM_SetAbsExpire(key, expires);
    char until[24];
    RM_Replicate(ctx, "SET", "sssb", argv[1], value, WORD("PXAT"), until, (size_t)(hf_digits(until, expires) - until));
    RM_SignalModifiedKey(ctx, argv[1]);
    hf_close(key); /* before others hear of it: what they do could end the key */
    RM_NotifyKeyspaceEvent(ctx, HF_EVENT_MODULE, "lock.acquired", argv[1]);
    RM_FreeString(NULL, value);
    shared[TOKEN] = token;
    note(shared, hash, expires, now, -1);
    return done(f, ctx, NULL, GRANTS, with_token ? token : 1);
}

/* Reads a number as locktable writes it and the space behind it; NULL if it is none. */
static const char *counted(const char *p, const char *end, int64_t *n) {
    uint64_t digits;
    p = hf_number(p, end, &digits);
    *n = (int64_t)digits;
    return p && p < end && *p == ' ' ? p + 1 : NULL;
}

/* Opens the lock if it is a string of ours that argv[2] holds at now; NULL if it is not, or
 * if that is for the Handler to find out. granted is when. *absent: there is no such key. */
static RedisModuleKey *held_by(RedisModuleCtx *ctx, RedisModuleString **argv, int64_t now, int64_t *granted, int *absent) {
    size_t len, owner_len;
    const char *owner = RM_StringPtrLen(argv[2], &owner_len);
    RedisModuleKey *key = RM_OpenKey(ctx, argv[1], HF_WRITE);
    int type = RM_KeyType(key);
    *absent = !type;
    /* What is short may be read by the Handler alone, see hf_text. */
    if (type != HF_STRING || RM_ValueLength(key) <= INLINE_MOST || RM_ValueLength(key) > TEXT_MOST || RM_GetAbsExpire(key) <= now) goto no;
    const char *p = RM_StringDMA(key, &len, 1), *end = p + len;
    if (len < 10 || memcmp(p, "exclusive ", 10)) goto no;
    if (!(p = counted(p + 10, end, granted)) || !(p = counted(p, end, granted))) goto no;
    if ((size_t)(end - p) != owner_len || memcmp(p, owner, owner_len)) goto no;
    return key;
no:
    hf_close(key);
    return NULL;
}

/* LOCK.RELEASE name owner */
int hf_fast_lock_release(hf_fast *f, RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    int64_t now = RM_Milliseconds(), granted;
    int absent;
    uint64_t hash;
    if (argc != 3 || !may(f, ctx, argv, &hash)) return 0;
    RedisModuleKey *key = held_by(ctx, argv, now, &granted, &absent);
    if (absent) return done(f, ctx, NULL, 0, 0);
    if (!key) return 0;
    RM_Replicate(ctx, "DEL", "s", argv[1]);
    RM_DeleteKey(key);
    RM_SignalModifiedKey(ctx, argv[1]);
    hf_close(key);
    RM_NotifyKeyspaceEvent(ctx, HF_EVENT_MODULE, "lock.released", argv[1]);
    note(hf_shared[f->module], hash, 0, now, now > granted ? now - granted : 0);
    return done(f, ctx, NULL, RELEASED, 1);
}

/* LOCK.EXTEND name owner ttl_ms */
int hf_fast_lock_extend(hf_fast *f, RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    int64_t now = RM_Milliseconds(), granted;
    int absent;
    uint64_t hash;
    long long ttl = argc == 4 ? number(argv[3], hf_shared[f->module][MAX_TTL]) : 0;
    if (!ttl || !may(f, ctx, argv, &hash)) return 0;
    RedisModuleKey *key = held_by(ctx, argv, now, &granted, &absent);
    if (absent) return done(f, ctx, NULL, 0, 0);
    if (!key) return 0;
    RM_SetAbsExpire(key, now + ttl);
    RM_Replicate(ctx, "PEXPIREAT", "sl", argv[1], now + ttl);
    RM_SignalModifiedKey(ctx, argv[1]);
    note(hf_shared[f->module], hash, now + ttl, now, -1);
    return done(f, ctx, key, EXTENDED, 1);
}
