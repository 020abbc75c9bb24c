package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/holdfasttest"
)

// keyed publishes tasks of a key and returns their ids.
func (q *tasks) keyed(key string, payloads ...string) (ids []string) {
	q.t.Helper()
	for _, p := range payloads {
		ids = append(ids, q.do("TASK.PUBLISH s % KEY %", p, key).(string))
	}
	return ids
}

// rule is what TASK.KEYS tells.
func (q *tasks) rule(line string) map[string]any {
	q.t.Helper()
	m := map[string]any{}
	for k, v := range q.do(line).(map[any]any) {
		m[fmt.Sprint(k)] = v
	}
	return m
}

// settled checks that the queue s leaves nothing behind but its rule.
func (q *tasks) settled() {
	q.t.Helper()
	q.wants(nil, "TASK.CONSUME g last s")
	for _, kind := range []string{"held", "delayed", "expiring", "undone", "tasks"} {
		q.wants(int64(0), "EXISTS %", "{s}:"+kind)
	}
	q.wants(int64(0), "XLEN s")
}

func TestALimitHoldsBackTheOthersOfItsKeyAlone(t *testing.T) {
	q := tasksOn(t, taskServer(t))
	q.wants("OK", "TASK.KEYS s LIMIT 2")
	a := q.keyed("a", "a1", "a2", "a3", "a4")
	q.keyed("b", "b1")
	q.publish("s", "none")
	if strings.HasPrefix(a[1], "held-") || !strings.HasPrefix(a[2], "held-") {
		t.Fatalf("%q", a)
	}
	q.wants("a1 a2 b1 none", "ECHO %", taskPayloads(q.do("TASK.CONSUME g c s 10")))
	q.wants(nil, "TASK.CONSUME g c s 10")
	m := q.rule("TASK.KEYS s COUNT 5")
	if got := fmt.Sprint(m["limit"], m["share"], m["held"], m["keys"], m["lines"]); got != "2 <nil> 2 1 [map[held:2 in:2 key:a weight:1]]" {
		t.Fatal(got)
	}
	// Each acknowledgement lets in the next of its key, in the order of publication.
	q.wants(int64(1), "TASK.ACK s g %", a[0])
	got := q.one("TASK.CONSUME g c s 10")
	if got.payload() != "a3" || got.field("task_id") != a[2] || got.field("key") != "a" {
		t.Fatalf("%q", got)
	}
	q.wants(int64(1), "TASK.ACK s g % CONSUMER c", a[1])
	last := q.one("TASK.CONSUME g c s 10")
	q.wants("a4", "ECHO %", last.payload())
	q.wants(int64(2), "TASK.ACK s g % %", got.id, last.id)
	for _, e := range tasksIn(q.do("TASK.CONSUME g c s 10 RESUME")) {
		q.wants(int64(1), "TASK.ACK s g %", e.id)
	}
	q.settled()
}

func TestAShareLetsNoConsumerWaitWhileAnythingIsHeld(t *testing.T) {
	q := tasksOn(t, taskServer(t))
	q.wants("OK", "TASK.KEYS s SHARE 1")
	q.keyed("a", "a1", "a2", "a3", "a4", "a5")
	q.keyed("b", "b1")
	q.wants(int64(4), "ZCARD {s}:held")
	// The quiet tenant's task comes before the noisy one's others.
	q.wants("a1 b1", "ECHO %", taskPayloads(q.do("TASK.CONSUME g c s 2")))
	// A consumer that would come back short lets in more.
	q.wants("a2 a3", "ECHO %", taskPayloads(q.do("TASK.CONSUME g c s 2")))
	w := q.waits("TASK.CONSUME g NAME s 1 0", "w1")
	taskHanded(t, w, "w1", "a4")
	q.wants("a5", "ECHO %", taskPayloads(q.do("TASK.CONSUME g c s 5")))
	w = q.waits("TASK.CONSUME g NAME s 1 0", "w1", "w2")
	q.keyed("a", "a6", "a7", "a8")
	taskHanded(t, w, "w1", "a6")
	taskHanded(t, w, "w2", "a7")
	q.wants(int64(1), "ZCARD {s}:held")
}

