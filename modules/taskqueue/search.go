package taskqueue

import (
	"holdfast/modules/internal/dispatch"
	"holdfast/redismodule"
)

// search finds the delayed sets and the streams again when the data came from elsewhere: by
// a load, a promotion, a swap of databases. It walks the keyspace in bounded steps beside
// the server's work. A replica looks for streams alone.
type search struct {
	from, to int // databases to walk, to excluded
	scan     redismodule.Scan
	ended    int64 // when the last one ended, unix ms
}

const (
	// buckets is how much of the keyspace's table one step looks at.
	buckets = 64
	// stale is after how many ms a replica searches again when it is asked: of streams
	// that come by replication it hears nothing.
	stale = 60_000
)

// start begins anew in one database, or everywhere, besides those that are still to be
// walked. A small keyspace is walked at once, a large one from the timer.
func (f *search) start(ctx *redismodule.Ctx, s *state, db int) {
	f.plan(s, db)
	was := ctx.DB()
	f.run(ctx, s, slice)
	ctx.SelectDB(was)
	s.rearm(ctx)
}

// plan is start that leaves all walking to the timer, which the caller has to arm.
func (f *search) plan(s *state, db int) {
	f.scan.Close()
	switch {
	case db == everywhere:
		f.from, f.to = 0, s.dbs
	case f.running():
		f.from, f.to = min(f.from, db), max(f.to, db+1)
	default:
		f.from, f.to = db, db+1
	}
}

// again begins anew on a replica that has not searched for long.
func (f *search) again(ctx *redismodule.Ctx, s *state) {
	if !f.running() && ctx.Now()-f.ended > stale && ctx.Flags()&redismodule.FlagPrimary == 0 {
		f.start(ctx, s, everywhere)
	}
}

func (f *search) stop() {
	f.scan.Close()
	f.from, f.to = 0, 0
}

func (f *search) running() bool { return f.from < f.to }

// run goes on with a search under way for so many microseconds.
func (f *search) run(ctx *redismodule.Ctx, s *state, share int64) {
	if !f.running() {
		return
	}
	began, primary := ctx.Monotonic(), ctx.Flags()&redismodule.FlagPrimary != 0
	for f.running() && ctx.Monotonic()-began < share {
		ctx.SelectDB(f.from)
		more := f.scan.Step(ctx, buckets, func(name []byte) {
			if primary {
				for _, kind := range [...]string{delayedKey, expiringKey, heldKey} {
					if stream, ok := dispatch.StreamOf(name, kind); ok {
						s.learn(ctx, s.table.Queue(f.from, stream))
					}
				}
			}
			if isGroupedStream(ctx, name) {
				s.catalog.add(dispatch.Key{DB: f.from, Stream: text(name)})
			}
		}, redismodule.TypeZSet, redismodule.TypeStream)
		if !more {
			f.from++
		}
	}
	if !f.running() {
		f.ended = ctx.Now()
	}
}

// replicaTimer goes on with a search on a replica.
func replicaTimer(ctx *redismodule.Ctx) {
	if tasks.search.run(ctx, &tasks, slice); tasks.search.running() {
		ctx.SetTimer(0)
	}
}
