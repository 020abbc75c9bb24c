// Package lock takes locks that are handed over: who waits stands in a line on
// the server, and a release gives the lock to the next in that very step.
// Nobody polls. The server needs the module distlock.
//
//	locks := lock.New(rdb, lock.Options{})
//	err := locks.WithLock(ctx, "report", func(ctx context.Context) error {
//		return writeReport(ctx) // ctx ends before the lock can be another's
//	})
//
// A lock is held for a lease (30 seconds by default), which is renewed for as
// long as it is held. If it cannot be renewed, [Lock.Context] is cancelled before
// the lease can have run out, by this machine's monotonic clock. A process that
// stands still for longer than its lease (paused, suspended) notices too late: if
// two at once would do harm, let the resource check the lock's fencing token,
// see [Lock.Token], [Affected], [SetToken] and [Client.Fence].
//
// A lock costs two commands, also under contention: acquire and release. Callers of
// one process that want the same lock in the same way stand in a line here, and one
// connection waits for them all. All connections are the package's own: they take none
// from the client's pool, and the client's timeouts do not end them. The client's hooks
// (tracing, metrics) see their commands.
//
// Locks are not re-entrant. Take several with [Client.AcquireAll], which cannot end in a
// deadlock. Where they are taken one after another, take them in a fixed order, or set
// [Options.Owner]: then a cycle is [ErrDeadlock] at once.
package lock
