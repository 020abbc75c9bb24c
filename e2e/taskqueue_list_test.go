package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/holdfasttest"
)

// listed are the names that TASK.LIST tells from its first cursor to its last.
func (q *tasks) listed(options string) (names []string) {
	q.t.Helper()
	for cursor := "0"; ; {
		v := q.do("TASK.LIST CURSOR % COUNT 7 "+options, cursor).([]any)
		for _, name := range v[1].([]any) {
			names = append(names, name.(string))
		}
		if cursor = v[0].(string); cursor == "0" {
			slices.Sort(names)
			return names
		}
	}
}

func TestEveryQueueIsListedOnce(t *testing.T) {
	s := taskServer(t)
	q := tasksOn(t, s)
	const n = 300
	var want, odd []string
	for i := range n {
		name := fmt.Sprintf("queue %03d", i)
		q.do("XGROUP CREATE % g 0 MKSTREAM", name)
		want = append(want, name)
		if i%2 == 1 {
			odd = append(odd, name)
		}
	}
	q.do("XADD no-queue * a b")
	q.db(3).do("XGROUP CREATE elsewhere g 0 MKSTREAM")
	check := func(when string, want []string, options string) {
		t.Helper()
		if got := q.listed(options); !slices.Equal(got, want) {
			t.Errorf("%s: %d are listed, want %d: %q", when, len(got), len(want), got)
		}
	}
	q.do("DEBUG RELOAD")
	q.until(n, func() int64 { return int64(len(q.listed(""))) })
	check("after a load", want, "")
	check("those that match", odd, "MATCH queue*[13579]")
	for i, name := range want {
		if i%2 == 0 {
			q.do("DEL %", name)
		}
	}
	check("after half were deleted", odd, "")
	q.publish("new", "x")
	q.one("TASK.CONSUME g c new")
	check("and one was used", append([]string{"new"}, odd...), "")
	q.db(3).do("TASK.LIST")
	for range 2 {
		q.do("FLUSHDB")
		check("after a flush", nil, "")
		q.publish("published", "x")
		q.do("TASK.MPUBLISH published-too x y")
		check("nobody consumes", []string{"published", "published-too"}, "")
	}
	q.do("DEL published published-too")
	if got := q.db(3).listed(""); !slices.Equal(got, []string{"elsewhere"}) {
		t.Errorf("the other database has %q", got)
	}
	q.fails("ERR value is not an integer", "TASK.LIST CURSOR x")
	q.fails("ERR syntax", "TASK.LIST NONSENSE")
}

func TestAReplicaListsTheQueuesItHolds(t *testing.T) {
	q, r := tasksOn(t, taskServer(t)), tasksOn(t, taskServer(t))
	q.publish("s", "x", "y")
	id := q.one("TASK.CONSUME g c s 1 0 LEASE 60000").id
	replicate(t, q, r)
	q.replicated(r)
	r.until(1, func() int64 { return int64(len(r.listed(""))) })
	got := r.do("TASK.LIST WITHSTATS").([]any)[1].([]any)[0].(map[any]any)
	if got["stream"] != "s" || got["ready"] != int64(1) || got["in_work"] != int64(1) {
		t.Errorf("the replica tells %v", got)
	}
	rows := r.do("TASK.PENDING s g").([]any)[1].([]any)
	if row := rows[0].(map[any]any); row["id"] != id || row["owner"] != "c" || row["lease_left_ms"] != nil {
		t.Errorf("the replica tells %v", row)
	}
}

func TestAListedQueueTellsHowItIsDoing(t *testing.T) {
	q := tasksOn(t, taskServer(t))
	q.publish("s", "1", "2", "3", "4", "5")
	q.do("TASK.CONSUME g a s 2")
	q.do("TASK.PUBLISH s later DELAY 3600000")
	q.do("TASK.PAUSE s")
	w := q.waits("TASK.CONSUME g NAME s 1 0", "w")
	get := func() map[any]any { return q.do("TASK.LIST WITHSTATS").([]any)[1].([]any)[0].(map[any]any) }
	got := get()
	for field, want := range map[string]any{
		"stream": "s", "length": int64(5), "ready": int64(3), "in_work": int64(2), "delayed": int64(1),
		"paused": int64(1), "waiting": int64(1), "in_per_minute": nil, "out_per_minute": nil,
	} {
		if got[field] != want {
			t.Errorf("%s is %v, want %v", field, got[field], want)
		}
	}
	q.do("TASK.RESUME s")
	nextOf(t, w)
	q.do("TASK.FORGET s g a")
	if got := get(); got["ready"] != int64(4) || got["in_work"] != int64(1) {
		t.Errorf("after FORGET %v", got)
	}
	for got = get(); got["in_per_minute"] == nil; got = get() {
		time.Sleep(time.Millisecond) // a flow needs two times
	}
	if got["in_per_minute"] != int64(0) {
		t.Errorf("nothing came between two questions, told %v", got["in_per_minute"])
	}
	for _, task := range tasksIn(q.do("TASK.CONSUME g b s 3")) {
		q.do("TASK.ACK s g %", task.id)
		q.publish("s", "more")
	}
	if got := get(); got["in_per_minute"].(int64) < 3 || got["out_per_minute"].(int64) < 3 {
		t.Errorf("three came and three left, told %v and %v a minute", got["in_per_minute"], got["out_per_minute"])
	}
}

