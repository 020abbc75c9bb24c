package e2e

import (
	"fmt"
	"testing"
)

// Whatever goes through the queue leaves nothing behind: streams, groups and
// consumers that come and go, tasks that are delayed, given back, forgotten.
func TestTheQueuesMemoryEndsAsItBegan(t *testing.T) { churn(t, 200) }

// churn sends so many thousand tasks through the queue.
func churn(t *testing.T, rounds int) tally {
	s := taskServer(t)
	q := tasksOn(t, s)
	const each = 1000
	payloads := make([]any, each)
	for i := range payloads {
		payloads[i] = fmt.Sprintf("task %04d of a thousand", i)
	}
	round := func(i int) {
		stream := fmt.Sprint("stream", i)
		if i%2 == 0 {
			stream = "stream"
		}
		q.do("TASK.PUBLISH % later UNIQUE % 1 DELAY 1", stream, i)
		if _, err := q.Do(q.ctx, append([]any{"TASK.MPUBLISH", stream}, payloads...)...).Result(); err != nil {
			t.Fatal(err)
		}
		pipe := q.Pipeline()
		for n, task := range tasksIn(q.do("TASK.CONSUME % worker % % LEASE 3600000", fmt.Sprint("group", i%7), stream, 2*each)) {
			if n%100 == 0 {
				pipe.Do(q.ctx, "TASK.NACK", stream, fmt.Sprint("group", i%7), "worker", task.id, "MAXRETRIES", 0, "DEAD", "dead")
			} else {
				pipe.Do(q.ctx, "TASK.ACK", stream, fmt.Sprint("group", i%7), task.id, "CONSUMER", "worker")
			}
		}
		if _, err := pipe.Exec(q.ctx); err != nil {
			t.Fatal(err)
		}
		usual := fmt.Sprint("usual", i) // what takes shortcuts
		for range 3 {
			q.publish(usual, "x")
			q.do("TASK.ACK % g %", usual, q.one("TASK.CONSUME g c %", usual).id)
		}
		q.do("DEL %", usual)
		w := q.waits("TASK.CONSUME waiting NAME other 1 0 LEASE 60000", fmt.Sprint("w", i))
		q.do("TASK.PUBLISH other x")
		nextOf(t, w)
		q.do("TASK.FORGET other waiting %", fmt.Sprint("w", i))
		q.do("DEL other dead")
		q.until(0, func() int64 { return q.do("EXISTS %", "{"+stream+"}:delayed").(int64) })
		q.do("DEL %", stream)
	}
	memory := func() (used, resident int64) {
		return q.field("memory", "used_memory:"), q.field("memory", "used_memory_rss:")
	}
	for i := range rounds / 5 { // what is made once and kept is made by now
		round(i)
	}
	used, resident := memory()
	for i := range rounds {
		round(rounds + i)
	}
	u, r := memory()
	t.Logf("%d tasks: used %d, then %d; resident %d, then %d bytes", rounds*each, used, u, resident, r)
	if u > used+used/20+1<<20 || r > resident+resident/5+16<<20 {
		t.Errorf("memory grew: used %d, then %d; resident %d, then %d bytes", used, u, resident, r)
	}
	return tally{operations: rounds * each, histories: 1}
}

// A stream of which nothing is left to know is forgotten, however many there were.
func TestStreamsWhoseTasksWereCancelledAreForgotten(t *testing.T) {
	q := tasksOn(t, taskServer(t))
	const each = 1000
	round := func(i int) {
		pipe := q.Pipeline()
		for k := range each {
			pipe.Do(q.ctx, "TASK.PUBLISH", fmt.Sprint("a stream with a rather long name ", i, ":", k), "x", "DELAY", 3600_000)
		}
		made, err := pipe.Exec(q.ctx)
		if err != nil {
			t.Fatal(err)
		}
		for k, m := range made {
			pipe.Do(q.ctx, "TASK.CANCEL", m.Args()[1], made[k].(interface{ Val() any }).Val())
		}
		if _, err := pipe.Exec(q.ctx); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 20 {
		round(i)
	}
	q.wants(int64(0), "DBSIZE")
	resident := q.field("memory", "used_memory_rss:")
	for i := range 100 {
		round(100 + i)
	}
	if r := q.field("memory", "used_memory_rss:"); r > resident+resident/5+8<<20 {
		t.Errorf("memory grew from %d to %d bytes", resident, r)
	}
}
