package distlock

import (
	"holdfast/internal/locktable"
	"holdfast/redismodule"
)

// keyspace is the table's Store in the server. It is good for one callback at
// a time: enter sets the callback's context.
type keyspace struct {
	ctx *redismodule.Ctx
	db  int // selected in ctx

	// The running command's name and owner. Where the table means these, the
	// server's own strings are used, and nothing is copied.
	name, owner redismodule.Arg

	cluster    bool
	background bool // no command brought us here, see served
	reading    bool // only looking: open for reading, and leave the key's age

	key    redismodule.Key
	open   bool
	opened []byte // the name that is open
	field  []byte // scratch for the record read last
}

// enter prepares for a callback of the server, outside any command.
func (k *keyspace) enter(ctx *redismodule.Ctx) {
	k.enterCommand(ctx, redismodule.Arg{}, redismodule.Arg{})
	k.background = true
}

// enterCommand prepares for a command on the lock name.
func (k *keyspace) enterCommand(ctx *redismodule.Ctx, name, owner redismodule.Arg) {
	k.Close()
	k.ctx, k.db, k.name, k.owner, k.background = ctx, ctx.DB(), name, owner, false
}

// same tells whether b is the very argument a, not a copy.
func same(a redismodule.Arg, b []byte) bool {
	return len(b) > 0 && a.Len() == len(b) && &a.Bytes()[0] == &b[0]
}

func (k *keyspace) Open(db int, name []byte) locktable.Found {
	k.Close()
	if db != k.db {
		k.ctx.SelectDB(db)
		k.db = db
	}
	mode := redismodule.Write
	if k.reading {
		mode = redismodule.Read | redismodule.NoTouch
	}
	if same(k.name, name) {
		k.key = k.ctx.Open(k.name, mode)
	} else {
		k.key = k.ctx.OpenName(name, mode)
	}
	k.open, k.opened = true, name
	if k.cluster && k.background && !k.served(name) {
		return locktable.Found{Kind: locktable.Elsewhere}
	}
	return k.found()
}

// served asks whether this node still serves a name. The server asks so for
// every command; for what no command asked for, nobody else does.
func (k *keyspace) served(name []byte) bool {
	return k.ctx.Cmd("EXISTS").Bytes(name).Do("E") == nil
}

func (k *keyspace) found() locktable.Found {
	switch k.key.Type {
	case redismodule.TypeNone:
		return locktable.Found{}
	case redismodule.TypeHash:
		return locktable.Found{Kind: locktable.Hash, Holders: k.key.Len(), Expires: max(k.key.ExpireAt, 0)}
	}
	return locktable.Found{Kind: locktable.Other}
}

func (k *keyspace) Close() {
	if k.open {
		k.key.Close()
		k.open = false
	}
}

func (k *keyspace) Record(owner []byte) (record []byte, ok bool) {
	if same(k.owner, owner) {
		k.field, ok = k.key.HashGetArg(k.owner, k.field[:0])
	} else {
		k.field, ok = k.key.HashGet(owner, k.field[:0])
	}
	return k.field, ok
}

func (k *keyspace) Any() (record []byte, ok bool) {
	k.field, ok = k.key.HashAny(k.field[:0])
	return k.field, ok
}

func (k *keyspace) Each(visit func(owner, record []byte) bool) { k.key.HashEach(visit) }

func (k *keyspace) Put(owner, record []byte, expires int64) {
	if expires == 0 {
		expires = -1 // stays as it is
	}
	if same(k.owner, owner) {
		k.key.HashPutArg(k.owner, record, expires)
	} else {
		k.key.HashPut(owner, record, expires)
	}
}

func (k *keyspace) Remove(owner []byte) { k.key.HashDel(owner, -1) }

func (k *keyspace) Delete() { k.key.Delete() }

func (k *keyspace) ExpireAt(expires int64) { k.key.SetExpireAt(expires) }

var events = [...]string{
	locktable.Acquired: "lock.acquired",
	locktable.Released: "lock.released",
	locktable.Expired:  "lock.expired",
	locktable.Broken:   "lock.broken",
}

func (k *keyspace) Event(e locktable.Event) {
	if same(k.name, k.opened) {
		k.ctx.NotifyArg(redismodule.EventModule, events[e], k.name)
	} else {
		k.ctx.Notify(redismodule.EventModule, events[e], k.opened)
	}
}

func (k *keyspace) Watch(db int, name []byte)   { k.ctx.Watch(db, name) }
func (k *keyspace) Unwatch(db int, name []byte) { k.ctx.Unwatch(db, name) }

func (k *keyspace) WatchClient(client uint64)   { k.ctx.WatchClient(client) }
func (k *keyspace) UnwatchClient(client uint64) { k.ctx.UnwatchClient(client) }
