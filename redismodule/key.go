package redismodule

/*
#include "bridge.h"

// Results come by value wherever the server may call back: Go's stack may move
// meanwhile, and cgo knows how to find a result there, but not a variable.
static hf_opened hf_open_key(RedisModuleCtx *c, RedisModuleString *name, const void *p, size_t n, int mode) {
    hf_opened o;
    hf_open(c, name, p, n, mode, &o);
    return o;
}
static hf_packed hf_hash_fields(RedisModuleKey *k) {
    hf_packed p = { 0 };
    p.at = hf_hash_all(k, &p.len);
    return p;
}
static int hf_exists(RedisModuleCtx *c, const void *p, size_t n) {
    hf_opened o;
    hf_open(c, NULL, p, n, HF_PEEK, &o);
    hf_close(o.key);
    return o.type != 0;
}
static char *hf_string(RedisModuleKey *k, size_t *n) { return RM_StringDMA(k, n, 1); }
static size_t hf_len(RedisModuleKey *k) { return RM_ValueLength(k); }
#cgo noescape hf_open_key
#cgo noescape hf_exists
#cgo noescape hf_string
#cgo noescape hf_hash_get
#cgo noescape hf_hash_put
#cgo noescape hf_hash_del
#cgo nocallback hf_len
#cgo nocallback hf_got
#cgo nocallback hf_pack_free
#cgo nocallback hf_string
*/
import "C"

import (
	"encoding/binary"
	"unsafe"
)

// KeyType is the type of a key's value.
type KeyType int

// The types of values.
const (
	TypeNone   KeyType = 0
	TypeString KeyType = 1
	TypeList   KeyType = 2
	TypeHash   KeyType = 3
	TypeSet    KeyType = 4
	TypeZSet   KeyType = 5
	TypeModule KeyType = 6
	TypeStream KeyType = 7
)

// Mode is how a key is opened.
type Mode int

// Open for reading unless you will write: it is cheaper, and it leaves other
// clients' WATCH alone.
const (
	Read    Mode = 1
	Write   Mode = 1 | 2
	NoTouch Mode = 1 << 16 // with Read: leave the key's age as it is
	// Peek is for keys that may well be absent: a look that leaves the key's age as it
	// is and is counted neither as a hit nor as a miss of the keyspace. The server counts
	// whatever is opened for reading alone, so this opens for writing; write nothing.
	Peek Mode = C.HF_PEEK
)

// Key is an open key. Close it before the callback returns. What its methods
// write goes to replicas and the AOF as native commands in the same step, and
// clients that watch or track the key are told; it raises no keyspace event
// unless Notify is called.
type Key struct {
	Type     KeyType
	ExpireAt int64 // unix ms; -1 for a key that does not expire
	k        *C.RedisModuleKey
	ctx      *Ctx
}

// Open opens the key an argument names. A key that has expired is gone.
func (ctx *Ctx) Open(name Arg, mode Mode) Key {
	return ctx.open(name.str, nil, mode)
}

// OpenName opens a key by its name.
func (ctx *Ctx) OpenName(name []byte, mode Mode) Key {
	return ctx.open(nil, name, mode)
}

func (ctx *Ctx) open(str *C.RedisModuleString, name []byte, mode Mode) Key {
	o := C.hf_open_key(ctx.c, str, unsafe.Pointer(unsafe.SliceData(name)), C.size_t(len(name)), C.int(mode))
	return Key{Type: KeyType(o._type), ExpireAt: int64(o.expire_at), k: o.key, ctx: ctx}
}

// Exists tells whether there is a key of that name, and leaves its age as it is.
func (ctx *Ctx) Exists(name []byte) bool {
	return C.hf_exists(ctx.c, unsafe.Pointer(unsafe.SliceData(name)), C.size_t(len(name))) != 0
}

// Close closes the key; a key that was not there closes too.
func (k Key) Close() {
	if k.k != nil {
		C.hf_close(k.k)
	}
}

// Len is the number of elements, entries or bytes.
func (k Key) Len() int {
	if k.k == nil {
		return 0
	}
	return int(C.hf_len(k.k))
}

