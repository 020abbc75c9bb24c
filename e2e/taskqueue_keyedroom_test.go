package e2e

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/holdfasttest"
)

// inOf is how many entries of a key the stream s holds.
func (q *tasks) inOf(key string) (n int) {
	q.t.Helper()
	for _, e := range q.XRange(q.ctx, "s", "-", "+").Val() {
		if e.Values["key"] == key {
			n++
		}
	}
	return n
}

// lent is a queue with two tasks of the key a under LIMIT 3, of which the fast path published the
// second. A server that loses its processor while it reads the keys holds the first back for a
// moment, and lends nothing; then it is another server's turn.
func lent(t *testing.T) (*tasks, *holdfasttest.Instance) {
	t.Helper()
	for range 5 {
		s := taskServer(t, holdfasttest.WithDir(t.TempDir()), holdfasttest.WithArgs("--appendonly", "yes", "--appendfsync", "always"))
		q := tasksOn(t, s)
		q.wants("OK", "TASK.KEYS s LIMIT 3")
		q.do("XGROUP CREATE s g 0 MKSTREAM")
		before := q.info("taskqueue_shortcuts")
		if q.keyed("a", "a1", "a2"); q.info("taskqueue_shortcuts") == before+1 {
			return q, s
		}
	}
	t.Fatal("the fast path published none of two tasks, on five servers")
	return nil, nil
}

// The room of a key is lent to the fast path. Whatever happens to the stream, its rule or its
// keys then, there are never more tasks of the key than the rule says, and soon as many.
func TestLentRoomEndsWithWhateverChangesWhatIsIn(t *testing.T) {
	const other = "XADD {s}o 1-1 payload x timestamp 1 retry_count 0 key a; XADD {s}o 1-2 payload x timestamp 1 retry_count 0 key a; " +
		"XADD {s}o 1-3 payload x timestamp 1 retry_count 0 key a; XGROUP CREATE {s}o g 0; "
	here := func(line string) func(*tasks, *holdfasttest.Instance) *tasks {
		return func(q *tasks, _ *holdfasttest.Instance) *tasks {
			for _, l := range strings.Split(line, "; ") {
				q.do(l)
			}
			return q
		}
	}
	for name, c := range map[string]struct {
		limit int
		do    func(*tasks, *holdfasttest.Instance) *tasks
	}{
		"nothing":       {3, here("PING")},
		"options":       {3, here("TASK.PUBLISH s x KEY a HEADERS 1 n v")},
		"XADD":          {3, here("XADD s * payload x timestamp 1 retry_count 0 key a")},
		"XADD in MULTI": {3, here("MULTI; XADD s * payload x timestamp 1 retry_count 0 key a; TASK.PUBLISH s y KEY a; EXEC")},
		"XADD in EVAL":  {3, here("EVAL redis.call('XADD','s','*','payload','x','timestamp','1','retry_count','0','key','a') 0")},
		"XDEL": {3, func(q *tasks, _ *holdfasttest.Instance) *tasks {
			q.do("XDEL s %", q.XRange(q.ctx, "s", "-", "+").Val()[0].ID)
			return q
		}},
		"XTRIM":        {3, here("XTRIM s MAXLEN 0")},
		"DEL":          {3, here("DEL s")},
		"RENAME away":  {3, here("RENAME s elsewhere")},
		"RENAME to it": {3, here(other + "RENAME {s}o s")},
		"COPY":         {3, here(other + "COPY {s}o s REPLACE")},
		"MOVE":         {3, here("SELECT 1; " + strings.ReplaceAll(other, "{s}o", "s") + "SELECT 0; DEL s; SELECT 1; MOVE s 0; SELECT 0")},
		"SWAPDB":       {3, here("SELECT 1; TASK.KEYS s LIMIT 3; " + strings.ReplaceAll(other, "{s}o", "s") + "SWAPDB 0 1; SELECT 0")},
		"FLUSHDB":      {3, here("FLUSHDB; TASK.KEYS s LIMIT 3")},
		"FLUSHALL":     {3, here("FLUSHALL; TASK.KEYS s LIMIT 3")},
		"DEBUG RELOAD": {3, here("DEBUG RELOAD")},
		"another rule": {1, here("TASK.KEYS s LIMIT 1")},
		"rule by hand": {1, here("HSET {s}:rule limit 1")},
		"more by hand": {5, here("HSET {s}:rule limit 5")},
		"RENAME rule":  {2, here("HSET {s}:r limit 2; RENAME {s}:r {s}:rule")},
		"ORDERED":      {1, here("TASK.KEYS s ORDERED")},
		"held by hand": {3, func(q *tasks, _ *holdfasttest.Instance) *tasks {
			q.do("ZADD {s}:held 0 %", "1:a,1-5 7:payload,1:x,9:timestamp,1:1,11:retry_count,1:0,3:key,1:a,")
			return q
		}},
		"MULTI":         {3, here("MULTI; TASK.PUBLISH s x KEY a; TASK.PUBLISH s y KEY a; EXEC")},
		"XGROUP CREATE": {3, here("TASK.KEYS s NONE; XGROUP CREATE s h 0; XGROUP DESTROY s h; TASK.KEYS s LIMIT 3")},
		"RESTORE": {3, func(q *tasks, _ *holdfasttest.Instance) *tasks {
			here(strings.TrimSuffix(other, "; "))(q, nil)
			q.do("RESTORE s 0 % REPLACE", q.Dump(q.ctx, "{s}o").Val())
			return q
		}},
		"a delayed one": {3, func(q *tasks, _ *holdfasttest.Instance) *tasks {
			q.do("TASK.PUBLISH s x KEY a DELAY 1")
			q.until(3, func() int64 { return q.do("XLEN s").(int64) })
			return q
		}},
		"a retry": {3, func(q *tasks, _ *holdfasttest.Instance) *tasks {
			e := q.one("TASK.CONSUME g c s")
			q.do("TASK.NACK s g c %", e.id)
			return q
		}},
		"kill -9": {3, func(q *tasks, s *holdfasttest.Instance) *tasks {
			s.Kill()
			s.Restart()
			return tasksOn(q.t, s)
		}},
		"failover": {3, func(q *tasks, s *holdfasttest.Instance) *tasks {
			replica := taskServer(q.t)
			r := tasksOn(q.t, replica)
			host, port, _ := strings.Cut(s.Addr, ":")
			r.do("REPLICAOF % %", host, port)
			q.until(2, func() int64 { return r.do("XLEN s").(int64) })
			s.Kill()
			r.do("REPLICAOF NO ONE")
			return r
		}},
	} {
		t.Run(name, func(t *testing.T) {
			q, s := lent(t)
			q = c.do(q, s)
			most := max(2, c.limit)
			for i := range 6 {
				if q.keyed("a", fmt.Sprint("more", i)); q.inOf("a") > most {
					t.Fatalf("%d tasks of a are in the stream", q.inOf("a"))
				}
			}
			began := time.Now()
			q.until(int64(most), func() int64 { return int64(q.inOf("a")) })
			if took := time.Since(began); took > time.Second {
				t.Errorf("as many as may be in are in after %v", took)
			}
			for v := q.do("TASK.CONSUME g c s 10"); v != nil; v = q.do("TASK.CONSUME g c s 10") {
				for _, e := range tasksIn(v) {
					q.wants(int64(1), "TASK.ACK s g %", e.id)
				}
				if n := q.inOf("a"); n > most {
					t.Fatalf("%d tasks of a are in the stream", n)
				}
			}
			q.until(0, func() int64 { return q.do("ZCARD {s}:held").(int64) + q.do("XLEN s").(int64) })
			q.settled()
		})
	}
}

