package distlock

import (
	"math"

	"holdfast/modules/internal/locktable"
	"holdfast/redismodule"
)

// keyspace is the table's Store in the server. Each callback of the server that
// may come to the keyspace begins with enter or enterCommand and ends with leave.
type keyspace struct {
	ctx        *redismodule.Ctx
	background bool // no client's command named the lock: see Open

	fast *redismodule.LockPath

	// The running command's lock and owner. Where the table means these, the
	// server's own strings are used, and nothing is copied.
	name, owner redismodule.Arg

	key           redismodule.Writer // open between Open and Commit
	value, record []byte             // what was read last
}

// newKeyspace is the store of a module that was loaded anew. The tokens go on.
func newKeyspace(ctx *redismodule.Ctx) keyspace {
	fast := ctx.LockPath()
	*fast = redismodule.LockPath{Token: fast.Token, MaxTTL: config.maxTTL}
	return keyspace{ctx: ctx, fast: fast}
}

// openFastPath lets the usual commands be answered in C, unless a quarantine has
// each lock looked at.
func (k *keyspace) openFastPath(now int64) {
	k.fast.Open = 0
	if table.QuarantineLeft(now) == 0 {
		k.fast.Open = 1
	}
}

// enter prepares for a callback outside any command.
func (k *keyspace) enter(ctx *redismodule.Ctx) {
	k.ctx, k.background = ctx, true
	k.name, k.owner = redismodule.Arg{}, redismodule.Arg{}
}

// enterCommand prepares for a command about a lock.
func (k *keyspace) enterCommand(ctx *redismodule.Ctx, name, owner redismodule.Arg) {
	k.ctx, k.background, k.name, k.owner = ctx, false, name, owner
}

// leave forgets what belongs to the server once the callback has returned.
func (k *keyspace) leave() {
	k.ctx, k.name, k.owner = nil, redismodule.Arg{}, redismodule.Arg{}
}

// arg is the running command's own argument where b is that one.
func (k *keyspace) arg(b []byte) redismodule.Arg {
	for _, a := range [...]redismodule.Arg{k.name, k.owner} {
		if len(b) > 0 && a.Len() == len(b) && &a.Bytes()[0] == &b[0] {
			return a
		}
	}
	return redismodule.Text(b)
}

// inPlace is the length from which a string is read where it stands. A shorter
// one would change its encoding by that, and is asked for by GET.
const inPlace = 45

func (k *keyspace) Open(db int, name []byte) locktable.Found {
	if !k.serves(db, name) {
		return locktable.Found{Kind: locktable.Elsewhere}
	}
	k.key = k.ctx.Write(k.arg(name))
	if k.key.Type != redismodule.TypeString || k.key.Len() > locktable.MaxRecord {
		return k.found()
	}
	if k.key.Len() >= inPlace {
		k.value, _ = k.key.Text(k.value[:0])
		return k.found()
	}
	k.key.Close()
	short := k.ctx.Look(k.arg(name))
	k.value, _ = short.String(k.value[:0])
	short.Close()
	k.key = k.ctx.Write(k.arg(name)) // the string, or nothing if it expired meanwhile
	return k.found()
}

func (k *keyspace) Peek(db int, name []byte) locktable.Found {
	if !k.serves(db, name) {
		return locktable.Found{Kind: locktable.Elsewhere}
	}
	k.key = redismodule.Writer{Reader: k.ctx.Look(k.arg(name))}
	if k.key.Type == redismodule.TypeString && k.key.Len() <= locktable.MaxRecord {
		ok := false
		if k.value, ok = k.key.String(k.value[:0]); !ok { // it expired meanwhile
			return locktable.Found{}
		}
	}
	return k.found()
}

// serves selects the database and tells whether this node may touch the lock.
// The server has asked that for the locks that a command names. The question is
// a call, which may end a key, so it comes before anything is open.
func (k *keyspace) serves(db int, name []byte) bool {
	if k.ctx.DB() != db {
		k.ctx.SelectDB(db)
	}
	return !k.background || k.ctx.Serves(name)
}

