/* Calls out: commands of the server, and what replicas and the AOF are told. */
#include "bridge.h"
#include <string.h>

/* Makes server strings of the parts. The answer is the vector, few when it fits. */
static RedisModuleString **gather(RedisModuleString **few, size_t room, const char *buf, hf_part *parts, size_t n) {
    RedisModuleString **v = n <= room ? few : RM_Alloc(n * sizeof *v);
    for (size_t i = 0; i < n; i++) {
        if (parts[i].str) { v[i] = (RedisModuleString *)parts[i].str; continue; }
        v[i] = RM_CreateString(NULL, buf, parts[i].len);
        buf += parts[i].len;
    }
    return v;
}

static void scatter(RedisModuleString **few, RedisModuleString **v, hf_part *parts, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (!parts[i].str) RM_FreeString(NULL, v[i]);
    if (v != few) RM_Free(v);
}

/* buf starts with the command's name and its NUL. Without keep, only an error is
 * answered: whatever else the reply is, it is freed. */
hf_called hf_call(RedisModuleCtx *ctx, int m, const char *flags, size_t nflags, const char *buf, hf_part *parts, size_t n, int keep) {
    /* "!" always: without it 7.0 forgets to replicate the deletion of a key that
     * even a read finds expired, and replicas keep it for ever. */
    char format[16] = "!";
    RedisModuleString *few[16];
    if (nflags > sizeof format - 3) nflags = sizeof format - 3;
    memcpy(format + 1, flags, nflags);
    memcpy(format + 1 + nflags, "v", 2);
    RedisModuleString **v = gather(few, 16, buf + strlen(buf) + 1, parts, n);
    hf_muted[m]++;
    RedisModuleCallReply *r = RM_Call(ctx, buf, format, v, n);
    hf_muted[m]--;
    scatter(few, v, parts, n);
    hf_called out = { .reply = r };
    if (r) out.raw = RM_CallReplyProto(r, &out.len);
    if (r && !keep && out.raw[0] != '-') {
        RM_FreeCallReply(r);
        out.reply = NULL;
        out.raw = "+";
        out.len = 1;
    }
    return out;
}

int hf_replicate(RedisModuleCtx *ctx, const char *buf, hf_part *parts, size_t n) {
    RedisModuleString *few[16], **v = gather(few, 16, buf + strlen(buf) + 1, parts, n);
    int rc = RM_Replicate(ctx, buf, "v", v, n);
    scatter(few, v, parts, n);
    return rc;
}