func TestAQueueOfAMillionKeysIsKnownSoon(t *testing.T) {
	q := tasksOn(t, taskServer(t, holdfasttest.WithArgs("--enable-module-command", "yes")))
	q.do("DEBUG POPULATE 1000000")
	for i := range 20 {
		q.do("XGROUP CREATE % g 0 MKSTREAM", fmt.Sprint("queue ", i))
	}
	q.do("MODULE UNLOAD taskqueue")
	q.do("MODULE LOAD %", built(t)["taskqueue"])
	began, busy := time.Now(), q.cpu()
	q.until(20, func() int64 { return int64(len(q.listed(""))) })
	// The search takes a quarter of a processor. What others take of the machine is not its.
	took, used := time.Since(began), q.cpu()-busy
	t.Logf("all queues were known after %v, of which the server was busy for %v", took, used)
	if took > 10*time.Second && used > 5*time.Second {
		t.Error("that is late")
	}
}

func TestTasksInWorkAreListedWithTheirOwners(t *testing.T) {
	q := tasksOn(t, taskServer(t))
	ids := q.publish("s", "1", "2", "3", "4", "5")
	q.do("TASK.CONSUME g a s 2 LEASE 60000")
	q.do("TASK.CONSUME g b s 2 LEASE 60000")
	w := q.waits("TASK.CONSUME g NAME s 2 0 LEASE 60000", "b") // it is served: the fifth
	nextOf(t, w)
	var got []string
	for cursor := "0"; ; {
		v := q.do("TASK.PENDING s g CURSOR % COUNT 2", cursor).([]any)
		for _, r := range v[1].([]any) {
			row := r.(map[any]any)
			got = append(got, fmt.Sprint(row["id"], row["owner"]))
			if left := row["lease_left_ms"].(int64); row["task_id"] != row["id"] || row["deliveries"] != int64(1) || row["alive"] != int64(1) || left > 60000 || left < 30000 {
				t.Errorf("%v", row)
			}
		}
		if cursor = v[0].(string); cursor == "0" {
			break
		}
	}
	want := []string{ids[0] + "a", ids[1] + "a", ids[2] + "b", ids[3] + "b", ids[4] + "b"}
	if !slices.Equal(got, want) {
		t.Errorf("listed %q, want %q", got, want)
	}
	if n := len(q.do("TASK.PENDING s g CONSUMER a").([]any)[1].([]any)); n != 2 {
		t.Errorf("a has %d, want 2", n)
	}
	// A retried task is known by its first id, and its owner's death shows.
	q.do("TASK.NACK s g a %", ids[0])
	q.do("TASK.CONSUME g c s 1")
	row := q.do("TASK.PENDING s g CONSUMER c").([]any)[1].([]any)[0].(map[any]any)
	if row["task_id"] != ids[0] || row["id"] == ids[0] {
		t.Errorf("a retried task is listed as %v", row)
	}
	q.publish("dying", "x")
	q.do("TASK.CONSUME g c dying 1 LEASE 1")
	pending := func(field string) func() int64 {
		return func() int64 {
			return q.do("TASK.PENDING dying g").([]any)[1].([]any)[0].(map[any]any)[field].(int64)
		}
	}
	q.until(0, pending("lease_left_ms"))
	q.until(0, pending("alive"))
	q.fails("NOGROUP", "TASK.PENDING s none")
	q.fails("NOGROUP", "TASK.PENDING none g")
	q.fails("ERR Invalid stream ID", "TASK.PENDING s g CURSOR x")
}

