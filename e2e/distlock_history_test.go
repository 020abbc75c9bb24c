package e2e

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"holdfast/holdfasttest"
	"holdfast/internal/clienttest"
)

// Sixteen clients want few locks in all modes, with and without waiting, for long and for
// moments. Meanwhile connections are killed, waits are ended from outside, the network
// loses replies and connections, the server is paused, flushed, full, reloaded, killed and
// shut down, evicts locks, has its databases swapped, and comes back with what its
// append-only file kept. What the clients were
// answered must be what a lock service could have answered.
func TestLockHistoriesAreLinearizable(t *testing.T) {
	const servers, each = 2, 40
	seed := seeded(t) / 4 * 4
	for i := range uint64(servers) {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			lockHistories(t, seed+i, each)
		})
	}
}

// lockHistories checks so many histories. Where the append-only file is not written
// before each reply the server is not killed.
func lockHistories(t *testing.T, seed uint64, histories int) tally {
	file := [][]string{{"yes", "always"}, {"yes", "everysec"}, {"yes", "always"}, {"no", "everysec"}}[seed%4]
	s := holdfasttest.Server(t, onlyDistlock(t), holdfasttest.WithArgs("--appendonly", file[0], "--appendfsync", file[1]))
	p := clienttest.NewProxy(t, s.Addr)
	t.Logf("appendonly %s, appendfsync %s", file[0], file[1])
	var ops, grants, lost, restarts, faults, undecided, n int
	last := int64(0) // token of the histories before
	for ; n < histories && !t.Failed(); n++ {
		h := &lockHistory{t: t, s: s, p: p, n: n, seed: seed, began: time.Now(), restart: n%10 == 9 && file[1] == "always"}
		h.run()
		faults += h.faults
		h.check(&last, &undecided)
		ops += len(h.ops)
		for _, op := range h.ops {
			out := op.Output.(lockAnswer)
			if out.lost {
				lost++
			}
			if out.token > 0 {
				grants++
			}
		}
		if h.restart {
			restarts++
		}
	}
	t.Logf("%d histories, %d operations, %d grants, %d answers lost, %d restarts, %d other faults, %d undecided", n, ops, grants, lost, restarts, faults, undecided)
	if undecided > 1+n/20 {
		t.Errorf("%d of %d histories are undecided", undecided, n)
	}
	if grants == 0 || lost == 0 {
		t.Error("nothing happened in these histories")
	}
	return tally{ops, restarts + faults, n}
}

type lockHistory struct {
	t       *testing.T
	s       *holdfasttest.Instance
	p       *clienttest.Proxy // before the server, for every second client
	n       int
	seed    uint64
	restart bool
	began   time.Time
	faults  int
	// evictions are the times in which the server evicted keys.
	evictions [][2]int64

	mu    sync.Mutex
	ops   []porcupine.Operation
	conns [16]string // the clients' connections, by server's number; "" between two
}

func (h *lockHistory) now() int64 { return int64(time.Since(h.began)) }

func (h *lockHistory) run() {
	var clients, nemesis sync.WaitGroup
	stop := make(chan struct{})
	for i := range h.conns {
		clients.Go(func() { h.client(i, rand.New(rand.NewPCG(h.seed, uint64(h.n*100+i)))) })
	}
	nemesis.Go(func() { h.nemesis(stop, rand.New(rand.NewPCG(h.seed, uint64(h.n*100+99)))) })
	clients.Wait()
	close(stop)
	nemesis.Wait()
}