// While nothing is held back C acknowledges too. From the first task that is held on it does
// not: an end lets in the next.
func TestAnEndLetsInTheNextAlsoWhenOthersWereAcknowledgedBesideTheModule(t *testing.T) {
	q := tasksOn(t, taskServer(t))
	q.wants("OK", "TASK.KEYS s LIMIT 3")
	q.keyed("a", "a1", "a2", "a3")
	q.until(3, func() int64 { return q.do("XLEN s").(int64) })
	got := tasksIn(q.do("TASK.CONSUME g c s 10"))
	q.wants(int64(1), "TASK.ACK s g %", got[0].id)
	before := q.info("taskqueue_shortcuts")
	q.wants(int64(1), "TASK.ACK s g %", got[1].id)
	if q.info("taskqueue_shortcuts") != before+1 {
		t.Error("the second acknowledgement was not answered by the fast path")
	}
	q.keyed("a", "a4", "a5", "a6", "a7") // two go in
	if n := q.inOf("a"); n != 3 {
		t.Fatalf("%d are in", n)
	}
	q.wants(int64(1), "TASK.ACK s g %", got[2].id)
	got = tasksIn(q.do("TASK.CONSUME g c s 10"))
	q.keyed("a", "a8", "a9")
	for i, e := range got {
		q.wants(int64(1), "TASK.ACK s g %", e.id)
		q.wants(int64(2-i), "ZCARD {s}:held")
	}
	q.wants("a7 a8 a9", "ECHO %", taskPayloads(q.do("TASK.CONSUME g c s 10")))
}

// Many keys share the places for what is lent. However many there are, each has its limit.
func TestKeysThatTakeEachOthersRoomKeepTheirLimits(t *testing.T) {
	q := tasksOn(t, taskServer(t))
	const streams, keys = 1500, 4
	pipe := q.Pipeline()
	publish := func(stream, key int) {
		pipe.Do(q.ctx, "TASK.PUBLISH", fmt.Sprint("s", stream), "p", "KEY", fmt.Sprint("k", key))
	}
	run := func() []redis.Cmder {
		replies, err := pipe.Exec(q.ctx)
		if err != nil {
			t.Fatal(err)
		}
		return replies
	}
	var all []int // two tasks of each key, and four of the first
	for s := range streams {
		pipe.Do(q.ctx, "TASK.KEYS", fmt.Sprint("s", s), "LIMIT", 4)
		for k := range keys {
			all = append(all, s*keys+k, s*keys+k)
		}
		all = append(all, s*keys, s*keys)
	}
	run()
	chance := rand.New(rand.NewPCG(seeded(t), 11))
	chance.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	before := q.info("taskqueue_shortcuts")
	for _, n := range all {
		publish(n/keys, n%keys)
	}
	run()
	if n := q.info("taskqueue_shortcuts") - before; n < streams {
		t.Errorf("the fast path answered %d of %d: the test shows little", n, len(all))
	}
	for s := range streams {
		publish(s, 0)
	}
	over := 0
	for _, r := range run() {
		if id, _ := r.(*redis.Cmd).Text(); !strings.HasPrefix(id, "held-") {
			over++
		}
	}
	if over > 0 {
		t.Errorf("%d of %d keys have five tasks in under LIMIT 4", over, streams)
	}
}
