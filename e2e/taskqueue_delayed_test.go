package e2e

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/holdfasttest"
)

func TestADelayedTaskComesWhenItIsDueAndNotBefore(t *testing.T) {
	q := tasksOn(t, taskServer(t))
	w := q.waits("TASK.CONSUME g NAME s 1 0", "a", "b", "c")
	q.do("TASK.PUBLISH s past AT 5")
	taskHanded(t, w, "a", "past")
	now := time.Now().UnixMilli()
	q.do("TASK.PUBLISH s late AT %", now+150)
	q.do("TASK.PUBLISH s soon DELAY 50 HEADERS 1 h v")
	due := map[string]int64{"soon": now + 50, "late": now + 150}
	for range len(due) {
		got := tasksIn(nextOf(t, w).v)[0]
		var ms int64
		fmt.Sscanf(got.id, "%d-", &ms)
		if at, ok := due[got.payload()]; !ok || ms < at {
			t.Fatalf("%s was added at %d, due at %d", got.payload(), ms, at)
		}
		delete(due, got.payload())
	}
	q.wants(int64(0), "EXISTS {s}:delayed")
	if n := q.info("taskqueue_delayed"); n != 0 {
		t.Fatalf("%d are said to be delayed", n)
	}
}

func TestTasksDueTogetherComeInTheOrderOfTheirPublication(t *testing.T) {
	q := tasksOn(t, taskServer(t))
	at := time.Now().UnixMilli() + 200
	var want []string
	for i := range 300 {
		q.do("TASK.PUBLISH s % AT %", i, at)
		want = append(want, fmt.Sprint(i))
	}
	q.until(300, func() int64 { return q.do("XLEN s").(int64) })
	if got := taskPayloads(q.do("TASK.CONSUME g c s 300")); got != strings.Join(want, " ") {
		t.Fatalf("came as %s", got)
	}
}

// The timer is late, and there is more to move than one command may.
func TestATaskThatIsDueAtOnceComesBehindThoseDueBefore(t *testing.T) {
	q := tasksOn(t, taskServer(t))
	const n = 10_000
	at := time.Now().UnixMilli() + 3000
	pipe := q.Pipeline()
	for range n {
		pipe.Do(q.ctx, "TASK.PUBLISH", "s", "first", "AT", at)
	}
	pipe.Do(q.ctx, "TASK.PUBLISH", "s", "first", "AT", 1) // nothing is due yet: at once
	pipe.Do(q.ctx, "DEBUG", "SLEEP", 3.1)
	pipe.Do(q.ctx, "TASK.PUBLISH", "s", "last", "AT", at)
	if _, err := pipe.Exec(q.ctx); err != nil {
		t.Fatal(err)
	}
	q.until(n+2, func() int64 { return q.do("XLEN s").(int64) })
	if last := q.do("XREVRANGE s + - COUNT 1").([]any)[0].([]any)[1].([]any)[1]; last != "last" {
		t.Errorf("the task that was published last came before another")
	}
}

func TestACancelledTaskNeverComes(t *testing.T) {
	q := tasksOn(t, taskServer(t))
	at := time.Now().UnixMilli() + 3600_000
	var ids []string
	for i := range 200 {
		ids = append(ids, q.do("TASK.PUBLISH s % AT %", i, at+int64(i%3)).(string))
	}
	for _, id := range []string{"delayed-1-1", "nonsense", "delayed-" + fmt.Sprint(at) + "-1", ids[7][:len(ids[7])-1]} {
		q.wants(int64(0), "TASK.CANCEL s %", id)
	}
	for _, id := range ids {
		q.wants(int64(1), "TASK.CANCEL s %", id)
		q.wants(int64(0), "TASK.CANCEL s %", id)
	}
	q.wants(int64(0), "EXISTS {s}:delayed")
}

