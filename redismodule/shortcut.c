/* Shortcuts: a command that comes to one or two native ones as long as nobody waits
 * and nothing is out of the ordinary is carried out here, and Go is not entered. That
 * nothing is, its Handler has said: by a pass, or by holding the key when it is not so. */
#include "bridge.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORDS = 12, INTEGERS = 2, NOW = -1 };

/* An argument, or the word where there is none. */
typedef struct { int arg; RedisModuleString *word; } part;
typedef struct { char name[16]; int n; part parts[WORDS]; } native;

typedef struct {
    int slot, module, args, integers, key, pass[2], except;
    long long least[INTEGERS], most[INTEGERS];
    char prefix[16];
    native call, then;
    uint64_t taken;
} shortcut;

static shortcut shortcuts[HF_COMMANDS];

static void forget(native *c) {
    for (int i = 0; i < c->n; i++)
        if (c->parts[i].word) RM_FreeString(NULL, c->parts[i].word);
}

void hf_shortcut_set(int slot, int module, int args, int key, int pass_a, int pass_b, int except, const char *prefix) {
    shortcut *s = &shortcuts[slot];
    forget(&s->call);
    forget(&s->then);
    *s = (shortcut){ .slot = slot, .module = module, .args = args, .key = key, .pass = { pass_a, pass_b }, .except = except };
    strncpy(s->prefix, prefix, sizeof s->prefix - 1);
}

/* 0 if there are too many. */
int hf_shortcut_integer(int slot, long long least, long long most) {
    shortcut *s = &shortcuts[slot];
    if (s->integers == INTEGERS) return 0;
    s->least[s->integers] = least;
    s->most[s->integers++] = most;
    return 1;
}

/* The command's name first, which is no part. 0 if there are too many. */
int hf_shortcut_word(int slot, int then, int arg, const char *word) {
    native *c = then ? &shortcuts[slot].then : &shortcuts[slot].call;
    if (!*c->name) {
        strncpy(c->name, word, sizeof c->name - 1);
        return 1;
    }
    if (c->n == WORDS) return 0;
    c->parts[c->n++] = (part){ arg, *word ? RM_CreateString(NULL, word, strlen(word)) : NULL };
    return 1;
}

uint64_t hf_shortcut_taken(int slot) { return shortcuts[slot].taken; }

/* ---- passes ----------------------------------------------------------------- */

/* A pass has one place where it can lie, and one that comes to lie there shuts the one
 * before, whose commands go by their Handler until it is opened anew. So do those of one
 * that was of no use: who found nothing mostly finds nothing again. */
typedef struct { uint64_t id, uses; int useless, alone; RedisModuleString *guard; } pass;

enum { PASSES = 4096 };
static pass passes[HF_MODULES][PASSES], none;

/* The module is the id's last bits. */
static pass *place(uint64_t id) { return &passes[id % HF_MODULES][id / HF_MODULES % PASSES]; }

static uint64_t shut(pass *p) {
    uint64_t uses = p->uses;
    if (p->guard) RM_FreeString(NULL, p->guard);
    *p = (pass){ 0 };
    return uses;
}

uint64_t hf_pass_id(int slot, int db, const void *a, size_t a_len, const void *b, size_t b_len) {
    uint64_t h = hf_hash_name(db, a, a_len) ^ (hf_hash_name(0, b, b_len) << 1 | 1);
    /* Beside each other: two commands of the same names must not shut each other out. */
    h += (uint64_t)slot * HF_MODULES;
    return h - h % HF_MODULES + (uint64_t)shortcuts[slot].module;
}

hf_shut_pass hf_pass_open(uint64_t id, const void *guard, size_t len, int then) {
    pass *p = place(id);
    hf_shut_pass was = { .id = p->id, .uses = shut(p) };
    *p = (pass){ .id = id, .alone = !then, .guard = len ? RM_CreateString(NULL, guard, len) : NULL };
    return was;
}

uint64_t hf_pass_shut(uint64_t id) {
    pass *p = place(id);
    return p->id == id ? shut(p) : 0;
}

uint64_t hf_pass_uses(uint64_t id) {
    pass *p = place(id);
    if (p->id != id) return 0;
    uint64_t n = p->uses;
    p->uses = 0;
    return n;
}

