package redismodule

/*
#include "bridge.h"

// Asking for the current user of a client that has none crashes the server: a
// client of another module's call has none and may do everything. A script's
// client is not to be found by its id, but has its caller's user.
static int hf_allowed(RedisModuleCtx *c, const void *name, size_t len, int flags) {
    RedisModuleString *who = RM_GetClientUserNameById(c, RM_GetClientId(c));
    if (!who && !(RM_GetContextFlags(c) & 1)) return 1;
    if (!who) who = RM_GetCurrentUserName(c);
    RedisModuleUser *user = RM_GetModuleUserFromUserName(who);
    RM_FreeString(c, who);
    if (!user) return 0;
    RedisModuleString *key = RM_CreateString(NULL, name, len);
    int ok = RM_ACLCheckKeyPermissions(user, key, flags) == 0;
    RM_FreeString(NULL, key);
    RM_FreeModuleUser(user);
    return ok;
}
#cgo noescape hf_allowed
#cgo nocallback hf_allowed
*/
import "C"

import "unsafe"

// ErrNoPermission answers a key the calling user may not touch.
const ErrNoPermission Error = "NOPERM this user has no permissions to access one of the keys used as arguments"

// KeyAllowed tells whether the user who sent the running command may do with a
// key what flags say (KeyAccess, KeyInsert, KeyDelete and KeyUpdate only). The
// server has checked the keys that the command's key specs name; whatever else
// a command touches on the caller's behalf must be asked for here. Only inside
// a client's command.
func (ctx *Ctx) KeyAllowed(name []byte, flags KeyFlags) bool {
	return C.hf_allowed(ctx.c, unsafe.Pointer(unsafe.SliceData(name)), C.size_t(len(name)), C.int(flags)) != 0
}

// Serves tells whether this node may touch a key now: in a cluster its slot may have
// moved. The server asks so for every command; for what no command asked for, nobody
// else does.
func (ctx *Ctx) Serves(name []byte) bool {
	return ctx.Cmd("EXISTS").Bytes(name).Do("E") == nil
}