// The set is a plain one: what an operator adds by hand is a task too.
func TestATaskPutIntoTheDelayedSetByHandComes(t *testing.T) {
	q := tasksOn(t, taskServer(t))
	w := q.waits("TASK.CONSUME g NAME s 1 0", "a", "b")
	q.do("ZADD {s}:delayed 5 % 5 %", "by hand", "delayed-5-1 nonsense")
	q.do("TASK.PUBLISH s x DELAY 3600000") // whoever touches the set finds it
	got := map[string]bool{}
	for range 2 {
		got[taskPayloads(nextOf(t, w).v)] = true
	}
	if !got["by hand"] || !got["delayed-5-1 nonsense"] {
		t.Fatal(got)
	}
}

// The timer is a hint: the tasks are in the sorted set, and are found there
// again whatever happened to the server's memory.
func TestDelayedTasksSurviveAllTheServerCanDo(t *testing.T) {
	s := taskServer(t, holdfasttest.WithArgs("--appendonly", "yes", "--appendfsync", "always"))
	q := tasksOn(t, s)
	var other *tasks // a name with a tag, in another database
	delay := func(name string) {
		other = q.db(3)
		q.do("TASK.PUBLISH s % DELAY 400", name)
		other.do("TASK.PUBLISH {tag}s % DELAY 400", name)
	}
	comes := func(name string) {
		t.Helper()
		for _, c := range []struct {
			q      *tasks
			stream string
		}{{q, "s"}, {other, "{tag}s"}} {
			got := c.q.one("TASK.CONSUME g c % 9 20000", c.stream)
			if got.payload() != name {
				t.Fatalf("%s: got %q", name, got.fields)
			}
			c.q.wants(int64(1), "TASK.ACK % g % CONSUMER c", c.stream, got.id)
			c.q.wants(int64(0), "XLEN %", c.stream)
		}
	}
	delay("reload")
	q.do("DEBUG RELOAD")
	comes("reload")
	delay("append-only file")
	q.do("DEBUG LOADAOF")
	comes("append-only file")
	delay("kill")
	s.Kill()
	s.Restart()
	comes("kill")
	delay("swap")
	q.do("SWAPDB 0 3")
	got := q.db(3).one("TASK.CONSUME g c s 9 20000")
	if got.payload() != "swap" {
		t.Fatal(got)
	}
	q.do("FLUSHALL")
	delay("flushed")
	q.do("FLUSHALL")
	delay("after")
	comes("after")

	// Nobody asks for it: the background search finds it all the same.
	delay("found")
	q.do("DEBUG RELOAD")
	q.until(1, func() int64 { return q.do("XLEN s").(int64) })
	q.until(1, func() int64 { return other.do("XLEN {tag}s").(int64) })
}

// A timer that writes while writes are paused would abort the server.
func TestTimersDueWhileWritesArePausedWait(t *testing.T) {
	s := taskServer(t)
	q := tasksOn(t, s)
	id := q.publish("s", "leased")[0]
	q.one("TASK.CONSUME g dead s")
	w := q.waits("TASK.CONSUME g NAME s 1 0 LEASE 10000", "a", "b")
	pipe := q.TxPipeline() // the pause begins before anything is due
	pipe.Do(q.ctx, "XCLAIM", "s", "g", "dead", 0, id, "IDLE", 9700)
	for range 20 {
		pipe.Do(q.ctx, "TASK.PUBLISH", "{s}:more", "x", "DELAY", 300)
	}
	pipe.Do(q.ctx, "TASK.PUBLISH", "s", "due", "DELAY", 300)
	pipe.Do(q.ctx, "CLIENT", "PAUSE", 60000, "WRITE")
	if _, err := pipe.Exec(q.ctx); err != nil {
		t.Fatal(err)
	}
	due := time.Now().Add(600 * time.Millisecond)
	for time.Now().Before(due) { // while all of it is due, and nothing may be written
		if n := q.do("XLEN {s}:more").(int64); n != 0 {
			t.Fatalf("%d tasks were added during the pause", n)
		}
		noAnswer(t, w)
	}
	q.do("CLIENT UNPAUSE")
	got := map[string]bool{}
	for range 2 {
		got[taskPayloads(nextOf(t, w).v)] = true
	}
	if !got["leased"] || !got["due"] {
		t.Fatal(got)
	}
	q.until(20, func() int64 { return q.do("XLEN {s}:more").(int64) })
}

