// Package queue is a task queue in Redis or Valkey: a task is handed to a worker in the
// moment it is published, and nobody polls. The server needs the module taskqueue.
//
//	mails := queue.New[Mail](rdb, "mails", queue.Options{})
//	id, err := mails.Publish(ctx, Mail{To: "ann@example.com"})
//
//	w := queue.NewWorker(mails, func(ctx context.Context, t *queue.Task[Mail]) error {
//		return send(ctx, t.Payload)
//	}, queue.WorkerOptions{})
//	err = w.Run(ctx) // until ctx ends
//
// The queue is a native stream of its name. Dead letters lie in a stream beside it,
// {mails}:dead; see [DeadStream] and [RetryStream].
//
// A task is done at least once. It is done again when its worker vanished, after the
// lease; when its handler failed; and when a failover lost that it was done. So a handler
// must do no harm when it is repeated. A worker that loses a task ends the handler's
// context before another worker can begin the task, and cannot acknowledge it.
//
// A worker rides out broken connections, restarts, failovers and moving slots by
// itself. Tasks that a broken connection may have carried away are given out again at
// once, not after the lease.
//
// [Inspect] is for operators: it lists, searches, redrives and cancels tasks.
package queue
