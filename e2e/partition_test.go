package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/internal/clienttest"
	"holdfast/internal/redisserver"
)

// sides are a primary and its replica, each reachable by its own clients, whatever happens
// between the two.
type sides struct {
	primary, replica string // addresses for clients
	follow, back     string // the primary's address for the replica, and the replica's for it
	cut, mend        func() // of the network between the two
}

// apart starts the two in network namespaces of their own, with a cable between them, where
// the machine allows it. Elsewhere a proxy between them is silent when it is cut.
func apart(t *testing.T, args ...string) *sides {
	t.Helper()
	a, b := fmt.Sprintf("hfa%d", os.Getpid()), fmt.Sprintf("hfb%d", os.Getpid())
	ip := func(line string, args ...any) error {
		out, err := exec.Command("ip", strings.Fields(fmt.Sprintf(line, args...))...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("ip "+line+": %s", append(args, out)...)
		}
		return nil
	}
	if err := ip("netns add %s", a); err != nil {
		t.Logf("no network namespaces here, a proxy is cut instead: %v", err)
		from, to := startApart(t, nil, args...), startApart(t, nil, args...)
		p := clienttest.NewProxy(t, from.Addr)
		return &sides{from.Addr, to.Addr, p.Addr, to.Addr, p.Freeze, p.Thaw}
	}
	t.Cleanup(func() { _ = ip("netns del %s", a) })
	steps := []string{"netns add " + b, "link add va netns " + a + " type veth peer name vb netns " + b}
	for i, ns := range []string{a, b} {
		dev := []string{"va", "vb"}[i]
		steps = append(steps, "-n "+ns+" addr add 10.231.7."+strconv.Itoa(i+1)+"/24 dev "+dev,
			"-n "+ns+" link set lo up", "-n "+ns+" link set "+dev+" up")
	}
	for _, step := range steps {
		if err := ip("%s", step); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { _ = ip("netns del %s", b) })
	must := func(err error) {
		if err != nil {
			t.Error(err)
		}
	}
	var addrs, inside [2]string
	for i, ns := range []string{a, b} {
		socket := filepath.Join(t.TempDir(), "s")
		p := startApart(t, []string{"ip", "netns", "exec", ns}, append(args,
			"--bind", "10.231.7."+strconv.Itoa(i+1), "--protected-mode", "no", "--unixsocket", socket)...)
		addrs[i], inside[i] = socket, fmt.Sprintf("10.231.7.%d:%d", i+1, p.Port)
	}
	return &sides{addrs[0], addrs[1], inside[0], inside[1],
		func() { must(ip("-n %s link set va down", a)) }, func() { must(ip("-n %s link set va up", a)) }}
}

// startApart starts a server that no other part of the tests reaches.
func startApart(t *testing.T, wrapper []string, args ...string) *redisserver.Process {
	t.Helper()
	modules, err := redisserver.Modules()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	p, err := redisserver.Start(ctx, redisserver.Config{
		Binary: os.Getenv("HOLDFAST_SERVER"), Modules: modules, Strict: true, Wrapper: wrapper,
		Args: append([]string{"--enable-debug-command", "yes"}, args...),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Stop()
		if log := p.Log(); strings.Contains(log, "BUG REPORT") || strings.Contains(log, ": panic: ") {
			t.Errorf("the server crashed:\n%s", log)
		}
	})
	return p
}

// held is a time in which a client believed that it had the lock.
type held struct {
	side        string // by whom it was granted
	owner       string
	token       int64
	asked, from time.Time // when it was asked for, and when the client began to believe it
	until       time.Time
	sure        bool // a replica had it before the client began
}

func (h held) String() string {
	return fmt.Sprintf("%s of the %s, token %d, %s–%s", h.owner, h.side, h.token, h.from.Format("05.000000"), h.until.Format("05.000000"))
}

// A primary is cut off from its replica, with clients on both sides, and the replica is
// promoted. Whoever asked WAIT whether a replica has its lock before it acted shares it with
// nobody. The tokens of the new primary are greater than those that were granted before it
// asked, so that a resource that checks tokens lets no older holder write. With
// min-replicas-to-write the old primary soon grants nothing, to those in line neither.
func TestAPartitionBreaksNoPromiseThatWasWaitedFor(t *testing.T) { partition(t, seeded(t)) }

