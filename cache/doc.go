// Package cache is a cache that cannot stampede: of all who miss a key together,
// in all processes, one loads it, and the server hands the value to the others.
// Nobody polls. The server needs the module cachelock.
//
//	users := cache.New[User](rdb, cache.Options{TTL: time.Minute})
//	u, err := users.Fetch(ctx, "user:7", func(ctx context.Context) (User, error) {
//		return db.User(ctx, 7)
//	})
//
// The values are plain strings of Redis, for GET, TTL, DEL and eviction to work
// on. A load that began before an [Cache.Invalidate] cannot store what it read.
//
// Within a process concurrent calls for a key share one request and its value,
// which nobody may modify. Loads run on goroutines of the cache: a caller whose
// context ends leaves, the others still get the value, and when all have left the
// load is called off and somebody else's turn.
//
// With [Options.Near] the values asked for most are in the process's own memory too:
// then a call costs less than a tenth of a microsecond, and the server tells when a
// value changes, by whatever command.
//
// While Redis does not answer, values are loaded without it, so many at a time in
// each process; the log says when that begins and ends. Of a cluster that goes for the
// keys of each server by itself. The cache saves work. It is
// no mutual exclusion: package lock is.
package cache