// client does its share of operations, on a new connection whenever the last
// was killed. Its owner's name is its own.
func (h *lockHistory) client(i int, r *rand.Rand) {
	owner := fmt.Sprintf("c%d", i)
	var c *lockConn
	defer func() { c.close() }()
	held := ""
	for range 12 {
		lock := fmt.Sprintf("h%d-%d", h.n, r.IntN(3))
		in := lockCall{lock: lock, owner: owner, what: "release"}
		var line []string
		ttl := int64(60000)
		if r.IntN(5) == 0 {
			ttl = 1 + r.Int64N(40)
		}
		session, second := false, ""
		p := r.IntN(100)
		if held != "" && r.IntN(3) > 0 { // mostly what was taken is given back
			lock, in.lock, p, held = held, held, 80, ""
		}
		switch {
		case p < 75:
			in.what = "acquire"
			in.limit = []int64{1, 1, 1, 0, 0, 2}[r.IntN(6)]
			line = []string{"LOCK.ACQUIRE", lock, owner, fmt.Sprint(ttl), "WITHTOKEN"}
			switch in.limit {
			case 0:
				line = append(line, "SHARED")
			case 2:
				line = append(line, "LIMIT", "2")
			}
			if r.IntN(4) > 0 {
				line = append(line, "BLOCK", fmt.Sprint(1+r.IntN(30)))
			}
			if session = r.IntN(4) == 0; session {
				line = append(line, "SESSION")
			}
			if r.IntN(3) == 0 { // then an exclusive lock is a hash, and else a string
				line = append(line, "META", "m")
			}
			// While somebody waits for several locks, one of them may stand free and be
			// refused all the same: only every second history has such in it.
			in.also = h.n%2 == 1
			switch r.IntN(8) {
			case 0: // as other libraries do it
				in.what, in.limit, session = "foreign", 1, false
				line = []string{"SET", lock, owner, "NX", "PX", fmt.Sprint(ttl)}
			case 1, 2:
				if second = fmt.Sprintf("h%d-%d", h.n, r.IntN(3)); in.also && second != lock {
					line = append(line, "ALSO", second)
				} else {
					second = ""
				}
			}
		case p < 90:
			line = []string{"LOCK.RELEASE", lock, owner}
		case p < 96:
			in.what = "extend"
			line = []string{"LOCK.EXTEND", lock, owner, fmt.Sprint(ttl)}
		default:
			in.what, in.owner = "break", ""
			line = []string{"LOCK.BREAK", lock}
		}
		if c == nil {
			if c = h.dial(i); c == nil {
				return // the server stays away: the history ends here
			}
		}
		call := h.now()
		// The server's clock counts whole milliseconds, so a lease may be short
		// of its length by a part of the one in which it began.
		in.end = call + (ttl-1)*int64(time.Millisecond)
		if session {
			in.end = 0 // its connection may end it at any time
		}
		reply, err := c.exchange(line)
		out := lockAnswer{at: h.now()}
		switch {
		case err != nil, strings.HasPrefix(reply, "-UNBLOCKED"):
			out.lost, out.at = true, math.MaxInt64
			if err != nil {
				h.forget(i)
				c.close()
				c = nil
			}
		case strings.HasPrefix(reply, "-DEADLOCK"), strings.HasPrefix(reply, "-LOADING"), strings.HasPrefix(reply, "-OOM"):
			continue // nothing happened
		default:
			if in.what == "foreign" {
				reply = map[string]string{"OK": "1", "nil": "0"}[reply]
			}
			n, err := strconv.ParseInt(reply, 10, 64)
			if err != nil {
				h.t.Errorf("%v: %s", line, reply)
				return
			}
			if out.n = n; n != 0 && in.what == "acquire" {
				out.token, held = n, lock
			} else if n != 0 && in.what == "foreign" {
				held = lock
			}
		}
		h.mu.Lock()
		if second != "" {
			both := in
			both.lock = second
			h.ops = append(h.ops, porcupine.Operation{ClientId: i, Input: both, Output: out, Call: call, Return: out.at})
		}
		h.ops = append(h.ops, porcupine.Operation{ClientId: i, Input: in, Output: out, Call: call, Return: out.at})
		h.mu.Unlock()
	}
	h.forget(i)
}

func (h *lockHistory) forget(i int) {
	h.mu.Lock()
	h.conns[i] = ""
	h.mu.Unlock()
}

// nemesis kills connections and ends waits all the time, does something worse now and
// then, and once, if this history has a restart in it, ends the server.
func (h *lockHistory) nemesis(stop chan struct{}, r *rand.Rand) {
	var c *lockConn
	defer func() { c.close() }()
	after := time.NewTicker(4 * time.Millisecond)
	defer after.Stop()
	defer h.p.Thaw()
	defer h.p.Delay(0)
	for step := 0; ; step++ {
		select {
		case <-stop:
			return
		case <-after.C:
		}
		if h.restart && step == 5 {
			if c != nil && r.IntN(2) == 0 { // in good order
				_, _ = c.exchange([]string{"SHUTDOWN", "NOSAVE"})
				select {
				case <-h.s.Done():
				case <-time.After(lockPatience):
					h.t.Error("the server does not shut down")
				}
			}
			h.s.Kill()
			h.s.Restart()
			c.close()
			c = nil
		}
		if c == nil {
			if c = dialLock(h.s.Addr); c == nil {
				continue
			}
		}
		lines := h.kill(r)
		if r.IntN(12) == 0 {
			h.faults++
			lines = h.worse(c, r)
		}
		for _, line := range lines {
			if _, err := c.exchange(line); err != nil {
				c.close()
				c = nil
				break
			}
		}
	}
}

