/* The least a module written in C can do, and what one would write in C for a
 * read, a lock and a client that waits: what the same in Go is measured against. */
#include <stddef.h>

typedef struct C C;
typedef struct S S;
typedef struct K K;
typedef struct B B;
static void (*SetModuleAttribs)(C *, const char *, int, int);
static int (*CreateCommand)(C *, const char *, int (*)(C *, S **, int), const char *, int, int, int);
static int (*ReplyWithLongLong)(C *, long long);
static int (*ReplyWithNull)(C *);
static int (*ReplyWithStringBuffer)(C *, const char *, size_t);
static int (*WrongArity)(C *);
static int (*StringToLongLong)(S *, long long *);
static long long (*Milliseconds)(void);
static K *(*OpenKey)(C *, S *, int);
static void (*CloseKey)(K *);
static int (*KeyType)(K *);
static char *(*StringDMA)(K *, size_t *, int);
static int (*HashSet)(K *, int, ...);
static int (*SetAbsExpire)(K *, long long);
static int (*Replicate)(C *, const char *, const char *, ...);
static B *(*BlockClient)(C *, int (*)(C *, S **, int), int (*)(C *, S **, int), void (*)(C *, void *), long long);

static int noop(C *ctx, S **argv, int argc) {
    (void)argv; (void)argc;
    return ReplyWithLongLong(ctx, 1);
}

/* CNOOP.GET name: as GET. */
static int get(C *ctx, S **argv, int argc) {
    if (argc != 2) return WrongArity(ctx);
    K *key = OpenKey(ctx, argv[1], 1);
    if (!key || KeyType(key) != 1) { if (key) CloseKey(key); return ReplyWithNull(ctx); }
    size_t n;
    char *s = StringDMA(key, &n, 1);
    ReplyWithStringBuffer(ctx, s, n);
    CloseKey(key);
    return 0;
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

/* CNOOP.BLOCK: waits until the connection closes. What it leaves then is of no
 * concern to a server that is about to end. */
static int block(C *ctx, S **argv, int argc) {
    (void)argv; (void)argc;
    BlockClient(ctx, noop, noop, NULL, 0);
    return 0;
}

int RedisModule_OnLoad(C *ctx, S **argv, int argc) {
    (void)argv; (void)argc;
    int (*find)(const char *, void *) = *(int (**)(const char *, void *))ctx;
#define FIND(f) if (find("RedisModule_" #f, (void *)&f)) return 1
    FIND(SetModuleAttribs); FIND(CreateCommand); FIND(ReplyWithLongLong); FIND(ReplyWithNull); FIND(ReplyWithStringBuffer);
    FIND(WrongArity); FIND(StringToLongLong); FIND(Milliseconds); FIND(OpenKey); FIND(CloseKey); FIND(KeyType);
    FIND(StringDMA); FIND(HashSet); FIND(SetAbsExpire); FIND(Replicate); FIND(BlockClient);
    SetModuleAttribs(ctx, "cnoop", 1, 1);
    return CreateCommand(ctx, "cnoop.noop", noop, "fast", 0, 0, 0) ||
           CreateCommand(ctx, "cnoop.get", get, "readonly fast", 1, 1, 1) ||
           CreateCommand(ctx, "cnoop.block", block, "", 0, 0, 0) ||
           CreateCommand(ctx, "cnoop.acquire", acquire, "write deny-oom fast", 1, 1, 1);
}