// Also when reading its entries takes longer than a command may.
func TestAStreamThatTakesTheNameIsReadBeforeItIsToldOfOrAddedTo(t *testing.T) {
	q := tasksOn(t, taskServer(t))
	q.wants("OK", "TASK.KEYS s LIMIT 1")
	for i := range 50 {
		q.keyed(fmt.Sprint("big", i), strings.Repeat("x", 100_000))
	}
	q.keyed("a", "a1", "a2")
	q.do("RENAME s other")
	q.do("TASK.CANCEL s none") // it lets a2 in
	q.until(1, func() int64 { return q.do("EXISTS s").(int64) })
	q.keyed("a", "a3")
	q.do("COPY other copy")
	in := func(line string, then ...any) any { // nothing else has its turn in between
		pipe := q.TxPipeline()
		pipe.Do(q.ctx, taskLine(line)...)
		answer := pipe.Do(q.ctx, then...)
		if _, err := pipe.Exec(q.ctx); err != nil {
			t.Fatal(line, err)
		}
		return answer.Val()
	}
	for _, line := range []string{"RENAME other s", "COPY copy s REPLACE", "DEBUG RELOAD"} {
		told := in(line, "TASK.KEYS", "s").(map[any]any)
		if got := fmt.Sprint(told["lines"]); got != "[map[held:1 in:1 key:a weight:1]]" {
			t.Errorf("after %s: %s", line, got)
		}
	}
	for _, line := range []string{"COPY copy s REPLACE", "DEBUG RELOAD"} {
		if id := in(line, "TASK.PUBLISH", "s", "x", 0, "KEY", line).(string); strings.HasPrefix(id, "held-") {
			t.Errorf("after %s a task was held though its key has room", line)
		}
	}
}

// A thousand tasks of one tenant wait for one of another no longer than for one turn.
func TestAQuietKeyWaitsForOneTurn(t *testing.T) {
	q := tasksOn(t, taskServer(t))
	q.wants("OK", "TASK.KEYS s LIMIT 1 RATE 1 PER 3600000 ALL") // the line moves only when the rule does
	for i := range 30 {
		for _, key := range []string{"a", "b", "c"} {
			if i == 0 || key != "c" || i > 28 {
				q.do("TASK.PUBLISH s % KEY % WEIGHT %", key, key, map[string]int{"a": 1, "b": 3, "c": 1}[key])
			}
		}
	}
	q.do("TASK.PUBLISH s quiet KEY quiet")
	q.wants("OK", "TASK.KEYS s SHARE 1")
	var order []string
	for range 12 {
		order = append(order, q.one("TASK.CONSUME g c s").payload())
	}
	got := strings.Join(order, " ")
	if i := strings.Index(got, "quiet"); i < 0 || strings.Count(got[:i], "a") > 3 || strings.Count(got, "b") < 2*strings.Count(got, "a")-2 {
		t.Fatalf("tasks came as %s", got)
	}
}