// Bytes is a string's value in place, valid until the key is written or closed.
func (k Key) Bytes() []byte {
	var n C.size_t
	p := C.hf_string(k.k, &n)
	return unsafe.Slice((*byte)(unsafe.Pointer(p)), int(n))
}

// HashGet appends the value of a field of a hash to buf; ok tells whether the
// field is there. It allocates only when buf has too little room.
func (k Key) HashGet(field, buf []byte) (value []byte, ok bool) {
	return k.hashGet(nil, field, buf)
}

// HashGetArg is HashGet for a field that an argument names.
func (k Key) HashGetArg(field Arg, buf []byte) (value []byte, ok bool) {
	return k.hashGet(field.str, nil, buf)
}

func (k Key) hashGet(str *C.RedisModuleString, field, buf []byte) ([]byte, bool) {
	n := int(C.hf_hash_get(k.k, str, unsafe.Pointer(unsafe.SliceData(field)), C.size_t(len(field))))
	if n < 0 {
		return buf, false
	}
	return append(buf, unsafe.Slice((*byte)(C.hf_got()), n)...), true
}

// HashPut sets a field of a hash, making the hash if there is none, and with
// expireAt >= 0 the key's expiry (unix ms): as HSET and PEXPIREAT would.
func (k Key) HashPut(field, value []byte, expireAt int64) {
	k.hashPut(nil, field, value, expireAt)
}

// HashPutArg is HashPut for a field that an argument names.
func (k Key) HashPutArg(field Arg, value []byte, expireAt int64) {
	k.hashPut(field.str, nil, value, expireAt)
}

func (k Key) hashPut(str *C.RedisModuleString, field, value []byte, expireAt int64) {
	C.hf_hash_put(k.ctx.c, k.k, str, unsafe.Pointer(unsafe.SliceData(field)), C.size_t(len(field)),
		unsafe.Pointer(unsafe.SliceData(value)), C.size_t(len(value)), C.int64_t(expireAt))
}

// HashDel removes a field of a hash and tells whether it was there. The last
// field takes the key with it; with expireAt >= 0 a hash that stays gets that
// expiry.
func (k Key) HashDel(field []byte, expireAt int64) bool {
	return C.hf_hash_del(k.ctx.c, k.k, nil, unsafe.Pointer(unsafe.SliceData(field)), C.size_t(len(field)), C.int64_t(expireAt)) != 0
}

// HashEach calls fn with every field of a hash, in no order, until fn answers
// false. The bytes are valid during the call; the key may be written meanwhile.
func (k Key) HashEach(fn func(field, value []byte) bool) {
	all := C.hf_hash_fields(k.k)
	defer C.hf_pack_free(all.at)
	var field []byte
	unpack(all.at, int(all.len), func(b []byte) bool {
		if field == nil {
			field = b
			return true
		}
		f := field
		field = nil
		return fn(f, b)
	})
}

// unpack walks what the C side packed as length, bytes, length, bytes …
func unpack(p unsafe.Pointer, n int, fn func([]byte) bool) {
	b := unsafe.Slice((*byte)(p), n)
	for len(b) > 0 {
		size := 4 + int(binary.NativeEndian.Uint32(b))
		if !fn(b[4:size:size]) {
			return
		}
		b = b[size:]
	}
}

// Delete removes the key, as DEL would, and tells whether it was there.
func (k Key) Delete() bool {
	return k.k != nil && C.hf_delete(k.ctx.c, k.k) != 0
}

// SetExpireAt sets the key's expiry (unix ms), as PEXPIREAT would.
func (k Key) SetExpireAt(at int64) { C.hf_expire_at(k.ctx.c, k.k, C.int64_t(at)) }

// EventName is the name of a keyspace event.
type EventName struct{ c *C.char }

// NewEvent is an event's name, for a package variable: it is never given back.
func NewEvent(name string) EventName { return EventName{C.CString(name)} }

// Notify raises a keyspace event of class EventModule or another for a key that
// was opened for writing.
func (k Key) Notify(class EventClass, event EventName) {
	C.hf_notify(k.ctx.c, k.k, C.int(class), event.c)
}