func (k *keyspace) found() locktable.Found {
	expires := max(k.key.ExpireAt, 0)
	switch k.key.Type {
	case redismodule.TypeNone:
		return locktable.Found{}
	case redismodule.TypeHash:
		return locktable.Found{Kind: locktable.Hash, Holders: k.key.Len(), Expires: expires}
	case redismodule.TypeString:
		if k.key.Len() <= locktable.MaxRecord {
			return locktable.Found{Kind: locktable.Text, Value: k.value, Expires: expires}
		}
	}
	return locktable.Found{Kind: locktable.Other}
}

var events = [...]redismodule.EventName{
	locktable.Acquired: redismodule.NewEvent("lock.acquired"),
	locktable.Released: redismodule.NewEvent("lock.released"),
	locktable.Expired:  redismodule.NewEvent("lock.expired"),
	locktable.Broken:   redismodule.NewEvent("lock.broken"),
}

func (k *keyspace) Commit(writes []locktable.Write, raised []locktable.Event) {
	for i := range writes {
		switch w := &writes[i]; w.Kind {
		case locktable.Set:
			k.key.SetText(w.Value, w.Expires)
		case locktable.Put:
			expires := w.Expires
			if expires == 0 {
				expires = -1 // stays as it is
			}
			k.key.HashPut(k.arg(w.Owner), w.Value, expires)
		case locktable.Remove:
			k.key.HashDel(k.arg(w.Owner), -1)
		case locktable.Delete:
			k.key.Delete()
		case locktable.ExpireAt:
			k.key.SetExpireAt(w.Expires)
		}
	}
	for _, e := range raised {
		k.key.Notify(redismodule.EventModule, events[e])
	}
	k.key.Close()
	if cap(k.value)+cap(k.record) > locktable.MaxRecord {
		k.value, k.record = nil, nil
	}
}

func (k *keyspace) Record(owner []byte) (record []byte, ok bool) {
	k.record, ok = k.key.HashGet(k.arg(owner), k.record[:0])
	return k.record, ok
}

// Any answers a field that is too long for a record as an empty one, which is
// none.
func (k *keyspace) Any() (record []byte, ok bool) {
	if k.record, ok = k.key.HashAny(k.record[:0], locktable.MaxRecord); ok {
		return k.record, true
	}
	var first redismodule.HashCursor
	defer first.Close()
	k.key.HashSome(&first, 1, 0, func(_, _ []byte) bool { ok = true; return false })
	return nil, ok
}

func (k *keyspace) Each(visit func(owner, record []byte) bool) {
	var all redismodule.HashCursor
	defer all.Close()
	k.key.HashSome(&all, math.MaxInt, locktable.MaxRecord, visit)
}

// cursor is a locktable.Cursor.
type cursor struct{ redismodule.HashCursor }

func (k *keyspace) Cursor() locktable.Cursor { return &cursor{} }

func (k *keyspace) Scan(at locktable.Cursor, fields int, visit func(owner, record []byte) bool) (more bool) {
	return k.key.HashSome(&at.(*cursor).HashCursor, fields, locktable.MaxRecord, visit)
}

func (k *keyspace) Token() *int64 { return &k.fast.Token }

func (k *keyspace) Logged(visit func(hash uint64, expires, at, held int64)) {
	if k.fast.Logged == 0 {
		return
	}
	for _, c := range k.fast.Log() {
		visit(uint64(c.Hash), c.Expires, c.At, c.Held)
	}
}

func (k *keyspace) Hash(db int, name []byte) uint64 { return uint64(k.ctx.KeyID(db, name)) }

// Watch also has the lock's commands come to their handlers, because somebody waits.
func (k *keyspace) Watch(db int, name []byte)   { k.ctx.Hold(db, name) }
func (k *keyspace) Unwatch(db int, name []byte) { redismodule.LetGo(k.ctx.KeyID(db, name)) }

func (k *keyspace) WatchClient(client uint64)   { k.ctx.WatchClient(client) }
func (k *keyspace) UnwatchClient(client uint64) { k.ctx.UnwatchClient(client) }
