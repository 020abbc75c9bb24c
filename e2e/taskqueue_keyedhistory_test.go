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

// keyedHistory publishes keyed tasks and does to them whatever happens to tasks, in a random
// order, while others use the stream and servers end. It knows which tasks must come.
type keyedHistory struct {
	t       *testing.T
	r       *rand.Rand
	q       *tasks
	s       *holdfasttest.Instance
	replica *holdfasttest.Instance
	limit   int
	ordered bool

	steps, kills int

	next int
	open map[string]bool   // payloads that are neither done nor taken away by others
	seen map[string]int    // how often each was handed out
	work map[string]string // entries that a consumer has, with their payloads
	last map[string]int    // in an ordered queue: the greatest number of a key that was begun
}

// A server is killed with its append-only file synced, reloaded, failed over; others acknowledge,
// delete, trim, claim and rename; and in the end each task came, never more than the rule
// allows of one key at once, and nothing is left.
func TestKeyedTasksComeWhateverHappens(t *testing.T) {
	keyedHistories(t, seeded(t), 1)
}

func keyedHistories(t *testing.T, seed uint64, rounds int) (all tally) {
	for round := range rounds {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			h := runKeyedHistory(t, rand.New(rand.NewPCG(seed, uint64(round))))
			all = all.plus(tally{h.steps, h.kills, 1})
		})
	}
	return all
}