// A failed task keeps its key's place until it succeeds, is buried or cancelled.
func TestOrderedTasksOfAKeyComeOneByOneAlsoWhenTheyFail(t *testing.T) {
	q := tasksOn(t, taskServer(t))
	q.wants("OK", "TASK.KEYS s ORDERED")
	ids := q.keyed("a", "a1", "a2", "a3", "a4", "a5")
	q.keyed("b", "b1")
	got := tasksIn(q.do("TASK.CONSUME g c s 10"))
	if len(got) != 2 || got[0].payload() != "a1" || got[1].payload() != "b1" {
		t.Fatalf("%q", got)
	}
	pipe := q.TxPipeline() // nothing falls due within it
	pipe.Do(q.ctx, "TASK.NACK", "s", "g", "c", got[0].id, "DELAY", 50, "REASON", "no")
	pipe.Do(q.ctx, "TASK.ACK", "s", "g", got[1].id)
	nothing := pipe.Do(q.ctx, "TASK.CONSUME", "g", "c", "s", 10)
	if _, err := pipe.Exec(q.ctx); err != redis.Nil || nothing.Err() != redis.Nil {
		t.Fatal(err, nothing)
	}
	w := q.waits("TASK.CONSUME g NAME s 10 0", "w")
	taskHanded(t, w, "w", "a1") // and nothing before it
	again := q.one("TASK.CONSUME g w s 10 RESUME")
	if again.field("retry_count") != "1" || again.field("task_id") != ids[0] {
		t.Fatalf("%q", again)
	}
	q.do("TASK.NACK s g w %", again.id) // at once
	again = q.one("TASK.CONSUME g w s 10")
	q.wants("a1", "ECHO %", again.payload())
	q.do("TASK.RETRY s % a1 2 s dead 9 GROUP g", again.id)
	again = q.one("TASK.CONSUME g w s 10")
	q.wants("a1", "ECHO %", again.payload())
	q.do("TASK.NACK s g w % MAXRETRIES 1 DEAD dead", again.id) // a dead letter frees the key
	second := q.one("TASK.CONSUME g w s 10")
	q.wants("a2", "ECHO %", second.payload())
	q.do("TASK.NACK s g w % DELAY 3600000", second.id)
	q.wants(nil, "TASK.CONSUME g w s 10")
	q.wants(int64(1), "TASK.CANCEL s %", ids[1]) // so does a cancelled one
	q.wants("a3", "ECHO %", taskPayloads(q.do("TASK.CONSUME g w s 10")))
	q.wants(int64(1), "TASK.CANCEL s %", ids[2])
	q.wants("a4", "ECHO %", taskPayloads(q.do("TASK.CONSUME g w s 10")))
	q.do("TASK.REDRIVE dead") // begins anew, behind the others
	q.wants(int64(1), "TASK.CANCEL s %", ids[3])
	last := q.one("TASK.CONSUME g w s 10")
	q.wants("a5", "ECHO %", last.payload())
	q.wants(int64(1), "TASK.ACK s g %", last.id)
	last = q.one("TASK.CONSUME g w s 10")
	q.wants("a1", "ECHO %", last.payload())
	q.wants(int64(1), "TASK.ACK s g %", last.id)
	q.settled()
}

func TestARateLetsInNoMoreThanItSays(t *testing.T) {
	for _, all := range []string{"", " ALL"} {
		q := tasksOn(t, taskServer(t))
		const n, ms = 3, 200
		q.do("TASK.KEYS s RATE % PER %"+all, n, ms)
		for i := range 9 {
			q.keyed([]string{"a", "b"}[i%2], "x")
		}
		var at []int64
		for len(at) < 9 {
			for _, e := range tasksIn(q.do("TASK.CONSUME g c s 10 10000")) {
				if all != "" || e.field("key") == "a" {
					var ms int64
					fmt.Sscanf(e.id, "%d-", &ms)
					at = append(at, ms)
				} else {
					at = append(at, 0)
				}
				q.wants(int64(1), "TASK.ACK s g %", e.id)
			}
		}
		var times []int64
		for _, ms := range at {
			if ms > 0 {
				times = append(times, ms)
			}
		}
		for i := n; i < len(times); i++ {
			if times[i]-times[i-n] < ms {
				t.Errorf("%d tasks were let in within %d ms%s", n+1, times[i]-times[i-n], all)
			}
		}
		q.settled()
	}
}

