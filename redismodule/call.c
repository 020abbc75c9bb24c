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

/* Writes n in decimal digits and returns where they end. Each division waits for the one before, so
 * each gives two digits. */
char *hf_digits(char *p, uint64_t n) {
    char text[20], *const end = text + sizeof text, *at = end;
    for (; n >= 10; n /= 100) {
        unsigned two = (unsigned)(n % 100);
        *--at = (char)('0' + two % 10);
        *--at = (char)('0' + two / 10);
    }
    if (n || at == end) *--at = (char)('0' + n);
    memcpy(p, at, (size_t)(end - at));
    return p + (end - at);
}

/* Reads a decimal number of at most 18 digits as hf_digits writes it, and returns where it ends;
 * NULL if there is none. */
const char *hf_number(const char *p, const char *end, uint64_t *n) {
    const char *from = p;
    for (*n = 0; p < end && *p >= '0' && *p <= '9' && p - from < 18; p++) *n = *n * 10 + (uint64_t)(*p - '0');
    return p == from || (*from == '0' && p - from > 1) ? NULL : p;
}

/* XADD key * field value …, without what a call costs beside it: v is the arguments. The id
 * goes to *id and text, whose length is the answer; 0 says that nothing was done, because the
 * key is no stream, or the stream takes no more. The entry takes a place in the room, NULL for
 * none. Only a call makes a stream: in a cluster, that is refused where the key is elsewhere. */
size_t hf_xadd(RedisModuleCtx *ctx, int m, hf_room *room, RedisModuleString **v, size_t n, hf_stream_id *id, char *text) {
    RedisModuleKey *key = RM_OpenKey(ctx, v[0], HF_WRITE);
    if (n < 4 || n % 2 || RM_KeyType(key) != HF_STREAM || RM_StreamAdd(key, 1, id, v + 2, (long)(n - 2) / 2)) { /* 1: the next id */
        hf_close(key);
        return 0;
    }
    char *end = hf_digits(text, id->ms);
    *end++ = '-';
    size_t len = (size_t)(hf_digits(end, id->seq) - text);
    RedisModuleString *star = v[1];
    v[1] = RM_CreateString(NULL, text, len);
    RM_Replicate(ctx, "XADD", "v", v, n);
    RM_FreeString(NULL, v[1]);
    v[1] = star;
    RM_SignalModifiedKey(ctx, v[0]);
    hf_close(key); /* others may do anything when they hear of it */
    if (room) hf_room_use(room, *id);
    hf_muted[m]++;
    RM_NotifyKeyspaceEvent(ctx, HF_EVENT_STREAM, "xadd", v[0]);
    hf_muted[m]--;
    return len;
}

char hf_added_id[HF_ID];

hf_added hf_add_entry(RedisModuleCtx *ctx, int m, const char *buf, hf_part *parts, size_t n) {
    RedisModuleString *few[24], **v = gather(few, 24, buf + strlen(buf) + 1, parts, n);
    hf_added out = { 0 };
    if (n) out.len = hf_xadd(ctx, m, NULL, v, n, &out.id, hf_added_id);
    scatter(few, v, parts, n);
    return out;
}

int hf_replicate(RedisModuleCtx *ctx, const char *buf, hf_part *parts, size_t n) {
    RedisModuleString *few[16], **v = gather(few, 16, buf + strlen(buf) + 1, parts, n);
    int rc = RM_Replicate(ctx, buf, "v", v, n);
    scatter(few, v, parts, n);
    return rc;
}