// What is due comes from the promoted server, once, and a consumer of the old
// one is told to go elsewhere.
func TestDelayedTasksComeFromThePromotedServer(t *testing.T) {
	for _, how := range []string{"FAILOVER", "REPLICAOF NO ONE"} {
		t.Run(how, func(t *testing.T) {
			a, b := taskServer(t), taskServer(t)
			old, new := tasksOn(t, a), tasksOn(t, b)
			replicate(t, old, new)
			for i := range 5 {
				old.do("TASK.PUBLISH s % DELAY 500", i)
			}
			old.publish("s", "leased")
			old.one("TASK.CONSUME g dead s")
			stuck := old.waits("TASK.CONSUME g NAME nothing 1 0", "stuck")
			old.replicated(new)
			if how == "FAILOVER" {
				old.do("FAILOVER")
				if a := nextOf(t, stuck); a.err == nil {
					t.Fatal("a consumer of the demoted server was answered", a.v)
				}
			} else {
				a.Kill()
				nextOf(t, stuck)
				new.do("REPLICAOF NO ONE")
			}
			new.until(1, func() int64 { return int64(strings.Count(fmt.Sprint(new.do("ROLE")), "master")) })
			var got []string
			for len(got) < 6 {
				tasks := strings.Fields(taskPayloads(new.do("TASK.CONSUME g c s 9 % LEASE 500", taskWait.Milliseconds())))
				if len(tasks) == 0 {
					t.Fatalf("only %v came", got)
				}
				got = append(got, tasks...)
			}
			if n := new.do("XLEN s"); n != int64(6) || len(got) != 6 {
				t.Fatalf("%v entries, received %v", n, got)
			}
		})
	}
}

// Delayed tasks are the primary's to know: a replica would count what has come due
// elsewhere since.
func TestAReplicaCountsNoDelayedTasks(t *testing.T) {
	q, r := tasksOn(t, taskServer(t)), tasksOn(t, taskServer(t))
	q.do("TASK.PUBLISH s p DELAY 3600000")
	replicate(t, q, r)
	if n := q.info("taskqueue_delayed"); n != 1 {
		t.Error("the primary counts", n)
	}
	if n := r.info("taskqueue_delayed"); n != 0 {
		t.Error("the replica counts", n)
	}
	r.do("REPLICAOF NO ONE")
	r.until(1, func() int64 { return r.info("taskqueue_delayed") })
}

