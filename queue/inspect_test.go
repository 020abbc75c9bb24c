package queue_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/holdfasttest"
	"holdfast/queue"
)

// all lists the tasks of a state by pages of the given size.
func all(s *server, i *queue.Inspector, stream string, o queue.ListOptions) (payloads []string) {
	s.T.Helper()
	for {
		page, err := i.List(s.Context(), stream, o)
		if err != nil {
			s.T.Fatal(err)
		}
		if len(page.Tasks) > o.Limit {
			s.T.Errorf("%d tasks on a page of %d", len(page.Tasks), o.Limit)
		}
		for _, r := range page.Tasks {
			payloads = append(payloads, strings.Trim(string(r.Payload), `"`))
			if r.State != o.State || r.ID == "" || r.Entry == "" || r.Key == "" || r.Published.IsZero() {
				s.T.Errorf("%+v", r)
			}
		}
		if o.Cursor = page.Cursor; o.Cursor == "" {
			return payloads
		}
	}
}

func TestTasksAreListedByTheirStatesPageByPage(t *testing.T) {
	for _, protocol := range []int{2, 3} {
		t.Run(fmt.Sprint("RESP", protocol), func(t *testing.T) {
			s := start(t)
			rdb := redis.NewClient(&redis.Options{Addr: s.Addr, Protocol: protocol})
			t.Cleanup(func() { _ = rdb.Close() })
			q := queue.New[string](rdb, "q", queue.Options{})
			i := queue.Inspect(rdb)
			for n := range 4 {
				s.publish(q, fmt.Sprint(n))
			}
			blocked := make(chan struct{})
			w := run(t, queue.NewWorker(q, func(ctx context.Context, t *queue.Task[string]) error { <-blocked; return nil },
				queue.WorkerOptions{Concurrency: 4, Prefetch: -1}))
			s.Until("four are in work", func() bool { g := s.stats(q).Groups; return len(g) == 1 && g[0].Pending == 4 })
			for n := range 5 {
				s.publish(q, fmt.Sprint("ready", n))
			}
			due := time.Now().Add(time.Hour)
			for n := range 6 {
				s.publish(q, fmt.Sprint("delayed", n), queue.At(due.Add(time.Duration(n/3)*time.Minute)))
			}
			for state, want := range map[queue.State]string{
				queue.InWork:  "[0 1 2 3]",
				queue.Ready:   "[ready0 ready1 ready2 ready3 ready4]",
				queue.Delayed: "[delayed0 delayed1 delayed2 delayed3 delayed4 delayed5]",
				queue.Dead:    "[]",
			} {
				for limit := 1; limit <= 7; limit++ {
					if got := fmt.Sprint(all(s, i, "q", queue.ListOptions{State: state, Limit: limit})); got != want {
						t.Errorf("%s by %d: %s, want %s", state, limit, got, want)
					}
				}
			}
			if got := fmt.Sprint(all(s, i, "q", queue.ListOptions{State: queue.Ready, Limit: 2, Newest: true})); got != "[ready4 ready3 ready2 ready1 ready0]" {
				t.Error(got)
			}
			if got := fmt.Sprint(all(s, i, "q", queue.ListOptions{State: queue.Delayed, Limit: 2, Newest: true})); got != "[delayed5 delayed4 delayed3 delayed2 delayed1 delayed0]" {
				t.Error(got)
			}
			if got := fmt.Sprint(all(s, i, "q", queue.ListOptions{State: queue.Delayed, Limit: 5, From: due.Add(time.Second)})); got != "[delayed3 delayed4 delayed5]" {
				t.Error(got)
			}
			page, err := i.List(s.Context(), "q", queue.ListOptions{State: queue.InWork, Limit: 1})
			if err != nil || len(page.Tasks) != 1 {
				t.Fatal(page, err)
			}
			one := page.Tasks[0]
			if !one.Connected || one.LeaseLeft <= 0 || one.LeaseLeft > 30*time.Second {
				t.Errorf("its lease: %+v", one)
			}
			if one.Consumer == "" || one.Deliveries != 1 || one.Group != queue.DefaultGroup || one.Try != 1 {
				t.Errorf("%+v", one)
			}
			if r, err := i.Find(s.Context(), "q", one.ID); err != nil || r.State != queue.InWork || r.Consumer != one.Consumer {
				t.Errorf("%+v %v", r, err)
			}
			if _, err := i.Find(s.Context(), "q", "1-1"); !errors.Is(err, queue.ErrNotFound) {
				t.Error(err)
			}
			if _, err := i.List(s.Context(), "q", queue.ListOptions{State: "lost"}); err == nil {
				t.Error("a state that is none was listed")
			}
			close(blocked)
			s.Until("they are done", func() bool { return s.stats(q).Length == 0 })
			w.stop()
		})
	}
}

