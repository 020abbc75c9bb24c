/* Replies, and lines of the log. */
#include "bridge.h"

void hf_reply_error(RedisModuleCtx *ctx, const char *text) { RM_ReplyWithError(ctx, text); }

void hf_answer(RedisModuleCtx *ctx, hf_frame *f) {
    switch (f->reply) {
    case HF_NUMBER: RM_ReplyWithLongLong(ctx, f->number); break;
    case HF_STATUS: RM_ReplyWithSimpleString(ctx, f->text); break;
    case HF_TEXT: RM_ReplyWithStringBuffer(ctx, f->text, f->text_len); break;
    case HF_ANSWER:
        RM_ReplyWithCallReply(ctx, f->answer);
        RM_FreeCallReply(f->answer);
    }
}

/* Answers arrays, strings and integers as they stand in a call's reply, which is
 * in RESP2, in the client's own protocol. */
void hf_reply_raw(RedisModuleCtx *ctx, const char *p, size_t len) {
    for (const char *end = p + len; end - p > 2;) {
        char kind = *p++;
        int negative = *p == '-';
        long long n = 0;
        for (p += negative; p < end && *p >= '0' && *p <= '9'; p++) n = n * 10 + (*p - '0');
        p += 2;
        if (kind == '$' && !negative && n > end - p) return;
        if (kind == ':') RM_ReplyWithLongLong(ctx, negative ? -n : n);
        else if (kind == '*' && negative) RM_ReplyWithNullArray(ctx);
        else if (kind == '*') RM_ReplyWithArray(ctx, (long)n);
        else if (negative) RM_ReplyWithNull(ctx);
        else {
            RM_ReplyWithStringBuffer(ctx, p, (size_t)n);
            p += n + 2;
        }
    }
}

/* The text is data, never the format. */
void hf_log(RedisModuleCtx *ctx, const char *level, const char *text, size_t len) {
    if (RM_Log) RM_Log(ctx, level, "%.*s", (int)len, text);
}
