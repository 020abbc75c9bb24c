/* Which keys is anybody interested in? Asked for every keyspace event of the
 * classes a module subscribed to, so it answers from a small table of hashes
 * and leaves Go out of it. A false yes (a hash met twice) costs a look; a false
 * no cannot happen. */
#include "bridge.h"
#include <string.h>

typedef struct { uint64_t hash; uint32_t count, held; } entry; /* hash 0: free */
typedef struct { entry *at; size_t cap, used; } table;

static table tables[HF_MODULES];

static uint64_t mix(uint64_t x) {
    x ^= x >> 32; x *= 0xd6e8feb86659fd93ull;
    x ^= x >> 32; x *= 0xd6e8feb86659fd93ull;
    return x ^ (x >> 32);
}

/* Seeded, so that nobody can choose names that meet in one place. */
static uint64_t seed;

uint64_t hf_hash_name(int db, const void *name, size_t len) {
    const unsigned char *p = name;
    if (!seed) RM_GetRandomBytes((unsigned char *)&seed, sizeof seed);
    uint64_t h = mix(seed ^ ((uint64_t)db + 0x9e3779b97f4a7c15ull * (len + 1))), w;
    for (; len >= 8; p += 8, len -= 8) { memcpy(&w, p, 8); h = mix(h ^ w) + 0x9e3779b97f4a7c15ull; }
    w = 0;
    memcpy(&w, p, len);
    h = mix(h ^ w);
    return h ? h : 1;
}

static entry *seek(table *t, uint64_t h) {
    size_t i = h & (t->cap - 1);
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

/* With hold, the key's commands do not take their shortcuts either. */
uint64_t hf_watch(int module, int db, const void *name, size_t len, int hold) {
    table *t = &tables[module];
    uint64_t h = hf_hash_name(db, name, len);
    if (t->used * 4 >= t->cap * 3) resize(t, t->cap ? t->cap * 2 : 64);
    entry *e = seek(t, h);
    if (!e->hash) { *e = (entry){ .hash = h }; t->used++; }
    e->count++;
    e->held += (uint32_t)hold;
    return h;
}

void hf_unwatch(int module, uint64_t h, int hold) {
    table *t = &tables[module];
    if (!t->cap) return;
    entry *e = seek(t, h);
    if (!e->hash) return;
    e->held -= (uint32_t)hold;
    if (--e->count) return;
    /* Close the gap, so that a probe never stops short of what lies behind it. */
    size_t mask = t->cap - 1, hole = (size_t)(e - t->at), i = hole;
    for (;;) {
        t->at[hole].hash = 0;
        do {
            i = (i + 1) & mask;
            if (!t->at[i].hash) goto closed;
        } while (((i - (t->at[i].hash & mask)) & mask) < ((i - hole) & mask));
        t->at[hole] = t->at[i];
        hole = i;
    }
closed:
    t->used--;
    if (t->cap > 64 && t->used * 8 < t->cap) resize(t, t->cap / 2);
}

size_t hf_watched(int module) { return tables[module].used; }

int hf_is_watched(int module, int db, const void *name, size_t len) {
    table *t = &tables[module];
    return t->used && seek(t, hf_hash_name(db, name, len))->hash != 0;
}

int hf_is_held(int module, int db, const void *name, size_t len) {
    table *t = &tables[module];
    return t->used && seek(t, hf_hash_name(db, name, len))->held != 0;
}

void hf_unwatch_all(int module) {
    if (tables[module].at) RM_Free(tables[module].at);
    memset(&tables[module], 0, sizeof(table));
}
