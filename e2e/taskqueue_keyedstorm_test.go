package e2e

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/holdfasttest"
)

// stormRules are the rules that storms are run under.
var stormRules = []stormRule{
	{line: "LIMIT 2", limit: 2},
	{line: "ORDERED", limit: 1, ordered: true},
	{line: "SHARE 1"},
	{line: "LIMIT 3 RATE 20 PER 200", limit: 3, rate: 20, per: 200},
	{line: "RATE 200 PER 200 ALL", rate: 200, per: 200, all: true},
}

type stormRule struct {
	line      string
	limit     int
	ordered   bool
	rate, per int
	all       bool
}

// Many publish and work at once under a rule, one of them by native commands alone, while the
// server is killed again and again. Never more tasks of a key are in work than the rule
// allows, those of an ordered key come in their order, none is lost and none is stuck.
func TestTheRuleHoldsInAStorm(t *testing.T) { keyedStorm(t, seeded(t), 1000) }

func keyedStorm(t *testing.T, seed uint64, n int) tally {
	chance := rand.New(rand.NewPCG(seed, 7))
	s := taskServer(t, holdfasttest.WithDir(t.TempDir()), holdfasttest.WithArgs("--appendonly", "yes", "--appendfsync", "always"))
	k := &storm{t: t, addr: s.Addr, stormRule: stormRules[seed%uint64(len(stormRules))], keys: map[string]*stormKey{}, stop: make(chan struct{})}
	q := tasksOn(t, s)
	q.wants("OK", "TASK.KEYS s "+k.line)
	q.do("XGROUP CREATE s g 0 MKSTREAM")
	const publishers, workers = 3, 6
	var publishing, world sync.WaitGroup
	for i := range publishers {
		r := rand.New(rand.NewPCG(seed, 100+uint64(i)))
		publishing.Go(func() { k.publish(i, n/publishers, r) })
	}
	for i := range workers {
		r := rand.New(rand.NewPCG(seed, 200+uint64(i)))
		world.Go(func() { k.work(fmt.Sprint("w", i), r) })
	}
	world.Go(k.outsider)
	var kills int
	world.Go(func() {
		for next := 0; !k.over(); time.Sleep(time.Millisecond) { // by hand-outs, however fast they are
			k.mu.Lock()
			handed := k.handed
			k.mu.Unlock()
			if handed < next {
				continue
			}
			if next = handed + n/16 + chance.IntN(n/4); handed > 0 {
				k.restarts(func() { s.Kill(); s.Restart() })
				kills++
			}
		}
	})
	publishing.Wait()
	k.drained(q)
	close(k.stop)
	world.Wait()
	q = tasksOn(t, s)
	k.check(n / publishers * publishers)
	q.settled()
	t.Logf("TASK.KEYS s %s: %d tasks, %d hand-outs, %d by native commands, %d kills", k.line, n, k.handed, k.native, kills)
	if kills == 0 || k.native == 0 {
		t.Error("nothing was killed, or nothing went by native commands: the test shows nothing")
	}
	return tally{n + 2*k.handed, kills, 1}
}

// storm is the history of one, as clients see it.
type storm struct {
	stormRule
	t    *testing.T
	addr string
	stop chan struct{}

	mu             sync.Mutex
	keys           map[string]*stormKey
	restarted      []int64 // unix ms, the beginning and the end of each
	handed, native int
}

// stormKey is what is known of a key's tasks, by their numbers.
type stormKey struct {
	published int
	work      map[int]bool     // handed out, and nobody has begun to say how it ended
	ended     map[int]bool     // an acknowledgement was sent and not refused
	begun     int              // the greatest that was handed out
	at        map[string]int64 // unix ms at which its entries came to the stream, by their ids
}

func (k *storm) key(name string) *stormKey {
	if k.keys[name] == nil {
		k.keys[name] = &stormKey{work: map[int]bool{}, ended: map[int]bool{}, at: map[string]int64{}}
	}
	return k.keys[name]
}

func (k *storm) over() bool {
	select {
	case <-k.stop:
		return true
	default:
		return false
	}
}

func (k *storm) client() (*redis.Client, context.Context) {
	c := redis.NewClient(&redis.Options{Addr: k.addr, MaxRetries: -1, Protocol: 2, ReadTimeout: 5 * time.Second, DisableIdentity: true})
	k.t.Cleanup(func() { _ = c.Close() })
	return c, context.Background()
}

func (k *storm) restarts(do func()) {
	from := time.Now().UnixMilli()
	do()
	k.mu.Lock()
	k.restarted = append(k.restarted, from, time.Now().UnixMilli())
	k.mu.Unlock()
}

// publish publishes tasks of four keys, each until the server says that it did.
func (k *storm) publish(i, n int, r *rand.Rand) {
	c, ctx := k.client()
	for range n {
		name := fmt.Sprint("k", i, r.IntN(4)) // nobody else publishes with this key
		k.mu.Lock()
		k.key(name).published++
		payload := fmt.Sprint(name, ":", k.key(name).published)
		k.mu.Unlock()
		for c.Do(ctx, "TASK.PUBLISH", "s", payload, "KEY", name, "UNIQUE", payload, 3600_000).Err() != nil {
			time.Sleep(5 * time.Millisecond)
		}
	}
}

