package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

func TestATaskGoesToTheConsumerThatWaitedLongest(t *testing.T) {
	q := tasksOn(t, taskServer(t))
	w := q.waits("TASK.CONSUME g NAME s 1 0", "a", "b", "c")
	for _, who := range []string{"a", "b", "c"} {
		q.publish("s", "for "+who)
		taskHanded(t, w, who, "for "+who)
	}
	// The same for tasks that others add, alone and several in one step.
	w = q.waits("TASK.CONSUME g NAME s 1 0", "a", "b", "c")
	q.do("XADD s * payload 1")
	taskHanded(t, w, "a", "1")
	q.do("EVAL % 1 s", "redis.call('XADD',KEYS[1],'*','payload','2') redis.call('XADD',KEYS[1],'*','payload','3')")
	taskHanded(t, w, "b", "2")
	taskHanded(t, w, "c", "3")
	w = q.waits("TASK.CONSUME g NAME s 2 0", "a", "b")
	q.do("TASK.MPUBLISH s 4 5 6")
	taskHanded(t, w, "a", "4 5")
	taskHanded(t, w, "b", "6")
}

// One wakes one: the others neither come back empty nor do they cost anything.
func TestATaskWakesExactlyOneOfAnyNumber(t *testing.T) {
	q := tasksOn(t, taskServer(t))
	const n = 500
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprint("w", i)
	}
	w := q.waitsTogether("TASK.CONSUME g NAME s 1 0", names...)
	calls := q.calls("xreadgroup")
	seen := map[string]bool{}
	for i := range 50 {
		q.publish("s", fmt.Sprint(i))
		a := nextOf(t, w)
		if taskPayloads(a.v) != fmt.Sprint(i) || seen[a.who] {
			t.Fatalf("task %d: %s was answered %v %v (a second time: %v)", i, a.who, a.v, a.err, seen[a.who])
		}
		seen[a.who] = true
	}
	q.until(n-50, q.waiting)
	noAnswer(t, w)
	if d := q.calls("xreadgroup") - calls; d > 2*50 {
		t.Errorf("50 tasks took %d reads", d)
	}
}

// Whoever comes to a crowd that waits stands behind it: the streams need not be
// asked for what it would have taken.
func TestWhoeverComesToAWaitingCrowdOnlyJoinsIt(t *testing.T) {
	q := tasksOn(t, taskServer(t))
	q.publish("s", "in work")
	q.one("TASK.CONSUME g busy s")
	calls := q.calls("xreadgroup")
	names := make([]string, 100)
	for i := range names {
		names[i] = fmt.Sprint("w", i)
	}
	w := q.waitsTogether("TASK.CONSUME g NAME s 1 0 LEASE 3600000", names...)
	if d := q.calls("xreadgroup") - calls; d > 2 {
		t.Errorf("100 consumers asked the stream %d times", d)
	}
	// One that may not wait, and one that takes over sooner, get what there is.
	q.wants(nil, "TASK.CONSUME g c s")
	q.until(1, func() int64 { return min(q.group("s", "g")["oldest_pending_ms"], 1) })
	if got := taskPayloads(q.do("TASK.CONSUME g eager s 1 0 LEASE 1")); got != "in work" {
		t.Errorf("took over %q", got)
	}
	for _, line := range []string{"TASK.PUBLISH s x", "XADD s * payload x", "TASK.PUBLISH s x DELAY 1", "TASK.NACK s g eager % "} {
		q.do(strings.Replace(line, "%", fmt.Sprint(q.do("XPENDING s g - + 1").([]any)[0].([]any)[0]), 1))
		if a := nextOf(t, w); len(tasksIn(a.v)) != 1 {
			t.Fatalf("%s: %v", line, a)
		}
	}
}

