package taskqueue

import (
	"holdfast/internal/dispatch"
	"holdfast/redismodule"
)

// soleMost bounds how many streams are remembered to have one group.
const soleMost = 1024

// soles are streams that were seen to have exactly one group, so that an
// acknowledgement need not ask again. Each is watched as long as it is in here:
// whatever could give it another group is heard of in the same moment, or does
// it in this module, which says so.
type soles map[dispatch.Key]sole

type sole struct {
	watch redismodule.WatchID
	acks  redismodule.PassID // shut with it
}

// has tells whether the stream is known to have one group.
func (o soles) has(db int, stream string) bool {
	_, ok := o[dispatch.Key{DB: db, Stream: stream}]
	return ok
}

// add remembers a stream, forgetting any other when there are too many.
func (o soles) add(ctx *redismodule.Ctx, db int, stream string) {
	for k := range o {
		if len(o) < soleMost {
			break
		}
		o.remove(ctx, k.DB, k.Stream)
	}
	k := dispatch.Key{DB: db, Stream: string(view(stream))}
	o[k] = sole{watch: ctx.Watch(db, view(stream))}
}

// remove forgets a stream whose groups may be others by now.
func (o soles) remove(ctx *redismodule.Ctx, db int, stream string) {
	k := dispatch.Key{DB: db, Stream: stream}
	if s, ok := o[k]; ok {
		ctx.UnwatchID(s.watch)
		tasks.passes.shut(s.acks)
		delete(o, k)
	}
}

// doubt forgets all streams of a database, of all when db is negative.
func (o soles) doubt(ctx *redismodule.Ctx, db int) {
	for k := range o {
		if db < 0 || k.DB == db {
			o.remove(ctx, k.DB, k.Stream)
		}
	}
}