// work takes tasks and ends them. What it has when the server is killed it is given again.
func (k *storm) work(name string, r *rand.Rand) {
	c, ctx := k.client()
	for !k.over() {
		v, err := c.Do(ctx, "TASK.CONSUME", "g", name, "s", 1+r.IntN(3), 100, "LEASE", 3600_000, "RESUME").Result()
		if err != nil && err != redis.Nil {
			time.Sleep(5 * time.Millisecond)
			continue
		}
		got := tasksIn(v)
		for _, e := range got {
			k.begins(e)
		}
		for _, e := range got {
			time.Sleep(time.Duration(r.IntN(3)) * time.Millisecond)
			if r.IntN(7) == 0 {
				k.ends(e, false)
				_ = c.Do(ctx, "TASK.NACK", "s", "g", name, e.id, "DELAY", r.IntN(2)*10).Err()
				continue
			}
			k.ends(e, true)
			if n, err := c.Do(ctx, "TASK.ACK", "s", "g", e.id).Int(); err == nil && n != 1 {
				k.t.Errorf("%s had %s, which was not pending", name, e.payload())
			}
		}
	}
}

// outsider works by native commands: the module hears of the deletion alone.
func (k *storm) outsider() {
	c, ctx := k.client()
	for from := "0"; !k.over(); time.Sleep(10 * time.Millisecond) {
		v, err := c.Do(ctx, "XREADGROUP", "GROUP", "g", "outsider", "COUNT", 1, "STREAMS", "s", from).Result()
		if err != nil && err != redis.Nil {
			from = "0" // what it has it reads again
			continue
		}
		if err == redis.Nil || len(tasksIn(v)) == 0 {
			from = ">"
			continue
		}
		e := tasksIn(v)[0]
		k.begins(e)
		k.ends(e, true)
		if c.Do(ctx, "XACK", "s", "g", e.id).Err() != nil || c.Do(ctx, "XDEL", "s", e.id).Err() != nil {
			from = "0"
			continue
		}
		k.mu.Lock()
		k.native++
		k.mu.Unlock()
	}
}

func (k *storm) task(e gotTask) (*stormKey, int) {
	name, number, ok := strings.Cut(e.payload(), ":")
	var n int
	if _, err := fmt.Sscan(number, &n); err != nil || !ok || name != e.field("key") {
		k.t.Errorf("%q is no task that was published", e)
	}
	return k.key(name), n
}

func (k *storm) begins(e gotTask) {
	k.mu.Lock()
	defer k.mu.Unlock()
	key, n := k.task(e)
	key.work[n] = true
	if k.limit > 0 && len(key.work) > k.limit {
		k.t.Errorf("tasks %v of %s are in work under %s", key.work, e.field("key"), k.line)
	}
	if k.ordered && n != key.begun && (n < key.begun || key.begun > 0 && !key.ended[key.begun]) {
		k.t.Errorf("task %d of %s came behind task %d, which ended: %v", n, e.field("key"), key.begun, key.ended[key.begun])
	}
	key.begun = max(key.begun, n)
	k.handed++
	var ms int64
	fmt.Sscanf(e.id, "%d-", &ms)
	key.at[e.id] = ms
}

// ends says that the end of a task is about to be told.
func (k *storm) ends(e gotTask, done bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	key, n := k.task(e)
	delete(key.work, n)
	if done {
		key.ended[n] = true
	}
}

// drained waits until the queue is empty.
func (k *storm) drained(q *tasks) {
	last, since := int64(-1), time.Now()
	for left := last; left != 0; time.Sleep(20 * time.Millisecond) {
		left = 0
		for _, line := range []string{"XLEN s", "ZCARD {s}:held", "ZCARD {s}:delayed"} {
			v, err := q.try(line)
			if err != nil {
				left = last
				break
			}
			left += v.(int64)
		}
		if left != last {
			last, since = left, time.Now()
		}
		if time.Since(since) > time.Second { // entries that the outsider acknowledged may be left
			k.sweep(q)
		}
		if time.Since(since) > time.Minute {
			k.t.Errorf("%d tasks are stuck: %v", left, q.do("ZRANGE {s}:held 0 4"))
			return
		}
	}
}

// sweep deletes entries that are not pending, when the group has read all.
func (k *storm) sweep(q *tasks) {
	for _, e := range q.XRange(q.ctx, "s", "-", "+").Val() {
		p, err := q.XPendingExt(q.ctx, &redis.XPendingExtArgs{Stream: "s", Group: "g", Start: e.ID, End: e.ID, Count: 1}).Result()
		groups := q.XInfoGroups(q.ctx, "s").Val()
		if err == nil && len(p) == 0 && len(groups) == 1 && groups[0].LastDeliveredID == lastID(q) {
			q.XDel(q.ctx, "s", e.ID)
		}
	}
}

func lastID(q *tasks) string {
	info, err := q.XInfoStream(q.ctx, "s").Result()
	if err != nil {
		return ""
	}
	return info.LastGeneratedID
}

func (k *storm) check(n int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	all, published := []int64{}, 0
	for name, key := range k.keys {
		published += key.published
		for i := 1; i <= key.published; i++ {
			if !key.ended[i] {
				k.t.Errorf("task %d of %s was lost", i, name)
			}
		}
		at := slices.Collect(maps.Values(key.at))
		if all = append(all, at...); k.rate > 0 && !k.all {
			k.paced(name, at)
		}
	}
	if k.all {
		k.paced("all", all)
	}
	if published != n {
		k.t.Errorf("%d tasks were published, want %d", published, n)
	}
}

// paced checks the times at which tasks were let in, where no restart was between them.
func (k *storm) paced(name string, at []int64) {
	const slack = 20 // ms between what the module takes for now and an entry's id
	slices.Sort(at)
	for i := k.rate; i < len(at); i++ {
		from, to := at[i-k.rate], at[i]
		if to-from < int64(k.per)-slack && !slices.ContainsFunc(k.restarted, func(ms int64) bool { return from-slack <= ms && ms <= to+slack }) {
			k.t.Errorf("%d tasks of %s were let in within %d ms under %s", k.rate+1, name, to-from, k.line)
			return
		}
	}
}