// Whatever ends a task lets in the next of its key in the same step.
func TestEveryEndOfATaskLetsInTheNextOfItsKey(t *testing.T) {
	for name, end := range map[string]func(q *tasks, id string){
		"ACK":               func(q *tasks, id string) { q.do("TASK.ACK s g %", id) },
		"ACK CONSUMER":      func(q *tasks, id string) { q.do("TASK.ACK s g % CONSUMER c", id) },
		"NACK to the dead":  func(q *tasks, id string) { q.do("TASK.NACK s g c % MAXRETRIES 0 DEAD dead", id) },
		"NACK elsewhere":    func(q *tasks, id string) { q.do("TASK.NACK s g c % TO other", id) },
		"NACK later":        func(q *tasks, id string) { q.do("TASK.NACK s g c % DELAY 3600000", id) },
		"RETRY to the dead": func(q *tasks, id string) { q.do("TASK.RETRY s % x 0 s dead 0 GROUP g", id) },
		"CANCEL":            func(q *tasks, id string) { q.do("TASK.CANCEL s %", id) },
		"CANCEL of an entry": func(q *tasks, id string) {
			q.do("TASK.CANCEL s entry:"+id, 0)
		},
		"a burial": func(q *tasks, id string) {
			q.do("TASK.FORGET s g c")
			q.do("TASK.CONSUME g other s 1 MAXDELIVERIES 1 DEAD dead")
		},
		"an entry that was deleted": func(q *tasks, id string) {
			q.do("XDEL s %", id)
			q.do("TASK.NACK s g c %", id)
		},
	} {
		t.Run(name, func(t *testing.T) {
			q := tasksOn(t, taskServer(t))
			q.wants("OK", "TASK.KEYS s LIMIT 1")
			q.keyed("a", "a1", "a2")
			first := q.one("TASK.CONSUME g c s")
			w := q.waits("TASK.CONSUME g NAME s 1 0", "w")
			if name == "a burial" {
				q.do("CLIENT UNBLOCK %", q.lastClient("task.consume"))
				nextOf(t, w)
				end(q, first.id)
				for _, e := range tasksIn(q.do("TASK.CONSUME g w s 1 10000 RESUME")) {
					q.wants("a2", "ECHO %", e.payload())
					return
				}
				got := q.one("TASK.CONSUME g other s 1 RESUME")
				q.wants("a2", "ECHO %", got.payload())
				return
			}
			end(q, first.id)
			taskHanded(t, w, "w", "a2")
		})
	}
}

// The place of a task that was held is remembered until it is done, also from one try to the next; at most 15 of tasks
// that are done are left.
func TestATaskThatWasHeldIsFoundByItsIDUntilItIsDone(t *testing.T) {
	q := tasksOn(t, taskServer(t))
	q.wants("OK", "TASK.KEYS s LIMIT 2")
	var ids []string
	for i := range 40 {
		ids = append(ids, q.keyed("a", fmt.Sprint("a", i))...)
	}
	q.do("TASK.CONSUME g c s") // a0 stays in work
	for i := 1; i < 30; i++ {
		e := q.one("TASK.CONSUME g c s")
		q.wants(int64(1), "TASK.ACK s g %", e.id)
		if n := q.do("HLEN {s}:tasks").(int64); n > 1+15 {
			t.Fatalf("%d places are remembered of one task that was held and let in", n)
		}
	}
	q.wants(int64(0), "HEXISTS {s}:tasks %", ids[10])
	e := q.one("TASK.CONSUME g c s")
	q.wants(ids[30], "ECHO %", e.field("task_id"))
	if again := q.do("TASK.NACK s g c %", e.id).([]any); len(again) == 0 {
		t.Fatal("the task is not tried again")
	}
	q.wants(int64(1), "HEXISTS {s}:tasks %", ids[30])
	q.wants(int64(1), "TASK.CANCEL s %", ids[30])
	q.wants(int64(0), "HEXISTS {s}:tasks %", ids[30])
	q.do("CONFIG SET taskqueue.keep-acked yes")
	e = q.one("TASK.CONSUME g c s")
	q.wants(int64(1), "TASK.ACK s g %", e.id)
	q.wants(int64(1), "HEXISTS {s}:tasks %", e.field("task_id"))
}

