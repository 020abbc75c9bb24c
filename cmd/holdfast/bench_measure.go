package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// bench measures operations.
type bench struct {
	rdb     redis.UniversalClient
	during  time.Duration // for each side of an operation
	prefix  string        // of all keys; in a cluster they are in one slot
	payload string
}

// operation is something done with the modules, and without them.
type operation struct {
	name, beside string
	ours, bare   side
}

// side does an operation again and again until ctx ends, and tells how long each took.
type side func(ctx context.Context, took *[]time.Duration) error

// turns is how often the two sides of an operation take turns, so that a slow moment of the machine
// hits both.
const turns = 5

func (b *bench) measure(ctx context.Context, o operation) (row benchRow, err error) {
	row = benchRow{Operation: o.name, Beside: o.beside}
	var ours, bare []time.Duration
	var oursFor, bareFor time.Duration
	loads.Store(0)
	for range turns {
		for _, s := range []struct {
			do    side
			took  *[]time.Duration
			total *time.Duration
			loads *float64
		}{{o.ours, &ours, &oursFor, &row.Ours.Loads}, {o.bare, &bare, &bareFor, &row.Bare.Loads}} {
			began := time.Now()
			turn, cancel := context.WithTimeout(ctx, b.during/turns)
			err := s.do(turn, s.took)
			over := turn.Err() != nil
			cancel()
			*s.total += time.Since(began)
			*s.loads += float64(loads.Swap(0))
			if ctx.Err() != nil {
				return row, ctx.Err()
			}
			if err != nil && !over {
				return row, err
			}
		}
	}
	row.Ours, row.Bare = figure(ours, oursFor, row.Ours.Loads), figure(bare, bareFor, row.Bare.Loads)
	if row.Bare.P50 > 0 {
		row.Ratio = float64(row.Ours.P50) / float64(row.Bare.P50)
	}
	return row, nil
}

func figure(took []time.Duration, total time.Duration, loads float64) benchFigure {
	if len(took) == 0 {
		return benchFigure{}
	}
	slices.Sort(took)
	at := func(share float64) time.Duration { return took[int(share*float64(len(took)-1))] }
	n := float64(len(took))
	return benchFigure{Count: len(took), P50: at(0.5), P99: at(0.99), PerSecond: n / total.Seconds(), Loads: loads / n}
}

// again does something until ctx ends, over and over.
func again(do func(ctx context.Context) error) side {
	return func(ctx context.Context, took *[]time.Duration) error {
		for ctx.Err() == nil {
			began := time.Now()
			if err := do(context.WithoutCancel(ctx)); err != nil {
				return err
			}
			*took = append(*took, time.Since(began))
		}
		return nil
	}
}

// unlock deletes a lock of SET NX if it is its owner's: what clients without the modules run.
var unlock = redis.NewScript(`if redis.call("GET", KEYS[1]) == ARGV[1] then return redis.call("DEL", KEYS[1]) end return 0`)

func (b *bench) operations() []operation {
	tasks, stream, locked, bareLocked, value := b.prefix+"tasks", b.prefix+"stream", b.prefix+"lock", b.prefix+"bare-lock", b.prefix+"value"
	do := func(ctx context.Context, args ...any) error {
		if err := b.rdb.Do(ctx, args...).Err(); err != redis.Nil {
			return err
		}
		return nil
	}
	return []operation{
		{
			"publish a task", "XADD",
			again(func(ctx context.Context) error { return do(ctx, "TASK.PUBLISH", b.prefix+"published", b.payload) }),
			again(func(ctx context.Context) error { return do(ctx, "XADD", b.prefix+"added", "*", "payload", b.payload) }),
		},
		{
			"publish, take, acknowledge", "XADD, XREADGROUP, XACK + XDEL",
			again(func(ctx context.Context) error {
				if err := do(ctx, "TASK.PUBLISH", tasks, b.payload); err != nil {
					return err
				}
				got, err := b.rdb.Do(ctx, "TASK.CONSUME", "workers", "bench", tasks, 1, 0).Result()
				if err != nil {
					return err
				}
				id, ok := entryID(got)
				if !ok {
					return fmt.Errorf("TASK.CONSUME answered %v", got)
				}
				return do(ctx, "TASK.ACK", tasks, "workers", id)
			}),
			again(func(ctx context.Context) error {
				if err := do(ctx, "XADD", stream, "*", "payload", b.payload); err != nil {
					return err
				}
				read := redis.XReadGroupArgs{Group: "workers", Consumer: "bench", Streams: []string{stream, ">"}, Count: 1, Block: -1}
				got, err := b.rdb.XReadGroup(ctx, &read).Result()
				if err != nil && redis.HasErrorPrefix(err, "NOGROUP") {
					return b.rdb.XGroupCreate(ctx, stream, "workers", "0").Err()
				}
				if err != nil {
					return err
				}
				_, err = b.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
					pipe.XAck(ctx, stream, "workers", got[0].Messages[0].ID)
					pipe.XDel(ctx, stream, got[0].Messages[0].ID)
					return nil
				})
				return err
			}),
		},
		{
			"take a lock, release it", "SET NX PX, EVALSHA",
			again(func(ctx context.Context) error {
				if err := do(ctx, "LOCK.ACQUIRE", locked, "bench", 60000); err != nil {
					return err
				}
				return do(ctx, "LOCK.RELEASE", locked, "bench")
			}),
			again(func(ctx context.Context) error {
				if err := do(ctx, "SET", bareLocked, "bench", "NX", "PX", 60000); err != nil {
					return err
				}
				return unlock.Run(ctx, b.rdb, []string{bareLocked}, "bench").Err()
			}),
		},
		{
			"hand a lock to a waiter", "RPUSH to a BLPOP",
			b.handOver(
				func(ctx context.Context, me string) error {
					return do(ctx, "LOCK.ACQUIRE", b.prefix+"handed", me, 60000, "BLOCK", 5000)
				},
				func(ctx context.Context, me string) error {
					if me == "" {
						return do(ctx, "DEL", b.prefix+"handed")
					}
					return do(ctx, "LOCK.RELEASE", b.prefix+"handed", me)
				}),
			b.handOver(
				func(ctx context.Context, _ string) error {
					return b.rdb.BLPop(ctx, 5*time.Second, b.prefix+"pushed").Err()
				},
				func(ctx context.Context, me string) error {
					if me == "" {
						return do(ctx, "DEL", b.prefix+"pushed")
					}
					return do(ctx, "RPUSH", b.prefix+"pushed", me)
				}),
		},
		{
			"get a value", "GET",
			again(func(ctx context.Context) error { return b.get(ctx, "CACHE.GET", value, do) }),
			again(func(ctx context.Context) error { return b.get(ctx, "GET", value, do) }),
		},
		{
			fmt.Sprintf("%d miss at once", stampede), "GET, each loads, SET",
			again(func(ctx context.Context) error { return b.stampede(ctx, b.fetch) }),
			again(func(ctx context.Context) error { return b.stampede(ctx, b.getOrLoad) }),
		},
	}
}

