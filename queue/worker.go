package queue

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/internal/blocking"
)

// Worker works on the tasks of one queue or several.
//
// For each stream it has one connection that waits and takes tasks, in batches, and one
// command at a time that acknowledges all that was finished meanwhile. Between them are
// as many goroutines as Concurrency says.
type Worker struct {
	o      WorkerOptions
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
	stopping bool            // the handlers' contexts have ended
	unknown  map[string]bool // kinds without a handler that were logged

	handlers sync.WaitGroup
	giving   sync.WaitGroup // of tasks to other workers
}

// source is a queue of a worker.
type source struct {
	rdb      redis.UniversalClient
	conns    *blocking.Pool
	name     string
	names    []string
	invalid  error
	handlers map[string]*handler // by kind
	weight   int
	credit   int // of the weighted turns
	streams  []*stream
	turn     int
}

// handler is what a worker has for one kind of task.
type handler struct {
	o    HandlerOptions
	open func(e *entry) runner
}

// NewWorker returns a worker for a queue. It does nothing until Run. It panics if the
// options are not valid, see [WorkerOptions.Validate], and without a handler.
func NewWorker[T any](q *Queue[T], h Handler[T], options WorkerOptions) *Worker {
	if err := options.Validate(); err != nil {
		panic(err)
	}
	w := &Worker{o: options.filled(), unknown: map[string]bool{}}
	w.ready.L = &w.mu
	host, _ := os.Hostname()
	w.name = fmt.Sprintf("%s:%d:%s", host, os.Getpid(), rand.Text()[:10])
	Also(w, q, h, HandlerOptions{Weight: w.o.Weight})
	return w
}

// Also gives a worker a further handler, before Run: for the tasks of another queue, or
// those of another kind in the same queue (see Options.Kind). Where several queues have
// tasks, each has its turn as often as its weight says, in proportion to the others'. Also
// panics if the options are not valid, without a handler, and for a kind that has one.
func Also[T any](w *Worker, q *Queue[T], h Handler[T], options HandlerOptions) {
	if err := options.Validate(); err != nil {
		panic(err)
	}
	if h == nil {
		panic(fmt.Errorf("queue: work on %q: the Handler is nil", q.name))
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ran {
		panic(errors.New("queue: Also is called after Run"))
	}
	o := options.filled(&w.o)
	to := w.source(q.name, q.rdb)
	if to == nil {
		to = &source{rdb: q.rdb, conns: blocking.NewPool(q.rdb), name: q.name, names: q.streams, invalid: q.invalid, handlers: map[string]*handler{}, weight: o.Weight}
		w.queues = append(w.queues, to)
	}
	if len(to.names) != len(q.streams) {
		to.invalid = failed("work on", q.name, errors.New("its kinds have different Partitions"))
	}
	if to.handlers[q.o.Kind] != nil {
		panic(fmt.Errorf("queue: work on %q: there is a handler for the kind %q already", q.name, q.o.Kind))
	}
	to.handlers[q.o.Kind] = &handler{o, open(q, h)}
}

func (w *Worker) source(name string, rdb redis.UniversalClient) *source {
	for _, s := range w.queues {
		if s.name == name && s.rdb == rdb {
			return s
		}
	}
	return nil
}

// Run works until ctx ends, through outages of any length. Then it takes nothing more,
// gives back what no handler has begun, lets the handlers finish for DrainTimeout, and
// tells the server. It returns within DrainTimeout and some seconds, whether the server
// answers or not.
//
// Run returns nil if no handler was interrupted. Else the error is [ErrStopped], and
// the interrupted tasks were given to other workers. Any other error is why it could not
// work at all. A worker runs once.
func (w *Worker) Run(ctx context.Context) error {
	if err := w.begin(); err != nil {
		return err
	}
	w.values = context.WithoutCancel(ctx)
	taking, fatal := context.WithCancelCause(ctx)
	hard, end := context.WithCancel(w.values)
	w.fatal, w.hard = fatal, hard
	defer fatal(nil)
	defer end()
	w.makeStreams()
	for _, q := range w.queues {
		defer q.conns.Close()
	}
	var readers, keepers sync.WaitGroup
	for _, st := range w.all {
		readers.Go(func() { st.read(taking) })
		keepers.Go(st.settle)
		keepers.Go(st.renew)
		keepers.Go(st.expire)
		keepers.Go(st.lookAround)
	}
	for range w.o.Concurrency {
		w.handlers.Go(w.loop)
	}
	<-taking.Done()
	unfinished := w.drain(&readers, end)
	for _, st := range w.all {
		st.close()
	}
	limit := time.AfterFunc(stopTime, end)
	keepers.Wait()
	limit.Stop()
	if ctx.Err() == nil {
		return context.Cause(taking)
	}
	return unfinished
}

// begin checks what the options alone do not tell.
func (w *Worker) begin() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ran {
		return errors.New("queue: a worker runs once")
	}
	w.ran = true
	for _, q := range w.queues {
		if q.invalid != nil {
			return q.invalid
		}
		if w.o.Strict && (len(q.names) > 1 || q.rdb != w.queues[0].rdb) {
			return failed("work on", q.name, errors.New("Strict takes queues without Partitions, of one client"))
		}
	}
	return nil
}

