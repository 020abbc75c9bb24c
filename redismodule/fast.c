/* The fast path. The usual case of a hot command is answered here, and Go is not entered.
 * Each function below answers its command and returns 1, or has done nothing and returns 0;
 * then the command's Handler is called. docs/fast-path.md says how the two agree. */
#include "bridge.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

int64_t hf_shared[HF_MODULES][HF_SHARED];

/* A word that stands in every call is made a server string once, and never freed. */
#define WORD(text) ({ static RedisModuleString *s; s ? s : (s = RM_CreateString(NULL, text, sizeof text - 1)); })

/* Whether s is a decimal integer in [least, most], as nobody could write it otherwise. */
static int within(RedisModuleString *s, long long least, long long most) {
    size_t len;
    const char *p = RM_StringPtrLen(s, &len);
    if (len == 0 || len > 15 || (p[0] == '0' && len > 1)) return 0;
    long long n = 0;
    while (len-- > 0) {
        if (*p < '0' || *p > '9') return 0;
        n = n * 10 + (*p++ - '0');
    }
    return n >= least && n <= most;
}

static int is_word(RedisModuleString *s, const char *word) {
    size_t len, want = strlen(word);
    const char *p = RM_StringPtrLen(s, &len);
    return len == want && !strncasecmp(p, word, len);
}

static int begins(RedisModuleString *s, const char *prefix) {
    size_t len, n = strlen(prefix);
    const char *p = RM_StringPtrLen(s, &len);
    return len >= n && !memcmp(p, prefix, n);
}

/* The unix time in seconds. The string is made once a second. */
static RedisModuleString *seconds(void) {
    static RedisModuleString *text;
    static long long of = -1;
    long long now = RM_Milliseconds() / 1000;
    if (now != of) {
        char digits[24];
        int n = snprintf(digits, sizeof digits, "%lld", of = now);
        if (text) RM_FreeString(NULL, text);
        text = RM_CreateString(NULL, digits, (size_t)n);
    }
    return text;
}

/* The module hears no events of its own call. "!": see hf_call. */
static RedisModuleCallReply *call(hf_fast *f, RedisModuleCtx *ctx, const char *name, RedisModuleString **v, size_t n) {
    hf_muted[f->module]++;
    RedisModuleCallReply *r = RM_Call(ctx, name, "!v", v, n);
    hf_muted[f->module]--;
    return r;
}

static int answer(hf_fast *f, RedisModuleCtx *ctx, RedisModuleCallReply *r) {
    RM_ReplyWithCallReply(ctx, r);
    RM_FreeCallReply(r);
    f->answered++;
    return 1;
}

static int held(hf_fast *f, RedisModuleCtx *ctx, RedisModuleString *key) {
    size_t len;
    const char *p = RM_StringPtrLen(key, &len);
    return hf_is_held(f->module, RM_GetSelectedDb(ctx), p, len);
}

/* ---- CACHE.GET and CACHE.FETCH: the string at the key ----------------------- */

/* Whether the value was long when a key of this hash was read last. A long string is opened
 * to read, which counts a hit, and answered in place. A short one is read by GET, which
 * counts the hit, so the key is looked at without being counted before. A wrong guess costs
 * a look-up, and a value that became short counts as two hits once. */
static unsigned char was_long[4096];

/* With a word the answer is [word, the string, nil]. */
static int string(hf_fast *f, RedisModuleCtx *ctx, RedisModuleString *name, const char *word) {
    size_t len;
    const char *p = RM_StringPtrLen(name, &len);
    unsigned char *guess = &was_long[hf_hash_name(0, p, len) % sizeof was_long], counted = *guess;
    RedisModuleKey *key = RM_OpenKey(ctx, name, counted ? HF_READ : HF_LOOK);
    RedisModuleCallReply *r = NULL;
    if (RM_KeyType(key) != HF_STRING) {
        hf_close(key);
        *guess = 0;
        return counted ? HF_COUNTED : 0;
    }
    if ((*guess = !hf_is_short(key))) {
        if (!counted) { /* now it is */
            RM_CloseKey(key);
            key = RM_OpenKey(ctx, name, HF_READ);
        }
        p = RM_StringDMA(key, &len, 1);
    } else {
        RM_CloseKey(key);
        key = NULL;
        r = RM_Call(ctx, "GET", "!s", name);
        p = r ? RM_CallReplyStringPtr(r, &len) : NULL;
        if (!p) { /* it has expired since */
            if (r) RM_FreeCallReply(r);
            return HF_COUNTED;
        }
    }
    if (word) {
        RM_ReplyWithArray(ctx, 3);
        RM_ReplyWithStringBuffer(ctx, word, strlen(word));
    }
    RM_ReplyWithStringBuffer(ctx, p, len);
    if (word) RM_ReplyWithNull(ctx);
    hf_close(key);
    if (r) RM_FreeCallReply(r);
    f->answered++;
    hf_prefix_hit(name);
    return 1;
}