// A process that comes back under its name, and one whose reply was lost, go on with what
// they had.
func TestAConsumerThatResumesIsGivenWhatItHasFirst(t *testing.T) {
	for _, options := range []string{"", " LEASE 60000", " ALSO 1 t"} {
		q := tasksOn(t, taskServer(t))
		ids := q.publish("s", "1", "2", "3", "4")
		q.do("TASK.CONSUME g a s 2")
		q.do("TASK.CONSUME g b s 1")
		if got := taskPayloads(q.do("TASK.CONSUME g a s 10 RESUME" + options)); got != "1 2 4" {
			t.Errorf("%q: got %q", options, got)
		}
		q.do("XDEL s %", ids[0])
		if got := taskPayloads(q.do("TASK.CONSUME g a s 1 RESUME" + options)); got != "2" {
			t.Errorf("%q: got %q: what was deleted is not given", options, got)
		}
		q.wants(int64(2), "TASK.ACK s g % % CONSUMER a", ids[1], ids[3])
		w := q.waits("TASK.CONSUME g NAME s 1 0 RESUME"+options, "a")
		q.publish("s", "5")
		taskHanded(t, w, "a", "5")
	}
}

// How long tasks wait and run is told as clients would measure it.
func TestTheTimesThatAreToldAreThoseThatPassed(t *testing.T) {
	q := tasksOn(t, taskServer(t))
	const n = 100
	now := q.do("TIME").([]any)[0].(string)
	var unix int64
	fmt.Sscan(now, &unix)
	for i := range n { // published between 20 and 10 s ago
		q.do("XADD s % payload x", fmt.Sprintf("%d-%d", unix*1000-20_000+int64(i)*100, i))
	}
	for range n / 10 {
		for i, task := range tasksIn(q.do("TASK.CONSUME g c s 10 LEASE 60000")) {
			q.do("XCLAIM s g c 0 % IDLE % JUSTID", task.id, 1000*(i+1)) // in work for 1 to 10 s
			q.do("TASK.ACK s g % CONSUMER c", task.id)
		}
	}
	near := func(what string, got any, want int64) {
		t.Helper()
		if n := got.(int64); n < want*9/10 || n > want*11/10+1000 { // and a second, for a busy machine
			t.Errorf("%s is %d ms, want about %d", what, n, want)
		}
	}
	for _, g := range q.stats("s")["groups"].([]any) {
		group := g.(map[any]any)
		wait, run := group["wait_ms"].(map[any]any), group["run_ms"].(map[any]any)
		if wait["count"] != int64(n) || run["count"] != int64(n) || group["lease_ms"] != int64(60000) {
			t.Errorf("%v", group)
		}
		near("wait p50", wait["p50"], 15_000)
		near("wait p99", wait["p99"], 20_000)
		near("run p50", run["p50"], 5_000)
		near("run p99", run["p99"], 10_000)
		near("run max", run["max"], 10_000)
	}
	if q.info("taskqueue_wait_ms_p50") < 10_000 || q.info("taskqueue_run_ms_p50") < 4_000 {
		t.Error("INFO tells other times")
	}
}

// What takes the fast path is sampled, and each sample counts for all it stands for.
func TestTheTimesOfTheFastPathAreSampled(t *testing.T) {
	q := tasksOn(t, taskServer(t))
	const n = 640
	now := time.Now().UnixMilli()
	for i := range n {
		q.do("XADD s % payload x", fmt.Sprintf("%d-%d", now-20_000, i))
	}
	before := q.info("taskqueue_shortcuts")
	for range n {
		q.do("TASK.ACK s g %", q.one("TASK.CONSUME g c s").id)
	}
	if d := q.info("taskqueue_shortcuts") - before; d < 2*n*9/10 {
		t.Fatalf("%d of %d calls took the fast path", d, 2*n)
	}
	group := q.stats("s")["groups"].([]any)[0].(map[any]any)
	for _, what := range []string{"wait_ms", "run_ms"} {
		if count := group[what].(map[any]any)["count"].(int64); count < n*8/10 || count > n*12/10 {
			t.Errorf("%s counts %d of %d", what, count, n)
		}
	}
	if p50 := group["wait_ms"].(map[any]any)["p50"].(int64); p50 < 20_000 {
		t.Errorf("wait p50 is %d ms, want 20000 and more", p50)
	}
}

func TestAStreamTellsWhatBecameOfItsTasks(t *testing.T) {
	q := tasksOn(t, taskServer(t))
	ids := q.publish("s", "1", "2", "3", "4")
	q.do("TASK.CONSUME g c s 3")
	q.do("TASK.NACK s g c %", ids[0])
	q.do("TASK.NACK s g c % MAXRETRIES 0 DEAD dead", ids[1])
	q.wants(int64(1), "TASK.CANCEL s %", ids[3])
	got := q.stats("s")
	for field, want := range map[string]int64{"published": 5, "retried": 1, "dead": 1, "cancelled": 1, "expired": 0} {
		if got[field] != want {
			t.Errorf("%s is %v, want %d", field, got[field], want)
		}
	}
	if !strings.Contains(fmt.Sprint(q.do("COMMAND DOCS TASK.LIST")), "cursor") {
		t.Error("TASK.LIST has no docs")
	}
}
