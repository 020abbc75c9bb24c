/* Finds the server's functions. The first pointer in a module context is the
 * look-up function; every function has a name, and only a name. */
#include "bridge.h"
#include <stdio.h>

#define HF_DEFINE(ret, name, params) ret(*RM_##name) params;
HF_REQUIRED(HF_DEFINE)
HF_OPTIONAL(HF_DEFINE)
#undef HF_DEFINE

typedef int (*get_api)(const char *, void *);

/* Valkey 7.2.4 and 7.2.5 know their functions by the ValkeyModule_ name only. */
static void find(get_api get, const char *name, void *target) {
    char full[96];
    *(void **)target = NULL;
    snprintf(full, sizeof full, "RedisModule_%s", name);
    if (get(full, target) == 0) return;
    snprintf(full, sizeof full, "ValkeyModule_%s", name);
    get(full, target);
}

/* Fills the table; the answer is the first required function that is missing,
 * or NULL. Whatever is missing, Log is looked up, so that it can be said. */
const char *hf_resolve(RedisModuleCtx *ctx) {
    get_api get = *(get_api *)ctx;
    const char *missing = NULL;
#define HF_FIND(ret, name, params) find(get, #name, (void *)&RM_##name);
    HF_REQUIRED(HF_FIND)
    HF_OPTIONAL(HF_FIND)
#undef HF_FIND
#define HF_CHECK(ret, name, params) if (!RM_##name && !missing) missing = #name;
    HF_REQUIRED(HF_CHECK)
#undef HF_CHECK
    return missing;
}
