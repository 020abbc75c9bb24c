/* Trampolines: the server calls a C function without user data, so each command
 * and each module has a function of its own here that knows its number. They
 * answer what can be answered without Go, and enter Go once. */
#include "bridge.h"
#include "_cgo_export.h"
#include <pthread.h>
#include <stdio.h>
#include <string.h>

/* A forked child (BGSAVE, AOF rewrite, a script debugger) has no Go scheduler:
 * entering Go there hangs. One word, set by the fork itself, keeps us out. */
static int forked;
static void on_fork(void) { forked = 1; }

/* While a module's own command runs a call, its own events are not news to it. */
static int muted[HF_MODULES];

/* ---- commands -------------------------------------------------------- */

static int run(int slot, RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    if (forked) return RM_ReplyWithError(ctx, "ERR not available in a forked process");
    hf_frame frame;
    if (hf_direct(slot, ctx, argv, argc, &frame)) return 0;
    hf_arg few[16], *args = few;
    if (argc > 16) args = RM_Alloc(sizeof(hf_arg) * (size_t)argc);
    for (int i = 0; i < argc; i++) {
        size_t len;
        args[i].data = RM_StringPtrLen(argv[i], &len);
        args[i].len = args[i].cap = len;
        args[i].str = argv[i];
    }
    hf_begin(slot, ctx, argv, argc, &frame);
    goCommand(slot, ctx, &frame, args, argc);
    hf_end(ctx, &frame);
    if (args != few) RM_Free(args);
    return 0;
}

