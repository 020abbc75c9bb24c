package queue

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Batch makes one handler of many tasks: h is called with up to size tasks that came
// together, at the latest when the first of them has waited for wait. An error of h is the
// error of each task, unless it is [Errors]. The context ends when that of any of the tasks does.
//
// Each task counts as one in work, so Concurrency must be at least size; with twice that, a
// batch fills while another is in work.
func Batch[T any](size int, wait time.Duration, h func(ctx context.Context, tasks []*Task[T]) error) Handler[T] {
	if size < 1 || wait <= 0 || h == nil {
		panic(fmt.Errorf("queue: Batch of %d tasks within %v: both must be above 0, and the handler not nil", size, wait))
	}
	b := &batcher[T]{size: size, wait: wait, h: h}
	return b.handle
}

type batcher[T any] struct {
	size int
	wait time.Duration
	h    func(ctx context.Context, tasks []*Task[T]) error

	mu   sync.Mutex
	open *batch[T] // to which tasks are added
}

type batch[T any] struct {
	tasks []*Task[T]
	full  chan struct{} // closed when no more tasks are added
	done  chan struct{}
	ctx   context.Context // of the handler
	end   context.CancelCauseFunc
	errs  Errors
}

// handle adds a task to the open batch. Whoever opened the batch works on it, for all.
func (b *batcher[T]) handle(ctx context.Context, t *Task[T]) error {
	b.mu.Lock()
	mine := b.open
	opener := mine == nil
	if opener {
		mine = &batch[T]{full: make(chan struct{}), done: make(chan struct{})}
		mine.ctx, mine.end = context.WithCancelCause(context.WithoutCancel(ctx))
		b.open = mine
	}
	n := len(mine.tasks)
	mine.tasks = append(mine.tasks, t)
	if len(mine.tasks) == b.size {
		b.open = nil
		close(mine.full)
	}
	b.mu.Unlock()
	stop := context.AfterFunc(ctx, func() { mine.end(context.Cause(ctx)) })
	defer stop()
	if !opener {
		<-mine.done
		return mine.errs[n]
	}
	timer := time.NewTimer(b.wait)
	defer timer.Stop()
	select {
	case <-mine.full:
	case <-mine.ctx.Done():
	case <-timer.C:
	}
	b.mu.Lock()
	if b.open == mine {
		b.open = nil
	}
	b.mu.Unlock()
	b.work(mine)
	return mine.errs[n]
}

// work calls the handler with a batch that is closed, and sorts out the errors.
func (b *batcher[T]) work(mine *batch[T]) {
	mine.errs = make(Errors, len(mine.tasks))
	for i := range mine.errs {
		mine.errs[i] = errGoexit
	}
	defer close(mine.done)
	defer mine.end(nil)
	defer func() {
		if p := recover(); p != nil {
			for i := range mine.errs {
				mine.errs[i] = fmt.Errorf("the handler of its batch panicked: %v", p)
			}
			panic(p)
		}
	}()
	err := b.h(mine.ctx, mine.tasks)
	if each, ok := err.(Errors); ok && len(each) == len(mine.tasks) {
		copy(mine.errs, each)
		return
	}
	for i := range mine.errs {
		mine.errs[i] = err
	}
}
