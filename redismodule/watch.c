/* The keys that a module watches, as hashes of database and name. The table answers for
 * every keyspace event whether Go has to be entered. Two names with one hash cost a needless
 * look; a watched key is never missed. The last bits of a hash name the module. */
#include "bridge.h"
#include <string.h>

typedef struct { uint64_t hash, changed; uint32_t count, held; } entry; /* hash 0: free */
typedef struct { entry *at; size_t cap, used; } table;

static table tables[HF_MODULES];

/* Ticks number what happens. A pass that was born after the last foreign event on its key
 * (changed) and on the module's keys at all (all_changed) is open. */
static uint64_t ticks, all_changed[HF_MODULES];

uint64_t hf_tick(void) { return ++ticks; }

static uint64_t mix(uint64_t x) {
    x ^= x >> 32; x *= 0xd6e8feb86659fd93ull;
    x ^= x >> 32; x *= 0xd6e8feb86659fd93ull;
    return x ^ (x >> 32);
}

/* Seeded, so that nobody can choose names that meet in one place. */
static uint64_t seed;

uint64_t hf_hash_name(int db, const char *name, size_t len) {
    const char *p = name;
    if (!seed) RM_GetRandomBytes((unsigned char *)&seed, sizeof seed);
    uint64_t h = mix(seed ^ ((uint64_t)db + 0x9e3779b97f4a7c15ull * (len + 1))), w;
    for (; len >= 8; p += 8, len -= 8) { memcpy(&w, p, 8); h = mix(h ^ w) + 0x9e3779b97f4a7c15ull; }
    w = 0;
    memcpy(&w, p, len);
    h = mix(h ^ w);
    return h & ~(uint64_t)(HF_MODULES - 1) ? h : HF_MODULES;
}

static uint64_t of_module(uint64_t h, int module) { return (h & ~(uint64_t)(HF_MODULES - 1)) | (uint64_t)module; }

/* How many watched keys of all modules have a hash that ends so. For most events of keys this
 * one look tells that they concern nobody. */
static uint32_t watched[4096];

static uint32_t *watched_like(uint64_t h) { return &watched[h / HF_MODULES % (sizeof watched / sizeof *watched)]; }

int hf_may_be_watched(uint64_t h) { return *watched_like(h) != 0; }

static entry *seek(table *t, uint64_t h) {
    size_t i = h / HF_MODULES & (t->cap - 1);
    while (t->at[i].hash && t->at[i].hash != h) i = (i + 1) & (t->cap - 1);
    return &t->at[i];
}

static void resize(table *t, size_t cap) {
    table old = *t;
    t->at = RM_Alloc(cap * sizeof(entry));
    memset(t->at, 0, cap * sizeof(entry));
    t->cap = cap;
    for (size_t i = 0; i < old.cap; i++)
        if (old.at[i].hash) *seek(t, old.at[i].hash) = old.at[i];
    if (old.at) RM_Free(old.at);
}

/* With hold, the key's commands do not take their fast path either. */
uint64_t hf_watch(int module, int db, const char *name, size_t len, int hold) {
    table *t = &tables[module];
    uint64_t h = of_module(hf_hash_name(db, name, len), module);
    if (t->used * 4 >= t->cap * 3) resize(t, t->cap ? t->cap * 2 : 64);
    entry *e = seek(t, h);
    if (!e->hash) { *e = (entry){ .hash = h, .changed = hf_tick() }; t->used++; ++*watched_like(h); }
    e->count++;
    e->held += (uint32_t)hold;
    return h;
}

void hf_unwatch(uint64_t h, int hold) {
    table *t = &tables[h % HF_MODULES];
    if (!t->cap) return;
    entry *e = seek(t, h);
    if (!e->hash) return;
    e->held -= (uint32_t)hold;
    if (--e->count) return;
    --*watched_like(h);
    /* Close the gap, so that a probe never stops short of what lies behind it. */
    size_t mask = t->cap - 1, hole = (size_t)(e - t->at), i = hole;
    for (;;) {
        t->at[hole].hash = 0;
        do {
            i = (i + 1) & mask;
            if (!t->at[i].hash) goto closed;
        } while (((i - (t->at[i].hash / HF_MODULES & mask)) & mask) < ((i - hole) & mask));
        t->at[hole] = t->at[i];
        hole = i;
    }
closed:
    t->used--;
    if (t->cap > 64 && t->used * 8 < t->cap) resize(t, t->cap / 2);
}

size_t hf_watched(int module) { return tables[module].used; }

static entry *seen(int module, uint64_t h) {
    table *t = &tables[module];
    if (!t->used) return NULL;
    entry *e = seek(t, of_module(h, module));
    return e->hash ? e : NULL;
}

int hf_is_watched(int module, uint64_t h) { return seen(module, h) != NULL; }

int hf_is_held(int module, int db, const char *name, size_t len) {
    entry *e = tables[module].used ? seen(module, hf_hash_name(db, name, len)) : NULL;
    return e && e->held;
}

/* A foreign event: what the module believed of the key may be wrong. */
void hf_changed(int module, uint64_t h) {
    entry *e = seen(module, h);
    if (e) e->changed = hf_tick();
}

void hf_all_changed(int module) { all_changed[module] = hf_tick(); }

/* Whether nothing has happened since a tick to what a pass hangs on; 0 for no key. */
int hf_unchanged(int module, uint64_t on, uint64_t since, int unheld) {
    if (all_changed[module] > since) return 0;
    if (!on) return 1;
    entry *e = seen(module, on);
    return e && e->changed < since && !(unheld && e->held);
}

void hf_unwatch_all(int module) {
    table *t = &tables[module];
    for (size_t i = 0; i < t->cap; i++)
        if (t->at[i].hash) --*watched_like(t->at[i].hash);
    if (t->at) RM_Free(t->at);
    memset(t, 0, sizeof *t);
}