// A replica without the modules holds the same data after all commands, and so
// does a server without them that loads the append-only file.
func TestReplicasAndFilesNeedNoModules(t *testing.T) {
	dir := t.TempDir()
	s := taskServer(t, holdfasttest.WithDir(dir), holdfasttest.WithArgs("--appendonly", "yes"))
	plain := holdfasttest.Server(t, holdfasttest.WithModules())
	q, r := tasksOn(t, s), tasksOn(t, plain)
	replicate(t, q, r)
	ids := q.publish("s", "1", "2", "3", "4", "5", "6")
	q.do("TASK.MPUBLISH s 7 8 9")
	q.do("TASK.CONSUME g a s 8")
	q.wants(int64(1), "TASK.ACK s g %", ids[0])
	q.do("TASK.RETRY s % 2 0 again dead 3 GROUP g CONSUMER a", ids[1])
	q.do("TASK.NACK s g a % DELAY 3600000", ids[2])
	q.do("TASK.NACK s g a % MAXRETRIES 0 DEAD dead", ids[3])
	q.do("TASK.EXTEND s g a %", ids[4])
	q.do("TASK.PUBLISH s soon DELAY 30 UNIQUE u 3600000")
	q.do("TASK.CONSUME g b s 9 20000 LEASE 40")
	q.do("TASK.CONSUME g b s 9 20000 LEASE 40")
	q.do("TASK.FORGET s g a")
	w := q.waits("TASK.CONSUME g NAME t 9 0", "b")
	q.publish("t", "direct")
	nextOf(t, w)
	w = q.waits("TASK.CONSUME g NAME t 9 0", "b")
	q.do("XADD t * payload x")
	nextOf(t, w)
	q.do("TASK.REDRIVE dead")
	q.do("TASK.PAUSE paused")
	id := q.do("TASK.PUBLISH s never DELAY 3600000")
	q.do("TASK.CANCEL s %", id)
	within := time.Now().Add(time.Minute).UnixMilli()
	q.until(0, func() int64 { return q.do("ZCOUNT {s}:delayed 0 %", within).(int64) })
	q.replicated(r)
	digest := q.do("DEBUG DIGEST")
	if got := r.do("DEBUG DIGEST"); got != digest {
		t.Errorf("the replica's data differs: %v, want %v", got, digest)
	}
	// The digest knows nothing of groups: compare what is pending, and with whom.
	for _, stream := range []string{"s", "t"} {
		if a, b := pendingOf(q, stream), pendingOf(r, stream); a != b {
			t.Errorf("pending in %s: %s, on the replica %s", stream, a, b)
		}
	}
	want := pendingOf(q, "s")
	s.Stop()
	loaded := tasksOn(t, holdfasttest.Server(t, holdfasttest.WithModules(), holdfasttest.WithDir(dir), holdfasttest.WithArgs("--appendonly", "yes")))
	if got := loaded.do("DEBUG DIGEST"); got != digest {
		t.Errorf("the file's data differs: %v, want %v", got, digest)
	}
	if got := pendingOf(loaded, "s"); got != want {
		t.Errorf("pending in the file: %s, want %s", got, want)
	}
	if m, _ := filepath.Glob(filepath.Join(dir, "appendonlydir", "*")); len(m) == 0 {
		t.Error("there was no append-only file to load")
	}
}

// pendingOf is what is pending, with whom and how often delivered, and how far
// the group has read.
func pendingOf(q *tasks, stream string) string {
	var all []string
	for _, p := range q.do("XPENDING % g - + 1000", stream).([]any) {
		e := p.([]any)
		all = append(all, fmt.Sprint(e[0], e[1], e[3]))
	}
	for _, g := range q.do("XINFO GROUPS %", stream).([]any) {
		all = append(all, fmt.Sprint(g.(map[any]any)["last-delivered-id"]))
	}
	return strings.Join(all, " ")
}

// replicate makes b a replica of a and waits until it is in step.
func replicate(t testing.TB, a, b *tasks) {
	t.Helper()
	host, port, err := net.SplitHostPort(a.Options().Addr)
	if err != nil {
		t.Fatal(err)
	}
	a.do("CONFIG SET repl-diskless-sync-delay 0")
	b.do("REPLICAOF % %", host, port)
	b.until(1, func() int64 { return int64(strings.Count(fmt.Sprint(b.do("ROLE")), "connected")) })
	a.until(1, func() int64 { return a.field("replication", "connected_slaves:") })
}

// replicated waits until the replica has all that was written up to now. WAIT would ask for
// what its own connection wrote, and there are several.
func (q *tasks) replicated(replica *tasks) {
	q.t.Helper()
	written := q.field("replication", "master_repl_offset:")
	await(q.t, "the replica to have it all", func() bool { return replica.field("replication", "slave_repl_offset:") >= written })
}

