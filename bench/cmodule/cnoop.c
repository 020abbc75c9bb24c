/* The least a module written in C can do, and a lock as one would write it in
 * C: what the same in Go is measured against. */
#include <stddef.h>

typedef struct C C;
typedef struct S S;
typedef struct K K;
static void (*SetModuleAttribs)(C *, const char *, int, int);
static int (*CreateCommand)(C *, const char *, int (*)(C *, S **, int), const char *, int, int, int);
static int (*ReplyWithLongLong)(C *, long long);
static int (*WrongArity)(C *);
static int (*StringToLongLong)(S *, long long *);
static long long (*Milliseconds)(void);
static K *(*OpenKey)(C *, S *, int);
static void (*CloseKey)(K *);
static int (*KeyType)(K *);
static int (*HashSet)(K *, int, ...);
static int (*SetAbsExpire)(K *, long long);
static int (*Replicate)(C *, const char *, const char *, ...);

static int noop(C *ctx, S **argv, int argc) {
    (void)argv; (void)argc;
    return ReplyWithLongLong(ctx, 1);
}

/* CNOOP.ACQUIRE name owner ttl_ms: a hash with one field, expiring, replicated. */
static int acquire(C *ctx, S **argv, int argc) {
    long long ttl;
    if (argc != 4) return WrongArity(ctx);
    if (StringToLongLong(argv[3], &ttl)) return ReplyWithLongLong(ctx, -1);
    K *key = OpenKey(ctx, argv[1], 3);
    if (KeyType(key)) { CloseKey(key); return ReplyWithLongLong(ctx, 0); }
    long long at = Milliseconds() + ttl;
    HashSet(key, 0, argv[2], argv[3], NULL);
    SetAbsExpire(key, at);
    Replicate(ctx, "HSET", "sss", argv[1], argv[2], argv[3]);
    Replicate(ctx, "PEXPIREAT", "sl", argv[1], at);
    CloseKey(key);
    return ReplyWithLongLong(ctx, 1);
}

int RedisModule_OnLoad(C *ctx, S **argv, int argc) {
    (void)argv; (void)argc;
    int (*get)(const char *, void *) = *(int (**)(const char *, void *))ctx;
#define GET(f) if (get("RedisModule_" #f, (void *)&f)) return 1
    GET(SetModuleAttribs); GET(CreateCommand); GET(ReplyWithLongLong); GET(WrongArity); GET(StringToLongLong);
    GET(Milliseconds); GET(OpenKey); GET(CloseKey); GET(KeyType); GET(HashSet); GET(SetAbsExpire); GET(Replicate);
    SetModuleAttribs(ctx, "cnoop", 1, 1);
    return CreateCommand(ctx, "cnoop.noop", noop, "fast", 0, 0, 0) ||
           CreateCommand(ctx, "cnoop.acquire", acquire, "write deny-oom fast", 1, 1, 1);
}
