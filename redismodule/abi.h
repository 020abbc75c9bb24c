/* The Redis Modules ABI as far as this binding uses it: opaque types, numbers
 * and struct layouts. Redis and Valkey keep them stable; the numbers hold from
 * Redis 7.0 on. Functions are resolved by name when a module is loaded. */
#ifndef HOLDFAST_ABI_H
#define HOLDFAST_ABI_H

#include <stddef.h>
#include <stdint.h>

typedef struct RedisModuleCtx RedisModuleCtx;
typedef struct RedisModuleString RedisModuleString;
typedef struct RedisModuleKey RedisModuleKey;
typedef struct RedisModuleCallReply RedisModuleCallReply;
typedef struct RedisModuleBlockedClient RedisModuleBlockedClient;
typedef struct RedisModuleCommand RedisModuleCommand;
typedef struct RedisModuleInfoCtx RedisModuleInfoCtx;
typedef struct RedisModuleScanCursor RedisModuleScanCursor;
typedef struct RedisModuleUser RedisModuleUser;
typedef uint64_t RedisModuleTimerID;
typedef long long mstime_t;

typedef struct { uint64_t id, dataver; } RedisModuleEvent; /* passed by value */
typedef struct { uint64_t ms, seq; } hf_stream_id;

/* Command descriptions. Array strides come from the version struct, and 7.2
 * reads display_text whatever the stride says: so one layout for all. */
typedef struct {
    int version;
    size_t sizeof_historyentry, sizeof_keyspec, sizeof_arg;
} hf_info_version;

typedef struct {
    const char *notes;
    uint64_t flags;
    int begin_type;
    union {
        struct { int pos; } index;
        struct { const char *keyword; int startfrom; } keyword;
    } bs;
    int find_type;
    union {
        struct { int lastkey, keystep, limit; } range;
        struct { int keynumidx, firstkey, keystep; } keynum;
    } fk;
} hf_keyspec;

typedef struct hf_cmdarg {
    const char *name;
    int type;
    int key_spec_index;
    const char *token, *summary, *since;
    int flags;
    const char *deprecated_since;
    struct hf_cmdarg *subargs;
    const char *display_text;
} hf_cmdarg;

typedef struct {
    const hf_info_version *version;
    const char *summary, *complexity, *since;
    void *history;
    const char *tips;
    int arity;
    hf_keyspec *key_specs;
    hf_cmdarg *args;
} hf_cmdinfo;

_Static_assert(sizeof(hf_keyspec) == 56 && sizeof(hf_cmdarg) == 72 && sizeof(hf_cmdinfo) == 72,
               "command description layout");

typedef struct {
    uint64_t version, flags, id;
    char addr[46];
    uint16_t port, db;
} hf_client_info;

typedef struct { uint64_t version; int32_t sync, dbnum; } hf_flush_info;
typedef struct { uint64_t version; int32_t first, second; } hf_swapdb_info;

typedef int (*hf_cmd_fn)(RedisModuleCtx *, RedisModuleString **, int);

/* Every API function we call: return type, name, parameters. REQUIRED ones must
 * be there or the module refuses to load; OPTIONAL ones may be NULL. */
