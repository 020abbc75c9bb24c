package e2e

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"holdfast/holdfasttest"
)

// beside is a command and what it is measured beside: many holders, leases, tasks or
// waiters, which its documentation says it does not pay for.
type beside struct {
	name    string
	most    int      // how many of them in the second measurement
	each    string   // sets up the one numbered #
	waiters string   // or: a client waits so
	first   []string // set up once, with %n for their number
	lines   []string // what is repeated, with # for its number
	command string   // which of them is measured
}

var costs = []beside{
	{name: "a refused try of a full semaphore", most: 10_000, each: "LOCK.ACQUIRE l owner# 6000000 LIMIT %n",
		lines: []string{"LOCK.ACQUIRE l late 1000 LIMIT %n"}, command: "lock.acquire"},
	{name: "a refused try of a lock held in common", most: 10_000, each: "LOCK.ACQUIRE l owner# 6000000 SHARED",
		lines: []string{"LOCK.ACQUIRE l late 1000"}, command: "lock.acquire"},
	{name: "one more who holds in common", most: 10_000, each: "LOCK.ACQUIRE l owner# 6000000 SHARED",
		lines: []string{"LOCK.ACQUIRE l more# 1000000 SHARED", "LOCK.RELEASE l more#"}, command: "lock.acquire"},
	{name: "a release by one of many who hold", most: 10_000, each: "LOCK.ACQUIRE l owner# 6000000 SHARED",
		lines: []string{"LOCK.ACQUIRE l more# 1000000 SHARED", "LOCK.RELEASE l more#"}, command: "lock.release"},
	{name: "an extension by one of many who hold", most: 10_000, each: "LOCK.ACQUIRE l owner# 6000000 SHARED",
		first: []string{"LOCK.ACQUIRE l one 1000000 SHARED"}, lines: []string{"LOCK.EXTEND l one 1000000"}, command: "lock.extend"},
	{name: "a free lock beside others", most: 10_000, each: "LOCK.ACQUIRE lock# owner 6000000",
		lines: []string{"LOCK.ACQUIRE free me 1000000", "LOCK.RELEASE free me"}, command: "lock.acquire"},
	{name: "a refused try of a lock that many wait for", most: 1000, waiters: "LOCK.ACQUIRE l waiter# 6000000 BLOCK 0", first: []string{"LOCK.ACQUIRE l owner 6000000"},
		lines: []string{"LOCK.ACQUIRE l late 1000"}, command: "lock.acquire"},

	{name: "a hit beside leases", most: 10_000, each: "CACHE.LOCK key# 6000000 6000000", first: []string{"CACHE.SET k v 6000000"},
		lines: []string{"CACHE.GET k"}, command: "cache.get"},
	{name: "a load beside leases", most: 10_000, each: "CACHE.LOCK key# 6000000 6000000",
		lines: []string{"CACHE.FETCH new# 6000000 6000000", "CACHE.DEL new#"}, command: "cache.fetch"},
	{name: "a store beside leases", most: 10_000, each: "CACHE.LOCK key# 6000000 6000000",
		lines: []string{"CACHE.SET k v 6000000"}, command: "cache.set"},
	{name: "a miss beside many who wait for that key", most: 1000, waiters: "CACHE.FETCH k 6000000 6000000 BLOCK 0", first: []string{"CACHE.FETCH k 6000000 6000000"},
		lines: []string{"CACHE.FETCH k 6000000 6000000"}, command: "cache.fetch"},
	{name: "the description of a key that many wait for", most: 1000, waiters: "CACHE.FETCH k 6000000 6000000 BLOCK 0", first: []string{"CACHE.FETCH k 6000000 6000000"},
		lines: []string{"CACHE.INFO k"}, command: "cache.info"},
	{name: "a load beside keys that many wait for", most: 1000, waiters: "CACHE.FETCH key# 6000000 6000000 BLOCK 0",
		lines: []string{"CACHE.FETCH new# 6000000 6000000", "CACHE.DEL new#"}, command: "cache.fetch"},

	{name: "a publication to a long queue", most: 10_000, each: "TASK.PUBLISH s payload",
		lines: []string{"TASK.PUBLISH s payload"}, command: "task.publish"},
	{name: "a publication while many wait for another queue", most: 1000, waiters: "TASK.CONSUME g waiter# s 1 0",
		lines: []string{"TASK.PUBLISH other payload"}, command: "task.publish"},
	{name: "a task taken from a long queue", most: 10_000, each: "TASK.PUBLISH s payload",
		lines: []string{"TASK.PUBLISH s payload", "TASK.CONSUME g c s"}, command: "task.consume"},
	{name: "a task taken beside many in work", most: 10_000, each: "TASK.PUBLISH s payload", first: []string{"TASK.CONSUME g c s 10000"},
		lines: []string{"TASK.PUBLISH s payload", "TASK.CONSUME g c s 1 0 LEASE 6000000"}, command: "task.consume"},
	{name: "nothing taken beside many in work", most: 10_000, each: "TASK.PUBLISH s payload", first: []string{"TASK.CONSUME g c s 10000"},
		lines: []string{"TASK.CONSUME g c s 1 1 LEASE 6000000"}, command: "task.consume"},
	{name: "a delayed publication beside others", most: 10_000, each: "TASK.PUBLISH s payload 0 DELAY 6000000",
		lines: []string{"TASK.PUBLISH s payload 0 DELAY 5000000"}, command: "task.publish"},
	{name: "a keyed publication beside others that are held", most: 10_000, each: "TASK.PUBLISH s payload 0 KEY noisy", first: []string{"TASK.KEYS s LIMIT 1"},
		lines: []string{"TASK.PUBLISH s payload 0 KEY noisy", "TASK.PUBLISH s payload 0 KEY quiet#"}, command: "task.publish"},
	{name: "a keyed acknowledgement beside keys with held tasks", most: 10_000, each: "TASK.PUBLISH s payload 0 KEY key#", first: []string{"TASK.KEYS s LIMIT 1", "TASK.PUBLISH s payload 0 KEY key1", "TASK.CONSUME g c s 10000"},
		lines: []string{"TASK.PUBLISH s payload 0 KEY k#", "TASK.CONSUME g c s"}, command: "task.consume"},
	{name: "statistics of a long queue with many in work", most: 10_000, each: "TASK.PUBLISH s payload", first: []string{"TASK.CONSUME g c s 5000"},
		lines: []string{"TASK.STATS s"}, command: "task.stats"},
}

