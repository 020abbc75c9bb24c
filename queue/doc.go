// Package queue is a task queue in Redis: tasks are handed to workers in the moment
// they are published, and nobody polls. The server needs the module taskqueue.
//
//	mails := queue.New[Mail](rdb, "mails", queue.Options{})
//	id, err := mails.Publish(ctx, Mail{To: "ann@example.com"})
//
//	w := queue.NewWorker(mails, func(ctx context.Context, t *queue.Task[Mail]) error {
//		return send(ctx, t.Payload)
//	}, queue.WorkerOptions{})
//	err = w.Run(ctx) // until ctx ends
//
// The queue is a native stream of its name, the dead letters are one beside it,
// {mails}:dead.
//
// Tasks are done at least once. One is done again when its worker vanished (after the
// lease), when it failed, and when a failover lost that it was done; so make what
// handlers do harmless when repeated. A worker that has lost a task to another one
// cannot acknowledge it, and its handler's context ends.
//
// Workers ride out whatever passes by itself: broken connections, restarts,
// failovers, moving slots. What a broken connection may have carried away is given
// out again at once, not after the lease.
//
// A worker takes tasks and acknowledges them in batches. If tasks take long, set
// Prefetch to -1: what is taken ahead cannot be begun by another worker.
package queue