#define FOR16(X, n) X(n##0) X(n##1) X(n##2) X(n##3) X(n##4) X(n##5) X(n##6) X(n##7) \
    X(n##8) X(n##9) X(n##a) X(n##b) X(n##c) X(n##d) X(n##e) X(n##f)
#define FOR128(X) FOR16(X, 0x0) FOR16(X, 0x1) FOR16(X, 0x2) FOR16(X, 0x3) \
    FOR16(X, 0x4) FOR16(X, 0x5) FOR16(X, 0x6) FOR16(X, 0x7)
#define COMMAND(n) static int command_##n(RedisModuleCtx *c, RedisModuleString **v, int a) { return run(n, c, v, a); }
FOR128(COMMAND)
#define COMMAND_NAME(n) command_##n,
static const hf_cmd_fn commands[HF_COMMANDS] = { FOR128(COMMAND_NAME) };

int hf_create_command(RedisModuleCtx *ctx, int slot, const char *name, const char *flags) {
    return RM_CreateCommand(ctx, name, commands[slot], flags, 0, 0, 0);
}

int hf_set_acl(RedisModuleCtx *ctx, const char *name, const char *categories) {
    if (!RM_SetCommandACLCategories) return 0; /* 7.2+ */
    return RM_SetCommandACLCategories(RM_GetCommand(ctx, name), categories);
}

/* ---- per module: key events, server events, info ---------------------- */

/* Valkey 8.1 runs this callback on the very client whose command raised the
 * event, and leaves it in the event's database: after MOVE the connection would
 * go on in the other one. The source is remembered and selected again; on other
 * servers the callback has a client of its own, and nothing comes of it. */
static int moved_from;

static void restore_db(RedisModuleCtx *ctx, const char *event) {
    if (!strcmp(event, "move_from")) moved_from = RM_GetSelectedDb(ctx);
    if (!strcmp(event, "move_to")) RM_SelectDb(ctx, moved_from);
}

static void key_event(int m, RedisModuleCtx *ctx, const char *event, RedisModuleString *key) {
    if (!muted[m] && !forked && hf_watched(m)) {
        size_t len;
        const char *name = RM_StringPtrLen(key, &len);
        int db = RM_GetSelectedDb(ctx);
        if (hf_is_watched(m, db, name, len)) goKeyEvent(m, ctx, (char *)event, (void *)name, len);
    }
    if (event[0] == 'm') restore_db(ctx, event);
}

enum { ROLE = 0, FLUSHDB = 2, LOADING = 3, CLIENT = 4, SWAPDB = 11 };

static void server_event(int m, RedisModuleCtx *ctx, RedisModuleEvent e, uint64_t sub, void *data) {
    if (forked) return;
    long long a = 0, b = 0;
    switch (e.id) {
    case FLUSHDB: a = ((hf_flush_info *)data)->dbnum; break;
    case SWAPDB: a = ((hf_swapdb_info *)data)->first; b = ((hf_swapdb_info *)data)->second; break;
    case CLIENT: {
        uint64_t id = ((hf_client_info *)data)->id;
        if (sub != 1 || !hf_is_watched(m, -1, &id, sizeof id)) return;
        a = (long long)id;
    }
    }
    goServerEvent(m, ctx, (int)e.id, (int)sub, a, b);
}

static void info(int m, RedisModuleInfoCtx *ctx, int crash_report) {
    if (crash_report || forked) return; /* a signal handler is no place for Go */
    goInfo(m, ctx);
}

#define FOR8(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7)
#define MODULE(n) \
    static int key_event_##n(RedisModuleCtx *c, int t, const char *e, RedisModuleString *k) { (void)t; key_event(n, c, e, k); return 0; } \
    static void server_event_##n(RedisModuleCtx *c, RedisModuleEvent e, uint64_t s, void *d) { server_event(n, c, e, s, d); } \
    static void info_##n(RedisModuleInfoCtx *c, int crash) { info(n, c, crash); }
FOR8(MODULE)
#define ROW(n) { key_event_##n, server_event_##n, info_##n },
static const struct {
    int (*key)(RedisModuleCtx *, int, const char *, RedisModuleString *);
    void (*event)(RedisModuleCtx *, RedisModuleEvent, uint64_t, void *);
    void (*info)(RedisModuleInfoCtx *, int);
} modules[HF_MODULES] = { FOR8(ROW) };

int hf_subscribe_keys(RedisModuleCtx *ctx, int m, int classes) {
    return RM_SubscribeToKeyspaceEvents(ctx, classes, modules[m].key);
}

int hf_subscribe_event(RedisModuleCtx *ctx, int m, int event, int on) {
    return RM_SubscribeToServerEvent(ctx, (RedisModuleEvent){ (uint64_t)event, 1 }, on ? modules[m].event : NULL);
}

int hf_info_register(RedisModuleCtx *ctx, int m) { return RM_RegisterInfoFunc(ctx, modules[m].info); }

/* ---- calls out: commands, replication --------------------------------- */

/* Makes server strings of the parts. The answer is the vector, few when it fits. */
static RedisModuleString **gather(RedisModuleString **few, size_t room, const char *buf, hf_part *parts, size_t n) {
    RedisModuleString **v = n <= room ? few : RM_Alloc(n * sizeof *v);
    for (size_t i = 0; i < n; i++) {
        if (parts[i].str) { v[i] = (RedisModuleString *)parts[i].str; continue; }
        v[i] = RM_CreateString(NULL, buf, parts[i].len);
        buf += parts[i].len;
    }
    return v;
}

static void scatter(RedisModuleString **few, RedisModuleString **v, hf_part *parts, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (!parts[i].str) RM_FreeString(NULL, v[i]);
    if (v != few) RM_Free(v);
}

/* buf starts with the command's name and its NUL. Without keep, only an error is
 * answered: whatever else the reply is, it is freed. */
hf_called hf_call(RedisModuleCtx *ctx, int m, const char *flags, size_t nflags, const char *buf, hf_part *parts, size_t n, int keep) {
    /* "!" always: without it 7.0 forgets to replicate the deletion of a key that
     * even a read finds expired, and replicas keep it for ever. */
    char format[16] = "!";
    RedisModuleString *few[16];
    if (nflags > sizeof format - 3) nflags = sizeof format - 3;
    memcpy(format + 1, flags, nflags);
    memcpy(format + 1 + nflags, "v", 2);
    RedisModuleString **v = gather(few, 16, buf + strlen(buf) + 1, parts, n);
    muted[m]++;
    RedisModuleCallReply *r = RM_Call(ctx, buf, format, v, n);
    muted[m]--;
    scatter(few, v, parts, n);
    hf_called out = { .reply = r };
    if (r) out.raw = RM_CallReplyProto(r, &out.len);
    if (r && !keep && out.raw[0] != '-') {
        RM_FreeCallReply(r);
        out.reply = NULL;
        out.raw = "+";
        out.len = 1;
    }
    return out;
}

int hf_replicate(RedisModuleCtx *ctx, const char *buf, hf_part *parts, size_t n) {
    RedisModuleString *few[16], **v = gather(few, 16, buf + strlen(buf) + 1, parts, n);
    int rc = RM_Replicate(ctx, buf, "v", v, n);
    scatter(few, v, parts, n);
    return rc;
}

/* ---- keys -------------------------------------------------------------- */

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

/* The field's length, -1 for none; hf_got is its bytes until the next call. They
 * stay in C until then, because Go's stack may move while the server is asked. */
static struct { char *at; size_t cap; } got;

long hf_hash_get(RedisModuleKey *key, RedisModuleString *fstr, const void *f, size_t flen) {
    RedisModuleString *field = fstr ? fstr : RM_CreateString(NULL, f, flen), *value = NULL;
    long n = -1;
    if (RM_HashGet(key, 0, field, &value, NULL) == 0 && value) {
        size_t len;
        const char *p = RM_StringPtrLen(value, &len);
        if (len > got.cap) {
            if (got.at) RM_Free(got.at);
            got.at = RM_Alloc(got.cap = len < 256 ? 256 : len);
        }
        memcpy(got.at, p, len);
        n = (long)len;
        RM_FreeString(NULL, value);
    }
    if (!fstr) RM_FreeString(NULL, field);
    return n;
}

const void *hf_got(void) { return got.at; }

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

/* ---- waiting, timers ---------------------------------------------------- */

static int block_reply(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    (void)argv; (void)argc;
    if (!forked) goBlockReply(ctx, (uint64_t)(uintptr_t)RM_GetBlockedClientPrivateData(ctx));
    return 0;
}

static int block_timeout(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    (void)argv; (void)argc;
    if (!forked) goBlockTimeout(ctx, RM_GetBlockedClientHandle(ctx));
    return 0;
}

static void block_gone(RedisModuleCtx *ctx, RedisModuleBlockedClient *bc) { if (!forked) goBlockGone(ctx, bc); }
static void block_free(RedisModuleCtx *ctx, void *id) { if (!forked) goBlockFree(ctx, (uint64_t)(uintptr_t)id); }

/* The server's own timeout is not used: on 7.0 a client whose timeout strikes
 * between UnblockClient and its reply gets no reply at all. The callback is
 * there for CLIENT UNBLOCK alone. On 7.2 that command, between UnblockClient and
 * the reply, ends the server by an assertion; without a callback it leaves the
 * client alone. */
RedisModuleBlockedClient *hf_block(RedisModuleCtx *ctx) {
    static int version;
    if (!version) version = RM_GetServerVersion() >> 8;
    RedisModuleBlockedClient *bc = RM_BlockClient(ctx, block_reply, version == 0x0702 ? NULL : block_timeout, block_free, 0);
    if (bc) RM_SetDisconnectCallback(bc, block_gone);
    return bc;
}

void hf_unblock(RedisModuleBlockedClient *bc, uint64_t id) { RM_UnblockClient(bc, (void *)(uintptr_t)id); }

static void timer(RedisModuleCtx *ctx, void *module) { if (!forked) goTimer((int)(intptr_t)module, ctx); }

RedisModuleTimerID hf_timer_start(RedisModuleCtx *ctx, int m, long long ms) {
    return RM_CreateTimer(ctx, ms, timer, (void *)(intptr_t)m);
}

/* Primary, not loading, and no write pause: else a write out of a timer aborts
 * the server or makes a replica differ. */
int hf_may_write(RedisModuleCtx *ctx) {
    int flags = RM_GetContextFlags(ctx);
    return (flags & 1 << 2) && !(flags & 1 << 13) && !RM_AvoidReplicaTraffic();
}

/* ---- replies, log -------------------------------------------------------- */

void hf_reply_error(RedisModuleCtx *ctx, const char *text) { RM_ReplyWithError(ctx, text); }

/* Answers arrays, strings and integers as they stand in a call's reply, which is
 * in RESP2, in the client's own protocol. */
void hf_reply_raw(RedisModuleCtx *ctx, const char *p, size_t len) {
    for (const char *end = p + len; p < end;) {
        char kind = *p++;
        int negative = *p == '-';
        long long n = 0;
        for (p += negative; *p != '\r'; p++) n = n * 10 + (*p - '0');
        p += 2;
        if (kind == ':') RM_ReplyWithLongLong(ctx, negative ? -n : n);
        else if (kind == '*' && negative) RM_ReplyWithNullArray(ctx);
        else if (kind == '*') RM_ReplyWithArray(ctx, (long)n);
        else if (negative) RM_ReplyWithNull(ctx);
        else {
            RM_ReplyWithStringBuffer(ctx, p, (size_t)n);
            p += n + 2;
        }
    }
}

/* The text is data, never the format. */
void hf_log(RedisModuleCtx *ctx, const char *level, const char *text, size_t len) {
    if (RM_Log) RM_Log(ctx, level, "%.*s", (int)len, text);
}

/* ---- configuration -------------------------------------------------------- */

static long long number_get(const char *name, void *id) { (void)name; return goConfigGet((uintptr_t)id); }
static int bool_get(const char *name, void *id) { (void)name; return (int)goConfigGet((uintptr_t)id); }
static int number_set(const char *name, long long v, void *id, RedisModuleString **err) {
    (void)name; (void)err;
    goConfigSet((uintptr_t)id, v);
    return 0;
}
static int bool_set(const char *name, int v, void *id, RedisModuleString **err) { return number_set(name, v, id, err); }

int hf_config_number(RedisModuleCtx *ctx, const char *name, long long def, long long min, long long max, uintptr_t id) {
    return RM_RegisterNumericConfig(ctx, name, def, 0, min, max, number_get, number_set, NULL, (void *)id);
}

int hf_config_bool(RedisModuleCtx *ctx, const char *name, int def, uintptr_t id) {
    return RM_RegisterBoolConfig(ctx, name, def, 0, bool_get, bool_set, NULL, (void *)id);
}

int hf_load_configs(RedisModuleCtx *ctx) { return RM_LoadConfigs(ctx); }

const char *hf_ptrlen(RedisModuleString *s, size_t *n) { return RM_StringPtrLen(s, n); }

/* ---- loading ---------------------------------------------------------------- */

int redismodule_load(void *ctx, void **argv, int argc, const char *name) {
    static int once;
    const char *missing = hf_resolve(ctx);
    if (missing) {
        if (RM_Log) RM_Log(NULL, "warning", "%s needs the server function %s: Redis 7.0.8 or Valkey 7.2 or newer", name, missing);
        else fprintf(stderr, "%s needs Redis 7.0.8 or Valkey 7.2 or newer\n", name);
        return 1;
    }
    if (!once) { once = 1; pthread_atfork(NULL, NULL, on_fork); }
    return goLoad(ctx, (RedisModuleString **)argv, argc, (char *)name);
}

int redismodule_unload(void *ctx, const char *name) { return goUnload(ctx, (char *)name); }

/* A library with one module in it can be loaded by itself. */
int RedisModule_OnLoad(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    return redismodule_load(ctx, (void **)argv, argc, "");
}
int RedisModule_OnUnload(RedisModuleCtx *ctx) { return redismodule_unload(ctx, ""); }
