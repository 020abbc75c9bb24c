package distlock

import (
	"holdfast/internal/locktable"
	"holdfast/redismodule"
)

// rescan finds the locks again that a node holds when it starts to lead, so
// that the next token is greater than theirs and they are counted. It goes a
// few buckets at a time, because a keyspace may be large; and it is not waited
// for, because a record is read before its lock is granted anew anyway.
type rescan struct {
	more bool
	db   int
	scan redismodule.Scan
}

const rescanBuckets = 200 // in one go: some tens of microseconds

func (r *rescan) start(ctx *redismodule.Ctx) {
	r.stop()
	r.more = true
	ctx.SetTimer(ctx.Now())
}

func (r *rescan) stop() {
	r.scan.Close()
	*r = rescan{}
}

func (r *rescan) step(ctx *redismodule.Ctx) {
	if !r.more {
		return
	}
	ctx.SelectDB(r.db)
	if ctx.DB() != r.db { // the server has no more of them
		r.stop()
		return
	}
	if r.scan.Step(ctx, rescanBuckets, redismodule.TypeHash, func(name []byte) { r.look(ctx, name) }) {
		return
	}
	r.db++
}

func (r *rescan) look(ctx *redismodule.Ctx, name []byte) {
	k := ctx.Look(redismodule.Text(name))
	defer k.Close()
	if k.Type != redismodule.TypeHash {
		return
	}
	first, _ := k.HashAny(nil, recordMost)
	if _, ok := locktable.ParseRecord(first); !ok {
		return // to walk a big hash of somebody's would hold up the server
	}
	k.HashEach(func(_, field []byte) bool {
		record, ok := locktable.ParseRecord(field)
		if ok {
			table.Seen(r.db, name, k.ExpireAt, ctx.Now(), &record)
		}
		return ok // a hash that is no lock is not read on
	})
}
