// godriver drives the Go clients as clients/conformance asks: a JSON request a line on standard
// input, answers and events a line each on standard output.
package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/cache"
	"holdfast/lock"
	"holdfast/queue"
)

// request is a line of standard input. Durations are milliseconds, bytes are hexadecimal.
type request struct {
	ID   int    `json:"id"`
	Op   string `json:"op"`
	Args struct {
		Addr        string              `json:"addr"`
		Backoff     int                 `json:"backoff"`
		Cluster     bool                `json:"cluster"`
		Concurrency int                 `json:"concurrency"`
		Delay       int                 `json:"delay"`
		Group       string              `json:"group"`
		Headers     map[string]string   `json:"headers"`
		Hold        int                 `json:"hold"`
		Key         string              `json:"key"`
		Keys        []string            `json:"keys"`
		Lease       int                 `json:"lease"`
		Limit       int                 `json:"limit"`
		Load        load                `json:"load"`
		MaxBackoff  int                 `json:"maxBackoff"`
		MaxRetries  *int                `json:"maxRetries"`
		Meta        string              `json:"meta"`
		Name        string              `json:"name"`
		Payload     string              `json:"payload"`
		Protocol    int                 `json:"protocol"`
		Queue       string              `json:"queue"`
		Refresh     int                 `json:"refresh"`
		Script      map[string][]string `json:"script"`
		Shared      bool                `json:"shared"`
		Takes       int                 `json:"takes"`
		Target      int                 `json:"target"`
		TTL         int                 `json:"ttl"`
		Unique      string              `json:"unique"`
		UniqueTTL   int                 `json:"uniqueTtl"`
		Wait        *int                `json:"wait"`
	} `json:"args"`
}

// load says what a loader does.
type load struct {
	Value   string `json:"value"`
	Delay   int    `json:"delay"`
	Error   string `json:"error"`
	Absent  int    `json:"absent"`
	NoStore bool   `json:"nostore"`
}

// operation is one that runs.
type operation struct {
	request
	ctx    context.Context
	cancel context.CancelFunc
	let    chan struct{}
	once   sync.Once
}

func (o *operation) free() { o.once.Do(func() { close(o.let) }) }

// driver is the clients, and what runs.
type driver struct {
	rdb   redis.UniversalClient
	locks *lock.Client

	mu      sync.Mutex
	running map[int]*operation
	caches  map[cacheKey]*cache.Cache[[]byte]
}

var out sync.Mutex

func say(line map[string]any) {
	out.Lock()
	defer out.Unlock()
	_ = json.NewEncoder(os.Stdout).Encode(line)
}

func main() {
	slog.SetDefault(slog.New(slog.DiscardHandler))
	d := &driver{running: map[int]*operation{}, caches: map[cacheKey]*cache.Cache[[]byte]{}}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<26)
	for lines.Scan() {
		o := &operation{let: make(chan struct{})}
		if err := json.Unmarshal(lines.Bytes(), &o.request); err != nil {
			panic(err)
		}
		o.ctx, o.cancel = context.WithCancel(context.Background())
		d.mu.Lock()
		d.running[o.ID] = o
		target := d.running[o.Args.Target]
		d.mu.Unlock()
		switch o.Op {
		case "let":
			target.free()
			say(map[string]any{"id": o.ID, "ok": struct{}{}})
		case "stop", "cancel":
			target.cancel()
			say(map[string]any{"id": o.ID, "ok": struct{}{}})
		default:
			go d.run(o)
		}
	}
}

func (d *driver) run(o *operation) {
	ops := map[string]func(*operation) (map[string]any, error){
		"open": d.open, "lock": d.lock, "fetch": d.fetch, "del": d.del, "publish": d.publish, "work": d.work, "close": d.close,
	}
	result, err := ops[o.Op](o)
	if err != nil {
		say(map[string]any{"id": o.ID, "error": nameOf(err), "text": err.Error()})
		return
	}
	if result == nil {
		result = map[string]any{}
	}
	say(map[string]any{"id": o.ID, "ok": result})
}

// nameOf is the error's name in the list of promises.
func nameOf(err error) string {
	switch {
	case errors.Is(err, lock.ErrHeld), errors.Is(err, context.DeadlineExceeded):
		return "NotHeld"
	case errors.Is(err, lock.ErrLost):
		return "Lost"
	case errors.Is(err, cache.ErrLoadFailed):
		return "LoadFailed"
	}
	return fmt.Sprintf("%T", err)
}

func ms(n int) time.Duration { return time.Duration(n) * time.Millisecond }

func (d *driver) open(o *operation) (map[string]any, error) {
	d.rdb = redis.NewUniversalClient(&redis.UniversalOptions{Addrs: []string{o.Args.Addr}, Protocol: o.Args.Protocol, IsClusterMode: o.Args.Cluster})
	d.locks = lock.New(d.rdb, lock.Options{})
	return map[string]any{"cancel": true}, nil
}

func (d *driver) close(*operation) (map[string]any, error) {
	return nil, errors.Join(d.locks.Close(), d.rdb.Close())
}