// entryID is the id of the first entry that TASK.CONSUME answered: [[stream, [[id, fields]]]].
func entryID(reply any) (string, bool) {
	for _, at := range []int{0, 1, 0, 0} {
		list, ok := reply.([]any)
		if !ok || len(list) <= at {
			return "", false
		}
		reply = list[at]
	}
	id, ok := reply.(string)
	return id, ok
}

// get reads a value, which is set where there is none.
func (b *bench) get(ctx context.Context, command, key string, do func(context.Context, ...any) error) error {
	err := b.rdb.Do(ctx, command, key).Err()
	if err == redis.Nil {
		return do(ctx, "SET", key, b.payload)
	}
	return err
}

// takers is how many want the lock at a time when it is handed over.
const takers = 4

// handOver has several take and release one lock in turns. The time from when a holder began to release
// the lock until the next one has it is what is measured. An empty name clears what an earlier turn left.
func (b *bench) handOver(take, release func(ctx context.Context, me string) error) side {
	return func(ctx context.Context, took *[]time.Duration) error {
		var mu sync.Mutex
		var released time.Time
		var failures []error
		for _, me := range []string{"", "first"} {
			if err := release(context.WithoutCancel(ctx), me); err != nil {
				return err
			}
		}
		var all sync.WaitGroup
		for n := range takers {
			all.Go(func() {
				me := "bench-" + strconv.Itoa(n)
				for ctx.Err() == nil {
					lasting := context.WithoutCancel(ctx)
					err := take(lasting, me)
					mu.Lock()
					if err == nil && !released.IsZero() {
						*took = append(*took, time.Since(released))
					}
					released = time.Now()
					mu.Unlock()
					if err == nil {
						err = release(lasting, me)
					}
					if err != nil {
						mu.Lock()
						failures = append(failures, err)
						mu.Unlock()
						return
					}
				}
			})
		}
		all.Wait()
		return errors.Join(failures...)
	}
}

const (
	stampede = 100                   // callers that miss a value at once
	loadTime = 20 * time.Millisecond // how long a load of the value takes
)

var (
	loads  atomic.Int64 // by the side that is measured
	missed atomic.Int64 // numbers the keys that are missed
)

func (b *bench) load(context.Context) (string, error) {
	loads.Add(1)
	time.Sleep(loadTime)
	return b.payload, nil
}

// stampede has all callers ask for one value that is not there, and waits for the last of them.
func (b *bench) stampede(ctx context.Context, get func(ctx context.Context, key string) error) error {
	key := b.prefix + "missed:" + strconv.FormatInt(missed.Add(1), 10)
	errs := make([]error, stampede)
	var all sync.WaitGroup
	for n := range errs {
		all.Go(func() { errs[n] = get(ctx, key) })
	}
	all.Wait()
	return errors.Join(errors.Join(errs...), b.rdb.Del(ctx, key).Err())
}

// fetch gets a value as a process with a client of the cache does.
func (b *bench) fetch(ctx context.Context, key string) error {
	reply, err := b.rdb.Do(ctx, "CACHE.FETCH", key, 10000, 60000, "BLOCK", 5000).Slice()
	if err != nil {
		return err
	}
	switch {
	case len(reply) == 3 && reply[0] == "HIT":
		return nil
	case len(reply) == 3 && reply[0] == "LOAD":
		value, err := b.load(ctx)
		if err != nil {
			return err
		}
		return b.rdb.Do(ctx, "CACHE.SET", key, value, 60000, "TOKEN", reply[2]).Err()
	}
	return fmt.Errorf("CACHE.FETCH answered %v", reply)
}

// getOrLoad is what callers do without the modules.
func (b *bench) getOrLoad(ctx context.Context, key string) error {
	err := b.rdb.Get(ctx, key).Err()
	if err != redis.Nil {
		return err
	}
	value, err := b.load(ctx)
	if err != nil {
		return err
	}
	return b.rdb.Set(ctx, key, value, time.Minute).Err()
}

// clear deletes all keys that were made, also when ctx has ended.
func (b *bench) clear(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	keys := []string{"published", "added", "tasks", "stream", "lock", "bare-lock", "handed", "pushed", "value"}
	for n := range keys {
		keys[n] = b.prefix + keys[n]
	}
	return b.rdb.Unlink(ctx, keys...).Err()
}