// A server that shuts down waits for its replicas, with writes paused: timers
// due meanwhile must not write.
func TestAShutdownWithTimersDueIsOrderly(t *testing.T) {
	a, b := taskServer(t, holdfasttest.WithArgs("--shutdown-timeout", "5")), taskServer(t)
	q, r := tasksOn(t, a), tasksOn(t, b)
	replicate(t, q, r)
	q.publish("s", "leased")
	q.one("TASK.CONSUME g dead s")
	w := q.waits("TASK.CONSUME g NAME s 1 0 LEASE 400", "w")
	for range 50 {
		q.do("TASK.PUBLISH other x DELAY 300")
	}
	asleep := make(chan struct{})
	go func() {
		close(asleep)
		_, _ = r.try("DEBUG SLEEP 1.2") // so the replica lags
	}()
	<-asleep
	q.publish("s2", "not replicated yet")
	_, _ = q.try("SHUTDOWN NOSAVE")
	<-a.Done()
	nextOf(t, w)
	if log := a.Log(); !strings.Contains(log, "bye bye") {
		t.Fatalf("the server did not end in order:\n%s", log)
	}
}

// In a cluster everything a stream needs is in its slot, and what is not is
// refused before anything is done.
func TestInAClusterAllOfAQueueIsInOneSlot(t *testing.T) {
	s := taskServer(t, lockAOF, holdfasttest.WithArgs("--cluster-enabled", "yes"))
	q := tasksOn(t, s)
	q.do("CLUSTER ADDSLOTSRANGE 0 16383")
	q.until(1, func() int64 { return int64(strings.Count(q.do("CLUSTER INFO").(string), "cluster_state:ok")) })
	for _, stream := range []string{"mail", "{eu}mail"} {
		q.do("TASK.PUBLISH % x UNIQUE u 3600000 DELAY 50", stream)
		q.do("TASK.PAUSE %", stream)
		q.do("TASK.RESUME %", stream)
		if got := q.one("TASK.CONSUME g c % 1 20000", stream); got.payload() != "x" {
			t.Fatal(got)
		}
		q.do("TASK.PUBLISH % y DELAY 300", stream)
	}
	q.fails("CROSSSLOT", "TASK.CONSUME g c mail ALSO 1 other")
	q.fails("CROSSSLOT", "TASK.CONSUME g c mail MAXDELIVERIES 1 DEAD dead")
	q.fails("CROSSSLOT", "TASK.RETRY mail 1-1 x 0 mail dead 1")
	q.wants("OK", "TASK.RETRY {mail}a 1-1 x 0 {mail}b {mail}c 1")
	q.fails("CROSSSLOT", "TASK.NACK mail g c 1-1 MAXRETRIES 1 DEAD dead")
	q.wants(nil, "TASK.CONSUME g c {mail}d ALSO 1 {mail}e MAXDELIVERIES 1 DEAD {mail}dead")
	s.Kill()
	s.Restart()
	q.until(1, func() int64 { return int64(strings.Count(q.do("CLUSTER INFO").(string), "cluster_state:ok")) })
	for _, stream := range []string{"mail", "{eu}mail"} {
		if got := q.one("TASK.CONSUME g c % 1 20000", stream); got.payload() != "y" {
			t.Fatal(got)
		}
	}
}

// The timer may be late; a task that is due already does not overtake those that were.
func TestATaskThatIsDueAtOnceComesBehindThoseThatWere(t *testing.T) {
	q := tasksOn(t, taskServer(t))
	pipe := q.TxPipeline() // no timer runs within it
	for i := range 5 {
		pipe.Do(q.ctx, "TASK.PUBLISH", "s", i, "DELAY", 1)
	}
	pipe.Do(q.ctx, "DEBUG", "SLEEP", "0.01")
	pipe.Do(q.ctx, "TASK.PUBLISH", "s", 5, "AT", 1)
	if _, err := pipe.Exec(q.ctx); err != nil {
		t.Fatal(err)
	}
	q.until(6, func() int64 { return q.do("XLEN s").(int64) })
	if got := taskPayloads(q.do("TASK.CONSUME g c s 6")); got != "0 1 2 3 4 5" {
		t.Errorf("came as %q", got)
	}
}
