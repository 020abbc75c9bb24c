/* What Go calls in C and what C calls in Go. */
#ifndef HOLDFAST_BRIDGE_H
#define HOLDFAST_BRIDGE_H

#include "abi.h"

enum { HF_MODULES = 8, HF_COMMANDS = 128, HF_PREFIXES = 64 };
enum { HF_STRING = 1, HF_HASH = 3, HF_ZSET = 5, HF_STREAM = 7 }; /* types of keys */

/* How a key is opened. The server counts a hit or a miss for a read, and fires keymiss.
 * A module's own look must not: opening for writing counts nothing and, as modules here
 * set NO_IMPLICIT_SIGNAL_MODIFIED, changes nothing. 1 << 16 leaves the key's age alone. */
enum { HF_READ = 1, HF_WRITE = 1 | 2, HF_LOOK = 1 | 2 | 1 << 16 };

/* To open a key without a touch and without counting a hit or a miss: see Peek in key.go. */

/* One command argument. The first three words have the layout of a Go []byte,
 * so that Go reads the server's memory in place: argv crosses in one call. */
typedef struct {
    const void *data;
    size_t len, cap;
    RedisModuleString *str;
} hf_arg;

/* One argument of an outgoing command: a server string, or the next len bytes
 * of the buffer that goes with it. */
typedef struct {
    size_t len;
    uintptr_t str;
} hf_part;

/* An opened key with what is nearly always asked of it next. */
typedef struct {
    RedisModuleKey *key;
    int64_t expire_at; /* unix ms, -1: none */
    int type;
} hf_opened;

/* A command on its way through Go and back. Its first reply, where that is the whole
 * answer, is given when Go has returned, which saves a crossing. */
typedef struct {
    int db;
    int counted; /* the server has counted a hit or a miss of the command's key */
    int reply;
    long long number;
    size_t text_len;
    char text[256];
    RedisModuleCallReply *answer;
} hf_frame;

enum {             /* reply */
    HF_NUMBER = 1,
    HF_STATUS,     /* text */
    HF_TEXT,
    HF_ANSWER,     /* what a call answered */
};

/* What a walk found: length, bytes, length, bytes … */
typedef struct {
    void *at;
    size_t len;
    int more;
} hf_packed;

/* What a call answered, and how that stands on the wire. */
typedef struct {
    RedisModuleCallReply *reply;
    const char *raw;
    size_t len;
} hf_called;

/* A pass: while it is open, the fast path needs no Handler for a command and two names. */
typedef struct hf_pass {
    uint64_t id, on, born, uses; /* on: the watched key it hangs on; born: the tick of its opening */
    int shut, alone, logged;     /* alone: without the second native command; logged: see hf_keyed_left */
    unsigned tries;              /* since it was opened */
    RedisModuleString *guard;    /* a key that must not be there */
    struct hf_pass *next;
} hf_pass;

/* Of so many calls with a pass one goes to the Handler, which measures what it can of the
 * others. */
enum { HF_SAMPLE = 64 };

enum { HF_PASS_THEN = 1, HF_PASS_LOGGED = 2 };

/* A pass that is gone, id 0 for none, and what its uses came to. */
typedef struct { uint64_t id, uses; } hf_shut_pass;

