// Package cache is a cache in Redis that cannot stampede: of all callers, in all
// processes, who miss a key together, one loads the value, and the server hands it to
// the others. Nobody polls. The server needs the module cachelock.
//
//	users := cache.New[User](rdb, cache.Options{Prefix: "user:", TTL: time.Minute})
//	u, err := users.Fetch(ctx, "7", func(ctx context.Context) (User, error) {
//		return db.User(ctx, 7)
//	})
//
// Values are plain strings of Redis: GET, TTL, DEL and eviction work on them. A load
// that began before an [Cache.Invalidate] cannot store what it read.
//
// Calls for one key in one process share one request and its value, which nobody may
// modify. Loads run on goroutines of the cache. A caller whose context ends returns at
// once, whatever Redis or the loader do; the others still get the value, and when all
// have left, the load is cancelled and is another process's turn.
//
// With [Options.Near] the values asked for most are in the process's own memory too: a
// call then costs less than a tenth of a microsecond, and the server reports when a
// value changes, by whatever command.
//
// While Redis refuses or does not answer within [Options.Timeout], values are loaded
// without it, [Options.MaxLoads] at a time, and a goroutine of the cache, never a
// caller, finds out when it is back. The log says when that begins and ends. In a
// cluster this holds for the keys of each server. The cache saves work; it is no mutual
// exclusion, which package lock is.
//
// Hits, and commands that wait, use connections of the cache's own, beside the pool of
// the client given to [New]: at most ten times GOMAXPROCS that do not wait. They have
// the client's options and hooks, so tracing and metrics see all commands.
// [Cache.Stats] counts hits, loads and failures; [Inspect] asks the servers.
package cache
