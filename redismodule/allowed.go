package redismodule

/*
#include "bridge.h"
#include <errno.h>

// RM_GetCurrentUserName crashes the server for a client without a user. Such is the client
// of another module's call, which may do everything, and of a script run by such a call.
// A script's client has its caller's user but cannot be found by its id, so a call
// under the caller's permissions (C) reports whether it has one.
static int hf_allowed(RedisModuleCtx *c, const char *name, size_t len, int flags) {
    RedisModuleString *who = RM_GetClientUserNameById(c, RM_GetClientId(c));
    if (!who && !(RM_GetContextFlags(c) & 1)) return 1;
    if (!who) {
        errno = 0;
        RedisModuleCallReply *r = RM_Call(c, "PING", "C");
        if (r) RM_FreeCallReply(r);
        else if (errno == ENOTSUP) return 1;
        who = RM_GetCurrentUserName(c);
    }
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
*/
import "C"

// ErrNoPermission answers a key the calling user may not touch.
const ErrNoPermission Error = "NOPERM this user has no permissions to access one of the keys used as arguments"

// KeyAllowed reports whether the user who sent the running command may do with a
// key what flags say (KeyAccess, KeyInsert, KeyDelete and KeyUpdate only). The
// server has checked the keys that the command's key specs name; whatever else
// a command touches on the caller's behalf must be asked for here. Outside a
// client's command nothing is refused.
func (ctx *Ctx) KeyAllowed(name []byte, flags KeyFlags) bool {
	return ctx.command == nil || C.hf_allowed(ctx.raw(), chars(name), C.size_t(len(name)), C.int(flags)) != 0
}

// Serves reports whether this node may touch a key now: in a cluster its slot may have
// moved. The server asks so before each command of a client, and nobody asks before a timer
// or an event touches a key. Ask before you open the key, or use At.
func (ctx *Ctx) Serves(name []byte) bool {
	return !clustered || ctx.Cmd("EXISTS").Bytes(name).Do("E") == nil
}

// At runs fn with a database selected, for work on a key that no client's command named.
// It returns false and does not run fn when another node of the cluster serves the key.
func (ctx *Ctx) At(db int, name []byte, fn func()) bool {
	before := ctx.DB()
	ctx.SelectDB(db)
	defer ctx.SelectDB(before)
	if ctx.DB() != db || !ctx.Serves(name) {
		return false
	}
	fn()
	return true
}