// In one step with what adds tasks, before anyone was woken: those who wait come
// first, and what they leave is there for whoever asks.
func TestWhoAsksInTheStepThatAddsComesLast(t *testing.T) {
	q := tasksOn(t, taskServer(t))
	for _, add := range []string{
		"redis.call('XADD',KEYS[1],'*','payload','1')redis.call('XADD',KEYS[1],'*','payload','2')",
		"redis.call('TASK.MPUBLISH',KEYS[1],'1','2')",
		"redis.call('TASK.PAUSE',KEYS[1])redis.call('TASK.MPUBLISH',KEYS[1],'1','2')redis.call('TASK.RESUME',KEYS[1])",
		"redis.call('TASK.RETRY','t','1-1','1',0,KEYS[1],'dead',1)redis.call('TASK.RETRY','t','1-1','2',1,'t',KEYS[1],1)",
		"redis.call('XADD','o','*','payload','1')redis.call('XADD','o','*','payload','2')redis.call('RENAME','o',KEYS[1])",
	} {
		w := q.waits("TASK.CONSUME g NAME s 1 0", "first")
		got := q.do("EVAL % 1 s", add+"return(redis.call('TASK.CONSUME','g','late',KEYS[1],1,0))")
		taskHanded(t, w, "first", "1")
		if taskPayloads(got) != "2" {
			t.Errorf("after %s: who asked got %q, want the second task", add, taskPayloads(got))
		}
	}
}

func TestEachGroupGetsEachTask(t *testing.T) {
	q := tasksOn(t, taskServer(t))
	one := q.waits("TASK.CONSUME one NAME s 1 0", "a")
	two := q.waits("TASK.CONSUME two NAME s 1 0", "b")
	q.publish("s", "x")
	taskHanded(t, one, "a", "x")
	taskHanded(t, two, "b", "x")
}

func TestWhoeverWaitsInSeveralStreamsIsServedOnceFirstStreamFirst(t *testing.T) {
	q := tasksOn(t, taskServer(t))
	w := q.waits("TASK.CONSUME g NAME high 1 0 ALSO 2 low lowest", "a")
	pipe := q.TxPipeline()
	pipe.Do(q.ctx, "TASK.PUBLISH", "low", "l")
	pipe.Do(q.ctx, "TASK.PUBLISH", "high", "h")
	if _, err := pipe.Exec(q.ctx); err != nil {
		t.Fatal(err)
	}
	a := nextOf(t, w)
	if got := tasksIn(a.v); len(got) != 1 || got[0].stream != "low" || got[0].payload() != "l" {
		t.Fatal(a)
	}
	q.publish("lowest", "z")
	q.publish("low", "y")
	got := tasksIn(q.do("TASK.CONSUME g a high 2 ALSO 2 low lowest"))
	if len(got) != 2 || got[0].stream != "high" || got[1].stream != "low" {
		t.Fatalf("%+v", got)
	}
}

func TestAWaitEndsInTimeAndLeavesTheQueue(t *testing.T) {
	q := tasksOn(t, taskServer(t))
	w := q.waits("TASK.CONSUME g NAME s 1 30", "short")
	long := q.waits("TASK.CONSUME g NAME s 1 0", "long")
	if a := nextOf(t, w); a.v != nil || a.err != nil && a.err != redis.Nil {
		t.Fatal(a)
	}
	q.publish("s", "x")
	taskHanded(t, long, "long", "x")
	q.until(0, q.waiting)
}

