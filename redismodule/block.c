/* Blocked clients and timers. */
#include "bridge.h"
#include "_cgo_export.h"

/* Who was replied to is freed next. That is done in the same entry into Go. */
static uint64_t replied;

static int block_reply(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    (void)argv; (void)argc;
    if (hf_forked) return 0;
    replied = (uint64_t)(uintptr_t)RM_GetBlockedClientPrivateData(ctx);
    goBlockReply(ctx, replied);
    return 0;
}

static int block_timeout(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    (void)argv; (void)argc;
    if (!hf_forked) goBlockTimeout(ctx, RM_GetBlockedClientHandle(ctx));
    return 0;
}

static void block_gone(RedisModuleCtx *ctx, RedisModuleBlockedClient *bc) { if (!hf_forked) goBlockGone(ctx, bc); }
static void block_free(RedisModuleCtx *ctx, void *id) {
    if (!hf_forked && (uint64_t)(uintptr_t)id != replied) goBlockFree(ctx, (uint64_t)(uintptr_t)id);
}

/* The server's own timeout is not used: on 7.0 a client whose timeout strikes
 * between UnblockClient and its reply gets no reply at all. The callback is
 * there for CLIENT UNBLOCK alone. On 7.2 that command, between UnblockClient and
 * the reply, ends the server by an assertion; without a callback it leaves the
 * client alone. */
RedisModuleBlockedClient *hf_block(RedisModuleCtx *ctx, uint64_t *client) {
    static int version;
    if (!version) version = RM_GetServerVersion() >> 8;
    RedisModuleBlockedClient *bc = RM_BlockClient(ctx, block_reply, version == 0x0702 ? NULL : block_timeout, block_free, 0);
    if (bc) RM_SetDisconnectCallback(bc, block_gone);
    *client = RM_GetClientId(ctx);
    return bc;
}

void hf_unblock(RedisModuleBlockedClient *bc, uint64_t id) { RM_UnblockClient(bc, (void *)(uintptr_t)id); }

static void timer(RedisModuleCtx *ctx, void *module) { if (!hf_forked) goTimer((int)(intptr_t)module, ctx); }

RedisModuleTimerID hf_timer_start(RedisModuleCtx *ctx, int m, long long ms) {
    return RM_CreateTimer(ctx, ms, timer, (void *)(intptr_t)m);
}

/* Primary, not loading, and no write pause: else a write out of a timer aborts
 * the server or makes a replica differ. */
int hf_may_write(RedisModuleCtx *ctx) {
    int flags = RM_GetContextFlags(ctx);
    return (flags & 1 << 2) && !(flags & 1 << 13) && !RM_AvoidReplicaTraffic();
}