func TestHeldTasksExpireAreCancelledAndAreUniqueAsOthers(t *testing.T) {
	q := tasksOn(t, taskServer(t))
	q.wants("OK", "TASK.KEYS s LIMIT 1")
	first := q.keyed("a", "a1")[0]
	q.do("TASK.PUBLISH s short KEY a EXPIRE 30")
	unique := q.do("TASK.PUBLISH s once KEY a UNIQUE u 3600000 UNTIL DONE").(string)
	if !strings.HasPrefix(unique, "held-") {
		t.Fatal(unique)
	}
	q.wants([]any{"DUPLICATE", unique}, "TASK.PUBLISH s again KEY a UNIQUE u 3600000 WITHSTATUS")
	q.fails("QUEUEFULL", "TASK.PUBLISH s x LIMIT 2")
	q.do("TASK.PUBLISH s late KEY a DELAY 30")
	q.expired(1)
	q.until(2, func() int64 { return q.do("ZCARD {s}:held").(int64) })
	q.until(0, func() int64 { return q.do("EXISTS {s}:delayed").(int64) })
	q.wants(int64(1), "TASK.CANCEL s %", unique)
	q.wants(int64(0), "TASK.CANCEL s %", unique)
	if again := q.do("TASK.PUBLISH s again KEY a UNIQUE u 3600000").(string); again == unique {
		t.Fatal("a cancelled task kept its unique id")
	}
	for _, want := range []string{"a1", "late", "again"} {
		got := q.one("TASK.CONSUME g c s")
		q.wants(want, "ECHO %", got.payload())
		q.wants(int64(1), "TASK.ACK s g %", got.id)
	}
	q.settled()
	_ = first
}

func TestAPausedQueueLetsNobodyHaveHeldTasks(t *testing.T) {
	q := tasksOn(t, taskServer(t))
	q.wants("OK", "TASK.KEYS s SHARE 1")
	w := q.waits("TASK.CONSUME g NAME s 1 0", "w1", "w2")
	q.do("TASK.PAUSE s")
	q.keyed("a", "a1", "a2", "a3")
	q.wants(int64(1), "XLEN s")
	noAnswer(t, w)
	q.do("TASK.RESUME s")
	taskHanded(t, w, "w1", "a1")
	taskHanded(t, w, "w2", "a2")
}

func TestANewRuleAppliesToWhatIsHeld(t *testing.T) {
	q := tasksOn(t, taskServer(t))
	q.wants("OK", "TASK.KEYS s LIMIT 1")
	for i := range 300 {
		q.keyed("a", fmt.Sprint("a", i))
	}
	q.keyed("b", "b0", "b1", "b2", "b3")
	q.wants("OK", "TASK.KEYS s LIMIT 3")
	q.until(298, func() int64 { return q.do("ZCARD {s}:held").(int64) })
	q.wants(int64(6), "XLEN s")
	q.wants("OK", "TASK.KEYS s NONE")
	q.until(0, func() int64 { return q.do("EXISTS {s}:held").(int64) })
	q.wants(int64(304), "XLEN s")
	seen := map[string]bool{}
	for _, e := range tasksIn(q.do("TASK.CONSUME g c s 1000")) {
		if seen[e.payload()] {
			t.Errorf("%s came twice", e.payload())
		}
		seen[e.payload()] = true
		q.wants(int64(1), "TASK.ACK s g %", e.id)
	}
	if len(seen) != 304 {
		t.Errorf("%d tasks came", len(seen))
	}
	q.wants(int64(0), "EXISTS {s}:rule")
	q.settled()
}

// Without a rule a key is a field of the entry and means nothing more.
func TestAKeyWithoutARuleIsAField(t *testing.T) {
	q := tasksOn(t, taskServer(t))
	q.do("TASK.PUBLISH s x KEY a WEIGHT 7 HEADERS 1 h v")
	got := q.one("TASK.CONSUME g c s")
	q.wants("a 7 v", "ECHO %", got.field("key")+" "+got.field("key_weight")+" "+got.field("h"))
	q.do("TASK.NACK s g c %", got.id)
	got = q.one("TASK.CONSUME g c s")
	q.wants("a 7 v", "ECHO %", got.field("key")+" "+got.field("key_weight")+" "+got.field("h"))
	q.fails("ERR the header name 'key'", "TASK.PUBLISH s x HEADERS 1 key v")
	q.fails("ERR a key has", "TASK.PUBLISH s x KEY %", "")
	q.fails("ERR a key has", "TASK.PUBLISH s x KEY %", strings.Repeat("k", 513))
	q.fails("ERR syntax", "TASK.PUBLISH s x 0 WEIGHT 7")
}