// Each of these costs beside ten thousand, or a thousand who wait, what it costs beside
// ten. Where the cost grew with their number it would be a hundred times as much or more.
func TestCostsDoNotGrowWithWhatTheDocumentationSaysTheyDoNot(t *testing.T) {
	for _, b := range costs {
		t.Run(b.name, func(t *testing.T) {
			few, many := b.measure(t, 10), b.measure(t, b.most)
			t.Logf("%.2f µs beside 10, %.2f µs beside %d", few, many, b.most)
			if many > 5*few+10 {
				t.Errorf("%s costs %.1f µs beside 10 and %.1f µs beside %d", strings.ToUpper(b.command), few, many, b.most)
			}
		})
	}
}

// measure is the least that a call took on the average of a batch: the machine's other
// work makes some batches longer, and none shorter.
func (b beside) measure(t *testing.T, n int) float64 {
	s := holdfasttest.Server(t, holdfasttest.WithArgs("--maxclients", "20000"))
	c := dialCache(t, s.Addr)
	fill := func(line string, i int) string {
		return strings.NewReplacer("#", strconv.Itoa(i), "%n", strconv.Itoa(n)).Replace(line)
	}
	var lines []string
	for i := range n {
		if b.each != "" {
			lines = append(lines, fill(b.each, i))
		}
	}
	c.accepted(lines...)
	for _, line := range b.first {
		c.accepted(fill(line, 0))
	}
	if b.waiters != "" {
		// Where nobody loads a key or holds a lock yet, the first of two asks and the
		// second waits.
		for i := range n {
			line := fill(b.waiters, i)
			if strings.Contains(b.waiters, "key#") {
				c.accepted(strings.TrimSuffix(line, " BLOCK 0"))
			}
			dialCache(t, s.Addr).send(line)
		}
		c.blocked(n)
	}
	least := 0.0
	for batch := range 10 {
		lines = nil
		for i := range 50 {
			for _, line := range b.lines {
				lines = append(lines, fill(line, batch*50+i))
			}
		}
		c.do("CONFIG RESETSTAT")
		c.accepted(lines...)
		if cost := c.usecPerCall(b.command); least == 0 || cost < least {
			least = cost
		}
	}
	return least
}

// accepted sends lines, a thousand at once, none of which may be answered by an error.
func (c *cacheConn) accepted(lines ...string) {
	c.t.Helper()
	for len(lines) > 0 {
		n := min(len(lines), 1000)
		for i, reply := range c.pipelined(lines[:n]...) {
			if strings.HasPrefix(reply, "-") {
				c.t.Fatalf("%s: %s", lines[i], reply)
			}
		}
		lines = lines[n:]
	}
}

// blocked waits until the server has so many clients that wait.
func (c *cacheConn) blocked(n int) {
	c.t.Helper()
	await(c.t.(*testing.T), "the clients to wait", func() bool {
		return strings.Contains(c.do("INFO clients"), fmt.Sprintf(`blocked_clients:%d\r\n`, n))
	})
}

var usec = regexp.MustCompile(`calls=\d+,usec=\d+,usec_per_call=([0-9.]+)`)

func (c *cacheConn) usecPerCall(command string) float64 {
	c.t.Helper()
	_, after, _ := strings.Cut(c.do("INFO commandstats"), "cmdstat_"+command+":")
	found := usec.FindStringSubmatch(after)
	if found == nil {
		c.t.Fatalf("INFO commandstats has no %s", command)
	}
	cost, _ := strconv.ParseFloat(found[1], 64)
	return cost
}
