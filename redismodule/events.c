/* Events of keys and of the server. The server makes a context and a temporary client for
 * every subscriber of an event, which costs a write more than what we do with it. So all
 * modules of this library share one subscription to each class of key events and to each
 * server event. One of the modules holds it; when that one is unloaded another takes over. */
#include "bridge.h"
#include "_cgo_export.h"
#include <string.h>

enum { ROLE = 0, FLUSHDB = 2, LOADING = 3, CLIENT = 4, SWAPDB = 11, SLOTS = 19, EVENTS = 32 };
enum { HARMLESS = 16 };

static struct {
    RedisModuleCtx *own; /* a context of the module that lives as long as it is loaded */
    int wants, holds;    /* classes of key events */
    uint32_t wants_events, holds_events; /* server events, a bit each */
    char harmless[HARMLESS][24]; /* names of key events, see hf_changed */
    char suffix[24];
    size_t suffix_len;
} members[HF_MODULES];

/* While a module's own command runs a call, its own events are not news to it. */
int hf_muted[HF_MODULES];

/* ---- key events --------------------------------------------------------------- */

/* Valkey 8.1 runs this callback on the very client whose command raised the
 * event, and leaves it in the event's database: after MOVE the connection would
 * go on in the other one. The source is remembered and selected again; on other
 * servers the callback has a client of its own, and nothing comes of it. */
static int moved_from;

static void restore_db(RedisModuleCtx *ctx, const char *event) {
    if (!strcmp(event, "move_from")) moved_from = RM_GetSelectedDb(ctx);
    if (!strcmp(event, "move_to")) RM_SelectDb(ctx, moved_from);
}

static int is_harmless(int m, const char *event) {
    for (int i = 0; i < HARMLESS && *members[m].harmless[i]; i++)
        if (!strcmp(members[m].harmless[i], event)) return 1;
    return 0;
}

static int has_suffix(int m, const char *name, size_t len) {
    size_t n = members[m].suffix_len;
    return n && len >= n && name[len - 1] == members[m].suffix[n - 1] && !memcmp(name + len - n, members[m].suffix, n);
}

/* Last bytes of suffixes. None is taken back: it costs no more than a look. */
static unsigned char ends_suffix[256];

/* Tells the modules that want to know of a key's event. */
static void tell(RedisModuleCtx *ctx, int class, const char *event, int db, const char *name, size_t len, uint64_t h) {
    for (int m = 0; m < HF_MODULES; m++) {
        if (!(members[m].wants & class) || hf_muted[m]) continue;
        int watched = hf_is_watched(m, h);
        if (watched && !is_harmless(m, event)) hf_changed(m, h);
        if (!watched && !has_suffix(m, name, len)) continue;
        goKeyEvent(m, ctx, (char *)event, (void *)name, len);
        RM_SelectDb(ctx, db); /* for the next module */
    }
}

/* Every write of every client comes here: what concerns nobody must cost next to nothing. */
static int key_event(RedisModuleCtx *ctx, int class, const char *event, RedisModuleString *key) {
    if (hf_forked) return 0;
    size_t len;
    const char *name = RM_StringPtrLen(key, &len);
    int db = RM_GetSelectedDb(ctx);
    uint64_t h = hf_hash_name(db, name, len);
    if (hf_may_be_watched(h) || (len && ends_suffix[(unsigned char)name[len - 1]])) tell(ctx, class, event, db, name, len, h);
    if (event[0] == 'm') restore_db(ctx, event);
    return 0;
}

static void hold_keys(int m, int classes) {
    for (int i = 0; i < HF_MODULES; i++) classes &= ~members[i].holds;
    if (classes && RM_SubscribeToKeyspaceEvents(members[m].own, classes, key_event) == 0) members[m].holds |= classes;
}

void hf_want_keys(int m, int classes) {
    members[m].wants |= classes;
    hold_keys(m, classes);
}

/* 0 if it has no room. */
int hf_harmless(int m, const char *event) {
    for (int i = 0; i < HARMLESS && strlen(event) < sizeof *members[m].harmless; i++)
        if (!*members[m].harmless[i]) return strcpy(members[m].harmless[i], event) != NULL;
    return 0;
}

int hf_suffix(int m, const char *suffix) {
    size_t len = strlen(suffix);
    if (len >= sizeof members[m].suffix) return 0;
    memcpy(members[m].suffix, suffix, len);
    members[m].suffix_len = len;
    if (len) ends_suffix[(unsigned char)suffix[len - 1]] = 1;
    return 1;
}

/* ---- server events ---------------------------------------------------------------- */

static void server_event(RedisModuleCtx *ctx, RedisModuleEvent e, uint64_t sub, void *data) {
    if (hf_forked || e.id >= EVENTS) return;
    long long a = 0, b = 0;
    uint64_t client = 0;
    switch (e.id) {
    case FLUSHDB: a = ((hf_flush_info *)data)->dbnum; break;
    case SWAPDB: a = ((hf_swapdb_info *)data)->first; b = ((hf_swapdb_info *)data)->second; break;
    case CLIENT:
        if (sub != 1) return;
        a = (long long)((hf_client_info *)data)->id;
        client = hf_hash_name(-1, (char *)&a, sizeof a);
    }
    int db = RM_GetSelectedDb(ctx);
    for (int m = 0; m < HF_MODULES; m++) {
        if (!(members[m].wants_events >> e.id & 1) || (client && !hf_is_watched(m, client))) continue;
        if (!client) hf_all_changed(m);
        goServerEvent(m, ctx, (int)e.id, (int)sub, a, b);
        RM_SelectDb(ctx, db);
    }
}

static int hold_event(int m, int event) {
    for (int i = 0; i < HF_MODULES; i++)
        if (members[i].holds_events >> event & 1) return 0;
    int failed = RM_SubscribeToServerEvent(members[m].own, (RedisModuleEvent){ (uint64_t)event, 1 }, server_event);
    if (!failed) members[m].holds_events |= 1u << event;
    return failed;
}

int hf_want_event(int m, int event) {
    if (hold_event(m, event)) return 1;
    members[m].wants_events |= 1u << event;
    return 0;
}

/* ---- members ------------------------------------------------------------------------- */

void hf_join(RedisModuleCtx *ctx, int m) {
    memset(&members[m], 0, sizeof members[m]);
    members[m].own = RM_GetDetachedThreadSafeContext(ctx);
}

/* The server is about to drop what the module subscribed to. */
void hf_leave(int m) {
    int classes = members[m].holds;
    uint32_t events = members[m].holds_events;
    if (members[m].own) RM_FreeThreadSafeContext(members[m].own);
    memset(&members[m], 0, sizeof members[m]);
    for (int i = 0; i < HF_MODULES; i++) {
        hold_keys(i, members[i].wants & classes);
        for (int e = 0; e < EVENTS; e++)
            if (events >> e & members[i].wants_events >> e & 1) hold_event(i, e);
    }
}

RedisModuleCtx *hf_own(int m) { return members[m].own; }