func TestFailuresAreGroupedAndDoneAgainByGroup(t *testing.T) {
	s := start(t)
	q, i := s.queue("q"), queue.Inspect(s.Client)
	s.bury(q, 12)
	w := run(t, queue.NewWorker(q, func(context.Context, *queue.Task[string]) error {
		return queue.Discard(errors.New(`dial tcp 10.0.0.7:443: user "ann" refused`))
	}, queue.WorkerOptions{Logger: quiet}))
	for range 3 {
		s.publish(q, "x")
	}
	s.Until("all are dead", func() bool { return s.stats(q).Dead == 15 })
	w.stop()
	report, err := i.Failures(s.Context(), "q", queue.SearchOptions{})
	if err != nil || report.Looked != 15 || len(report.Groups) != 2 || report.Cursor != "" {
		t.Fatalf("%+v %v", report, err)
	}
	for n, want := range []string{"12 no user #", `3 dial tcp #: user "…" refused`} {
		g := report.Groups[n]
		sum := 0
		for _, k := range g.Buckets {
			sum += k
		}
		if got := fmt.Sprint(g.Count, " ", g.Error); got != want || sum != g.Count || len(g.Entries) != g.Count || len(g.Sample) == 0 || g.First.After(g.Last) {
			t.Errorf("%+v, want %s", g, want)
		}
	}
	// What a dry run chose is what is done.
	dry, err := i.Redrive(s.Context(), "q", queue.Selection{Filter: queue.Filter{Error: "NO USER", Payload: "1"}, DryRun: true})
	if err != nil || dry.Looked != 15 || len(dry.Entries) != 3 || dry.Done != 0 || s.stats(q).Dead != 15 { // 1, 10, 11
		t.Fatalf("%+v %v", dry, err)
	}
	out, err := i.Redrive(s.Context(), "q", queue.Selection{Entries: dry.Entries})
	if err != nil || out.Done != 3 || s.stats(q).Length != 3 {
		t.Errorf("%+v %v", out, err)
	}
	out, err = i.Discard(s.Context(), "q", queue.Selection{Entries: report.Groups[1].Entries})
	if err != nil || out.Done != 3 || s.stats(q).Dead != 9 {
		t.Errorf("%+v %v", out, err)
	}
	page, err := i.List(s.Context(), "q", queue.ListOptions{State: queue.Dead, Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	if did, err := i.Repair(s.Context(), "q", "", page.Tasks[0].Entry, []byte(`"repaired"`)); !did || err != nil {
		t.Error(did, err)
	}
	if got := all(s, i, "q", queue.ListOptions{State: queue.Ready, Limit: 10}); len(got) != 4 || got[3] != "repaired" {
		t.Error(got)
	}
	var exported bytes.Buffer
	if n, err := i.Export(s.Context(), "q", queue.ListOptions{State: queue.Dead}, &exported); n != 8 || err != nil {
		t.Error(n, err)
	}
	for range 2 { // repeatable
		if n, err := i.Import(s.Context(), "copy", bytes.NewReader(exported.Bytes())); n != 8 || err != nil {
			t.Error(n, err)
		}
	}
	if n := s.stats(s.queue("copy")).Length; n != 8 {
		t.Errorf("%d tasks were imported", n)
	}
	for state, want := range map[queue.State]int{queue.Dead: 8, queue.Ready: 4} {
		if n, err := i.Purge(s.Context(), "q", state, ""); n != want || err != nil {
			t.Errorf("%d %s tasks were purged, want %d, %v", n, state, want, err)
		}
	}
	if st := s.stats(q); st.Length+st.Dead != 0 {
		t.Errorf("%+v", st)
	}
}

func TestErrorsOfOneCauseAreOneText(t *testing.T) {
	for text, want := range map[string]string{
		"no user 17": "no user #",
		"task 01890a5d-ac96-774b-bcce-b302099a8057 is gone": "task # is gone",
		"mail to ann@example.com failed\nat line 3":         "mail to # failed",
		`open "/tmp/a": no such file`:                       `open "…": no such file`,
		"it's down since 12:30":                             "it's down since #",
		"timeout after 1.5s":                                "timeout after #",
		"":                                                  "",
	} {
		if got := queue.NormalizeError(text); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
}

func TestQueuesOfAllNodesAreListed(t *testing.T) {
	r := holdfasttest.Cluster(t, 3, 0)
	rdb := r.Client()
	ctx := context.Background()
	want := map[string]bool{}
	for n := range 20 {
		name := fmt.Sprint("queue", n)
		want[name] = true
		q := queue.New[string](rdb, name, queue.Options{})
		if _, err := q.Publish(ctx, "x"); err != nil {
			t.Fatal(err)
		}
		if err := rdb.Do(ctx, "TASK.CONSUME", queue.DefaultGroup, "c", name).Err(); err != nil {
			t.Fatal(err)
		}
		rdb.XGroupCreateMkStream(ctx, queue.DeadStream(name, ""), "readers", "0")
	}
	i := queue.Inspect(rdb)
	seen := 0
	for cursor := ""; ; {
		page, err := i.Overviews(ctx, "queue*", cursor)
		if err != nil {
			t.Fatal(err)
		}
		for _, q := range page.Queues {
			seen++
			if q.Length != 1 || q.InWork != 1 || q.Ready != 0 || q.Dead != 0 {
				t.Errorf("%+v", q)
			}
		}
		if cursor = page.Cursor; cursor == "" {
			break
		}
	}
	if seen != len(want) {
		t.Errorf("%d queues were seen at a glance, not %d", seen, len(want))
	}
	for cursor := ""; ; {
		page, err := i.Queues(ctx, "queue*", cursor)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range page.Streams {
			if _, is := want[name]; !is {
				t.Errorf("%s is no queue", name)
			}
			delete(want, name)
		}
		if cursor = page.Cursor; cursor == "" {
			break
		}
	}
	if len(want) > 0 {
		t.Errorf("not listed: %v", want)
	}
}

func TestConsumersOfWorkersThatVanishedAreRemoved(t *testing.T) {
	queue.SetGoneAfter(t, 50*time.Millisecond, 20*time.Millisecond)
	s := start(t)
	q := s.queue("q")
	c := newTally()
	s.XGroupCreateMkStream(s.Context(), "q", queue.DefaultGroup, "0")
	for _, name := range []string{"host:17:ABCDEFGHIJ:1", "host:17:ABCDEFGHIJ:2:rest", "somebody", "host:x:ABCDEFGHIJ:1"} {
		s.XGroupCreateConsumer(s.Context(), "q", queue.DefaultGroup, name)
	}
	w := run(t, queue.NewWorker(q, c.handle, queue.WorkerOptions{Lease: 20 * time.Millisecond, Logger: quiet}))
	i := queue.Inspect(s.Client)
	names := func() (names []string) {
		all, err := i.Consumers(context.Background(), "q", "")
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range all {
			if !strings.Contains(c.Name, fmt.Sprint(":", pid(), ":")) {
				names = append(names, c.Name)
			}
		}
		return names
	}
	s.Until("they are gone", func() bool { return fmt.Sprint(names()) == "[host:x:ABCDEFGHIJ:1 somebody]" })
	w.stop()
}

func TestDeadLettersOfAllGroupsAreCountedAtAGlance(t *testing.T) {
	s := start(t)
	want := map[string]int64{"none": 0, "one": 1, "several": 5, "unread": 2}
	for name := range want {
		s.publish(s.queue(name), "x")
	}
	add := func(stream, group string, n int) {
		for range n {
			s.XAdd(s.Context(), &redis.XAddArgs{Stream: queue.DeadStream(stream, group), Values: []any{"payload", "x"}})
		}
	}
	s.XGroupCreate(s.Context(), "one", queue.DefaultGroup, "0")
	s.XGroupCreate(s.Context(), "several", "a", "0")
	s.XGroupCreate(s.Context(), "several", "b:c", "0")
	add("one", "", 1)
	add("several", "a", 2)
	add("several", "b:c", 3)
	add("unread", "", 2)
	page, err := queue.Inspect(s.rdb()).Overviews(s.Context(), "", "")
	if err != nil || len(page.Queues) != len(want) {
		t.Fatal(page, err)
	}
	for _, q := range page.Queues {
		if q.Dead != want[q.Stream] {
			t.Errorf("%s has %d dead letters, not %d", q.Stream, q.Dead, want[q.Stream])
		}
	}
}

func TestRetriesOfAllGroupsAreSeenAtAGlance(t *testing.T) {
	s := start(t)
	s.publish(s.queue("q"), "x")
	for _, g := range []string{"a", "b"} {
		s.XGroupCreate(s.Context(), "q", g, "0")
	}
	retries := queue.RetryStream("q", "b")
	for _, args := range [][]any{{"TASK.PUBLISH", retries, "again"}, {"TASK.PUBLISH", retries, "later", "DELAY", 3600_000}, {"XGROUP", "CREATE", retries, "b", "0"}} {
		if err := s.Do(s.Context(), args...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	i := queue.Inspect(s.rdb())
	page, err := i.Overviews(s.Context(), "", "")
	stats, serr := i.Stats(s.Context(), "q")
	if err != nil || serr != nil || len(page.Queues) != 1 {
		t.Fatal(page, err, serr)
	}
	q := page.Queues[0]
	if q.Groups != 2 || q.Length != stats.Length || q.Delayed != stats.Delayed || q.Ready != stats.Groups[0].Ready+stats.Groups[1].Ready || q.Delayed != 1 || q.Ready != 3 {
		t.Errorf("%+v, in full %+v", q, stats)
	}
}

// counted notes how many entries a command asks for.
type counted struct{ most atomic.Int64 }

func (c *counted) DialHook(next redis.DialHook) redis.DialHook { return next }

func (c *counted) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (c *counted) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if args := cmd.Args(); cmd.Name() == "zrange" {
			from, to := args[2].(int), args[3].(int)
			c.most.Store(max(c.most.Load(), int64(to-from+1)))
		}
		return next(ctx, cmd)
	}
}

func TestLargeTasksAreReadAFewAtATime(t *testing.T) {
	s := start(t)
	q := s.queue("q")
	if err := q.SetRule(s.Context(), queue.Rule{Limit: 1}); err != nil {
		t.Fatal(err)
	}
	for range 40 {
		if err := s.Do(s.Context(), "TASK.PUBLISH", "q", strings.Repeat("x", 1<<20), "KEY", "ann").Err(); err != nil {
			t.Fatal(err)
		}
	}
	rdb := s.rdb()
	var c counted
	rdb.AddHook(&c)
	found, err := queue.Inspect(rdb).Search(s.Context(), "q", queue.SearchOptions{State: queue.Held, Filter: queue.Filter{Payload: "x"}, Keep: func(r *queue.Record) { r.Payload = r.Payload[:1:1] }})
	if err != nil || len(found.Tasks) != 39 || found.Looked != 39 || len(found.Tasks[0].Payload) != 1 || found.Tasks[0].Size != 1<<20 {
		t.Fatal(len(found.Tasks), found.Looked, err)
	}
	if n := c.most.Load(); n != 10 {
		t.Errorf("%d tasks of 1 MiB were asked for at once", n)
	}
}