/* A command's fast path. */
typedef struct hf_fast hf_fast;
typedef int (*hf_fast_fn)(hf_fast *f, RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
struct hf_fast {
    int slot, module;
    hf_fast_fn fn;
    uint64_t answered;
};

/* What a fast path returns besides 0 and 1: it answered nothing, but the server has counted
 * a hit or a miss of the key. HF_CONSUME_MOST bounds a COUNT without the Handler. */
enum { HF_COUNTED = 2, HF_CONSUME_MOST = 1000 };

/* Numbers of a module that its fast path and its Go code share. */
enum { HF_SHARED = 16 };
extern int64_t hf_shared[HF_MODULES][HF_SHARED];

/* What the fast path did to a lock: see LockChange. */
enum { HF_LOCK_LOG = 256, HF_EVENT_STREAM = 1 << 10, HF_EVENT_MODULE = 1 << 13 };
typedef struct { uint64_t hash; int64_t expires, at, held; } hf_lock_change;
hf_lock_change *hf_lock_log(void);
int hf_fast_lock_acquire(hf_fast *f, RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
int hf_fast_lock_extend(hf_fast *f, RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
int hf_fast_lock_release(hf_fast *f, RedisModuleCtx *ctx, RedisModuleString **argv, int argc);

/* Room for tasks of a key in a stream, and what was done with it: see OpenRoom, KeyedChange. */
enum { HF_ROOMS = 4096, HF_KEYED_LOG = 256 };
typedef struct { uint64_t id, on, born; int64_t left; } hf_room;
typedef struct { hf_stream_id id; int64_t room; uint64_t pass; } hf_keyed_change;
extern hf_room hf_rooms[HF_ROOMS];
extern hf_keyed_change hf_keyed_log[HF_KEYED_LOG];
extern int64_t hf_keyed_logged; /* entries of the log that are in use; commands go to Go while it is full */
int hf_room_open(uint64_t id, uint64_t on);
hf_room *hf_room_for(hf_fast *f, RedisModuleCtx *ctx, RedisModuleString *stream, RedisModuleString *key);
void hf_room_use(hf_room *room, hf_stream_id id);
void hf_keyed_left(uint64_t pass, hf_stream_id id);

extern int hf_forked;              /* this is a child of the server */
extern int hf_muted[HF_MODULES];  /* the module hears no key events */

const char *hf_resolve(RedisModuleCtx *ctx);
void hf_on_time(void); /* see threads.c */
int redismodule_load(void *ctx, void **argv, int argc, const char *name);
int redismodule_unload(void *ctx, const char *name);

void hf_fast_set(int slot, int module, const char *name, int off);
int hf_fast_run(int slot, RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
uint64_t hf_fast_answered(int slot);
uint64_t hf_pass_id(int slot, int module, int db, const char *a, size_t a_len, const char *b, size_t b_len);
hf_shut_pass hf_pass_open(uint64_t id, uint64_t on, const char *guard, size_t len, int flags);
hf_pass *hf_pass_for(hf_fast *f, RedisModuleCtx *ctx, RedisModuleString *a, RedisModuleString *b, int unheld);
int hf_prefix_clear(void);
void hf_prefix_add(const char *name, size_t len);
int hf_prefix_of(const char *name, size_t len);
void hf_prefix_hit(RedisModuleString *name);
uint64_t hf_prefix_hits(int i);
uint64_t hf_pass_shut(uint64_t id);
uint64_t hf_pass_uses(uint64_t id);
void hf_pass_forget(int module);

void hf_answer(RedisModuleCtx *ctx, hf_frame *f);

int hf_create_command(RedisModuleCtx *ctx, int slot, const char *name, const char *flags);
int hf_set_acl(RedisModuleCtx *ctx, const char *name, const char *categories);

uint64_t hf_hash_name(int db, const char *name, size_t len);
uint64_t hf_watch(int module, int db, const char *name, size_t len, int hold);
void hf_unwatch(uint64_t hash, int hold);
void hf_unwatch_all(int module);
size_t hf_watched(int module);
int hf_is_watched(int module, uint64_t hash);
int hf_may_be_watched(uint64_t hash);
int hf_is_held(int module, int db, const char *name, size_t len);
uint64_t hf_tick(void);
void hf_changed(int module, uint64_t hash);
void hf_all_changed(int module);
int hf_unchanged(int module, uint64_t on, uint64_t since, int unheld);

void hf_join(RedisModuleCtx *ctx, int module);
void hf_leave(int module);
RedisModuleCtx *hf_own(int module);
void hf_want_keys(int module, int classes);
int hf_want_event(int module, int event);
int hf_harmless(int module, const char *event);
int hf_suffix(int module, const char *suffix);

hf_called hf_call(RedisModuleCtx *ctx, int module, const char *flags, size_t nflags, const char *buf, hf_part *parts, size_t n, int keep);
enum { HF_ID = 48 }; /* an entry's id in decimal is shorter */
typedef struct { hf_stream_id id; size_t len; } hf_added;
extern char hf_added_id[HF_ID]; /* what hf_add_entry added last */
char *hf_digits(char *p, uint64_t n);
const char *hf_number(const char *p, const char *end, uint64_t *n);
size_t hf_xadd(RedisModuleCtx *ctx, int module, hf_room *room, RedisModuleString **v, size_t n, hf_stream_id *id, char *text);
hf_added hf_add_entry(RedisModuleCtx *ctx, int module, const char *buf, hf_part *parts, size_t n);
int hf_replicate(RedisModuleCtx *ctx, const char *buf, hf_part *parts, size_t n);

hf_opened hf_open(RedisModuleCtx *ctx, RedisModuleString *name, const char *p, size_t len, int mode);
void hf_close(RedisModuleKey *key);
void hf_close_counting(RedisModuleCtx *ctx, RedisModuleKey *key);
int hf_is_named(RedisModuleKey *key, RedisModuleString *name, const char *p, size_t len);
long hf_hash_get(RedisModuleKey *key, RedisModuleString *fstr, const char *f, size_t flen);
long hf_keep(RedisModuleString *value);
const void *hf_got(void);
int hf_got_trim(void);
int hf_is_short(RedisModuleKey *key);
long hf_string_get(RedisModuleCtx *ctx, RedisModuleKey **key, int others);
int hf_hash_put(RedisModuleCtx *ctx, RedisModuleKey *key, RedisModuleString *fstr, const char *f, size_t flen, const char *v, size_t vlen, int64_t expire_at);
int hf_hash_del(RedisModuleCtx *ctx, RedisModuleKey *key, RedisModuleString *fstr, const char *f, size_t flen, int64_t expire_at);
int hf_zset_rem(RedisModuleCtx *ctx, RedisModuleKey *key, const char *m, size_t len);
hf_packed hf_hash_all(RedisModuleKey *key);
long hf_hash_any(RedisModuleKey *key, long most);
int hf_delete(RedisModuleCtx *ctx, RedisModuleKey *key);
int hf_expire_at(RedisModuleCtx *ctx, RedisModuleKey *key, int64_t at);
void hf_notify(RedisModuleCtx *ctx, RedisModuleKey *key, int class, const char *event);
int hf_text_put(RedisModuleCtx *ctx, RedisModuleKey *key, const char *v, size_t len, int64_t expire_at);
const char *hf_text(RedisModuleKey *key, size_t *len);
hf_packed hf_hash_some(RedisModuleKey *key, RedisModuleScanCursor *cur, long some, size_t most);
void hf_pack_free(void *packed);
hf_packed hf_scan(RedisModuleCtx *ctx, RedisModuleScanCursor *cur, int buckets, unsigned types);

RedisModuleBlockedClient *hf_block(RedisModuleCtx *ctx);
void hf_unblock(RedisModuleBlockedClient *bc, uint64_t id);
RedisModuleTimerID hf_timer_start(int module, long long ms);
void hf_timer_stop(int module, RedisModuleTimerID id);
int hf_may_write(RedisModuleCtx *ctx);
void hf_reply_error(RedisModuleCtx *ctx, const char *text);
void hf_reply_raw(RedisModuleCtx *ctx, const char *p, size_t len);
void hf_log(RedisModuleCtx *ctx, const char *level, const char *text, size_t len);

int hf_config_number(RedisModuleCtx *ctx, const char *name, long long def, long long min, long long max, uintptr_t id);
int hf_config_bool(RedisModuleCtx *ctx, const char *name, int def, uintptr_t id);
int hf_config_text(RedisModuleCtx *ctx, const char *name, uintptr_t id);
const char *hf_ptrlen(RedisModuleString *s, size_t *n);
int hf_load_configs(RedisModuleCtx *ctx);
int hf_info_register(RedisModuleCtx *ctx, int module);

#endif
