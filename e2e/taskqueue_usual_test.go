package e2e

import (
	"fmt"
	"testing"
)

// usual is a queue whose next publish, consume and acknowledgement are the usual ones,
// which take the shortcut.
func usual(t *testing.T) *tasks {
	q := tasksOn(t, taskServer(t))
	cycle := func() {
		q.publish("s", "warm")
		q.wants(int64(1), "TASK.ACK s g %", q.one("TASK.CONSUME g c s").id)
	}
	cycle() // opens the passes
	before := q.info("taskqueue_shortcuts")
	cycle()
	if n := q.info("taskqueue_shortcuts") - before; n != 3 {
		t.Fatalf("%d calls took a shortcut, want 3", n)
	}
	q.wants(int64(0), "XLEN s")
	return q
}

// Who waits for tasks that come one by one asks the stream once each time.
func TestWhoMostlyFindsNothingLooksOnce(t *testing.T) {
	q := usual(t)
	w := q.waits("TASK.CONSUME g NAME s 1 0", "a")
	q.publish("s", "1")
	taskHanded(t, w, "a", "1")
	before := q.calls("xreadgroup")
	for range 5 {
		w := q.waits("TASK.CONSUME g NAME s 1 0", "a")
		q.publish("s", "1")
		taskHanded(t, w, "a", "1")
	}
	if n := q.calls("xreadgroup") - before; n != 10 { // in vain, and to be handed one
		t.Errorf("XREADGROUP was called %d times for 5 tasks, want 10", n)
	}
}