func TestAStreamWithARuleHasOneGroup(t *testing.T) {
	q := tasksOn(t, taskServer(t))
	q.wants("OK", "TASK.KEYS s LIMIT 1")
	q.keyed("a", "a1")
	q.one("TASK.CONSUME g c s")
	q.fails("ERR a stream with a rule for keys (TASK.KEYS) can have one group", "TASK.CONSUME g2 c s")
	q.publish("two", "x")
	q.one("TASK.CONSUME g c two")
	q.one("TASK.CONSUME g2 c two")
	q.fails("ERR a stream with a rule for keys (TASK.KEYS) can have one group", "TASK.KEYS two LIMIT 1")
	q.wants("OK", "TASK.KEYS two NONE")
}

func TestTheRuleIsToldAndRefusedWhenItIsNone(t *testing.T) {
	q := tasksOn(t, taskServer(t))
	for line, want := range map[string]string{
		"":                             "<nil> <nil> <nil> <nil> 0 0",
		"LIMIT 3":                      "3 <nil> <nil> <nil> 0 0",
		"SHARE 4 RATE 5 PER 600":       "<nil> 4 5 600 0 0",
		"RATE 5 PER 600 ALL":           "<nil> <nil> 5 600 1 0",
		"ORDERED":                      "1 <nil> <nil> <nil> 0 1",
		"LIMIT 1 ORDERED RATE 1 PER 5": "1 <nil> 1 5 0 1",
		"NONE":                         "<nil> <nil> <nil> <nil> 0 0",
	} {
		if line != "" {
			q.do("TASK.KEYS s NONE")
			q.wants("OK", "TASK.KEYS s "+line)
		}
		m := q.rule("TASK.KEYS s")
		if got := fmt.Sprint(m["limit"], m["share"], m["rate"], m["per_ms"], m["all"], m["ordered"]); got != want {
			t.Errorf("%s: %s, want %s", line, got, want)
		}
		q.do("TASK.KEYS s NONE")
	}
	for _, line := range []string{"LIMIT 1 SHARE 1", "ALL", "RATE 1", "RATE 1 PER", "ALL RATE 1 PER 1", "NONE LIMIT 1", "COUNT 1 LIMIT 1", "LIMIT 1 LIMIT 1", "LIMIT"} {
		q.fails("ERR syntax", "TASK.KEYS s "+line)
	}
	q.fails("ERR ORDERED means LIMIT 1", "TASK.KEYS s ORDERED SHARE 1")
	q.fails("ERR ORDERED means LIMIT 1", "TASK.KEYS s LIMIT 2 ORDERED")
	q.do("SET str x")
	q.fails("WRONGTYPE", "TASK.KEYS str LIMIT 1")
	q.do("SET {t}:rule x")
	q.fails("WRONGTYPE", "TASK.KEYS t LIMIT 1")
	q.fails("ERR no key can share", "TASK.KEYS a}b LIMIT 1")
}

