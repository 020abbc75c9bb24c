/* Passes. A module opens a pass for a command and two names (a stream and its group, say)
 * to tell the fast path that nothing needs the Handler there. A pass hangs on a watched key:
 * the first foreign event on that key, unless it is a harmless one, shuts the pass in here,
 * before Go is entered. A pass that was shut stays until the module asks what its uses came
 * to. At most PASSES_MOST are kept for all modules; one more takes the place of another. */
#include "bridge.h"
#include <string.h>

enum { PASSES_MOST = 1 << 16 };

static struct { hf_pass **at; size_t cap, used, hand; } passes; /* chains; cap is a power of two */

static hf_pass **place(uint64_t id) {
    hf_pass **p = &passes.at[id & (passes.cap - 1)];
    while (*p && (*p)->id != id) p = &(*p)->next;
    return p;
}

static hf_pass *find(uint64_t id) { return passes.cap ? *place(id) : NULL; }

static void grow(void) {
    size_t cap = passes.cap ? passes.cap * 2 : 64;
    hf_pass **at = RM_Alloc(cap * sizeof *at), *p, *next;
    memset(at, 0, cap * sizeof *at);
    for (size_t i = 0; i < passes.cap; i++)
        for (p = passes.at[i]; p; p = next) {
            next = p->next;
            p->next = at[p->id & (cap - 1)];
            at[p->id & (cap - 1)] = p;
        }
    if (passes.at) RM_Free(passes.at);
    passes.at = at;
    passes.cap = cap;
}

static hf_shut_pass drop(hf_pass **at) {
    hf_pass *p = *at;
    hf_shut_pass was = { p->id, p->uses };
    *at = p->next;
    if (p->guard) RM_FreeString(NULL, p->guard);
    RM_Free(p);
    passes.used--;
    return was;
}

/* The last bits of a hash name the module. */
uint64_t hf_pass_id(int slot, int module, int db, const char *a, size_t a_len, const char *b, size_t b_len) {
    uint64_t h = (hf_hash_name(db, a, a_len) + (uint64_t)slot * 0x9e3779b97f4a7c15ull) ^ (hf_hash_name(-2, b, b_len) << 1 | 1);
    return ((h ^ h >> 32) & ~(uint64_t)(HF_MODULES - 1)) | (uint64_t)module;
}

/* What the module believes holds from now on, so any event from now on shuts the pass. */
hf_shut_pass hf_pass_open(uint64_t id, uint64_t on, const char *guard, size_t len, int flags) {
    hf_shut_pass was = { 0 };
    if (passes.used >= passes.cap) grow();
    hf_pass **at = place(id);
    if (*at) was = drop(at);
    else if (passes.used >= PASSES_MOST) {
        while (!passes.at[passes.hand &= passes.cap - 1]) passes.hand++;
        was = drop(&passes.at[passes.hand++]);
    }
    hf_pass *p = RM_Alloc(sizeof *p);
    at = &passes.at[id & (passes.cap - 1)];
    *p = (hf_pass){ .id = id, .on = on, .born = hf_tick(), .alone = !(flags & HF_PASS_THEN), .logged = flags & HF_PASS_LOGGED, .next = *at,
        .guard = len ? RM_CreateString(NULL, guard, len) : NULL };
    *at = p;
    passes.used++;
    return was;
}

uint64_t hf_pass_shut(uint64_t id) { return find(id) ? drop(place(id)).uses : 0; }

void hf_pass_forget(int module) {
    for (size_t i = 0; i < passes.cap; i++)
        for (hf_pass **at = &passes.at[i]; *at;) {
            if ((*at)->id % HF_MODULES == (uint64_t)module) drop(at);
            else at = &(*at)->next;
        }
}

uint64_t hf_pass_uses(uint64_t id) {
    hf_pass *p = find(id);
    uint64_t n = p ? p->uses : 0;
    if (p) p->uses = 0;
    return n;
}

/* The pass of a command for two of its arguments, NULL where it is not open: shut, or its
 * guard is there, or somebody waits in the key that it hangs on and unheld is asked for. */
hf_pass *hf_pass_for(hf_fast *f, RedisModuleCtx *ctx, RedisModuleString *a, RedisModuleString *b, int unheld) {
    size_t a_len, b_len;
    const char *ap = RM_StringPtrLen(a, &a_len), *bp = RM_StringPtrLen(b, &b_len);
    hf_pass *p = find(hf_pass_id(f->slot, f->module, RM_GetSelectedDb(ctx), ap, a_len, bp, b_len));
    if (!p || p->shut || !hf_unchanged(f->module, p->on, p->born, unheld) || ++p->tries % HF_SAMPLE == 0) return NULL;
    if (!p->guard) return p;
    RedisModuleKey *guard = RM_OpenKey(ctx, p->guard, HF_LOOK);
    int there = RM_KeyType(guard);
    hf_close(guard);
    return there ? NULL : p;
}