// A consumer that dies between being handed a task and being told: nobody has
// seen the task, so it goes to the next at once and not when a lease runs out.
func TestATaskHandedToADeadConnectionGoesToTheNextAtOnce(t *testing.T) {
	q := tasksOn(t, taskServer(t))
	for _, lease := range []string{"", " LEASE 3600000"} {
		ghost := q.waits("TASK.CONSUME g NAME s 1 0"+lease, "ghost")
		id := q.lastClient("task.consume")
		alive := q.waits("TASK.CONSUME g NAME s 1 0"+lease, "alive")
		pipe := q.TxPipeline()
		pipe.Do(q.ctx, "TASK.PUBLISH", "s", "x")
		pipe.Do(q.ctx, "CLIENT", "KILL", "ID", id)
		if _, err := pipe.Exec(q.ctx); err != nil {
			t.Fatal(err)
		}
		taskHanded(t, alive, "alive", "x")
		if a := nextOf(t, ghost); a.err == nil {
			t.Fatal("the killed consumer was answered", a.v)
		}
		owner := q.do("XPENDING s g - + 1").([]any)[0].([]any)
		if owner[1] != "alive" || owner[3] != int64(1) {
			t.Fatalf("%v, want it pending with alive, delivered once", owner)
		}
		q.wants(int64(1), "TASK.ACK s g % CONSUMER alive", owner[0])
	}
	// With nobody else waiting it lies ready for whoever comes next.
	ghost := q.waits("TASK.CONSUME g NAME s 1 0", "ghost")
	pipe := q.TxPipeline()
	pipe.Do(q.ctx, "TASK.PUBLISH", "s", "y")
	pipe.Do(q.ctx, "CLIENT", "KILL", "ID", q.lastClient("task.consume"))
	if _, err := pipe.Exec(q.ctx); err != nil {
		t.Fatal(err)
	}
	nextOf(t, ghost)
	q.until(1, func() int64 { return q.group("s", "g")["ready"] })
	if got := taskPayloads(q.do("TASK.CONSUME g late s")); got != "y" {
		t.Fatalf("got %q", got)
	}
}

func TestAKilledConsumerIsPassedBy(t *testing.T) {
	q := tasksOn(t, taskServer(t))
	dead := q.waits("TASK.CONSUME g NAME s 1 0", "dead")
	id := q.lastClient("task.consume")
	alive := q.waits("TASK.CONSUME g NAME s 1 0", "alive")
	q.do("CLIENT KILL ID %", id)
	nextOf(t, dead)
	q.publish("s", "x")
	taskHanded(t, alive, "alive", "x")

	unblocked := q.waits("TASK.CONSUME g NAME s 1 0", "unblocked")
	q.do("CLIENT UNBLOCK %", q.lastClient("task.consume"))
	if a := nextOf(t, unblocked); a.v != nil {
		t.Fatal(a)
	}
	failed := q.waits("TASK.CONSUME g NAME s 1 0", "failed")
	q.do("CLIENT UNBLOCK % ERROR", q.lastClient("task.consume"))
	if a := nextOf(t, failed); a.err == nil || !strings.HasPrefix(a.err.Error(), "UNBLOCKED") {
		t.Fatal(a)
	}
	q.publish("s", "y")
	if got := taskPayloads(q.do("TASK.CONSUME g late s")); got != "y" {
		t.Fatalf("got %q", got)
	}
}

// Who waits goes on waiting when the stream goes, and is served when it comes
// back, however it does.
func TestAWaiterOutlivesItsStream(t *testing.T) {
	q := tasksOn(t, taskServer(t))
	for _, ways := range [][]string{
		{"DEL s", "TASK.PUBLISH s x"},
		{"FLUSHALL", "XADD s * payload x"},
		{"FLUSHDB", "TASK.PUBLISH s x"},
		{"EVAL redis.call('XGROUP','DESTROY',KEYS[1],'g')redis.call('XGROUP','CREATE',KEYS[1],'g','0') 1 s", "TASK.PUBLISH s x"},
		{"XADD other * payload x", "RENAME other s"},
		{"XADD other * payload x", "COPY other s REPLACE"},
		{"XADD s NOMKSTREAM MAXLEN 0 * payload gone", "TASK.PUBLISH s x"},
		{"DEBUG RELOAD", "TASK.PUBLISH s x"},
		{"SWAPDB 0 1", "TASK.PUBLISH s x"},
	} {
		q.do("FLUSHALL")
		w := q.waits("TASK.CONSUME g NAME s 1 0", "w")
		for _, line := range ways {
			if _, err := q.try(line); err != nil {
				t.Fatal(line, err)
			}
		}
		a := nextOf(t, w)
		if taskPayloads(a.v) != "x" {
			t.Fatalf("%v: answered %v %v", ways, a.v, a.err)
		}
	}
	// Another database's stream of that name is another one.
	q.do("FLUSHALL")
	w := q.waits("TASK.CONSUME g NAME s 1 0", "w")
	one := q.db(1)
	one.publish("s", "other")
	noAnswer(t, w)
	q.do("SWAPDB 0 1")
	taskHanded(t, w, "w", "other")
	w = q.waits("TASK.CONSUME g NAME m 1 0", "w")
	q.do("DEL m")
	one.do("XADD m * payload moved")
	one.do("MOVE m 0")
	taskHanded(t, w, "w", "moved")
}

