/* Trampolines: the server calls a C function without user data, so each command and each
 * module's INFO has a function of its own here that knows its number. */
#include "bridge.h"
#include "_cgo_export.h"
#include <pthread.h>
#include <stdio.h>
#include <string.h>

/* A forked child (BGSAVE, AOF rewrite, a script debugger) has no Go scheduler:
 * entering Go there hangs. One word, set by the fork itself, keeps us out. */
int hf_forked;
static void on_fork(void) { hf_forked = 1; }

/* ---- commands -------------------------------------------------------- */

static int run(int slot, RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    if (hf_forked) return RM_ReplyWithError(ctx, "ERR not available in a forked process");
    int done = hf_fast_run(slot, ctx, argv, argc);
    if (done == 1) return 0;
    hf_frame frame;
    frame.db = RM_GetSelectedDb(ctx);
    frame.counted = done == HF_COUNTED;
    frame.reply = 0;
    hf_arg few[16], *args = few;
    if (argc > 16) args = RM_Alloc(sizeof(hf_arg) * (size_t)argc);
    for (int i = 0; i < argc; i++) {
        size_t len;
        args[i].data = RM_StringPtrLen(argv[i], &len);
        args[i].len = args[i].cap = len;
        args[i].str = argv[i];
    }
    goCommand(slot, ctx, &frame, args, argc);
    hf_answer(ctx, &frame);
    if (args != few) RM_Free(args);
    return 0;
}

#define FOR16(X, n) X(n##0) X(n##1) X(n##2) X(n##3) X(n##4) X(n##5) X(n##6) X(n##7) \
    X(n##8) X(n##9) X(n##a) X(n##b) X(n##c) X(n##d) X(n##e) X(n##f)
#define FOR128(X) FOR16(X, 0x0) FOR16(X, 0x1) FOR16(X, 0x2) FOR16(X, 0x3) \
    FOR16(X, 0x4) FOR16(X, 0x5) FOR16(X, 0x6) FOR16(X, 0x7)
#define COMMAND(n) static int command_##n(RedisModuleCtx *c, RedisModuleString **v, int a) { return run(n, c, v, a); }
FOR128(COMMAND)
#define COMMAND_NAME(n) command_##n,
static const hf_cmd_fn commands[HF_COMMANDS] = { FOR128(COMMAND_NAME) };

int hf_create_command(RedisModuleCtx *ctx, int slot, const char *name, const char *flags) {
    return RM_CreateCommand(ctx, name, commands[slot], flags, 0, 0, 0);
}

int hf_set_acl(RedisModuleCtx *ctx, const char *name, const char *categories) {
    if (!RM_SetCommandACLCategories) return 0; /* 7.2+ */
    return RM_SetCommandACLCategories(RM_GetCommand(ctx, name), categories);
}

/* ---- INFO ------------------------------------------------------------------- */

static void info(int m, RedisModuleInfoCtx *ctx, int crash_report) {
    if (crash_report || hf_forked) return; /* a signal handler is no place for Go */
    goInfo(m, ctx);
}

#define FOR8(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7)
#define INFO(n) static void info_##n(RedisModuleInfoCtx *c, int crash) { info(n, c, crash); }
FOR8(INFO)
#define INFO_NAME(n) info_##n,
static void (*const infos[HF_MODULES])(RedisModuleInfoCtx *, int) = { FOR8(INFO_NAME) };

int hf_info_register(RedisModuleCtx *ctx, int m) { return RM_RegisterInfoFunc(ctx, infos[m]); }

/* ---- loading ---------------------------------------------------------------- */

int redismodule_load(void *ctx, void **argv, int argc, const char *name) {
    static int once;
    hf_on_time();
    const char *missing = hf_resolve(ctx);
    if (missing) {
        if (RM_Log) RM_Log(NULL, "warning", "%s needs the server function %s: Redis 7.0.8 or Valkey 7.2 or newer", name, missing);
        else fprintf(stderr, "%s needs Redis 7.0.8 or Valkey 7.2 or newer\n", name);
        return 1;
    }
    if (!once) { once = 1; pthread_atfork(NULL, NULL, on_fork); }
    return goLoad(ctx, (RedisModuleString **)argv, argc, (char *)name);
}

int redismodule_unload(void *ctx, const char *name) { return goUnload(ctx, (char *)name); }

/* A library with one module in it can be loaded by itself. */
int RedisModule_OnLoad(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    return redismodule_load(ctx, (void **)argv, argc, "");
}
int RedisModule_OnUnload(RedisModuleCtx *ctx) { return redismodule_unload(ctx, ""); }
