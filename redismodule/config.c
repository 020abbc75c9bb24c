/* Settings: the server keeps a number for each, which Go knows. */
#include "bridge.h"
#include "_cgo_export.h"

static long long number_get(const char *name, void *id) { (void)name; return goConfigGet((uintptr_t)id); }
static int bool_get(const char *name, void *id) { (void)name; return (int)goConfigGet((uintptr_t)id); }
static int number_set(const char *name, long long v, void *id, RedisModuleString **err) {
    (void)name; (void)err;
    goConfigSet((uintptr_t)id, v);
    return 0;
}
static int bool_set(const char *name, int v, void *id, RedisModuleString **err) { return number_set(name, v, id, err); }

int hf_config_number(RedisModuleCtx *ctx, const char *name, long long def, long long min, long long max, uintptr_t id) {
    return RM_RegisterNumericConfig(ctx, name, def, 0, min, max, number_get, number_set, NULL, (void *)id);
}

int hf_config_bool(RedisModuleCtx *ctx, const char *name, int def, uintptr_t id) {
    return RM_RegisterBoolConfig(ctx, name, def, 0, bool_get, bool_set, NULL, (void *)id);
}

int hf_load_configs(RedisModuleCtx *ctx) { return RM_LoadConfigs(ctx); }

const char *hf_ptrlen(RedisModuleString *s, size_t *n) { return RM_StringPtrLen(s, n); }
