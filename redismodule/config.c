/* Settings. The server keeps a number for each, which Go knows. */
#include "bridge.h"
#include "_cgo_export.h"
#include <stdlib.h>
#include <string.h>

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

/* The server does not free what a getter returns, so it is kept until the next call. */
static RedisModuleString *text_get(const char *name, void *id) {
    static RedisModuleString *last;
    (void)name;
    char *text = goConfigText((uintptr_t)id);
    if (last) RM_FreeString(NULL, last);
    last = RM_CreateString(NULL, text, strlen(text));
    free(text);
    return last;
}

static int text_set(const char *name, RedisModuleString *v, void *id, RedisModuleString **err) {
    (void)name;
    size_t len;
    const char *p = RM_StringPtrLen(v, &len);
    char *wrong = goConfigSetText((uintptr_t)id, (void *)p, len);
    if (!wrong) return 0;
    *err = RM_CreateString(NULL, wrong, strlen(wrong));
    free(wrong);
    return 1;
}

int hf_config_text(RedisModuleCtx *ctx, const char *name, uintptr_t id) {
    return RM_RegisterStringConfig(ctx, name, "", 0, text_get, text_set, NULL, (void *)id);
}

int hf_load_configs(RedisModuleCtx *ctx) { return RM_LoadConfigs(ctx); }

const char *hf_ptrlen(RedisModuleString *s, size_t *n) { return RM_StringPtrLen(s, n); }
