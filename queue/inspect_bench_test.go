package queue_test

import (
	"context"
	"fmt"
	"testing"

	"holdfast/queue"
)

// What an operator asks of a queue with 1,000,000 tasks and 10,000 dead letters of 40
// causes: each answer should take less than 50 ms.
//
//	go test ./queue -run '^$' -bench Inspect -benchtime 20x
func BenchmarkInspect(b *testing.B) {
	ctx := context.Background()
	const name = "inspected"
	rdb.FlushAll(ctx)
	q := queue.New[[]byte](rdb, name, queue.Options{Codec: queue.Bytes})
	batch := make([][]byte, 1000)
	for i := range batch {
		batch[i] = make([]byte, 64)
	}
	for range 1000 {
		if _, err := q.PublishBatch(ctx, batch); err != nil {
			b.Fatal(err)
		}
	}
	if err := rdb.XGroupCreate(ctx, name, queue.DefaultGroup, "0").Err(); err != nil {
		b.Fatal(err)
	}
	pipe := rdb.Pipeline()
	for i := range 10_000 {
		pipe.Do(ctx, "XADD", queue.DeadStream(name, ""), "*", "payload", make([]byte, 64), "timestamp", 1790000000, "retry_count", 9,
			"task_id", fmt.Sprintf("1790000000000-%d", i), "reason", fmt.Sprintf("cause %c: dial tcp 10.0.0.%d:443: timeout after %d ms", 'a'+i%40, i%250, i),
			"origin_stream", name, "origin_group", "workers", "origin_consumer", "vm:1:ABCDEFGHIJ:1", "origin_id", "1790000000000-1", "deliveries", 1, "failed_at", 1790000001)
	}
	pipe.Do(ctx, "XREADGROUP", "GROUP", "workers", "c", "COUNT", 1000, "STREAMS", name, ">")
	if _, err := pipe.Exec(ctx); err != nil {
		b.Fatal(err)
	}
	i := queue.Inspect(rdb)
	must := func(_ any, err error) {
		if err != nil {
			b.Fatal(err)
		}
	}
	last := rdb.XRevRangeN(ctx, name, "+", "-", 1).Val()[0].ID
	for what, f := range map[string]func(){
		"stats":         func() { s, err := i.Stats(ctx, name); must(s, err) },
		"queues":        func() { s, err := i.Queues(ctx, "", ""); must(s, err) },
		"ready":         func() { s, err := i.List(ctx, name, queue.ListOptions{State: queue.Ready}); must(s, err) },
		"ready/newest":  func() { s, err := i.List(ctx, name, queue.ListOptions{State: queue.Ready, Newest: true}); must(s, err) },
		"in-work":       func() { s, err := i.List(ctx, name, queue.ListOptions{State: queue.InWork}); must(s, err) },
		"dead":          func() { s, err := i.List(ctx, name, queue.ListOptions{State: queue.Dead}); must(s, err) },
		"find":          func() { s, err := i.Find(ctx, name, last); must(s, err) },
		"failures/1000": func() { s, err := i.Failures(ctx, name, queue.SearchOptions{Window: 1000}); must(s, err) },
		"failures":      func() { s, err := i.Failures(ctx, name, queue.SearchOptions{}); must(s, err) },
		"search/dead": func() {
			s, err := i.Search(ctx, name, queue.SearchOptions{State: queue.Dead, Filter: queue.Filter{Error: "cause b"}})
			must(s, err)
		},
		"search/ready": func() {
			s, err := i.Search(ctx, name, queue.SearchOptions{State: queue.Ready, Window: 5000, Filter: queue.Filter{Payload: "nowhere"}})
			must(s, err)
		},
	} {
		b.Run(what, func(b *testing.B) {
			for b.Loop() {
				f()
			}
		})
	}
	rdb.FlushAll(ctx)
}
