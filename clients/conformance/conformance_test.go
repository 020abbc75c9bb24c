package conformance

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/holdfasttest"
	"holdfast/internal/clienttest"
)

// driver is a client of some language.
type driver struct {
	name      string
	command   []string
	dir       string
	protocols []int
}

// mode says how a client connects.
type mode struct {
	protocol int
	cluster  bool
}

// world is what a promise is tried in: a client, a server, and a proxy in front of the server.
type world struct {
	*testing.T
	d     driver
	m     mode
	addr  string
	proxy *clienttest.Proxy // nil in a cluster
	node  *holdfasttest.Instance
	rdb   redis.UniversalClient
}

func (w *world) process() *client { w.Helper(); return w.d.start(w.T, w.addr, w.m) }

// promise is one case. A promise that breaks connections or the server runs on a single server.
type promise struct {
	name   string
	breaks bool
	keep   func(w *world)
}

func promises() []promise {
	return append(append(lockPromises(), cachePromises()...), queuePromises()...)
}

// unbroken returns the promises that break nothing, for a second protocol and for a cluster. Each
// starts processes, so only every fourth is tried there unless HOLDFAST_ALL is set.
func unbroken() (some []promise) {
	for n, p := range promises() {
		if !p.breaks && (n%4 == 0 || os.Getenv("HOLDFAST_ALL") != "") {
			some = append(some, p)
		}
	}
	return some
}

// drivers returns the clients that this machine can run, and names the others as skipped.
func drivers(t *testing.T) []driver {
	t.Helper()
	goDriver := filepath.Join(t.TempDir(), "godriver")
	if out, err := exec.Command("go", "build", "-o", goDriver, "./godriver").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	all := []driver{{name: "go", command: []string{goDriver}, protocols: []int{2, 3}}}
	add := func(d driver, probe ...string) {
		cmd := exec.Command(probe[0], probe[1:]...)
		cmd.Dir = d.dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Run(d.name, func(t *testing.T) { t.Skipf("this machine cannot run it: %v %s", err, firstLine(out)) })
			return
		}
		all = append(all, d)
	}
	node := func(library string) driver {
		return driver{name: "node-" + library, command: []string{"node", "conformance.mjs", library}, dir: "../node", protocols: []int{2, 3}}
	}
	for _, library := range []string{"ioredis", "redis"} {
		add(node(library), "node", "--input-type=module", "-e", "await import('"+library+"'); await import('./dist/index.js')")
	}
	for _, way := range []string{"threads", "asyncio"} {
		add(driver{name: "python-" + way, command: []string{python, "conformance.py", way}, dir: "../python", protocols: []int{2}},
			python, "-c", "import redis.asyncio")
	}
	return all
}

// python is Debian's interpreter, which Debian's python3-redis belongs to.
const python = "/usr/bin/python3"

func firstLine(b []byte) string {
	last := strings.Split(strings.TrimSpace(string(b)), "\n")
	return last[len(last)-1]
}

func TestEveryClientKeepsThePromises(t *testing.T) {
	cluster := holdfasttest.Cluster(t, 3, 0)
	for _, d := range drivers(t) {
		t.Run(d.name, func(t *testing.T) {
			for _, protocol := range d.protocols {
				t.Run(map[int]string{2: "RESP2", 3: "RESP3"}[protocol], func(t *testing.T) {
					list := promises()
					if protocol == 3 {
						list = unbroken() // what breaks is the connection, whatever it speaks
					}
					for _, p := range list {
						t.Run(p.name, func(t *testing.T) {
							t.Parallel()
							node := holdfasttest.Server(t)
							w := &world{T: t, d: d, m: mode{protocol: protocol}, node: node, rdb: node.Client(), proxy: clienttest.NewProxy(t, node.Addr)}
							w.addr = w.proxy.Addr
							p.keep(w)
						})
					}
				})
			}
			t.Run("cluster", func(t *testing.T) {
				must(t, cluster.Client().ForEachMaster(t.Context(), func(ctx context.Context, c *redis.Client) error { return c.FlushAll(ctx).Err() }))
				for _, p := range unbroken() {
					t.Run(p.name, func(t *testing.T) {
						p.keep(&world{T: t, d: d, m: mode{protocol: d.protocols[0], cluster: true}, addr: cluster.Nodes[0].Addr, rdb: cluster.Client()})
					})
				}
			})
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// name returns a key that no other promise uses, in a cluster either.
func (w *world) name(suffix string) string {
	return strings.NewReplacer("/", "-", "{", "", "}", "").Replace(w.Name()) + ":" + suffix
}

// eventually waits for a state of the server that no driver reports.
func (w *world) eventually(what string, ok func() bool) {
	w.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			w.Fatalf("waited in vain: %s", what)
		}
	}
}

func (w *world) ctx() context.Context { return w.T.Context() }

// waiting counts the waiters of a lock.
func (w *world) waiting(name string) int {
	info, err := w.rdb.Do(w.ctx(), "LOCK.INFO", name).Slice()
	if err != nil {
		m, err := w.rdb.Do(w.ctx(), "LOCK.INFO", name).Result()
		if err != nil {
			return 0
		}
		if all, ok := m.(map[any]any); ok {
			n, _ := all["waiters"].([]any)
			return len(n)
		}
		return 0
	}
	for i := 0; i+1 < len(info); i += 2 {
		if info[i] == "waiters" {
			n, _ := info[i+1].([]any)
			return len(n)
		}
	}
	return 0
}
