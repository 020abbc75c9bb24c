/* What redis-server loads. MODULE is cachelock, taskqueue or distlock; the
 * module itself is in libholdfast.so, which the linker finds beside this file:
 * several Go runtimes in one process do not work, so all modules share one. */
#define NAME2(m) #m
#define NAME(m) NAME2(m)

extern int redismodule_load(void *ctx, void **argv, int argc, const char *name);
extern int redismodule_unload(void *ctx, const char *name);

int RedisModule_OnLoad(void *ctx, void **argv, int argc) { return redismodule_load(ctx, argv, argc, NAME(MODULE)); }
int RedisModule_OnUnload(void *ctx) { return redismodule_unload(ctx, NAME(MODULE)); }
