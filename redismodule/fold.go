package redismodule

/*
#include "bridge.h"

typedef struct {
    RedisModuleKey *key;
    int64_t expire_at, now;
    size_t len;
    long value; // length of the field's value, -1: none
    int type, db;
} hf_begun;

static hf_begun hf_begin(RedisModuleCtx *ctx, RedisModuleString *name, int mode, RedisModuleString *field) {
    hf_opened o;
    hf_open(ctx, name, NULL, 0, mode, &o);
    hf_begun b = { .key = o.key, .expire_at = o.expire_at, .type = o.type, .value = -1 };
    if (o.type) b.len = RM_ValueLength(o.key);
    if (field && o.type == 3) b.value = hf_hash_get(o.key, field, NULL, 0); // 3: a hash
    b.now = RM_Milliseconds();
    b.db = RM_GetSelectedDb(ctx);
    return b;
}

enum { END_NOTHING, END_PUT, END_DELETE };

static void hf_end(RedisModuleCtx *ctx, RedisModuleKey *key, int change, RedisModuleString *fstr, const void *f, size_t flen,
                   const void *v, size_t vlen, int64_t expire_at, int class, const char *event, int replies, long long reply) {
    if (change == END_PUT) hf_hash_put(ctx, key, fstr, f, flen, v, vlen, expire_at);
    if (change == END_DELETE) hf_delete(ctx, key);
    if (class) RM_NotifyKeyspaceEvent(ctx, class, event, (RedisModuleString *)RM_GetKeyNameFromModuleKey(key));
    hf_close(key);
    if (replies) RM_ReplyWithLongLong(ctx, reply);
}
*/
import "C"

import "unsafe"

// A crossing into C costs as much as what it does for a small command. This file
// folds what every small command on one hash begins with and ends with into one
// crossing each, which saves about six.

// Begun is a command's key as Begin finds it, with what else is asked first.
type Begun struct {
	Key
	Len int
	DB  int
}

// Begin opens the key that an argument of the running command names and asks for
// the time and the database in the same crossing: ctx.Now is known then. It must
// come before SelectDB. If the key is a hash and field is not the zero Arg, the
// field's value is appended to buf, as by HashGet.
func (ctx *Ctx) Begin(name Arg, mode Mode, field Arg, buf []byte) (at Begun, value []byte, ok bool) {
	b := C.hf_begin(ctx.c, name.str, C.int(mode), field.str)
	if ctx.now == 0 {
		ctx.now = int64(b.now)
	}
	at = Begun{
		Key: Key{Type: KeyType(b._type), ExpireAt: int64(b.expire_at), k: b.key, ctx: ctx},
		Len: int(b.len), DB: int(b.db),
	}
	if b.value < 0 {
		return at, buf, false
	}
	return at, append(buf, unsafe.Slice((*byte)(C.hf_got()), int(b.value))...), true
}

// Change is one write to a hash opened for writing, and the event it raises. The
// zero value is none.
type Change struct {
	Put      bool // Field to Value; with ExpireAt >= 0 the key's expiry, as HashPut
	Delete   bool // the key, as Key.Delete
	Field    []byte
	FieldArg Arg // instead of Field, where it has one
	Value    []byte
	ExpireAt int64
	Class    EventClass // 0 for no event
	Event    string
	Replies  bool // answers the client with Reply
	Reply    int64
}

// End makes the change, raises the event, closes the key and answers the client.
func (k Key) End(c *Change) {
	change := C.int(C.END_NOTHING)
	switch {
	case c.Put:
		change = C.END_PUT
	case c.Delete:
		change = C.END_DELETE
	}
	ctx, replies := k.ctx, C.int(0)
	if c.Replies {
		ctx.replied, replies = true, 1
	}
	ctx.text = append(append(ctx.text[:0], c.Event...), 0)
	C.hf_end(ctx.c, k.k, change, c.FieldArg.str, unsafe.Pointer(unsafe.SliceData(c.Field)), C.size_t(len(c.Field)),
		unsafe.Pointer(unsafe.SliceData(c.Value)), C.size_t(len(c.Value)), C.int64_t(c.ExpireAt),
		C.int(c.Class), (*C.char)(unsafe.Pointer(&ctx.text[0])), replies, C.longlong(c.Reply))
}
