package distlock

import "holdfast/redismodule"

// rescan finds the locks again that a node holds when it starts to lead, so
// that the next token is greater than theirs and they are counted. It goes a
// few buckets at a time and rests between, because a keyspace may be large; and
// nobody waits for it, because a record is read before its lock is granted anew
// anyway.
type rescan struct {
	more  bool
	types int // how many of walkTypes are done in this database
	db    int
	scan  redismodule.Scan
}

const (
	walkBuckets = 16  // between two looks at the clock
	walkSlice   = 300 // µs in one go
	walkEvery   = 2   // ms from one go to the next
)

var walkTypes = [...]redismodule.KeyType{redismodule.TypeString, redismodule.TypeHash}

func (r *rescan) start(ctx *redismodule.Ctx) {
	r.stop()
	r.more = true
	ctx.SetTimer(ctx.Now())
}

func (r *rescan) stop() {
	r.scan.Close()
	*r = rescan{}
}

// step walks on, where the table has left time to.
func (r *rescan) step(ctx *redismodule.Ctx) {
	for began := ctx.Monotonic(); r.more && ctx.Monotonic()-began < walkSlice; {
		ctx.SelectDB(r.db)
		if ctx.DB() != r.db { // the server has no more of them
			r.stop()
			return
		}
		if r.scan.Step(ctx, walkBuckets, func(name []byte) { r.look(ctx, name) }, walkTypes[r.types]) {
			continue
		}
		if r.types++; r.types == len(walkTypes) {
			r.db, r.types = r.db+1, 0
		}
	}
}

// look tells the table of a lock.
func (r *rescan) look(ctx *redismodule.Ctx, name []byte) {
	if mayBeLock(ctx, name) {
		table.Seen(ctx.Now(), r.db, name)
	}
}