/* CACHE.GET key */
static int cache_get(hf_fast *f, RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    return argc == 2 ? string(f, ctx, argv[1], NULL) : 0;
}

/* CACHE.FETCH key lease_ms load_ms [BLOCK ms]. For a hit the numbers only have to be valid. */
static int cache_fetch(hf_fast *f, RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    if (argc != 4 && (argc != 6 || !is_word(argv[4], "BLOCK") || !within(argv[5], 0, LLONG_MAX))) return 0;
    if (!within(argv[2], 1, LLONG_MAX) || !within(argv[3], 1, LLONG_MAX)) return 0;
    return string(f, ctx, argv[1], "HIT");
}

/* ---- TASK.PUBLISH, CONSUME and ACK: native commands of streams ---------------- */

/* Streams that the Handler of TASK.PUBLISH has seen, by their hashes. It notes each stream
 * once, so the first publication goes there, and the next one when a stream was forgotten
 * (the module counts that in its first shared word) or four others took its place. With
 * four places for each hash, busy streams do not send each other to the Handler for ever. */
static uint64_t noted[1024][4];

static int is_noted(hf_fast *f, RedisModuleCtx *ctx, RedisModuleString *stream) {
    size_t len;
    const char *p = RM_StringPtrLen(stream, &len);
    uint64_t h = hf_hash_name(RM_GetSelectedDb(ctx), p, len);
    uint64_t *at = noted[h % 1024], is = h + (uint64_t)hf_shared[f->module][0] * 0x9e3779b97f4a7c15ull;
    for (int i = 0; i < 4; i++)
        if (at[i] == is) return 1;
    memmove(at + 1, at, 3 * sizeof *at); /* the oldest gives way */
    at[0] = is;
    return 0;
}

/* TASK.PUBLISH stream payload [retry_count] [KEY key] is XADD while nobody waits in the stream,
 * with a key while there is room for it. */
static int task_publish(hf_fast *f, RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    int keyed = argc > 4 && argc < 7 && is_word(argv[argc - 2], "KEY"), plain = argc - 2 * keyed;
    if (plain > 4 || (plain == 4 && !within(argv[3], 0, 1 << 30))) return 0;
    if ((!keyed && held(f, ctx, argv[1])) || !is_noted(f, ctx, argv[1])) return 0;
    hf_room *room = keyed ? hf_room_for(f, ctx, argv[1], argv[argc - 1]) : NULL;
    if (keyed && !room) return 0;
    RedisModuleString *v[10] = { argv[1], WORD("*"), WORD("payload"), argv[2], WORD("timestamp"), seconds(),
        WORD("retry_count"), plain == 4 ? argv[3] : WORD("0") };
    if (keyed) {
        v[8] = WORD("key");
        v[9] = argv[argc - 1];
    }
    hf_stream_id id;
    char text[HF_ID];
    size_t len = hf_xadd(ctx, f->module, room, v, keyed ? 10 : 8, &id, text);
    if (len) {
        RM_ReplyWithStringBuffer(ctx, text, len);
        f->answered++;
        return 1;
    }
    if (keyed) return 0;
    RedisModuleCallReply *r = call(f, ctx, "XADD", v, 8); /* makes the stream */
    if (r && RM_CallReplyType(r) == 0) return answer(f, ctx, r); /* 0: a string */
    if (r) RM_FreeCallReply(r);
    return 0;
}

