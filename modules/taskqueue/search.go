package taskqueue

import (
	"holdfast/internal/dispatch"
	"holdfast/redismodule"
)

// search finds the delayed sets again when the data came from elsewhere: by a load, a
// promotion, a swap of databases. It walks the keyspace in bounded steps beside the
// server's work.
type search struct {
	from, to int // databases to walk, to excluded
	scan     redismodule.Scan
}

// buckets is how much of the keyspace's table one step looks at.
const buckets = 128

// start begins anew in one database, or everywhere, besides those that are still to be
// walked. A small keyspace is walked at once, a large one from the timer.
func (f *search) start(ctx *redismodule.Ctx, s *state, db int) {
	f.scan.Close()
	switch {
	case db == everywhere:
		f.from, f.to = 0, s.dbs
	case f.running():
		f.from, f.to = min(f.from, db), max(f.to, db+1)
	default:
		f.from, f.to = db, db+1
	}
	was := ctx.DB()
	f.run(ctx, s, slice)
	ctx.SelectDB(was)
	s.rearm(ctx)
}

func (f *search) stop() {
	f.scan.Close()
	f.from, f.to = 0, 0
}

func (f *search) running() bool { return f.from < f.to }

// run goes on with a search under way for so many microseconds.
func (f *search) run(ctx *redismodule.Ctx, s *state, share int64) {
	began := ctx.Monotonic()
	for f.running() && ctx.Monotonic()-began < share {
		ctx.SelectDB(f.from)
		more := f.scan.Step(ctx, buckets, redismodule.TypeZSet, func(name []byte) {
			for _, kind := range [...]string{delayedKey, expiringKey} {
				if stream, ok := dispatch.StreamOf(name, kind); ok {
					s.learn(ctx, s.table.Queue(f.from, stream))
				}
			}
		})
		if !more {
			f.from++
		}
	}
}
