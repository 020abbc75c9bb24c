package redismodule

/*
#include "bridge.h"

// A result is a value wherever the server may call back: Go's stack may move during the
// call, and cgo knows where to put a result, but not where a variable has gone.
typedef struct { RedisModuleKey *key; long len; } hf_read_string;
static hf_read_string hf_read(RedisModuleCtx *c, RedisModuleKey *k, int others) {
    hf_read_string r = { k, 0 };
    r.len = hf_string_get(c, &r.key, others);
    return r;
}
static int hf_type(RedisModuleCtx *c, RedisModuleString *name, const char *p, size_t n) {
    hf_opened o = hf_open(c, name, p, n, HF_LOOK);
    hf_close(o.key);
    return o.type;
}
static size_t hf_len(RedisModuleKey *k) { return RM_ValueLength(k); } // 0 for NULL
#cgo noescape hf_open
#cgo noescape hf_type
#cgo noescape hf_hash_get
#cgo noescape hf_hash_put
#cgo noescape hf_hash_del
#cgo noescape hf_zset_rem
#cgo nocallback hf_len
#cgo noescape hf_is_named
#cgo nocallback hf_is_named
#cgo nocallback hf_got
#cgo nocallback hf_pack_free
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

// Reader is a key opened for reading. Its methods answer zero values where there is no
// key, where the value has another type, and after Close. While any key is open no server
// command can be called (see Cmd.Call), because a command may expire the key. To open a
// key closes what is open under its name. A key that is left open is closed when the
// callback returns.
type Reader struct {
	Type     KeyType // as it was opened; TypeNone for no key
	ExpireAt int64   // unix ms; -1 for a key that does not expire
	place    uint32  // in keys
	use      uint32
}

// Writer is a key opened for writing. What its methods write goes to replicas and the AOF
// as native commands in the same step, and clients that watch or track the key are told.
// No keyspace event is raised unless Notify is called.
type Writer struct{ Reader }

// keys are the open keys. A Reader holds the number of its place and how often the place
// had been used, so a Reader that is used after Close, or twice closed, finds nothing.
var (
	keys     []openKey
	openKeys int
)

type openKey struct {
	c   *C.RedisModuleKey
	ctx *Ctx // nil: the place is free
	use uint32

	uncounted bool // the server has yet to count a hit
}

// Read opens a key for a client's command that reads it: the server counts a hit or a
// miss, and the key was used now. A key that has expired is absent.
func (ctx *Ctx) Read(name Arg) Reader {
	r := ctx.Look(name)
	if ctx.frame != nil && ctx.frame.counted != 0 {
		ctx.frame.counted = 0 // the fast path was here
		return r
	}
	if r.Type == TypeString && C.hf_is_short(r.c()) != 0 {
		keys[r.place].uncounted = true // String calls GET, which counts
		return r
	}
	r.Close()
	return ctx.open(name, C.HF_READ)
}

// Look opens a key for the module's own purposes and leaves no trace: it counts neither a
// hit nor a miss, raises no keymiss event, and does not change when the key was last used.
func (ctx *Ctx) Look(name Arg) Reader { return ctx.open(name, C.HF_LOOK) }

// Write opens a key for writing. Use it only to write: Read and Look are cheaper.
func (ctx *Ctx) Write(name Arg) Writer { return Writer{ctx.open(name, C.HF_WRITE)} }

func (ctx *Ctx) open(name Arg, mode C.int) Reader {
	closeNamed(name)
	o := C.hf_open(ctx.raw(), name.str, chars(name.data), C.size_t(len(name.data)), mode)
	return ctx.opened(o.key, o._type, o.expire_at)
}

func (ctx *Ctx) opened(c *C.RedisModuleKey, t C.int, expireAt C.int64_t) Reader {
	r := Reader{Type: KeyType(t), ExpireAt: int64(expireAt)}
	if c == nil {
		return r
	}
	for r.place = 0; int(r.place) < len(keys) && keys[r.place].ctx != nil; r.place++ {
	}
	if int(r.place) == len(keys) {
		keys = append(keys, openKey{})
	}
	k := &keys[r.place]
	k.c, k.ctx, k.use = c, ctx, k.use+1
	r.use = k.use
	openKeys++
	ctx.keys++
	return r
}

// c is the open key in C, nil after Close and for no key.
func (r Reader) c() *C.RedisModuleKey {
	if int(r.place) < len(keys) && keys[r.place].use == r.use && r.use != 0 {
		return keys[r.place].c
	}
	return nil
}

// closeNamed closes what is open under a name. To open a key may end it, if it has expired
// by now, and what was open would point at freed memory.
func closeNamed(name Arg) {
	for i := 0; openKeys > 0 && i < len(keys); i++ {
		if k := &keys[i]; k.ctx != nil && C.hf_is_named(k.c, name.str, chars(name.data), C.size_t(len(name.data))) != 0 {
			Reader{place: uint32(i), use: k.use}.Close()
		}
	}
}

// take gives the key up without closing it.
func (r Reader) take() *C.RedisModuleKey {
	c := r.c()
	if c != nil {
		k := &keys[r.place]
		k.ctx.keys--
		openKeys--
		k.c, k.ctx, k.uncounted = nil, nil, false
	}
	return c
}

// Close closes the key. It may be called more than once.
func (r Reader) Close() {
	c := r.c()
	if c == nil {
		return
	}
	k := keys[r.place]
	if r.take(); k.uncounted {
		C.hf_close_counting(k.ctx.c, c)
	} else {
		C.hf_close(c)
	}
}

// closeKeys closes what a callback left open.
func (ctx *Ctx) closeKeys() {
	for i := 0; ctx.keys > 0 && i < len(keys); i++ {
		if keys[i].ctx == ctx {
			Reader{place: uint32(i), use: keys[i].use}.Close()
		}
	}
}

// Exists reports whether there is a key of that name, and leaves no trace, as Look.
func (ctx *Ctx) Exists(name Arg) bool { return ctx.TypeOf(name) != TypeNone }

// TypeOf is the type of a key's value, TypeNone for no key. It leaves no trace, as Look,
// and crosses into C once.
func (ctx *Ctx) TypeOf(name Arg) KeyType {
	closeNamed(name)
	return KeyType(C.hf_type(ctx.raw(), name.str, chars(name.data), C.size_t(len(name.data))))
}

// Len is the number of elements, entries or bytes.
func (r Reader) Len() int {
	if c := r.c(); c != nil {
		return int(C.hf_len(c))
	}
	return 0
}

// String appends a string's value to buf; ok is false where there is none. The string
// keeps its encoding.
func (r Reader) String(buf []byte) (value []byte, ok bool) {
	c := r.c()
	if c == nil {
		return buf, false
	}
	read := C.hf_read(keys[r.place].ctx.c, c, C.int(openKeys-1))
	keys[r.place].c, keys[r.place].uncounted = read.key, false
	return got(buf, int(read.len))
}

// HashGet appends the value of a hash's field to buf; ok reports whether there is such a
// field. It allocates only when buf has too little room.
func (r Reader) HashGet(field Arg, buf []byte) (value []byte, ok bool) {
	return got(buf, int(C.hf_hash_get(r.c(), field.str, chars(field.data), C.size_t(len(field.data)))))
}

// HashAny appends the value of one field of a hash to buf, whichever the server comes to
// first; a big hash is not walked for it. ok is false where that value is longer than most.
func (r Reader) HashAny(buf []byte, most int) (value []byte, ok bool) {
	return got(buf, int(C.hf_hash_any(r.c(), C.long(most))))
}

// got appends the n bytes that C read last to buf; n < 0 says that there were none.
func got(buf []byte, n int) ([]byte, bool) {
	if n < 0 {
		return buf, false
	}
	readLarge = readLarge || n > scratchMost
	return append(buf, unsafe.Slice((*byte)(C.hf_got()), n)...), true
}

// HashEach calls fn with every field of a hash, in no order, until fn returns false. The
// bytes are valid during the call; the key may be written meanwhile.
func (r Reader) HashEach(fn func(field, value []byte) bool) {
	all := C.hf_hash_all(r.c())
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

// unpack walks what C packed as length, bytes, length, bytes …
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

// HashPut sets a field of a hash and makes the hash if there is no key; with
// expireAt >= 0 the key expires then (unix ms). It reports whether it did: false where the
// key has another type.
func (w Writer) HashPut(field Arg, value []byte, expireAt int64) bool {
	c := w.c()
	return c != nil && C.hf_hash_put(w.ctx(), c, field.str, chars(field.data), C.size_t(len(field.data)),
		chars(value), C.size_t(len(value)), C.int64_t(expireAt)) != 0
}

// HashDel removes a field of a hash and reports whether it was there. With the last field
// the key goes; with expireAt >= 0 a hash that stays expires then.
func (w Writer) HashDel(field Arg, expireAt int64) bool {
	c := w.c()
	return c != nil && C.hf_hash_del(w.ctx(), c, field.str, chars(field.data), C.size_t(len(field.data)), C.int64_t(expireAt)) != 0
}

// ZSetRem removes a member of a sorted set and reports whether it was there. With the last
// member the key goes.
func (w Writer) ZSetRem(member []byte) bool {
	c := w.c()
	return c != nil && C.hf_zset_rem(w.ctx(), c, chars(member), C.size_t(len(member))) != 0
}

// Delete removes the key and reports whether it was there.
func (w Writer) Delete() bool {
	c := w.c()
	return c != nil && C.hf_delete(w.ctx(), c) != 0
}

// SetExpireAt sets when the key expires (unix ms, not negative).
func (w Writer) SetExpireAt(at int64) {
	if c := w.c(); c != nil {
		C.hf_expire_at(w.ctx(), c, C.int64_t(at))
	}
}

func (w Writer) ctx() *C.RedisModuleCtx { return keys[w.place].ctx.c }

// EventName is the name of a keyspace event.
type EventName struct{ c *C.char }

// NewEvent makes an event's name, for a package variable: its memory is never freed.
func NewEvent(name string) EventName { return EventName{C.CString(name)} }

// Notify raises a keyspace event of a class, such as EventModule, for the key.
func (w Writer) Notify(class EventClass, event EventName) {
	if c := w.c(); c != nil {
		C.hf_notify(w.ctx(), c, C.int(class), event.c)
	}
}