func partition(t *testing.T, seed uint64) tally {
	const lease = 400 * time.Millisecond
	r := rand.New(rand.NewPCG(seed, 0))
	s := apart(t, "--min-replicas-to-write", "1", "--min-replicas-max-lag", "1", "--repl-ping-replica-period", "1", "--repl-diskless-sync-delay", "0")
	from, to := dialAt(t, s.primary), dialAt(t, s.replica)
	host, port, _ := strings.Cut(s.follow, ":")
	to.wants("OK", "CONFIG SET min-replicas-to-write 0")
	to.wants("OK", "REPLICAOF % %", host, port)
	await(t, "the replica to follow", func() bool { return strings.Contains(from.do("INFO replication"), "state=online") })

	var mu sync.Mutex
	var all []held
	refused := map[string]int{} // by client: how often in sequence NOREPLICAS was answered
	requests := 0
	stop := make(chan struct{})
	var clients sync.WaitGroup
	for i := range 12 {
		side, addr := "old primary", s.primary
		if i >= 6 {
			side, addr = "new primary", s.replica
		}
		owner := fmt.Sprint("client ", i)
		c := dialAt(t, addr)
		r := rand.New(rand.NewPCG(seed, uint64(1+i)))
		clients.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				h := held{side: side, owner: owner, asked: time.Now()}
				reply := c.do("LOCK.ACQUIRE l % % BLOCK % WITHTOKEN", owner, lease.Milliseconds(), 1+r.IntN(300))
				h.token, _ = strconv.ParseInt(reply, 10, 64)
				if h.token > 0 && side == "old primary" {
					h.sure = c.do("WAIT 1 100") == "1"
				}
				h.from, h.until = time.Now(), h.asked.Add(lease)
				if h.token > 0 {
					time.Sleep(time.Duration(r.Int64N(int64(5 * time.Millisecond)))) // its work
					if now := time.Now(); now.Before(h.until) {
						h.until = now
					}
					c.do("LOCK.RELEASE l %", owner)
				}
				mu.Lock()
				requests += 3
				if refused[owner]++; !strings.HasPrefix(reply, "-NOREPLICAS") {
					refused[owner] = 0
				}
				if h.token > 0 && h.from.Before(h.until) {
					all = append(all, h)
				}
				mu.Unlock()
				if h.token == 0 {
					time.Sleep(time.Millisecond)
				}
			}
		})
	}
	granted := func(side string) (n int) {
		mu.Lock()
		defer mu.Unlock()
		for _, h := range all {
			if h.side == side {
				n++
			}
		}
		return n
	}
	await(t, "clients to get the lock", func() bool { return granted("old primary") > 20 })
	time.Sleep(time.Duration(r.Int64N(int64(200 * time.Millisecond))))
	s.cut()
	cut := time.Now()
	time.Sleep(time.Duration(r.Int64N(int64(1500 * time.Millisecond))))
	to.wants("OK", "REPLICAOF NO ONE")
	await(t, "the old primary to refuse all", func() bool {
		mu.Lock()
		defer mu.Unlock()
		for i := range 6 {
			if refused[fmt.Sprint("client ", i)] < 3 {
				return false
			}
		}
		return true
	})
	quiet := time.Now()
	before := granted("new primary")
	await(t, "the new primary to grant", func() bool { return granted("new primary") > before+100 })
	close(stop)
	clients.Wait()
	t.Logf("cut off, the old primary granted for %v", quiet.Sub(cut).Round(time.Millisecond))

	sure := 0
	for i, h := range all {
		if h.side == "old primary" && h.from.After(quiet) {
			t.Errorf("granted by the old primary after it had refused everybody: %v", h)
		}
		if h.sure {
			sure++
		}
		for _, o := range all[i+1:] {
			overlap := h.from.Before(o.until) && o.from.Before(h.until)
			if overlap && (h.side == o.side || h.sure || o.sure) {
				t.Errorf("at the same time hold %v (sure: %v) and %v (sure: %v)", h, h.sure, o, o.sure)
			}
			if h.from.Before(o.asked) && o.token <= h.token || o.from.Before(h.asked) && h.token <= o.token {
				t.Errorf("the later has the smaller token: %v and %v", h, o)
			}
		}
	}
	if sure == 0 {
		t.Error("nobody was sure: the test shows nothing")
	}

	// The network is whole again, and the old primary follows: it forgets what was lost.
	s.mend()
	from.wants("OK", "CONFIG SET min-replicas-to-write 0")
	host, port, _ = strings.Cut(s.back, ":")
	from.wants("OK", "REPLICAOF % %", host, port)
	await(t, "the old primary to follow", func() bool { return strings.Contains(from.do("INFO replication"), "master_link_status:up") })
	to.wants("1", "LOCK.ACQUIRE after me 60000")
	to.wants("1", "WAIT 1 0")
	from.wants(to.do("DEBUG DIGEST-VALUE after"), "DEBUG DIGEST-VALUE after")
	return tally{requests, 1, len(all)}
}

// dialAt is a connection to a host and port, or to a socket in the file system.
func dialAt(t testing.TB, addr string) *cacheConn {
	t.Helper()
	if !strings.HasPrefix(addr, "/") {
		return dialCache(t, addr)
	}
	conn, err := net.Dial("unix", addr)
	if err != nil {
		t.Fatal(err)
	}
	return newConn(t, conn)
}
