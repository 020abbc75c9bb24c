/* Blocked clients and timers. */
#include "bridge.h"
#include "_cgo_export.h"
#include <string.h>

/* The server calls block_free right after block_reply for the same client. goBlockReply
 * does the work of both, which saves an entry into Go. */
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

/* Major and minor; Valkey says 7.2 for compatibility. */
static int hf_server_version(void) {
    static int version;
    if (!version) version = RM_GetServerVersion() >> 8;
    return version;
}

/* The server's own timeout is not used: on 7.0 a client whose timeout strikes between
 * UnblockClient and its reply gets no reply. The timeout callback serves CLIENT UNBLOCK
 * alone. On 7.2, CLIENT UNBLOCK between UnblockClient and the reply ends the server by an
 * assertion, unless there is no timeout callback: then the command does nothing. */
RedisModuleBlockedClient *hf_block(RedisModuleCtx *ctx) {
    RedisModuleBlockedClient *bc = RM_BlockClient(ctx, block_reply, hf_server_version() == 0x0702 ? NULL : block_timeout, block_free, 0);
    if (bc) RM_SetDisconnectCallback(bc, block_gone);
    return bc;
}

void hf_unblock(RedisModuleBlockedClient *bc, uint64_t id) { RM_UnblockClient(bc, (void *)(uintptr_t)id); }

static void timer(RedisModuleCtx *ctx, void *module) { if (!hf_forked) goTimer((int)(intptr_t)module, ctx); }

/* A timer belongs to the module of its context. An event's context may be another's. */
RedisModuleTimerID hf_timer_start(int m, long long ms) {
    return RM_CreateTimer(hf_own(m), ms, timer, (void *)(intptr_t)m);
}

void hf_timer_stop(int m, RedisModuleTimerID id) { RM_StopTimer(hf_own(m), id, NULL); }

/* Primary, not loading, and no write pause: else a write out of a timer aborts
 * the server or makes a replica differ. And no state in which commands that write are
 * refused (NOREPLICAS, MISCONF): S has the server check a call as it checks a script's.
 * D, from 7.2 on, carries out nothing; 7.0 deletes a field that nobody has. */
int hf_may_write(RedisModuleCtx *ctx) {
    static const char *name = "holdfast:may-write";
    int flags = RM_GetContextFlags(ctx), may = 1;
    if (!(flags & 1 << 2) || (flags & 1 << 13) || RM_AvoidReplicaTraffic()) return 0;
    RedisModuleCallReply *r = RM_Call(ctx, "HDEL", hf_server_version() < 0x0702 ? "SEcc" : "SDcc", name, name);
    if (!r) return 1;
    size_t len;
    const char *p = RM_CallReplyProto(r, &len);
    may = strncmp(p, "-NOREPLICAS", 11) && strncmp(p, "-MISCONF", 8);
    RM_FreeCallReply(r);
    return may;
}