/* The entries of an answer of XREADGROUP for one stream, negative for nil and errors. */
static long long entries(RedisModuleCallReply *r) {
    size_t len;
    const char *p = r ? RM_CallReplyProto(r, &len) : "-", *end = p + len;
    if (*p != '*' || p[1] == '-' || !(p = memchr(p, '$', len))) return -1; /* the stream's name */
    char *name;
    size_t name_len = (size_t)strtoll(p + 1, &name, 10);
    p = name + 2 + name_len + 2;
    return p < end && *p == '*' ? strtoll(p + 1, NULL, 10) : -1;
}

/* TASK.CONSUME group consumer stream [count [block_ms]] is XREADGROUP with a pass, while
 * nobody waits in the stream. block_ms only counts when there is nothing to take. */
static int task_consume(hf_fast *f, RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    if (argc > 6 || (argc > 4 && !within(argv[4], 1, HF_CONSUME_MOST)) || (argc > 5 && !within(argv[5], 0, 1LL << 40))) return 0;
    hf_pass *pass = begins(argv[2], "taskqueue:") ? NULL : hf_pass_for(f, ctx, argv[3], argv[1], 1);
    if (!pass) return 0;
    RedisModuleString *v[] = { WORD("GROUP"), argv[1], argv[2], WORD("COUNT"), argc > 4 ? argv[4] : WORD("1"),
        WORD("STREAMS"), argv[3], WORD(">") };
    RedisModuleCallReply *r = call(f, ctx, "XREADGROUP", v, 8);
    long long n = entries(r);
    if (n >= 0) {
        pass->uses += (uint64_t)n;
        return answer(f, ctx, r);
    }
    if (r) RM_FreeCallReply(r);
    pass->shut = 1; /* the next try would mostly find nothing either; the Handler decides */
    return 0;
}

static int is_entry(RedisModuleString *s, hf_stream_id *id) {
    size_t len;
    const char *p = RM_StringPtrLen(s, &len), *end = p + len;
    return (p = hf_number(p, end, &id->ms)) && p < end && *p == '-' && hf_number(p + 1, end, &id->seq) == end;
}

/* TASK.ACK stream group id is XACK and, unless the pass is for XACK alone, XDEL. */
static int task_ack(hf_fast *f, RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    hf_pass *pass = argc == 4 ? hf_pass_for(f, ctx, argv[1], argv[2], 0) : NULL;
    hf_stream_id id;
    if (!pass || (pass->logged && (hf_keyed_logged == HF_KEYED_LOG || hf_muted[f->module] || !is_entry(argv[3], &id)))) return 0;
    RedisModuleCallReply *r = call(f, ctx, "XACK", argv + 1, 3);
    if (!r || RM_CallReplyType(r) != 2) { /* 2: an integer */
        if (r) RM_FreeCallReply(r);
        pass->shut = 1;
        return 0;
    }
    long long n = RM_CallReplyInteger(r);
    if (n > 0 && pass->logged) hf_keyed_left(pass->id, id);
    if (n > 0 && !pass->alone) {
        RedisModuleString *v[] = { argv[1], argv[3] };
        RedisModuleCallReply *deleted = call(f, ctx, "XDEL", v, 2);
        if (deleted) RM_FreeCallReply(deleted);
    }
    pass->uses += (uint64_t)n;
    return answer(f, ctx, r);
}

/* ---- which command has which ------------------------------------------------------ */

static const struct { const char *name; hf_fast_fn fn; } table[] = {
    { "cache.get", cache_get }, { "cache.fetch", cache_fetch },
    { "task.publish", task_publish }, { "task.consume", task_consume }, { "task.ack", task_ack },
    { "lock.acquire", hf_fast_lock_acquire }, { "lock.extend", hf_fast_lock_extend }, { "lock.release", hf_fast_lock_release },
};

static hf_fast fast[HF_COMMANDS];

void hf_fast_set(int slot, int module, const char *name, int off) {
    fast[slot] = (hf_fast){ .slot = slot, .module = module };
    for (size_t i = 0; !off && i < sizeof table / sizeof *table; i++)
        if (!strcmp(table[i].name, name)) fast[slot].fn = table[i].fn;
}

int hf_fast_run(int slot, RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    hf_fast *f = &fast[slot];
    return f->fn ? f->fn(f, ctx, argv, argc) : 0;
}

uint64_t hf_fast_answered(int slot) { return fast[slot].answered; }