// What is usual is so no longer in the moment in which anything is not.
func TestNothingThatIsOutOfTheOrdinaryIsPassedBy(t *testing.T) {
	for name, check := range map[string]func(t *testing.T, q *tasks){
		"one who waits is handed what is published": func(t *testing.T, q *tasks) {
			w := q.waits("TASK.CONSUME g NAME s 1 0", "a", "b")
			q.publish("s", "1", "2", "3")
			taskHanded(t, w, "a", "1")
			taskHanded(t, w, "b", "2")
			if got := q.one("TASK.CONSUME g c s").payload(); got != "3" {
				t.Errorf("got %q", got)
			}
		},
		"one who waits is not overtaken": func(t *testing.T, q *tasks) {
			q.do("TASK.PAUSE s")
			w := q.waits("TASK.CONSUME g NAME s 1 0", "a")
			q.publish("s", "1")
			q.do("TASK.RESUME s")
			taskHanded(t, w, "a", "1")
			q.wants(nil, "TASK.CONSUME g c s")
		},
		"nobody is handed what is paused": func(t *testing.T, q *tasks) {
			q.publish("s", "1")
			q.do("TASK.PAUSE s")
			q.wants(nil, "TASK.CONSUME g c s")
			q.do("TASK.RESUME s")
			q.one("TASK.CONSUME g c s 5 1000")
		},
		"what a forgotten consumer had comes first": func(t *testing.T, q *tasks) {
			q.publish("s", "1", "2")
			q.one("TASK.CONSUME g old s")
			q.wants(int64(1), "TASK.FORGET s g old")
			if got := taskPayloads(q.do("TASK.CONSUME g c s 2")); got != "1 2" {
				t.Errorf("got %q", got)
			}
		},
		"what one who died was handed goes to the next": func(t *testing.T, q *tasks) {
			q.waits("TASK.CONSUME g NAME s 1 0", "dying")
			c := q.Conn()
			defer c.Close()
			pipe := c.TxPipeline()
			pipe.Do(q.ctx, "TASK.PUBLISH", "s", "1")
			pipe.Do(q.ctx, "CLIENT", "KILL", "ID", q.lastClient("task.consume"))
			if _, err := pipe.Exec(q.ctx); err != nil {
				t.Fatal(err)
			}
			q.until(1, func() int64 { return q.info("taskqueue_ghosts_reclaimed") })
			if got := q.one("TASK.CONSUME g c s").payload(); got != "1" {
				t.Errorf("got %q", got)
			}
		},
		"another group keeps its entries": func(t *testing.T, q *tasks) {
			q.publish("s", "1")
			id := q.one("TASK.CONSUME g c s").id
			q.do("XGROUP CREATE s late 0")
			q.wants(int64(1), "TASK.ACK s g %", id)
			q.wants(int64(1), "XLEN s")
		},
		"entries are kept from when that is set": func(t *testing.T, q *tasks) {
			q.publish("s", "1")
			id := q.one("TASK.CONSUME g c s").id
			q.do("CONFIG SET taskqueue.keep-acked yes")
			q.wants(int64(1), "TASK.ACK s g %", id)
			q.wants(int64(1), "XLEN s")
			ids := q.publish("s", "2", "3")
			q.do("TASK.CONSUME g c s 2")
			before := q.info("taskqueue_shortcuts")
			q.wants(int64(1), "TASK.ACK s g %", ids[0])
			if n := q.info("taskqueue_shortcuts") - before; n != 1 {
				t.Errorf("%d shortcuts were taken, want 1", n)
			}
			q.wants(int64(3), "XLEN s")
			q.do("CONFIG SET taskqueue.keep-acked no")
			q.wants(int64(1), "TASK.ACK s g %", ids[1])
			q.wants(int64(2), "XLEN s")
		},
		"no more are taken than is allowed": func(t *testing.T, q *tasks) {
			q.publish("s", "1", "2", "3", "4")
			q.do("CONFIG SET taskqueue.max-count 2")
			if got := taskPayloads(q.do("TASK.CONSUME g c s 10")); got != "1 2" {
				t.Errorf("got %q", got)
			}
			if got := taskPayloads(q.do("TASK.CONSUME g c s 10")); got != "3 4" {
				t.Errorf("got %q", got)
			}
		},
		"the module's own consumers take nothing": func(_ *testing.T, q *tasks) {
			q.publish("s", "1")
			q.fails("ERR the consumer name", "TASK.CONSUME g taskqueue:available s")
			q.fails("ERR the consumer name", "TASK.CONSUME g taskqueue:forget:c s")
		},
		"a group that is gone is made anew": func(t *testing.T, q *tasks) {
			q.publish("s", "1")
			q.do("XGROUP DESTROY s g")
			if got := q.one("TASK.CONSUME g c s").payload(); got != "1" {
				t.Errorf("got %q", got)
			}
		},
		"another database is another": func(t *testing.T, q *tasks) {
			other := q.db(1)
			other.publish("s", "1")
			other.do("TASK.PAUSE s")
			other.wants(nil, "TASK.CONSUME g c s")
			q.do("SWAPDB 0 1")
			q.wants(nil, "TASK.CONSUME g c s")
		},
		"other data may hold what a forgotten consumer had": func(t *testing.T, q *tasks) {
			other := q.db(1)
			other.publish("s", "1", "2")
			other.one("TASK.CONSUME g old s")
			other.wants(int64(1), "TASK.FORGET s g old")
			q.do("SWAPDB 0 1")
			if got := taskPayloads(q.do("TASK.CONSUME g c s 2")); got != "1 2" {
				t.Errorf("got %q", got)
			}
		},
		"another type is refused": func(_ *testing.T, q *tasks) {
			q.do("DEL s")
			q.do("SET s x")
			q.fails("WRONGTYPE", "TASK.PUBLISH s 1")
			q.fails("WRONGTYPE", "TASK.CONSUME g c s")
			q.fails("WRONGTYPE", "TASK.ACK s g 1-1")
		},
		"an id is one": func(_ *testing.T, q *tasks) {
			q.fails("ERR Invalid stream ID", "TASK.ACK s g x")
			q.wants(int64(0), "TASK.ACK s g 1-1")
		},
		"a retry count is kept": func(t *testing.T, q *tasks) {
			q.do("TASK.PUBLISH s 1 7")
			if got := q.one("TASK.CONSUME g c s"); got.field("retry_count") != "7" || got.field("timestamp") == "" {
				t.Errorf("got %v", got)
			}
		},
		"all are counted": func(t *testing.T, q *tasks) {
			base := map[string]int64{}
			for _, f := range []string{"published", "delivered", "acked"} {
				base[f] = q.info("taskqueue_" + f)
			}
			group := q.group("s", "g")
			const n = 50
			for i := range n {
				q.publish("s", fmt.Sprint(i))
			}
			for _, task := range tasksIn(q.do("TASK.CONSUME g c s 30")) {
				q.do("TASK.ACK s g %", task.id)
			}
			for range n - 30 {
				q.do("TASK.ACK s g %", q.one("TASK.CONSUME g c s").id)
			}
			for f, before := range base {
				if got := q.info("taskqueue_"+f) - before; got != n {
					t.Errorf("INFO counts %d %s, want %d", got, f, n)
				}
			}
			after := q.group("s", "g")
			if after["delivered"]-group["delivered"] != n || after["acked"]-group["acked"] != n {
				t.Errorf("the group counts %v, before that %v, want %d more", after, group, n)
			}
			q.do("CONFIG SET taskqueue.max-count 20000") // shuts all passes
			if got := q.group("s", "g"); got["delivered"] != after["delivered"] || got["acked"] != after["acked"] {
				t.Errorf("shutting the passes changed what was counted: %v, before that %v", got, after)
			}
		},
	} {
		t.Run(name, func(t *testing.T) { check(t, usual(t)) })
	}
}
