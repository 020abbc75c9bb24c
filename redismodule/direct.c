/* Commands that read a string, answered without Go where there is one: entering
 * Go costs a tenth of a microsecond in a row of calls, and most of one when the
 * processor has been elsewhere meanwhile, as it has between two round trips. */
#include "bridge.h"
#include <string.h>

static struct {
    int argc; /* 0: not so */
    uint64_t answered;
    size_t word_len;
    char word[16];
} commands[HF_COMMANDS];

/* Begins anew for a command that is registered. integers is -1 for one that is not
 * answered here. */
void hf_direct_set(int slot, int integers, const char *word, size_t len) {
    commands[slot].argc = integers < 0 ? 0 : 2 + integers;
    commands[slot].answered = 0;
    commands[slot].word_len = len < sizeof commands[slot].word ? len : sizeof commands[slot].word;
    memcpy(commands[slot].word, word, commands[slot].word_len);
}

uint64_t hf_direct_answered(int slot) { return commands[slot].answered; }

/* Whether nobody could object to s as a positive integer, added to whatever. */
static int plain(RedisModuleString *s) {
    size_t len;
    const char *p = RM_StringPtrLen(s, &len);
    if (len == 0 || len > 15 || p[0] == '0') return 0;
    while (len-- > 0)
        if (p[len] < '0' || p[len] > '9') return 0;
    return 1;
}

/* Answers the string at the first key, if the command is of that kind and if
 * that is what is there. If not, the key that was opened is the frame's, so that a
 * miss is one. */
int hf_direct(int slot, RedisModuleCtx *ctx, RedisModuleString **argv, int argc, hf_frame *f) {
    f->looked = 0;
    if (argc != commands[slot].argc) return 0;
    for (int i = 2; i < argc; i++)
        if (!plain(argv[i])) return 0;
    RedisModuleKey *key = RM_OpenKey(ctx, argv[1], 1);
    if (RM_KeyType(key) != 1) {
        f->key = key;
        f->looked = 1;
        return 0;
    }
    size_t len;
    const char *value = RM_StringDMA(key, &len, 1);
    if (commands[slot].word_len) {
        RM_ReplyWithArray(ctx, 3);
        RM_ReplyWithStringBuffer(ctx, commands[slot].word, commands[slot].word_len);
    }
    RM_ReplyWithStringBuffer(ctx, value, len);
    if (commands[slot].word_len) RM_ReplyWithNull(ctx);
    commands[slot].answered++;
    RM_CloseKey(key);
    return 1;
}
