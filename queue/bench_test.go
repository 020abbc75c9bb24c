package queue_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"

	"holdfast/queue"
)

// Throughput of a worker whose handler does nothing, beside the loop one would
// write by hand: as many goroutines, each reading as many at a time, and
// acknowledging in one command what it read; with XDEL, as TASK.ACK does, or without,
// which leaves all entries in the stream. Prefetch 0 is the default.
//
//	go test ./queue -run '^$' -bench Tasks -benchtime 100000x -count 5
func BenchmarkTasks(b *testing.B) {
	ctx := context.Background()
	for _, k := range []int{0, 10, 100, 1000} {
		b.Run(fmt.Sprintf("worker/concurrency=10/prefetch=%d", k), func(b *testing.B) {
			fill(b, "bench")
			var n atomic.Int64
			done := make(chan struct{})
			q := queue.New[[]byte](rdb, "bench", queue.Options{Codec: queue.Bytes})
			w := queue.NewWorker(q, func(context.Context, *queue.Task[[]byte]) error {
				if n.Add(1) == int64(b.N) {
					close(done)
				}
				return nil
			}, queue.WorkerOptions{Concurrency: 10, Prefetch: k})
			b.ResetTimer()
			r := run(b, w)
			<-done
			r.stop() // acknowledges what is left
		})
	}
	for _, k := range []int{10, 100} {
		for _, del := range []bool{false, true} {
			b.Run(fmt.Sprintf("xreadgroup/concurrency=10/count=%d/xdel=%v", k, del), func(b *testing.B) {
				fill(b, "bench")
				if err := rdb.XGroupCreate(ctx, "bench", "workers", "0").Err(); err != nil {
					b.Fatal(err)
				}
				var all sync.WaitGroup
				b.ResetTimer()
				for i := range 10 {
					all.Go(func() { byHand(b, fmt.Sprint("c", i), k, del) })
				}
				all.Wait()
			})
		}
	}
}

func byHand(b *testing.B, consumer string, count int, del bool) {
	ctx := context.Background()
	for {
		got, err := rdb.XReadGroup(ctx, &redis.XReadGroupArgs{
			Group: "workers", Consumer: consumer, Streams: []string{"bench", ">"}, Count: int64(count), Block: -1,
		}).Result()
		if err == redis.Nil {
			return
		}
		if err != nil {
			b.Error(err)
			return
		}
		ids := make([]string, len(got[0].Messages))
		for i, m := range got[0].Messages {
			ids[i] = m.ID
		}
		if !del {
			err = rdb.XAck(ctx, "bench", "workers", ids...).Err()
		} else {
			_, err = rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
				p.XAck(ctx, "bench", "workers", ids...)
				return p.XDel(ctx, "bench", ids...).Err()
			})
		}
		if err != nil {
			b.Error(err)
		}
	}
}

// fill makes a stream of as many tasks as the benchmark is for.
func fill(b *testing.B, name string) {
	ctx := context.Background()
	rdb.Del(ctx, name)
	q := queue.New[[]byte](rdb, name, queue.Options{Codec: queue.Bytes})
	payload := make([]byte, 64)
	for left := b.N; left > 0; {
		batch := make([][]byte, min(left, 1000))
		for i := range batch {
			batch[i] = payload
		}
		if _, err := q.PublishBatch(ctx, batch); err != nil {
			b.Fatal(err)
		}
		left -= len(batch)
	}
}
