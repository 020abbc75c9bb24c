/* What small commands on one key begin and end with, done on the C side of the
 * one crossing into Go: crossing out again and back costs as much as most of
 * what it would be for. */
#include "bridge.h"

static struct { int mode, field; } opens[HF_COMMANDS];

void hf_opens(int slot, int mode, int field) {
    opens[slot].mode = mode;
    opens[slot].field = field;
}

void hf_begin(int slot, RedisModuleCtx *ctx, RedisModuleString **argv, int argc, hf_frame *f) {
    f->db = RM_GetSelectedDb(ctx);
    f->change = f->event_class = f->reply = 0;
    int mode = opens[slot].mode, field = opens[slot].field;
    f->key = mode && argc > 1 ? RM_OpenKey(ctx, argv[1], mode) : NULL;
    if (!mode || argc < 2) return;
    f->type = RM_KeyType(f->key); /* 0 for NULL */
    f->expire_at = f->type ? RM_GetAbsExpire(f->key) : -1;
    f->len = f->type ? RM_ValueLength(f->key) : 0;
    f->field = field && field < argc && f->type == 3 ? hf_hash_get(f->key, argv[field], NULL, 0) : -1; /* 3: a hash */
    f->value = hf_got();
    f->now = RM_Milliseconds();
}

void hf_end(RedisModuleCtx *ctx, hf_frame *f) {
    if (f->change == HF_PUT) hf_hash_put(ctx, f->key, f->field_name, NULL, 0, f->text, f->text_len, f->expire_at);
    if (f->change == HF_DELETE) hf_delete(ctx, f->key);
    if (f->event_class) { /* the key is closed before others hear of it */
        RedisModuleString *name = (RedisModuleString *)RM_GetKeyNameFromModuleKey(f->key);
        RM_RetainString(NULL, name);
        hf_close(f->key);
        RM_NotifyKeyspaceEvent(ctx, f->event_class, f->event, name);
        RM_FreeString(NULL, name);
    } else hf_close(f->key);
    switch (f->reply) {
    case HF_NUMBER: RM_ReplyWithLongLong(ctx, f->number); break;
    case HF_STATUS: RM_ReplyWithSimpleString(ctx, f->text); break;
    case HF_TEXT: RM_ReplyWithStringBuffer(ctx, f->text, f->text_len); break;
    case HF_ANSWER:
        RM_ReplyWithCallReply(ctx, f->answer);
        RM_FreeCallReply(f->answer);
    }
}
