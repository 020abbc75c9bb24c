package queuetest_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"holdfast/holdfasttest"
	"holdfast/queue"
	"holdfast/queue/queuetest"
)

type mail struct{ To string }

func send(_ context.Context, t *queue.Task[mail]) error {
	switch t.Payload.To {
	case "":
		return queue.Discard(errors.New("no address"))
	case "busy":
		return queue.RetryAfter(time.Minute)
	case "early":
		return fmt.Errorf("later: %w", queue.Snooze(time.Hour))
	case "down":
		return errors.New("down")
	case "panic":
		panic("boo")
	case "goexit":
		runtime.Goexit()
	}
	return nil
}

func TestOneTaskRunsWithoutAServer(t *testing.T) {
	for _, c := range []struct {
		to       string
		task     queuetest.Task
		decision queue.Decision
		dead     bool
		in       time.Duration
		err      string
	}{
		{"ann", queuetest.Task{}, queue.Done, false, -1, ""},
		{"", queuetest.Task{}, queue.Discarded, true, -1, "no address"},
		{"busy", queuetest.Task{}, queue.Retried, false, time.Minute, "again"},
		{"early", queuetest.Task{Try: 10}, queue.Snoozed, false, time.Hour, "later"},
		{"down", queuetest.Task{Try: 9}, queue.Retried, false, -1, "down"},
		{"down", queuetest.Task{Try: 10}, queue.Retried, true, -1, "down"},
		{"panic", queuetest.Task{}, queue.Retried, false, -1, "panic: boo"},
		{"goexit", queuetest.Task{}, queue.Retried, false, -1, "goroutine"},
		{"ann", queuetest.Task{Codec: queue.Bytes}, queue.Retried, false, -1, "encoded"},
	} {
		got := queuetest.Run(t.Context(), send, mail{c.to}, c.task)
		if got.Decision != c.decision || got.Dead != c.dead || got.In != c.in || (got.Err == nil) != (c.err == "") || got.Err != nil && !strings.Contains(got.Err.Error(), c.err) {
			t.Errorf("%q %+v: %+v", c.to, c.task, got)
		}
	}
}

func TestTheHandlerSeesTheTasksKey(t *testing.T) {
	if got := queuetest.Run(t.Context(), send, mail{"ann"}, queuetest.Task{Key: "tenant"}); got.Task.Key != "tenant" {
		t.Errorf("%+v", got)
	}
}

func TestOneTaskRunsFromAServersQueue(t *testing.T) {
	s := holdfasttest.Server(t)
	rdb := s.Client()
	q := queue.New[mail](rdb, "mails", queue.Options{})
	for _, to := range []string{"ann", "", "down"} {
		if _, err := q.Publish(t.Context(), mail{to}); err != nil {
			t.Fatal(err)
		}
	}
	i := queue.Inspect(rdb)
	if all, err := queuetest.Payloads(t.Context(), i, q, nil); err != nil || fmt.Sprint(all) != "[{ann} {} {down}]" {
		t.Error(all, err)
	}
	o := queue.WorkerOptions{Backoff: queue.Constant(time.Hour)}
	for _, want := range []struct {
		decision queue.Decision
		dead     bool
		in       time.Duration
	}{{queue.Done, false, -1}, {queue.Discarded, true, -1}, {queue.Retried, false, time.Hour}} {
		got, err := queuetest.Work(t.Context(), q, send, o)
		if err != nil || got.Decision != want.decision || got.Dead != want.dead || got.In != want.in || got.Task.Try != 1 {
			t.Errorf("%+v %v, want %+v", got, err, want)
		}
	}
	if st, err := q.Stats(t.Context()); err != nil || st.Length != 0 || st.Delayed != 1 || st.Dead != 1 {
		t.Errorf("%+v %v", st, err)
	}
	held := queue.New[mail](rdb, "held mails", queue.Options{})
	if err := held.SetRule(t.Context(), queue.Rule{Limit: 1}); err != nil {
		t.Fatal(err)
	}
	for _, to := range []string{"ann", "bob"} {
		if _, err := held.Publish(t.Context(), mail{to}, queue.Key("tenant")); err != nil {
			t.Fatal(err)
		}
	}
	if all, err := queuetest.Payloads(t.Context(), i, held, nil); err != nil || fmt.Sprint(all) != "[{ann} {bob}]" {
		t.Error(all, err)
	}
	if got, err := queuetest.Work(t.Context(), held, send, o); err != nil || got.Task.Key != "tenant" {
		t.Errorf("%+v %v", got, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := queuetest.Work(ctx, q, send, o); err == nil {
		t.Error("a task came from an empty queue")
	}
}
