/* Commands that read a string, answered without Go where there is one: entering
 * Go costs a tenth of a microsecond in a row of calls, and most of one when the
 * processor has been elsewhere meanwhile, as it has between two round trips. */
#include "bridge.h"
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static struct {
    int argc; /* without the option; 0: not so */
    uint64_t answered;
    char option[16], word[16];
} commands[HF_COMMANDS];

/* Begins anew for a command that is registered. integers is -1 for one that is not
 * answered here. */
void hf_direct_set(int slot, int integers, const char *option, const char *word) {
    commands[slot].argc = integers < 0 ? 0 : 2 + integers;
    commands[slot].answered = 0;
    snprintf(commands[slot].option, sizeof commands[slot].option, "%s", option);
    snprintf(commands[slot].word, sizeof commands[slot].word, "%s", word);
}

uint64_t hf_direct_answered(int slot) { return commands[slot].answered; }

static int is(RedisModuleString *s, const char *word) {
    size_t len, want = strlen(word);
    const char *p = RM_StringPtrLen(s, &len);
    return want && len == want && !strncasecmp(p, word, len);
}

static int fits(int slot, RedisModuleString **argv, int argc) {
    int n = commands[slot].argc;
    if (!n || (argc != n && (argc != n + 2 || !is(argv[n], commands[slot].option) || !hf_within(argv[n + 1], 0, LLONG_MAX)))) return 0;
    while (--n > 1)
        if (!hf_within(argv[n], 1, LLONG_MAX)) return 0;
    return 1;
}

/* Answers the string at the first key, if the command is of that kind and if
 * that is what is there. */
int hf_direct(int slot, RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    if (!fits(slot, argv, argc)) return 0;
    RedisModuleKey *key = RM_OpenKey(ctx, argv[1], HF_LOOK);
    int is_string = RM_KeyType(key) == HF_STRING, is_short = hf_is_short(key);
    hf_close(key);
    if (!is_string) return 0;
    if (!is_short) key = RM_OpenKey(ctx, argv[1], HF_READ); /* counts the hit */
    RedisModuleCallReply *reply = is_short ? RM_Call(ctx, "GET", "!s", argv[1]) : NULL;
    size_t len;
    const char *value = reply ? RM_CallReplyStringPtr(reply, &len) : is_short ? NULL : RM_StringDMA(key, &len, 1);
    if (!value) { /* the key expired between the look and the call */
        if (reply) RM_FreeCallReply(reply);
        return 0;
    }
    const char *word = commands[slot].word;
    if (*word) {
        RM_ReplyWithArray(ctx, 3);
        RM_ReplyWithStringBuffer(ctx, word, strlen(word));
    }
    RM_ReplyWithStringBuffer(ctx, value, len);
    if (*word) RM_ReplyWithNull(ctx);
    commands[slot].answered++;
    hf_prefix_hit(argv[1]);
    if (reply) RM_FreeCallReply(reply);
    else RM_CloseKey(key);
    return 1;
}