#define HF_REQUIRED(F) \
    F(void *, Alloc, (size_t)) \
    F(void, Free, (void *)) \
    F(void, SetModuleAttribs, (RedisModuleCtx *, const char *, int, int)) \
    F(int, IsModuleNameBusy, (const char *)) \
    F(void, SetModuleOptions, (RedisModuleCtx *, int)) \
    F(int, CreateCommand, (RedisModuleCtx *, const char *, hf_cmd_fn, const char *, int, int, int)) \
    F(RedisModuleCommand *, GetCommand, (RedisModuleCtx *, const char *)) \
    F(int, SetCommandInfo, (RedisModuleCommand *, const void *)) \
    F(int, WrongArity, (RedisModuleCtx *)) \
    F(int, ReplyWithLongLong, (RedisModuleCtx *, long long)) \
    F(int, ReplyWithError, (RedisModuleCtx *, const char *)) \
    F(int, ReplyWithSimpleString, (RedisModuleCtx *, const char *)) \
    F(int, ReplyWithArray, (RedisModuleCtx *, long)) \
    F(int, ReplyWithMap, (RedisModuleCtx *, long)) \
    F(int, ReplyWithNullArray, (RedisModuleCtx *)) \
    F(void, ReplySetArrayLength, (RedisModuleCtx *, long)) \
    F(void, ReplySetMapLength, (RedisModuleCtx *, long)) \
    F(int, ReplyWithStringBuffer, (RedisModuleCtx *, const char *, size_t)) \
    F(int, ReplyWithString, (RedisModuleCtx *, RedisModuleString *)) \
    F(int, ReplyWithNull, (RedisModuleCtx *)) \
    F(int, ReplyWithDouble, (RedisModuleCtx *, double)) \
    F(int, ReplyWithCallReply, (RedisModuleCtx *, RedisModuleCallReply *)) \
    F(RedisModuleString *, CreateString, (RedisModuleCtx *, const char *, size_t)) \
    F(void, FreeString, (RedisModuleCtx *, RedisModuleString *)) \
    F(void, RetainString, (RedisModuleCtx *, RedisModuleString *)) \
    F(const char *, StringPtrLen, (const RedisModuleString *, size_t *)) \
    F(RedisModuleKey *, OpenKey, (RedisModuleCtx *, RedisModuleString *, int)) \
    F(void, CloseKey, (RedisModuleKey *)) \
    F(const RedisModuleString *, GetKeyNameFromModuleKey, (RedisModuleKey *)) \
    F(int, KeyType, (RedisModuleKey *)) \
    F(size_t, ValueLength, (RedisModuleKey *)) \
    F(int, DeleteKey, (RedisModuleKey *)) \
    F(mstime_t, GetAbsExpire, (RedisModuleKey *)) \
    F(int, SetAbsExpire, (RedisModuleKey *, mstime_t)) \
    F(char *, StringDMA, (RedisModuleKey *, size_t *, int)) \
    F(int, StringSet, (RedisModuleKey *, RedisModuleString *)) \
    F(int, HashSet, (RedisModuleKey *, int, ...)) \
    F(int, HashGet, (RedisModuleKey *, int, ...)) \
    F(int, ZsetRem, (RedisModuleKey *, RedisModuleString *, int *)) \
    F(int, StreamAdd, (RedisModuleKey *, int, hf_stream_id *, RedisModuleString **, long)) \
    F(int, StreamIteratorStart, (RedisModuleKey *, int, hf_stream_id *, hf_stream_id *)) \
    F(int, StreamIteratorNextID, (RedisModuleKey *, hf_stream_id *, long *)) \
    F(int, StreamIteratorNextField, (RedisModuleKey *, RedisModuleString **, RedisModuleString **)) \
    F(int, StreamIteratorStop, (RedisModuleKey *)) \
    F(int, SignalModifiedKey, (RedisModuleCtx *, RedisModuleString *)) \
    F(int, GetSelectedDb, (RedisModuleCtx *)) \
    F(int, SelectDb, (RedisModuleCtx *, int)) \
    F(RedisModuleCallReply *, Call, (RedisModuleCtx *, const char *, const char *, ...)) \
    F(void, FreeCallReply, (RedisModuleCallReply *)) \
    F(int, CallReplyType, (RedisModuleCallReply *)) \
    F(size_t, CallReplyLength, (RedisModuleCallReply *)) \
    F(long long, CallReplyInteger, (RedisModuleCallReply *)) \
    F(const char *, CallReplyStringPtr, (RedisModuleCallReply *, size_t *)) \
    F(RedisModuleCallReply *, CallReplyArrayElement, (RedisModuleCallReply *, size_t)) \
    F(int, CallReplyMapElement, (RedisModuleCallReply *, size_t, RedisModuleCallReply **, RedisModuleCallReply **)) \
    F(const char *, CallReplyProto, (RedisModuleCallReply *, size_t *)) \
    F(int, Replicate, (RedisModuleCtx *, const char *, const char *, ...)) \
    F(RedisModuleBlockedClient *, BlockClient, (RedisModuleCtx *, hf_cmd_fn, hf_cmd_fn, void (*)(RedisModuleCtx *, void *), long long)) \
    F(int, UnblockClient, (RedisModuleBlockedClient *, void *)) \
    F(int, AbortBlock, (RedisModuleBlockedClient *)) \
    F(void, SetDisconnectCallback, (RedisModuleBlockedClient *, void (*)(RedisModuleCtx *, RedisModuleBlockedClient *))) \
    F(void *, GetBlockedClientPrivateData, (RedisModuleCtx *)) \
    F(RedisModuleBlockedClient *, GetBlockedClientHandle, (RedisModuleCtx *)) \
    F(RedisModuleTimerID, CreateTimer, (RedisModuleCtx *, mstime_t, void (*)(RedisModuleCtx *, void *), void *)) \
    F(int, StopTimer, (RedisModuleCtx *, RedisModuleTimerID, void **)) \
    F(unsigned long long, GetClientId, (RedisModuleCtx *)) \
    F(int, GetContextFlags, (RedisModuleCtx *)) \
    F(RedisModuleCtx *, GetDetachedThreadSafeContext, (RedisModuleCtx *)) \
    F(void, FreeThreadSafeContext, (RedisModuleCtx *)) \
    F(int, AvoidReplicaTraffic, (void)) \
    F(int, SubscribeToServerEvent, (RedisModuleCtx *, RedisModuleEvent, void (*)(RedisModuleCtx *, RedisModuleEvent, uint64_t, void *))) \
    F(int, SubscribeToKeyspaceEvents, (RedisModuleCtx *, int, int (*)(RedisModuleCtx *, int, const char *, RedisModuleString *))) \
    F(int, NotifyKeyspaceEvent, (RedisModuleCtx *, int, const char *, RedisModuleString *)) \
    F(int, RegisterBoolConfig, (RedisModuleCtx *, const char *, int, unsigned int, int (*)(const char *, void *), int (*)(const char *, int, void *, RedisModuleString **), void *, void *)) \
    F(int, RegisterNumericConfig, (RedisModuleCtx *, const char *, long long, unsigned int, long long, long long, long long (*)(const char *, void *), int (*)(const char *, long long, void *, RedisModuleString **), void *, void *)) \
    F(int, RegisterStringConfig, (RedisModuleCtx *, const char *, const char *, unsigned int, RedisModuleString *(*)(const char *, void *), int (*)(const char *, RedisModuleString *, void *, RedisModuleString **), void *, void *)) \
    F(int, LoadConfigs, (RedisModuleCtx *)) \
    F(int, RegisterInfoFunc, (RedisModuleCtx *, void (*)(RedisModuleInfoCtx *, int))) \
    F(int, InfoAddSection, (RedisModuleInfoCtx *, const char *)) \
    F(int, InfoAddFieldCString, (RedisModuleInfoCtx *, const char *, const char *)) \
    F(int, InfoAddFieldDouble, (RedisModuleInfoCtx *, const char *, double)) \
    F(int, InfoAddFieldLongLong, (RedisModuleInfoCtx *, const char *, long long)) \
    F(RedisModuleScanCursor *, ScanCursorCreate, (void)) \
    F(void, ScanCursorDestroy, (RedisModuleScanCursor *)) \
    F(void, ScanCursorRestart, (RedisModuleScanCursor *)) \
    F(int, Scan, (RedisModuleCtx *, RedisModuleScanCursor *, void (*)(RedisModuleCtx *, RedisModuleString *, RedisModuleKey *, void *), void *)) \
    F(int, ScanKey, (RedisModuleKey *, RedisModuleScanCursor *, void (*)(RedisModuleKey *, RedisModuleString *, RedisModuleString *, void *), void *)) \
    F(RedisModuleString *, GetCurrentUserName, (RedisModuleCtx *)) \
    F(RedisModuleString *, GetClientUserNameById, (RedisModuleCtx *, uint64_t)) \
    F(RedisModuleUser *, GetModuleUserFromUserName, (RedisModuleString *)) \
    F(void, FreeModuleUser, (RedisModuleUser *)) \
    F(int, ACLCheckKeyPermissions, (RedisModuleUser *, RedisModuleString *, int)) \
    F(void, GetRandomBytes, (unsigned char *, size_t)) \
    F(mstime_t, Milliseconds, (void)) \
    F(uint64_t, MonotonicMicroseconds, (void)) \
    F(float, GetUsedMemoryRatio, (void)) \
    F(int, GetServerVersion, (void)) \
    F(void, Log, (RedisModuleCtx *, const char *, const char *, ...))

#define HF_OPTIONAL(F) \
    F(int, RegisterScriptingEngine, (RedisModuleCtx *, const char *, void *, void *)) /* of Valkey alone */ \
    F(int, SetCommandACLCategories, (RedisModuleCommand *, const char *)) \
    F(unsigned int, ClusterKeySlot, (RedisModuleString *))

#define HF_DECLARE(ret, name, params) extern ret(*RM_##name) params;
HF_REQUIRED(HF_DECLARE)
HF_OPTIONAL(HF_DECLARE)
#undef HF_DECLARE

#endif