// What is published when the stream's keys have to be read anew is itself: others changed the
// stream in the same transaction, so that nothing reads the keys before.
func TestAKeyedTaskThatIsTheFirstAfterAChangeIsPublishedAsItIs(t *testing.T) {
	q := tasksOn(t, taskServer(t))
	q.wants("OK", "TASK.KEYS s LIMIT 2")
	q.keyed("a", "a1", "a2", "a3")
	if _, err := q.TxPipelined(q.ctx, func(p redis.Pipeliner) error {
		p.Do(q.ctx, "XSETID", "s", "9999999999999-1")
		p.Do(q.ctx, "TASK.PUBLISH", "s", "b1", "KEY", "b")
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	q.wants("a1 a2 b1", "ECHO %", taskPayloads(q.do("TASK.CONSUME g c s 10")))
}

func runKeyedHistory(t *testing.T, r *rand.Rand) *keyedHistory {
	h := &keyedHistory{t: t, r: r, open: map[string]bool{}, seen: map[string]int{}, work: map[string]string{}, last: map[string]int{}}
	h.s = taskServer(t, holdfasttest.WithDir(t.TempDir()), holdfasttest.WithArgs("--appendonly", "yes", "--appendfsync", "always"))
	h.q = tasksOn(t, h.s)
	h.limit = 1 + r.IntN(3)
	rule := fmt.Sprint("LIMIT ", h.limit)
	if r.IntN(3) == 0 {
		h.limit, h.ordered, rule = 1, true, "ORDERED"
	}
	h.q.wants("OK", "TASK.KEYS s "+rule)
	t.Log("TASK.KEYS s", rule)
	h.q.do("XGROUP CREATE s g 0 MKSTREAM")
	for h.steps = range 150 {
		h.step()
		h.held()
	}
	h.drain()
	return h
}

// held checks that no key has more in the stream than the rule allows.
func (h *keyedHistory) held() {
	h.t.Helper()
	count := map[string]int{}
	for _, e := range h.q.XRange(h.q.ctx, "s", "-", "+").Val() {
		if pending := h.q.do("XPENDING s g % % 1", e.ID, e.ID).([]any); len(pending) > 0 || !h.given(e.ID) {
			key, _ := e.Values["key"].(string)
			count[key]++
		}
	}
	for key, n := range count {
		if key != "" && n > h.limit {
			h.t.Fatalf("%d tasks of %s are in the stream or in work, the limit is %d", n, key, h.limit)
		}
	}
}

// given tells whether the group was given an entry or a later one.
func (h *keyedHistory) given(id string) bool {
	var ms, seq, lms, lseq uint64
	fmt.Sscanf(id, "%d-%d", &ms, &seq)
	groups := h.q.XInfoGroups(h.q.ctx, "s").Val()
	if len(groups) == 0 {
		return false
	}
	fmt.Sscanf(groups[0].LastDeliveredID, "%d-%d", &lms, &lseq)
	return ms < lms || ms == lms && seq <= lseq
}

func (h *keyedHistory) publish() {
	h.next++
	key := fmt.Sprint("k", h.r.IntN(4))
	payload := fmt.Sprint(key, ":", h.next)
	line := "TASK.PUBLISH s % KEY %"
	if h.r.IntN(6) == 0 && !h.ordered {
		line += " DELAY 5"
	}
	h.q.do(line, payload, key)
	h.open[payload] = true
}

func (h *keyedHistory) took(got []gotTask) {
	h.t.Helper()
	for _, e := range got {
		p := e.payload()
		key, number, _ := strings.Cut(p, ":")
		if key != e.field("key") {
			h.t.Fatalf("%q has the key %q", p, e.field("key"))
		}
		if h.seen[p]++; h.seen[p] == 1 && h.ordered {
			var n int
			fmt.Sscan(number, &n)
			if n < h.last[key] {
				h.t.Fatalf("task %d of %s came behind task %d", n, key, h.last[key])
			}
			h.last[key] = n
		}
		h.work[e.id] = p
	}
}

// one is an entry in work, "" for none.
func (h *keyedHistory) one() string {
	for id := range h.work {
		return id
	}
	return ""
}

func (h *keyedHistory) done(id string) {
	delete(h.open, h.work[id])
	delete(h.work, id)
}

func (h *keyedHistory) step() {
	q := h.q
	id := h.one()
	n := h.r.IntN(50)
	switch {
	case n < 14:
		h.publish()
	case n < 22:
		h.took(tasksIn(q.do("TASK.CONSUME g c s 3 LEASE 3600000")))
	case n < 28 && id != "":
		q.wants(int64(1), "TASK.ACK s g % CONSUMER c", id)
		h.done(id)
	case n < 31 && id != "":
		delay := h.r.IntN(2) * 5
		if v := q.do("TASK.NACK s g c % DELAY %", id, delay); v == nil {
			h.t.Fatalf("%s is not pending", id)
		}
		delete(h.work, id)
	case n == 31 && id != "": // an outsider acknowledges, or takes the entry away
		if h.r.IntN(2) == 0 {
			q.wants(int64(1), "XACK s g %", id)
		} else {
			q.do("XACK s g %", id)
			q.wants(int64(1), "XDEL s %", id)
		}
		h.done(id)
	case n == 32 && id != "":
		q.do("XDEL s %", id)
		q.do("XACK s g %", id)
		h.done(id)
	case n == 33 && id != "":
		q.do("TASK.NACK s g c % MAXRETRIES 0 DEAD dead", id)
		h.done(id)
	case n == 34 && id != "":
		q.do("XCLAIM s g c 0 %", id)
	case n == 35 && id != "":
		q.wants(int64(1), "TASK.CANCEL s entry:"+id)
		h.done(id)
	case n == 36:
		q.do("XADD s * payload % timestamp 1 retry_count 0", "none")
		got := tasksIn(q.do("TASK.CONSUME g other s 100"))
		for _, e := range got {
			if e.payload() == "none" {
				q.do("TASK.ACK s g %", e.id)
			} else {
				q.do("XCLAIM s g c 0 %", e.id)
				h.took([]gotTask{e})
			}
		}
	case n == 37 || n == 40:
		h.kills++
		h.s.Kill()
		<-h.s.Done()
		h.s.Restart()
		h.q = tasksOn(h.t, h.s)
	case n == 38:
		q.do("DEBUG RELOAD")
	case n == 39:
		h.kills++
		h.failover()
	}
}

// failover makes a replica the primary, which has the same data, byte for byte.
func (h *keyedHistory) failover() {
	host, port, _ := strings.Cut(h.s.Addr, ":")
	replica := taskServer(h.t, holdfasttest.WithDir(h.t.TempDir()), holdfasttest.WithArgs("--appendonly", "yes", "--appendfsync", "always"))
	r := tasksOn(h.t, replica)
	r.do("REPLICAOF % %", host, port)
	deadline := time.Now().Add(taskWait)
	for {
		// The timer may add a delayed task between the two digests.
		a, b := h.q.do("DEBUG DIGEST"), r.do("DEBUG DIGEST")
		if a == b && strings.Contains(r.do("INFO replication").(string), "master_link_status:up") {
			break
		}
		if time.Now().After(deadline) {
			h.t.Fatalf("the replica's data is %v, the primary's %v", b, a)
		}
		time.Sleep(time.Millisecond)
	}
	h.s.Stop()
	r.do("REPLICAOF NO ONE")
	r.until(0, func() int64 { // until then its append-only file is that of before
		info := r.do("INFO persistence").(string)
		return int64(strings.Count(info, "aof_rewrite_in_progress:1") + strings.Count(info, "aof_rewrite_scheduled:1"))
	})
	h.s, h.q = replica, r
}

// drain works on all that is left, and finds each task that must come.
func (h *keyedHistory) drain() {
	h.t.Helper()
	for id := range h.work {
		h.q.wants(int64(1), "TASK.ACK s g %", id)
		h.done(id)
	}
	deadline := time.Now().Add(taskWait)
	for len(h.open) > 0 {
		got := tasksIn(h.q.do("TASK.CONSUME g c s 100 1000"))
		h.took(got)
		for _, e := range got {
			h.q.wants(int64(1), "TASK.ACK s g %", e.id)
			h.done(e.id)
		}
		if time.Now().After(deadline) {
			h.t.Fatalf("%v do not come; held: %v", h.open, h.q.do("ZRANGE {s}:held 0 -1"))
		}
	}
	for _, e := range h.q.XRange(h.q.ctx, "s", "-", "+").Val() { // an outsider acknowledged these alone
		h.q.do("XDEL s %", e.ID)
	}
	h.q.settled()
	h.q.do("DEL dead {dead}:tasks")
	if keys := h.q.do("KEYS *").([]any); len(keys) > 2 { // s and its rule
		h.t.Errorf("%v are left", keys)
	}
	if got := h.q.info("taskqueue_held"); got != 0 {
		h.t.Errorf("%d tasks are held", got)
	}
}