func (d *driver) lock(o *operation) (map[string]any, error) {
	a := &o.Args
	options := []lock.Option{lock.Meta(a.Meta)}
	if a.TTL > 0 {
		options = append(options, lock.Lease(ms(a.TTL)))
	}
	if a.Shared {
		options = append(options, lock.Shared())
	} else if a.Limit > 1 {
		options = append(options, lock.Limit(a.Limit))
	}
	var held *lock.Lock
	var err error
	if a.Wait != nil && *a.Wait == 0 {
		held, err = d.locks.TryAcquire(o.ctx, a.Name, options...)
	} else {
		wait := 10 * time.Second
		if a.Wait != nil {
			wait = ms(*a.Wait)
		}
		ctx, cancel := context.WithTimeout(o.ctx, wait)
		defer cancel()
		held, err = d.locks.Acquire(ctx, a.Name, options...)
	}
	if err != nil {
		return nil, err
	}
	say(map[string]any{"event": "held", "id": o.ID, "token": held.Token()})
	hold := time.Hour
	if a.Hold > 0 {
		hold = ms(a.Hold)
	}
	select {
	case <-o.let:
	case <-time.After(hold):
	case <-held.Context().Done():
		say(map[string]any{"event": "lost", "id": o.ID})
	}
	if held.Context().Err() == nil {
		say(map[string]any{"event": "leaving", "id": o.ID})
	}
	cause := context.Cause(held.Context())
	err = held.Release(context.Background())
	if errors.Is(cause, lock.ErrLost) {
		err = cause
	}
	return map[string]any{"token": held.Token()}, err
}

// cacheKey tells caches with different options apart.
type cacheKey struct{ ttl, lease, refresh, absent int }

// cacheFor is the cache with the options of an operation: callers who miss at once share one.
func (d *driver) cacheFor(o *operation) *cache.Cache[[]byte] {
	key := cacheKey{o.Args.TTL, o.Args.Lease, o.Args.Refresh, o.Args.Load.Absent}
	options := cache.Options{TTL: ms(o.Args.TTL), Lease: ms(o.Args.Lease), RefreshAhead: ms(o.Args.Refresh), NegativeTTL: ms(o.Args.Load.Absent), Codec: cache.Bytes}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.caches[key] == nil {
		d.caches[key] = cache.New[[]byte](d.rdb, options)
	}
	return d.caches[key]
}

func (d *driver) fetch(o *operation) (map[string]any, error) {
	l := o.Args.Load
	value, err := d.cacheFor(o).Fetch(o.ctx, o.Args.Key, func(ctx context.Context) ([]byte, error) {
		say(map[string]any{"event": "loading", "id": o.ID})
		select {
		case <-o.let:
		case <-time.After(ms(l.Delay)):
		}
		switch {
		case l.Error != "":
			return nil, loadError(l.Error)
		case l.Absent > 0:
			return nil, cache.ErrNotFound
		case l.NoStore:
			cache.DoNotStore(ctx)
		}
		return hex.DecodeString(l.Value)
	})
	if errors.Is(err, cache.ErrNotFound) {
		return map[string]any{"value": nil}, nil
	}
	return map[string]any{"value": hex.EncodeToString(value)}, err
}

// loadError is an error whose text must not leave the process.
type loadError string

func (e loadError) Error() string { return string(e) }

func (d *driver) del(o *operation) (map[string]any, error) {
	return nil, cache.New[[]byte](d.rdb, cache.Options{TTL: time.Minute, Codec: cache.Bytes}).Invalidate(o.ctx, o.Args.Keys...)
}

func (d *driver) queue(o *operation) *queue.Queue[[]byte] {
	return queue.New[[]byte](d.rdb, o.Args.Queue, queue.Options{Codec: queue.Bytes})
}

func (d *driver) publish(o *operation) (map[string]any, error) {
	a := &o.Args
	payload, err := hex.DecodeString(a.Payload)
	if err != nil {
		return nil, err
	}
	var options []queue.PublishOption
	if a.Delay > 0 {
		options = append(options, queue.Delay(ms(a.Delay)))
	}
	if a.Unique != "" {
		options = append(options, queue.Unique(a.Unique, time.Minute))
	}
	if a.Limit > 0 {
		options = append(options, queue.Limit(a.Limit))
	}
	for name, value := range a.Headers {
		options = append(options, queue.Header(name, value))
	}
	id, err := d.queue(o).Publish(o.ctx, payload, options...)
	return map[string]any{"id": id}, err
}

func (d *driver) work(o *operation) (map[string]any, error) {
	a := &o.Args
	w := queue.WorkerOptions{Group: a.Group, Lease: ms(a.Lease), Concurrency: a.Concurrency}
	if a.Backoff > 0 {
		w.Backoff = queue.Exponential(ms(a.Backoff), ms(a.MaxBackoff))
	}
	if a.MaxRetries != nil {
		w.MaxTries = *a.MaxRetries + 1
	}
	return nil, queue.NewWorker(d.queue(o), func(ctx context.Context, t *queue.Task[[]byte]) error {
		last := ""
		if n := len(t.History); n > 0 {
			last = t.History[n-1].Error
		}
		say(map[string]any{"event": "task", "id": o.ID, "task": t.ID, "payload": hex.EncodeToString(t.Payload), "tries": t.Try - 1, "error": last, "headers": t.Headers})
		time.Sleep(ms(a.Takes))
		step := "ok"
		if steps := a.Script[string(t.Payload)]; t.Try <= len(steps) {
			step = steps[t.Try-1]
		}
		kind, arg, _ := strings.Cut(step, ":")
		switch kind {
		case "error":
			return errors.New(arg)
		case "bury":
			return queue.Discard(errors.New(arg))
		case "snooze":
			var n int
			_, _ = fmt.Sscan(arg, &n)
			return queue.Snooze(ms(n))
		case "hang":
			<-ctx.Done()
			say(map[string]any{"event": "lost", "id": o.ID})
			return ctx.Err()
		}
		say(map[string]any{"event": "done", "id": o.ID, "task": t.ID, "payload": hex.EncodeToString(t.Payload)})
		return nil
	}, w).Run(o.ctx)
}