// kill ends a connection or a wait. A server dies, by a defect of its own, when a client is
// unblocked whom a pause keeps waiting: only every second history has pauses in it.
func (h *lockHistory) kill(r *rand.Rand) [][]string {
	h.mu.Lock()
	id := h.conns[r.IntN(len(h.conns))]
	h.mu.Unlock()
	switch what := r.IntN(3); {
	case id == "":
		return nil
	case what == 0 || h.pauses():
		return [][]string{{"CLIENT", "KILL", "ID", id}}
	default:
		return [][]string{{"CLIENT", "UNBLOCK", id, []string{"ERROR", "TIMEOUT"}[what-1]}}
	}
}

func (h *lockHistory) pauses() bool { return h.n%4 >= 2 }

// worse does something to the network, or tells what to do to the server.
func (h *lockHistory) worse(c *lockConn, r *rand.Rand) [][]string {
	switch r.IntN(12) {
	case 0:
		h.p.Cut()
	case 1:
		h.p.HalfOpen()
	case 2:
		h.p.Forget()
	case 3:
		h.p.SwallowReplies("LOCK.ACQUIRE", 1)
	case 4:
		h.p.CutReplies([]string{"LOCK.ACQUIRE", "LOCK.RELEASE"}[r.IntN(2)], 1)
	case 5:
		h.p.Delay(time.Duration(r.IntN(3)) * time.Millisecond)
	case 6:
		if h.pauses() {
			return [][]string{{"CLIENT", "PAUSE", fmt.Sprint(1 + r.IntN(15)), []string{"WRITE", "ALL"}[r.IntN(2)]}}
		}
	case 7:
		return [][]string{{"DEBUG", "RELOAD"}}
	case 8:
		return [][]string{{"CONFIG", "SET", "maxmemory", "1"}, {"PING"}, {"CONFIG", "SET", "maxmemory", "0"}}
	case 9:
		h.all(c, "flush", "FLUSHALL")
	case 10: // one of the two in a history, or there are too many ways it could have been
		if h.n%2 == 1 {
			h.all(c, "swap", "SWAPDB 0 1")
		}
	case 11:
		if h.n%2 == 0 && h.evictions == nil {
			h.evict(c, r)
		}
	}
	return nil
}

// all does something to all locks, by the hand of a client that is none of the sixteen.
func (h *lockHistory) all(c *lockConn, what, line string) {
	call := h.now()
	reply, err := c.exchange(strings.Fields(line))
	h.happened(what, call, err == nil && reply == "OK")
}