func TestAPausedQueueTakesTasksAndHandsOutNone(t *testing.T) {
	s := taskServer(t)
	q := tasksOn(t, s)
	w := q.waits("TASK.CONSUME g NAME s 1 0", "a")
	q.wants("OK", "TASK.PAUSE s")
	q.publish("s", "x", "y")
	q.do("XADD s * payload z")
	q.wants(nil, "TASK.CONSUME g b s 1")
	q.do("DEBUG RELOAD")
	q.wants(nil, "TASK.CONSUME g b s 9 1 LEASE 1")
	noAnswer(t, w)
	q.wants("OK", "TASK.RESUME s")
	taskHanded(t, w, "a", "x")
	if got := taskPayloads(q.do("TASK.CONSUME g b s 9")); got != "y z" {
		t.Fatalf("got %q", got)
	}
	// The flag is a plain key: whoever takes it away resumes the queue too.
	q.do("TASK.PAUSE s")
	w = q.waits("TASK.CONSUME g NAME s 1 0", "a")
	q.publish("s", "v")
	q.do("DEL {s}:paused")
	taskHanded(t, w, "a", "v")
}

// Clients of XREADGROUP share a group with TASK.CONSUME: what was published by
// TASK.PUBLISH goes to who waits in TASK.CONSUME, what is left to the others.
func TestReadersOfTheNativeCommandShareTheGroup(t *testing.T) {
	q := tasksOn(t, taskServer(t))
	q.do("XGROUP CREATE s g 0 MKSTREAM")
	native := make(chan taskAnswer, 1)
	go func() {
		v, err := q.try("XREADGROUP GROUP g native BLOCK 0 STREAMS s >")
		native <- taskAnswer{"native", v, err}
	}()
	q.until(1, q.blocked)
	w := q.waits("TASK.CONSUME g NAME s 1 0", "task")
	q.publish("s", "x")
	taskHanded(t, w, "task", "x")
	q.publish("s", "y")
	if a := nextOf(t, native); a.err != nil || !strings.Contains(fmt.Sprint(a.v), "y") {
		t.Fatal(a)
	}
}

func TestTheQueueUnloadsWhenNobodyWaitsAndNothingIsDue(t *testing.T) {
	q := tasksOn(t, taskServer(t))
	path := built(t)["taskqueue"]
	for range 3 {
		q.publish("s", "x")
		q.one("TASK.CONSUME g a s")
		w := q.waits("TASK.CONSUME g NAME s 1 0 LEASE 3600000", "b")
		q.fails("ERR Error unloading module", "MODULE UNLOAD taskqueue")
		q.publish("s", "y")
		taskHanded(t, w, "b", "y")
		id := q.do("TASK.PUBLISH s z DELAY 3600000")
		q.fails("ERR Error unloading module", "MODULE UNLOAD taskqueue")
		q.wants(int64(1), "TASK.CANCEL s %", id)
		q.wants("OK", "MODULE UNLOAD taskqueue")
		q.wants("OK", "MODULE LOAD %", path)
	}
	q.wants(int64(6), "XLEN s")
}
