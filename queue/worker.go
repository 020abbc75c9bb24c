package queue

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"holdfast/internal/blocking"
)

// Worker works on the tasks of one queue or several.
//
// For each stream it has one connection that waits and takes tasks ahead, in
// batches, and one command at a time that acknowledges all that was finished
// meanwhile. Between them are as many goroutines as Concurrency says.
type Worker struct {
	o      WorkerOptions
	err    error  // of the options, told by Run
	name   string // its consumers' names begin so
	queues []*source

	values context.Context         // what handlers inherit
	fatal  context.CancelCauseFunc // ends the taking, because of an error
	hard   context.Context         // ends when nothing more is sent

	mu       sync.Mutex
	ready    sync.Cond // a task was taken, or the worker stops
	all      []*stream
	idle     int // goroutines that wait for a task
	ran      bool
	draining bool
	stopping bool // the handlers' contexts have ended

	handlers sync.WaitGroup
}

// source is a queue of a worker.
type source struct {
	conns   *blocking.Pool
	names   []string
	work    func(ctx context.Context, stream, id string, fields []any) error
	weight  int
	credit  int // of the weighted turns
	streams []*stream
	turn    int
}

// NewWorker returns a worker for a queue. It does nothing until Run.
func NewWorker[T any](q *Queue[T], h Handler[T], options WorkerOptions) *Worker {
	w := &Worker{}
	w.ready.L = &w.mu
	w.o, w.err = options.filled()
	host, _ := os.Hostname()
	w.name = fmt.Sprintf("%s:%d:%s", host, os.Getpid(), rand.Text()[:10])
	Also(w, q, h, w.o.Weight)
	return w
}

// Also adds a queue to a worker, before Run. Where several have tasks, it is the
// turn of each as often as its weight says, in proportion to the others'.
func Also[T any](w *Worker, q *Queue[T], h Handler[T], weight int) {
	if w.err == nil {
		w.err = q.err
	}
	if w.err == nil && h == nil {
		w.err = failed("work on", q.name, errors.New("there is no Handler"))
	}
	w.queues = append(w.queues, &source{
		conns: blocking.NewPool(q.rdb), names: q.streams, work: work(q, h), weight: max(weight, 1),
	})
}

// Run works until ctx ends; outages it rides out. Then it takes nothing more, gives
// back what no handler has begun, lets the handlers finish for DrainTimeout, and
// returns when all it started has ended.
//
// It returns nil if no task was left unfinished by that. Else the error is
// [ErrStopped]: handlers were interrupted, and their tasks given to other workers.
// Any other error is why it could not work at all. A worker runs once.
func (w *Worker) Run(ctx context.Context) error {
	if w.err != nil {
		return w.err
	}
	w.mu.Lock()
	again := w.ran
	w.ran = true
	w.mu.Unlock()
	if again {
		return errors.New("queue: a worker runs once")
	}
	w.values = context.WithoutCancel(ctx)
	taking, fatal := context.WithCancelCause(ctx)
	hard, end := context.WithCancel(w.values)
	w.fatal, w.hard = fatal, hard
	defer fatal(nil)
	defer end()

	for _, q := range w.queues {
		for _, name := range q.names {
			st := newStream(w, q, name)
			q.streams = append(q.streams, st)
			w.all = append(w.all, st)
		}
		defer q.conns.Close()
	}
	w.share()
	var readers, keepers sync.WaitGroup
	for _, st := range w.all {
		readers.Go(func() { st.read(taking) })
		keepers.Go(st.settle)
		keepers.Go(st.renew)
	}
	for range w.o.Concurrency {
		w.handlers.Go(w.loop)
	}
	<-taking.Done()
	unfinished := w.drain(&readers)
	for _, st := range w.all {
		st.close()
	}
	limit := time.AfterFunc(farewell, end)
	keepers.Wait()
	limit.Stop()
	if ctx.Err() == nil {
		return context.Cause(taking)
	}
	return unfinished
}

// farewell is how long, at most, a worker that stops tries to tell the server what
// is finished and what is not.
const farewell = 5 * time.Second

// share divides what is taken ahead among the streams by their weights.
func (w *Worker) share() {
	total := 0
	for _, q := range w.queues {
		total += q.weight
	}
	for _, q := range w.queues {
		for _, st := range q.streams {
			share := func(n int) int { return max(n*q.weight/(total*len(q.streams)), 1) }
			switch {
			case w.o.Prefetch == 0:
				st.least = share(w.o.Concurrency)
				st.ahead = st.least
			case w.o.Prefetch > 0:
				st.ahead = share(w.o.Prefetch)
			}
		}
	}
}

// drain ends the work: what is not begun is given back at once, what is in work
// has its time to finish.
func (w *Worker) drain(readers *sync.WaitGroup) error {
	w.mu.Lock()
	w.draining = true
	w.wakeAll()
	w.mu.Unlock()
	readers.Wait()
	var giving sync.WaitGroup
	for _, st := range w.all {
		giving.Go(st.giveBack)
	}
	finished := make(chan struct{})
	go func() { w.handlers.Wait(); close(finished) }()
	late := time.NewTimer(w.o.DrainTimeout)
	defer late.Stop()
	select {
	case <-finished:
		giving.Wait()
		return nil
	case <-late.C:
	}
	w.mu.Lock()
	w.stopping = true
	n := 0
	for _, st := range w.all {
		n += st.interrupt(ErrStopped)
	}
	w.mu.Unlock()
	late.Reset(farewell)
	select {
	case <-finished:
		giving.Wait()
		if n == 0 {
			return nil
		}
		return fmt.Errorf("queue: %w: %d tasks were in work after %v", ErrStopped, n, w.o.DrainTimeout)
	case <-late.C:
		giving.Wait()
		return fmt.Errorf("queue: %w: %d tasks were in work after %v, and some handlers do not heed their contexts", ErrStopped, n, w.o.DrainTimeout)
	}
}

// wakeAll has everybody look again. The caller has w.mu.
func (w *Worker) wakeAll() {
	w.ready.Broadcast()
	for _, st := range w.all {
		st.hungry.Signal()
		st.finished.Signal()
	}
}

// fail ends the worker by an error that does not pass.
func (w *Worker) fail(st *stream, err error) {
	w.fatal(failed("work on", st.name, err))
}
