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

	background bool // no command brought us here, see Open
	reading    bool // only looking: open for reading, and leave the key's age

	key    redismodule.Writer
	open   bool
	begun  bool            // open, and not asked for yet
	lazy   bool            // Close waits for the reply
	state  locktable.Found // what was found there
	fresh  bool            // field is the owner's record,
	record bool            // if it has one
	field  []byte          // scratch for the record read last

	// The last write and its event wait for Close, to be done together with it
	// when Go has returned. Whatever comes before Close sends them first.
	change redismodule.Change
	value  []byte // of the change
}

// enter prepares for a callback of the server, outside any command.
func (k *keyspace) enter(ctx *redismodule.Ctx) {
	k.end()
	k.ctx, k.db, k.background, k.lazy = ctx, ctx.DB(), true, false
	k.name, k.owner = redismodule.Arg{}, redismodule.Arg{}
}

// enterCommand prepares for a command that only looks.
func (k *keyspace) enterCommand(ctx *redismodule.Ctx, name redismodule.Arg) {
	k.enter(ctx)
	k.name, k.background = name, false
}

// recordMost is the greatest length of a field that is read to see whether a hash is a lock.
const recordMost = 1 << 20

// opening is what is done before a command that writes comes to its handler.
var opening = redismodule.Opening{Write: true, Field: 2}

// begin prepares for a command that writes: its lock is open, and the owner's
// record read. Close waits for reply or end, and one of the two must come.
func (k *keyspace) begin(ctx *redismodule.Ctx, name, owner redismodule.Arg) {
	k.end()
	at, record, ok := ctx.Begin(k.field[:0])
	k.ctx, k.db, k.background, k.name, k.owner = ctx, at.DB, false, name, owner
	k.key, k.open, k.begun, k.lazy = at.Writer, true, true, true
	k.state, k.field, k.record = found(at.Reader, at.Len), record, ok
	k.fresh = true
}

// reply answers an integer and ends the command.
func (k *keyspace) reply(n int64) {
	if k.open && k.key.End(&k.change, n) {
		k.open, k.begun, k.fresh = false, false, false
		k.change = redismodule.Change{}
		return
	}
	k.end()
	k.ctx.ReplyInt(n)
}

// same tells whether b is the very argument a, not a copy.
func same(a redismodule.Arg, b []byte) bool {
	return len(b) > 0 && a.Len() == len(b) && &a.Bytes()[0] == &b[0]
}

// arg is the running command's own argument where owner is that one.
func (k *keyspace) arg(owner []byte) redismodule.Arg {
	if same(k.owner, owner) {
		return k.owner
	}
	return redismodule.Text(owner)
}

func (k *keyspace) Open(db int, name []byte) locktable.Found {
	if k.begun && same(k.name, name) && db == k.db {
		k.begun = false
		return k.state
	}
	k.end()
	if db != k.db {
		k.ctx.SelectDB(db)
		k.db = db
	}
	// Before the key is open: the question is a call, which may expire the lock.
	if k.background && !k.ctx.Serves(name) {
		return locktable.Found{Kind: locktable.Elsewhere}
	}
	arg := redismodule.Text(name)
	if same(k.name, name) {
		arg = k.name
	}
	if k.reading {
		k.key = redismodule.Writer{Reader: k.ctx.Look(arg)}
	} else {
		k.key = k.ctx.Write(arg)
	}
	k.open = true
	return found(k.key.Reader, -1)
}

// found is what the table wants to know of a key; fields is -1 where it must be
// asked for.
func found(key redismodule.Reader, fields int) locktable.Found {
	switch key.Type {
	case redismodule.TypeNone:
		return locktable.Found{}
	case redismodule.TypeHash:
		if fields < 0 {
			fields = key.Len()
		}
		return locktable.Found{Kind: locktable.Hash, Holders: fields, Expires: max(key.ExpireAt, 0)}
	}
	return locktable.Found{Kind: locktable.Other}
}

func (k *keyspace) Close() {
	if !k.lazy {
		k.end()
	}
}

// end sends what waits and closes the lock.
func (k *keyspace) end() {
	if !k.open {
		return
	}
	k.flush()
	k.open, k.begun = false, false
	k.key.Close()
}

// flush sends what waits for Close.
func (k *keyspace) flush() {
	k.fresh = false
	k.key.Apply(&k.change)
	k.change = redismodule.Change{}
}

func (k *keyspace) Record(owner []byte) (record []byte, ok bool) {
	if k.fresh && same(k.owner, owner) { // begin has read it
		return k.field, k.record
	}
	k.flush()
	k.field, ok = k.key.HashGet(k.arg(owner), k.field[:0])
	return k.field, ok
}

func (k *keyspace) Any() (record []byte, ok bool) {
	k.flush()
	k.field, ok = k.key.HashAny(k.field[:0], recordMost)
	return k.field, ok
}

func (k *keyspace) Each(visit func(owner, record []byte) bool) {
	k.flush()
	k.key.HashEach(visit)
}

func (k *keyspace) Put(owner, record []byte, expires int64) {
	k.flush()
	if expires == 0 {
		expires = -1 // stays as it is
	}
	k.value = append(k.value[:0], record...) // the caller may write the next one there
	k.change = redismodule.Change{Put: true, Field: k.arg(owner), Value: k.value, ExpireAt: expires}
}

func (k *keyspace) Remove(owner []byte) {
	k.flush()
	k.key.HashDel(k.arg(owner), -1)
}

func (k *keyspace) Delete() {
	k.flush()
	k.change.Delete = true
}

func (k *keyspace) ExpireAt(expires int64) {
	if k.change.Put && k.change.Class == 0 {
		k.change.ExpireAt = expires
		return
	}
	k.flush()
	k.key.SetExpireAt(expires)
}

var events = [...]redismodule.EventName{
	locktable.Acquired: redismodule.NewEvent("lock.acquired"),
	locktable.Released: redismodule.NewEvent("lock.released"),
	locktable.Expired:  redismodule.NewEvent("lock.expired"),
	locktable.Broken:   redismodule.NewEvent("lock.broken"),
}

func (k *keyspace) Event(e locktable.Event) {
	if k.change.Class != 0 {
		k.flush()
	}
	k.change.Class, k.change.Event = redismodule.EventModule, events[e]
}

func (k *keyspace) Watch(db int, name []byte)   { k.ctx.Watch(db, name) }
func (k *keyspace) Unwatch(db int, name []byte) { k.ctx.Unwatch(db, name) }

func (k *keyspace) WatchClient(client uint64)   { k.ctx.WatchClient(client) }
func (k *keyspace) UnwatchClient(client uint64) { k.ctx.UnwatchClient(client) }