// The module's own numbers are hints: what others do to a stream is found out within a second,
// also when the server ends in the same moment or a replica takes over.
func TestWhatOthersDoIsRightAgainWithinASecond(t *testing.T) {
	here := func(line string) func(q *tasks, s *holdfasttest.Instance, id string) *tasks {
		return func(q *tasks, _ *holdfasttest.Instance, id string) *tasks {
			for _, l := range strings.Split(line, "; ") {
				q.do(strings.ReplaceAll(l, "ID", id))
			}
			return q
		}
	}
	for name, do := range map[string]func(q *tasks, s *holdfasttest.Instance, id string) *tasks{
		"XACK":           here("XACK s g ID"),
		"XACK and XDEL":  here("XACK s g ID; XDEL s ID"),
		"XDEL":           here("XDEL s ID"),
		"XTRIM":          here("XTRIM s MAXLEN 0"),
		"RENAME":         here("RENAME s elsewhere"),
		"DEL":            here("DEL s"),
		"XGROUP DESTROY": here("XGROUP DESTROY s g; XDEL s ID"),
		"another rule":   here("HSET {s}:rule limit 2"),
		"no rule":        here("DEL {s}:rule"),
		"kill -9": func(q *tasks, s *holdfasttest.Instance, id string) *tasks {
			q.wants(int64(1), "XACK s g %", id)
			s.Kill()
			s.Restart()
			return tasksOn(q.t, s)
		},
		"failover": func(q *tasks, s *holdfasttest.Instance, id string) *tasks {
			replica := taskServer(q.t)
			r := tasksOn(q.t, replica)
			host, port, _ := strings.Cut(s.Addr, ":")
			r.do("REPLICAOF % %", host, port)
			q.until(1, func() int64 { return int64(strings.Count(r.do("INFO replication").(string), "master_link_status:up")) })
			q.wants(int64(1), "XACK s g %", id)
			q.until(0, func() int64 { return int64(len(r.do("XPENDING s g - + 1").([]any))) })
			s.Kill()
			r.do("REPLICAOF NO ONE")
			return r
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := taskServer(t, holdfasttest.WithDir(t.TempDir()), holdfasttest.WithArgs("--appendonly", "yes", "--appendfsync", "always"))
			q := tasksOn(t, s)
			q.wants("OK", "TASK.KEYS s LIMIT 1")
			q.keyed("a", "a1", "a2")
			first := q.one("TASK.CONSUME g c s")
			q = do(q, s, first.id)
			began := time.Now()
			q.until(0, func() int64 { return q.do("EXISTS {s}:held").(int64) })
			if took := time.Since(began); took > time.Second {
				t.Errorf("after %v", took)
			}
			for _, e := range tasksIn(q.do("TASK.CONSUME g other s 10")) {
				if e.payload() == "a2" {
					return
				}
			}
			t.Error("the held task was not handed out")
		})
	}
}

// An entry that XADD added with a key counts as any other.
func TestAnEntryOfXADDWithAKeyCounts(t *testing.T) {
	q := tasksOn(t, taskServer(t))
	q.wants("OK", "TASK.KEYS s LIMIT 1")
	q.keyed("b", "b1")
	id := q.do("XADD s * payload x timestamp 1 retry_count 0 key a").(string)
	if held := q.keyed("a", "a1")[0]; !strings.HasPrefix(held, "held-") {
		t.Fatal(held)
	}
	q.do("TASK.CONSUME g c s 10")
	q.wants(int64(1), "TASK.ACK s g %", id)
	q.wants("a1", "ECHO %", taskPayloads(q.do("TASK.CONSUME g c s 10")))
}

// What others write into the sets of held and delayed tasks comes out as what it is.
func TestMembersThatOthersWroteComeAsTheyAre(t *testing.T) {
	q := tasksOn(t, taskServer(t))
	q.wants("OK", "TASK.KEYS s LIMIT 1")
	q.do("ZADD {s}:held 0 % 0 %", "1:a,1-5 1:x,1:y,", "by hand")
	q.do("ZADD {s}:delayed 1 % 1 %", "delayed-1-1 1:v,1:w,", "later")
	got := map[string]bool{}
	for len(got) < 4 {
		for _, e := range tasksIn(q.do("TASK.CONSUME g c s 10 10000")) {
			got[e.payload()+e.field("x")+e.field("v")] = true
			q.do("TASK.ACK s g %", e.id)
		}
	}
	if !got["y"] || !got["w"] || !got["by hand"] || !got["later"] {
		t.Fatal(got)
	}
	q.settled()
}