// happened notes what was done to all locks since a time; where the answer was lost it may
// happen later, or not at all.
func (h *lockHistory) happened(what string, call int64, answered bool) {
	out := lockAnswer{at: h.now()}
	if !answered {
		out.lost, out.at = true, math.MaxInt64
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for lock := range 3 {
		h.ops = append(h.ops, porcupine.Operation{
			ClientId: len(h.conns), Input: lockCall{lock: fmt.Sprintf("h%d-%d", h.n, lock), what: what}, Output: out, Call: call, Return: out.at,
		})
	}
}

// evict has the server evict keys for a moment. Any of them may be any of the locks.
func (h *lockHistory) evict(c *lockConn, r *rand.Rand) {
	policy := []string{"allkeys-lru", "allkeys-random", "volatile-ttl"}[r.IntN(3)]
	call, before := h.now(), h.evicted(c)
	full, err := c.exchange([]string{"CONFIG", "SET", "maxmemory-policy", policy, "maxmemory", "1"})
	_, _ = c.exchange([]string{"PING"})
	room, err2 := c.exchange([]string{"CONFIG", "SET", "maxmemory", "0", "maxmemory-policy", "noeviction"})
	if err != nil || err2 != nil || full != "OK" || room != "OK" {
		h.t.Errorf("the memory is set to nothing and back: %s %v, %s %v", full, err, room, err2)
	}
	if h.evicted(c) > before {
		h.evictions = append(h.evictions, [2]int64{call, h.now()})
	}
}

// addEvictions adds an eviction of each lock that was held at the time, and one more for each
// grant that may have come meanwhile.
func (h *lockHistory) addEvictions() {
	for _, window := range h.evictions {
		most := map[string]int{}
		for lock := range 3 {
			most[fmt.Sprintf("h%d-%d", h.n, lock)] = 1
		}
		for _, op := range h.ops {
			in, out := op.Input.(lockCall), op.Output.(lockAnswer)
			if takes := in.what == "acquire" || in.what == "foreign"; takes && (out.lost || out.n != 0) && op.Call < window[1] && op.Return > window[0] {
				most[in.lock]++
			}
		}
		for lock, n := range most {
			for range n {
				h.ops = append(h.ops, porcupine.Operation{
					ClientId: len(h.conns), Input: lockCall{lock: lock, what: "evict"}, Output: lockAnswer{at: window[1]}, Call: window[0], Return: window[1],
				})
			}
		}
	}
}

// evicted is how many keys the server has evicted.
func (h *lockHistory) evicted(c *lockConn) (n int64) {
	text, _ := c.exchange([]string{"INFO", "stats"})
	_, after, _ := strings.Cut(text, "evicted_keys:")
	_, _ = fmt.Sscan(after, &n)
	return n
}

func (h *lockHistory) dial(i int) *lockConn {
	for end := time.Now().Add(lockPatience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		c := dialLock([]string{h.s.Addr, h.p.Addr}[i%2])
		if c == nil {
			continue
		}
		c.patience = time.Second / 2 // no answer for so long is one that was lost
		if i%4 > 1 {
			if _, err := c.exchange([]string{"HELLO", "3"}); err != nil {
				c.close() // or its answer would be taken for that of the next command
				continue
			}
		}
		id, err := c.exchange([]string{"CLIENT", "ID"})
		if err != nil || strings.HasPrefix(id, "-") { // loading, perhaps
			c.close()
			continue
		}
		h.mu.Lock()
		h.conns[i] = id
		h.mu.Unlock()
		return c
	}
	h.t.Errorf("the server at %s does not come back", h.s.Addr)
	return nil
}

func (h *lockHistory) check(last *int64, undecided *int) {
	h.addEvictions()
	model := lockService
	result, info := porcupine.CheckOperationsVerbose(model, h.ops, 20*time.Second)
	switch result {
	case porcupine.Ok:
	case porcupine.Unknown: // too many ways it could have been, for the time we give it
		*undecided++
	default:
		path := filepath.Join(os.TempDir(), fmt.Sprintf("holdfast-locks-%d-%d.html", h.seed, h.n))
		_ = porcupine.VisualizePath(model, info, path)
		h.t.Errorf("HOLDFAST_SEED=%d, history %d is not what a lock service does (%s); see %s\n%s", h.seed, h.n, result, path, h.wrong())
	}
	// Tokens grow over all locks, not only over each.
	grants := slices.DeleteFunc(slices.Clone(h.ops), func(op porcupine.Operation) bool { return op.Output.(lockAnswer).token == 0 })
	before := *last
	for _, g := range grants {
		token := g.Output.(lockAnswer).token
		if token <= before {
			h.t.Errorf("history %d: token %d after %d of an earlier history", h.n, token, before)
		}
		for _, other := range grants {
			if other.Return < g.Call && other.Output.(lockAnswer).token >= token {
				h.t.Errorf("history %d: token %d was granted after %d", h.n, token, other.Output.(lockAnswer).token)
			}
		}
		*last = max(*last, token)
	}
}

// wrong lists what happened to the locks whose history is at fault.
func (h *lockHistory) wrong() string {
	var b strings.Builder
	for _, ops := range lockService.Partition(h.ops) {
		if porcupine.CheckOperationsTimeout(lockService, ops, 20*time.Second) == porcupine.Ok {
			continue
		}
		slices.SortFunc(ops, func(a, b porcupine.Operation) int { return int(a.Call - b.Call) })
		for _, op := range ops {
			end := float64(op.Input.(lockCall).end) / 1e6
			fmt.Fprintf(&b, "%8.2f–%8.2f ms  %s  (%s, lease to %.2f)\n", float64(op.Call)/1e6, min(float64(op.Return)/1e6, 99999),
				lockService.DescribeOperation(op.Input, op.Output), op.Input.(lockCall).lock, end)
		}
	}
	return b.String()
}

// lockConn is a connection that answers errors instead of ending the test. It ends with its
// first error: an answer that comes late would be taken for that of the next command.
type lockConn struct {
	net.Conn
	r        cacheConn
	patience time.Duration
}

func dialLock(addr string) *lockConn {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return nil
	}
	return &lockConn{c, cacheConn{r: bufio.NewReader(c)}, lockPatience}
}

func (c *lockConn) close() {
	if c != nil {
		_ = c.Close()
	}
}

func (c *lockConn) exchange(line []string) (string, error) {
	if err := c.write(line); err != nil {
		return "", err
	}
	return c.answer()
}

func (c *lockConn) write(line []string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(line))
	for _, s := range line {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(s), s)
	}
	_, err := io.WriteString(c, b.String())
	return err
}

func (c *lockConn) answer() (string, error) {
	_ = c.SetReadDeadline(time.Now().Add(c.patience))
	reply, err := c.r.tryRead()
	if err != nil {
		_ = c.Close()
	}
	return reply, err
}
