package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// Two databases have a queue of one name each, with publishers and consumers. The databases
// are swapped all the while, so that a consumer acknowledges what is somebody else's in
// the other database or nobody's, and the memory is full now and then. Every task is
// acknowledged, once.
func TestTasksAreDoneOnceThoughDatabasesAreSwappedAndMemoryIsFull(t *testing.T) {
	tasksThatAreSwapped(t, seeded(t), 3*time.Second)
}

// swapped is what became of a task.
type swapped struct{ got, acked atomic.Int64 }

func tasksThatAreSwapped(t *testing.T, seed uint64, howLong time.Duration) tally {
	q := tasksOn(t, taskServer(t))
	dbs := []*tasks{q, q.db(1)}
	// No entry of one has an id of the other: an acknowledgement in the wrong database would be
	// right by chance for another task.
	dbs[1].do("XGROUP CREATE s g 0 MKSTREAM")
	dbs[1].do("XSETID s %", fmt.Sprint(time.Now().Add(24*time.Hour).UnixMilli(), "-0"))
	ctx, stop := context.WithTimeout(q.ctx, howLong)
	defer stop()
	var all sync.Map // of *swapped, by payload
	var published, requests, again atomic.Int64
	var publishers, consumers sync.WaitGroup
	for n, db := range dbs {
		r := rand.New(rand.NewPCG(seed, uint64(n)))
		publishers.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				cachePause(r, time.Millisecond)
				payload := fmt.Sprint(n, ":", i)
				all.Store(payload, new(swapped))
				for requests.Add(1); ; requests.Add(1) {
					_, err := db.try("TASK.PUBLISH s % DELAY %", payload, i%4*5)
					if err == nil {
						break
					}
					if !strings.HasPrefix(err.Error(), "OOM ") {
						t.Error(err)
						return
					}
				}
				published.Add(1)
			}
		})
	}
	over := make(chan struct{})
	for i := range 6 {
		db, name := dbs[i%2], fmt.Sprint("c", i)
		consumers.Go(func() {
			for {
				select {
				case <-over:
					return
				default:
				}
				requests.Add(1)
				v, _ := db.try("TASK.CONSUME g % s 5 100 LEASE 500", name) // OOM and NOGROUP pass
				for _, task := range tasksIn(v) {
					one, _ := all.Load(task.payload())
					if one.(*swapped).got.Add(1) > 1 {
						again.Add(1)
					}
					requests.Add(1)
					if n, err := db.try("TASK.ACK s g % CONSUMER %", task.id, name); err != nil {
						t.Error(err)
					} else if n == int64(1) {
						one.(*swapped).acked.Add(1)
					}
				}
			}
		})
	}
	swaps := 0
	for r := rand.New(rand.NewPCG(seed, 7)); ctx.Err() == nil; swaps++ {
		switch r.IntN(4) {
		case 0, 1:
			q.do("SWAPDB 0 1")
		case 2:
			_, _ = q.TxPipelined(q.ctx, func(p redis.Pipeliner) error {
				p.Do(q.ctx, "SWAPDB", 0, 1)
				p.Do(q.ctx, "SWAPDB", 1, 0)
				return nil
			})
		case 3:
			q.do("CONFIG SET maxmemory-policy % maxmemory 1", []string{"noeviction", "volatile-ttl"}[r.IntN(2)])
			cachePause(r, 20*time.Millisecond)
			q.do("CONFIG SET maxmemory 0")
		}
		cachePause(r, 20*time.Millisecond)
	}
	publishers.Wait()
	q.until(0, func() int64 {
		left := int64(0)
		for _, db := range dbs {
			left += db.do("EVAL % 1 s", tasksLeft).(int64)
		}
		return left
	})
	close(over)
	consumers.Wait()
	all.Range(func(payload, one any) bool {
		if one := one.(*swapped); one.acked.Load() != 1 {
			t.Errorf("task %s was handed out %d times and acknowledged %d times", payload, one.got.Load(), one.acked.Load())
		}
		return true
	})
	t.Logf("%d tasks, %d swaps or times without memory, %d deliveries were second ones", published.Load(), swaps, again.Load())
	if again.Load() == 0 {
		t.Error("no task was acknowledged in the wrong database: the test shows nothing")
	}
	return tally{int(requests.Load()), swaps, int(published.Load())}
}
