package queue_test

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"holdfast/queue"
)

func TestAQueuesRuleIsSetToldAndTakenAway(t *testing.T) {
	s := start(t)
	q := s.queue("q")
	for _, r := range []queue.Rule{
		{}, {Limit: 3}, {Share: 2}, {Ordered: true}, {Rate: queue.Rate{N: 5, Per: time.Second}},
		{Share: 1, Rate: queue.Rate{N: 1, Per: 20 * time.Millisecond, All: true}}, {Limit: 1, Ordered: true}, {},
	} {
		if err := q.SetRule(s.Context(), r); err != nil {
			t.Fatal(err)
		}
		want := r
		if r.Ordered {
			want.Limit = 0
		}
		if got, err := q.Rule(s.Context()); err != nil || got != want {
			t.Errorf("%+v %v, want %+v", got, err, want)
		}
	}
	for _, r := range []queue.Rule{
		{Limit: -1}, {Limit: 1, Share: 1}, {Rate: queue.Rate{N: 1}}, {Rate: queue.Rate{Per: 1}}, {Ordered: true, Share: 1}, {Ordered: true, Limit: 2},
	} {
		if err := q.SetRule(s.Context(), r); err == nil {
			t.Errorf("%+v is taken", r)
		}
	}
	for _, o := range [][]queue.PublishOption{{queue.Key("")}, {queue.Key(string(make([]byte, 513)))}, {queue.Weight(2)}, {queue.Key("a"), queue.Weight(0)}, {queue.Key("a"), queue.Weight(1001)}} {
		if _, err := q.Publish(s.Context(), "x", o...); err == nil {
			t.Errorf("%v is published", o)
		}
	}
}

func TestHeldTasksAreListedFoundCountedAndCancelled(t *testing.T) {
	s := start(t)
	q := s.queue("q")
	if err := q.SetRule(s.Context(), queue.Rule{Limit: 1}); err != nil {
		t.Fatal(err)
	}
	ids := map[string]string{}
	for _, task := range []string{"a1", "a2", "a3", "b1", "b2", "% 1", "% 2"} {
		id, err := q.Publish(s.Context(), task, queue.Key(task[:len(task)-1]), queue.Weight(2))
		if err != nil {
			t.Fatal(err)
		}
		ids[task] = id
	}
	i := queue.Inspect(s.rdb())
	listed := all(s, i, "q", queue.ListOptions{State: queue.Held, Limit: 2})
	slices.Sort(listed)
	if want := []string{"% 2", "a2", "a3", "b2"}; !slices.Equal(listed, want) {
		t.Fatalf("%q are held, want %q", listed, want)
	}
	for task, id := range ids {
		r, err := i.Find(s.Context(), "q", id)
		if err != nil || r.ID != id || r.TaskKey != task[:len(task)-1] || len(r.Headers) > 0 {
			t.Errorf("%s: %+v %v", task, r, err)
		}
	}
	stats := s.stats(q)
	if got := fmt.Sprintln(stats.Held, stats.Keys, stats.LongestLine, stats.LongestKey); got != "4 3 2 a\n" {
		t.Errorf("held, keys and the longest line are %s", got)
	}
	page, err := i.Overviews(s.Context(), "q", "")
	if err != nil || len(page.Queues) != 1 || page.Queues[0].Held != 4 || page.Queues[0].LongestLine != 2 {
		t.Errorf("%+v %v", page, err)
	}
	k, err := i.Keys(s.Context(), "q", 1)
	if want := (queue.Keys{Rule: queue.Rule{Limit: 1}, Held: 4, Keys: 3, Lines: []queue.Line{{Key: "a", Held: 2, In: 1, Weight: 2}}}); err != nil || !reflect.DeepEqual(k, want) {
		t.Errorf("%+v %v, want %+v", k, err, want)
	}
	if there, err := q.Cancel(s.Context(), ids["a2"]); !there || err != nil {
		t.Errorf("%v %v", there, err)
	}
	if there, err := q.Cancel(s.Context(), ids["a2"]); there || err != nil {
		t.Errorf("cancelled twice: %v %v", there, err)
	}
}

func TestTasksOfAKeyGoToOnePartitionAndAreWorkedOnInOrder(t *testing.T) {
	s := start(t)
	q := queue.New[string](s.rdb(), "q", queue.Options{Partitions: 3})
	if err := q.SetRule(s.Context(), queue.Rule{Ordered: true}); err != nil {
		t.Fatal(err)
	}
	const keys, each = 8, 10
	for n := range each {
		for k := range keys {
			if _, err := q.Publish(s.Context(), fmt.Sprint(n), queue.Key(fmt.Sprint("key", k))); err != nil {
				t.Fatal(err)
			}
		}
	}
	var mu sync.Mutex
	done, streams, running := map[string][]string{}, map[string]string{}, map[string]bool{}
	w := run(t, queue.NewWorker(q, func(_ context.Context, task *queue.Task[string]) error {
		mu.Lock()
		defer mu.Unlock()
		if was := streams[task.Key]; was != "" && was != task.Stream || running[task.Key] {
			t.Errorf("%s: in %s and %s, two at once: %v", task.Key, was, task.Stream, running[task.Key])
		}
		streams[task.Key] = task.Stream
		if task.Try == 1 && task.Payload == "3" {
			return fmt.Errorf("once")
		}
		done[task.Key] = append(done[task.Key], task.Payload)
		return nil
	}, queue.WorkerOptions{Concurrency: 10, Backoff: queue.Constant(5 * time.Millisecond)}))
	s.Until("all are done", func() bool {
		mu.Lock()
		defer mu.Unlock()
		n := 0
		for _, list := range done {
			n += len(list)
		}
		return n == keys*each
	})
	for key, list := range done {
		if got := fmt.Sprint(list); got != "[0 1 2 3 4 5 6 7 8 9]" {
			t.Errorf("%s: %s", key, got)
		}
	}
	_ = w
}

// One tenant's thousand tasks do not keep another's from a worker.
func TestAQuietTenantDoesNotWaitForANoisyOne(t *testing.T) {
	s := start(t)
	q := s.queue("q")
	if err := q.SetRule(s.Context(), queue.Rule{Share: 1}); err != nil {
		t.Fatal(err)
	}
	noisy := make([]string, 1000)
	for n := range noisy {
		noisy[n] = "noisy"
	}
	if _, err := q.PublishBatch(s.Context(), noisy, queue.Key("noisy")); err != nil {
		t.Fatal(err)
	}
	if _, err := q.Publish(s.Context(), "quiet", queue.Key("quiet")); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	before, quiet, total := 0, false, 0
	run(t, queue.NewWorker(q, func(_ context.Context, task *queue.Task[string]) error {
		mu.Lock()
		defer mu.Unlock()
		if total++; task.Payload == "quiet" {
			quiet = true
		} else if !quiet {
			before++
		}
		return nil
	}, queue.WorkerOptions{Concurrency: 4, Prefetch: -1}))
	s.Until("all are done", func() bool { mu.Lock(); defer mu.Unlock(); return total == 1001 })
	if before > 20 {
		t.Errorf("the quiet tenant's task came behind %d others", before)
	}
}