void hf_pass_shut_all(int module) {
    for (size_t i = 0; i < PASSES; i++)
        if (passes[module][i].id) shut(&passes[module][i]);
}

/* ---- the way ---------------------------------------------------------------- */

/* Whether nobody could object to s as an integer within bounds, added to whatever. */
int hf_within(RedisModuleString *s, long long least, long long most) {
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

static int usual(const shortcut *s, RedisModuleString **argv, int argc) {
    if (!s->args || argc < s->args || argc > s->args + s->integers) return 0;
    for (int i = 0; s->args + i < argc; i++)
        if (!hf_within(argv[s->args + i], s->least[i], s->most[i])) return 0;
    if (!s->except) return 1;
    size_t len, prefix = strlen(s->prefix);
    const char *p = RM_StringPtrLen(argv[s->except], &len);
    return len < prefix || memcmp(p, s->prefix, prefix) != 0;
}

/* The time in seconds, made a string once in each. */
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

static RedisModuleCallReply *call(RedisModuleCtx *ctx, int m, const native *c, RedisModuleString **argv, int argc) {
    RedisModuleString *v[WORDS];
    for (int i = 0; i < c->n; i++) {
        const part *p = &c->parts[i];
        v[i] = p->arg == NOW ? seconds() : p->arg && p->arg < argc ? argv[p->arg] : p->word;
    }
    hf_muted[m]++;
    RedisModuleCallReply *r = RM_Call(ctx, c->name, "!v", v, (size_t)c->n); /* "!": see hf_call */
    hf_muted[m]--;
    return r;
}

/* How many were dealt with: a number, 0 for one below; as many entries as XREADGROUP
 * read from one stream; else one. Negative for an error or nil. */
static long long dealt(RedisModuleCallReply *r) {
    if (!r) return -1;
    size_t len;
    const char *p = RM_CallReplyProto(r, &len), *end = p + len;
    switch (*p) {
    case ':': return p[1] == '-' ? 0 : strtoll(p + 1, NULL, 10);
    case '$': return p[1] == '-' ? -1 : 1;
    case '*': break;
    default: return -1;
    }
    if (p[1] == '-') return -1;
    p = memchr(p, '$', len); /* the stream's name, behind two lengths */
    if (!p) return -1;
    char *name;
    size_t name_len = (size_t)strtoll(p + 1, &name, 10);
    p = name + 2 + name_len + 2;
    return p < end && *p == '*' ? strtoll(p + 1, NULL, 10) : -1;
}

/* The pass that is needed, which may be none; NULL if the way is shut. */
static pass *way(const shortcut *s, RedisModuleCtx *ctx, RedisModuleString **argv) {
    int db = RM_GetSelectedDb(ctx);
    size_t len, b_len;
    const char *p;
    if (s->key && (p = RM_StringPtrLen(argv[s->key], &len)) && hf_is_held(s->module, db, p, len)) return NULL;
    if (!s->pass[0]) return &none;
    p = RM_StringPtrLen(argv[s->pass[0]], &len);
    const char *b = RM_StringPtrLen(argv[s->pass[1]], &b_len);
    uint64_t id = hf_pass_id(s->slot, db, p, len, b, b_len);
    pass *at = place(id);
    if (at->id != id || at->useless) return NULL;
    RedisModuleKey *guard = at->guard ? RM_OpenKey(ctx, at->guard, HF_LOOK) : NULL;
    int there = RM_KeyType(guard);
    hf_close(guard);
    return there ? NULL : at;
}

/* Tells whether the command was carried out and answered. */
int hf_shortcut(int slot, RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    shortcut *s = &shortcuts[slot];
    pass *by;
    if (!usual(s, argv, argc) || !(by = way(s, ctx, argv))) return 0;
    RedisModuleCallReply *r = call(ctx, s->module, &s->call, argv, argc);
    long long n = dealt(r);
    if (n < 0) {
        if (r) RM_FreeCallReply(r);
        by->useless = by != &none;
        return 0;
    }
    if (n > 0 && s->then.n && !by->alone) {
        RedisModuleCallReply *then = call(ctx, s->module, &s->then, argv, argc);
        if (then) RM_FreeCallReply(then);
    }
    RM_ReplyWithCallReply(ctx, r);
    RM_FreeCallReply(r);
    by->uses += (uint64_t)n;
    s->taken++;
    return 1;
}