// stopTime is how long, at most, a worker that stops waits for handlers whose contexts have
// ended, and then for the server.
const stopTime = 2 * time.Second

// makeStreams makes a stream for each that is read by a connection of its own: with
// Strict one reads all.
func (w *Worker) makeStreams() {
	for _, q := range w.queues {
		for _, name := range q.names {
			if w.o.Strict && len(w.all) > 0 {
				w.all[0].add(q, name)
				continue
			}
			st := newStream(w, q, name)
			q.streams = append(q.streams, st)
			w.all = append(w.all, st)
		}
	}
	total := 0
	for _, q := range w.queues {
		total += q.weight
	}
	for _, st := range w.all {
		q := st.parts[0].q
		share := func(n int) int { return max(n*q.weight/(total*len(q.names)), 1) }
		switch {
		case w.o.Prefetch == 0:
			st.share = share(w.o.Concurrency)
		case w.o.Prefetch > 0:
			st.ahead = share(w.o.Prefetch)
		}
	}
}

// drain ends the work: what is not begun is given back at once, what is in work
// has its time to finish. In the end nothing is sent any more that was begun before.
func (w *Worker) drain(readers *sync.WaitGroup, end context.CancelFunc) error {
	w.mu.Lock()
	w.draining = true
	w.wakeAll()
	w.mu.Unlock()
	readers.Wait()
	for _, st := range w.all {
		w.giving.Go(st.giveBack)
	}
	finished := make(chan struct{})
	go func() { w.handlers.Wait(); close(finished) }()
	given := make(chan struct{})
	go func() { w.giving.Wait(); close(given) }()
	defer func() {
		select {
		case <-given:
		case <-time.After(stopTime):
			end()
			<-given
		}
	}()
	late := time.NewTimer(w.o.DrainTimeout)
	defer late.Stop()
	select {
	case <-finished:
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
	late.Reset(stopTime)
	select {
	case <-finished:
		if n == 0 {
			return nil
		}
		return fmt.Errorf("queue: %w: %d tasks were in work after %v", ErrStopped, n, w.o.DrainTimeout)
	case <-late.C:
		return fmt.Errorf("queue: %w: %d tasks were in work after %v, and some handlers do not heed their contexts", ErrStopped, n, w.o.DrainTimeout)
	}
}

// wakeAll has all goroutines look again. The caller has w.mu.
func (w *Worker) wakeAll() {
	w.ready.Broadcast()
	for _, st := range w.all {
		st.demand.Signal()
		st.finished.Signal()
	}
}

// fail ends the worker by an error that does not pass.
func (w *Worker) fail(name string, err error) {
	w.fatal(failed("work on", name, err))
}
