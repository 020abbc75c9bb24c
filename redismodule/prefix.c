/* Counts what is answered without entering Go by the beginnings of the keys' names. The
 * prefixes are sorted, so one of them is found by halving: the longest prefix of a name
 * is the last that sorts before it, or a prefix of that one, and so on. */
#include "bridge.h"
#include <stdlib.h>
#include <string.h>

static uint64_t heads[HF_PREFIXES]; /* sorted: the first eight bytes of each as a number that sorts as they do */
static struct {
    uint64_t mask; /* the bits of head that the prefix fills */
    size_t len;
    char *name;
    int shorter; /* the longest other one that this one begins with; -1: none */
    uint64_t hits;
} prefixes[HF_PREFIXES];
static int count;

static inline uint64_t head(const char *s, size_t len) {
    uint64_t h = 0;
    if (len >= 8) memcpy(&h, s, 8);
    else for (size_t i = 0; i < len; i++) ((char *)&h)[i] = s[i];
    return __builtin_bswap64(h);
}

/* Whether a name whose head is h begins with prefix i. */
static inline int begins(uint64_t h, const char *name, size_t len, int i) {
    return prefixes[i].len <= len && (h & prefixes[i].mask) == heads[i] &&
        (prefixes[i].len <= 8 || !memcmp(prefixes[i].name + 8, name + 8, prefixes[i].len - 8));
}

int hf_prefix_clear(void) {
    while (count > 0) free(prefixes[--count].name);
    memset(heads, 0xff, sizeof heads);
    return 0;
}

/* Adds a prefix behind all that sort before it. */
void hf_prefix_add(const char *name, size_t len) {
    if (count == HF_PREFIXES) return;
    int i = count, shorter = i - 1;
    uint64_t h = head(name, len);
    while (shorter >= 0 && !begins(h, name, len, shorter)) shorter = prefixes[shorter].shorter;
    heads[i] = h;
    prefixes[i].mask = len < 8 ? ~(~0ull >> 8 * len) : ~0ull;
    prefixes[i].len = len;
    prefixes[i].name = malloc(len + 1);
    if (!prefixes[i].name) return;
    memcpy(prefixes[i].name, name, len);
    prefixes[i].shorter = shorter;
    prefixes[i].hits = 0;
    count++;
}

/* Whether prefix i, whose head is that of the name, sorts behind the name. */
static int behind(int i, const char *name, size_t len) {
    size_t n = prefixes[i].len;
    int c = memcmp(prefixes[i].name, name, n < len ? n : len);
    return c ? c > 0 : n > len;
}

/* How many heads are not greater than h: the same few instructions for any h. Behind the
 * prefixes all heads are the greatest there is. */
static inline int up_to(uint64_t h) {
    const uint64_t *at = heads;
#pragma GCC unroll 6
    for (int step = HF_PREFIXES / 2; step; step /= 2)
        at = at[step - 1] <= h ? at + step : at;
    return (int)(at - heads) + (*at <= h);
}

/* The last of the prefixes with the head h, which end before high, that does not sort
 * behind the name, or the one before all of them. */
static int last_of(uint64_t h, int high, const char *name, size_t len) {
    int low = h ? up_to(h - 1) : 0;
    while (low < high) {
        int i = (low + high) / 2;
        if (behind(i, name, len)) high = i;
        else low = i + 1;
    }
    return low - 1;
}

/* The longest prefix that a name begins with, or -1. */
int hf_prefix_of(const char *name, size_t len) {
    if (!count) return -1;
    uint64_t h = head(name, len);
    int i = up_to(h) - 1;
    if (i >= count) i = count - 1;
    if (i >= 0 && heads[i] == h) i = last_of(h, i + 1, name, len);
    while (i >= 0 && !begins(h, name, len, i)) i = prefixes[i].shorter;
    return i;
}

void hf_prefix_hit(RedisModuleString *name) {
    if (!count) return;
    size_t len;
    const char *p = RM_StringPtrLen(name, &len);
    int i = hf_prefix_of(p, len);
    if (i >= 0) prefixes[i].hits++;
}

uint64_t hf_prefix_hits(int i) { return prefixes[i].hits; }
