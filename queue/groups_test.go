package queue_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"holdfast/queue"
)

// tries counts the tries of each task by group, and fails where it is told to.
type tries struct {
	mu  sync.Mutex
	all map[string]int
}

func (c *tries) handler(group string, failures int) queue.Handler[string] {
	return func(_ context.Context, t *queue.Task[string]) error {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.all[group+" "+t.Payload]++
		if t.Try <= failures {
			return errors.New("not yet")
		}
		return nil
	}
}

func (c *tries) of(group, payload string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.all[group+" "+payload]
}

func TestARetryGoesToItsOwnGroupAlone(t *testing.T) {
	for _, name := range []string{"q", "{eu}q"} {
		t.Run(name, func(t *testing.T) {
			s := start(t)
			q := s.queue(name)
			c := &tries{all: map[string]int{}}
			o := func(group string) queue.WorkerOptions {
				return queue.WorkerOptions{Group: group, MaxTries: 4, Backoff: queue.Constant(time.Millisecond), Logger: quiet}
			}
			// Groups whose names are parts of each other, and of the keys beside a stream.
			failing := []string{"search", "search:delayed", "search%3Adelayed"}
			good := run(t, queue.NewWorker(s.queue(name), c.handler("billing", 0), o("billing")))
			s.Until("the first group is there", func() bool { return len(s.stats(q).Groups) == 1 })
			all := []*running{good}
			for _, group := range failing {
				all = append(all, run(t, queue.NewWorker(s.queue(name), c.handler(group, 3), o(group))))
			}
			s.Until("all groups are there", func() bool { return len(s.stats(q).Groups) == 4 })
			for i := range 10 {
				s.publish(q, fmt.Sprint(i))
			}
			s.Until("all is done", func() bool {
				st := s.stats(q)
				for i := range 10 {
					for _, group := range failing {
						if c.of(group, fmt.Sprint(i)) < 4 {
							return false
						}
					}
				}
				return st.Length+st.Delayed == 0
			})
			for i := range 10 {
				if n := c.of("billing", fmt.Sprint(i)); n != 1 {
					t.Errorf("the group that did not fail tried task %d %d times", i, n)
				}
				for _, group := range failing {
					if n := c.of(group, fmt.Sprint(i)); n != 4 {
						t.Errorf("the group %s tried task %d %d times", group, i, n)
					}
				}
			}
			for _, w := range all {
				w.stop()
			}
		})
	}
}

// A worker that begins when a retry waits already finds it; so does one whose group is
// alone by now.
func TestRetriesOfAGroupAreFoundByItsOtherWorkers(t *testing.T) {
	s := start(t)
	q := s.queue("q")
	c := &tries{all: map[string]int{}}
	s.XGroupCreateMkStream(s.Context(), "q", "billing", "0")
	o := queue.WorkerOptions{Group: "search", Backoff: queue.Constant(time.Second), Logger: quiet}
	w := run(t, queue.NewWorker(s.queue("q"), c.handler("search", 1), o))
	s.Until("its group is there", func() bool { return len(s.stats(q).Groups) == 2 })
	s.publish(q, "x")
	s.Until("it has failed", func() bool { return s.stats(q).Delayed == 1 })
	w.stop()
	s.XGroupDestroy(s.Context(), "q", "billing")
	w = run(t, queue.NewWorker(s.queue("q"), c.handler("search", 1), o))
	s.Until("it is tried again", func() bool { return c.of("search", "x") == 2 })
	w.stop()
}

func TestDeadLettersAreTheirGroupsAndComeBackToIt(t *testing.T) {
	s := start(t)
	q := s.queue("q")
	c := &tries{all: map[string]int{}}
	o := func(group string) queue.WorkerOptions {
		return queue.WorkerOptions{Group: group, MaxTries: 1, Logger: quiet}
	}
	run(t, queue.NewWorker(s.queue("q"), c.handler("workers", 0), o("")))
	w := run(t, queue.NewWorker(s.queue("q"), c.handler("search", 1), o("search")))
	s.Until("both groups are there", func() bool { return len(s.stats(q).Groups) == 2 })
	id := s.publish(q, "x")
	s.Until("it is dead", func() bool { return s.stats(q).Dead == 1 })
	i := queue.Inspect(s.Client)
	r, err := i.Find(s.Context(), "q", id)
	if err != nil || r.State != queue.Dead || r.Group != "search" || r.Key != queue.DeadStream("q", "search") || r.ID != id || r.Error != "not yet" {
		t.Errorf("%+v %v", r, err)
	}
	if n, err := q.Redrive(s.Context(), 0); n != 0 || err != nil {
		t.Errorf("%d dead letters of the default group, %v", n, err)
	}
	if _, err := i.Redrive(s.Context(), "q", queue.Selection{Entries: []string{r.Entry}}); err == nil {
		t.Error("entries without a group were accepted where there are several")
	}
	w.stop()
	out, err := i.Redrive(s.Context(), "q", queue.Selection{Group: "search"})
	if err != nil || out.Done != 1 {
		t.Errorf("%+v %v", out, err)
	}
	run(t, queue.NewWorker(s.queue("q"), c.handler("search", 0), o("search")))
	s.Until("it is done", func() bool { return c.of("search", "x") == 2 })
	s.empty(q)
	if n := c.of("workers", "x"); n != 1 {
		t.Errorf("the group that had done it was given it %d times", n)
	}
}
