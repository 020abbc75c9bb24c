package doctor_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/holdfasttest"
	"holdfast/internal/doctor"
	"holdfast/internal/redisserver"
	"holdfast/queue"
)

const patience = 30 * time.Second

func until(t *testing.T, what string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !so(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not even after %v: %s", patience, what)
		}
	}
}

// do runs commands, a line each.
func do(t *testing.T, rdb redis.UniversalClient, commands ...string) {
	t.Helper()
	for _, command := range commands {
		var words []any
		for word := range strings.FieldsSeq(command) {
			words = append(words, word)
		}
		if err := rdb.Do(t.Context(), words...).Err(); err != nil && err != redis.Nil {
			t.Fatalf("%s: %v", command, err)
		}
	}
}

func examine(t *testing.T, rdb redis.UniversalClient) *doctor.Report {
	t.Helper()
	report, err := doctor.Examine(t.Context(), rdb, doctor.Options{Gone: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	// Some servers that the tests run on have a fault of their own.
	report.Findings = slices.DeleteFunc(report.Findings, func(f doctor.Finding) bool { return f.ID == "server-version" })
	return report
}

func ids(r *doctor.Report) (ids []string) {
	for _, f := range r.Findings {
		ids = append(ids, f.ID)
	}
	return ids
}

// well is how a server is started on which nothing is wrong.
var well = holdfasttest.WithArgs("--appendonly", "yes")

// pair is a primary with a replica, with nothing wrong, and in use.
func pair(t *testing.T) (primary, replica *holdfasttest.Instance) {
	s := holdfasttest.Sentinel(t, 1, 1, well, holdfasttest.WithArgs("--min-replicas-to-write", "1"))
	primary, replica = s.Nodes[0], s.Nodes[1]
	rdb := primary.Client()
	until(t, "the replica counts as a good one", func() bool {
		return rdb.Do(t.Context(), "TASK.PUBLISH", "mail", "hello").Err() == nil
	})
	do(t, rdb, "TASK.CONSUME workers me mail 1 0 LEASE 60000", "LOCK.ACQUIRE nightly me 60000", "LOCK.RELEASE nightly me", "CACHE.SET user:7 ann 60000")
	return primary, replica
}

func TestNothingIsWrongWithAHealthyPair(t *testing.T) {
	primary, _ := pair(t)
	r := examine(t, primary.Client())
	if len(r.Findings) > 0 || r.Nodes != 2 || r.Queues != 1 {
		t.Errorf("%d servers and %d queues: %+v", r.Nodes, r.Queues, r.Findings)
	}
}

func TestNothingIsWrongWithAHealthyCluster(t *testing.T) {
	nodes := holdfasttest.Cluster(t, 3, 1, well)
	c := nodes.Client()
	do(t, c, "TASK.PUBLISH mail hello", "TASK.CONSUME workers me mail 1 0 LEASE 60000")
	r := examine(t, c)
	if len(r.Findings) > 0 || r.Nodes != 6 || r.Queues != 1 {
		t.Errorf("%d servers and %d queues: %+v", r.Nodes, r.Queues, r.Findings)
	}
}

// fault is something that is wrong with one server.
type fault struct {
	id       string // of the finding
	severity doctor.Severity
	options  []holdfasttest.Option
	plant    func(t *testing.T, s *holdfasttest.Instance, rdb *redis.Client)
	cured    bool // the cure is a command for the server, which ends the finding
}

var faults = map[string]fault{
	"a policy that evicts locks": {id: "eviction", severity: doctor.Critical, cured: true, plant: func(t *testing.T, _ *holdfasttest.Instance, rdb *redis.Client) {
		do(t, rdb, "LOCK.ACQUIRE nightly me 60000", "CONFIG SET maxmemory 1gb", "CONFIG SET maxmemory-policy allkeys-lru")
	}},
	"no append-only file": {id: "persistence", severity: doctor.Warning, cured: true, plant: func(t *testing.T, _ *holdfasttest.Instance, rdb *redis.Client) {
		do(t, rdb, "CONFIG SET appendonly no", "TASK.PUBLISH mail hello")
	}},
	"a file that is never flushed": {id: "persistence", severity: doctor.Warning, cured: true, plant: func(t *testing.T, _ *holdfasttest.Instance, rdb *redis.Client) {
		do(t, rdb, "CONFIG SET appendfsync no", "TASK.PUBLISH mail hello")
	}},
	"no memory left": {id: "memory", severity: doctor.Critical, plant: func(t *testing.T, _ *holdfasttest.Instance, rdb *redis.Client) {
		used, _ := strconv.ParseInt(rdb.InfoMap(t.Context(), "memory").Item("Memory", "used_memory"), 10, 64)
		do(t, rdb, fmt.Sprint("CONFIG SET maxmemory ", used+used/20))
	}},
	"a module that is missing": {id: "modules-missing", severity: doctor.Warning, options: []holdfasttest.Option{without("distlock")}},
	"no modules": {id: "modules-missing", severity: doctor.Critical, options: []holdfasttest.Option{holdfasttest.WithModules()}, plant: func(t *testing.T, _ *holdfasttest.Instance, rdb *redis.Client) {
		do(t, rdb, "XGROUP CREATE mail workers 0 MKSTREAM") // a queue of before
	}},
	"too few replicas": {id: "min-replicas", severity: doctor.Critical, plant: func(t *testing.T, _ *holdfasttest.Instance, rdb *redis.Client) {
		do(t, rdb, "CONFIG SET min-replicas-to-write 1")
	}},
	"a server that lets everybody in": {
		id: "acl", severity: doctor.Critical, cured: false,
		// An address with a minus may be missing: nobody listens on it.
		options: []holdfasttest.Option{holdfasttest.WithArgs("--bind", "127.0.0.1", "-192.0.2.1", "--protected-mode", "no")},
	},
	"entries that were trimmed in work": {id: "lost-trimmed", severity: doctor.Critical, plant: func(t *testing.T, _ *holdfasttest.Instance, rdb *redis.Client) {
		do(t, rdb, "TASK.PUBLISH mail hello", "TASK.CONSUME workers gone mail", "XTRIM mail MAXLEN 0")
		until(t, "the module has noticed", func() bool {
			do(t, rdb, "TASK.CONSUME workers me mail 1 50 LEASE 50")
			return strings.Contains(rdb.Info(t.Context(), "everything").Val(), "taskqueue_lost_trimmed:1")
		})
	}},
	"a lock that ended by its lease": {id: "expired-while-held", severity: doctor.Warning, plant: func(t *testing.T, _ *holdfasttest.Instance, rdb *redis.Client) {
		do(t, rdb, "LOCK.ACQUIRE nightly me 1", "LOCK.ACQUIRE nightly you 60000 BLOCK 10000")
	}},
	"a queue that is paused": {id: "paused", severity: doctor.Warning, plant: func(t *testing.T, _ *holdfasttest.Instance, rdb *redis.Client) {
		do(t, rdb, "TASK.PUBLISH mail hello", "TASK.PAUSE mail")
	}},
	"a pile of dead letters": {id: "dead-letters", severity: doctor.Warning, plant: func(t *testing.T, _ *holdfasttest.Instance, rdb *redis.Client) {
		do(t, rdb, "TASK.PUBLISH mail hello", "TASK.CONSUME workers me mail 1 0 LEASE 60000")
		for range 1000 {
			do(t, rdb, "XADD "+queue.DeadStream("mail", "")+" * payload x reason broken")
		}
	}},
	"a consumer that is gone": {id: "consumer-gone", severity: doctor.Critical, plant: func(t *testing.T, _ *holdfasttest.Instance, rdb *redis.Client) {
		do(t, rdb, "TASK.PUBLISH mail hello", "XGROUP CREATE mail workers 0", "XREADGROUP GROUP workers gone COUNT 1 STREAMS mail >")
		until(t, "it has been silent for long", func() bool {
			consumers, err := rdb.XInfoConsumers(t.Context(), "mail", "workers").Result()
			return err == nil && len(consumers) == 1 && consumers[0].Idle > 1100*time.Millisecond
		})
	}},
	"tasks without a lease": {id: "no-lease", severity: doctor.Warning, plant: func(t *testing.T, _ *holdfasttest.Instance, rdb *redis.Client) {
		do(t, rdb, "XADD mail 1-1 payload x", "TASK.CONSUME workers me mail", "XCLAIM mail workers me 0 1-1 IDLE 3600000")
	}},
	"a queue without a worker": {id: "no-worker", severity: doctor.Critical, plant: func(t *testing.T, _ *holdfasttest.Instance, rdb *redis.Client) {
		do(t, rdb, "XADD mail 1-1 payload x", "TASK.PUBLISH mail x")
	}},
	"a group that nobody reads": {id: "group-unread", severity: doctor.Critical, plant: func(t *testing.T, _ *holdfasttest.Instance, rdb *redis.Client) {
		do(t, rdb, "XADD mail 1-1 payload x", "XGROUP CREATE mail audit 0", "TASK.CONSUME workers me mail", "TASK.ACK mail workers 1-1")
	}},
	"a disk that is full": {id: "disk", severity: doctor.Critical, plant: func(t *testing.T, s *holdfasttest.Instance, rdb *redis.Client) {
		if err := os.MkdirAll(s.Dir+"/dump.rdb/in-the-way", 0o700); err != nil {
			t.Fatal(err)
		}
		if err := rdb.ConfigSet(t.Context(), "save", "3600 1").Err(); err != nil {
			t.Fatal(err)
		}
		do(t, rdb, "BGSAVE")
		until(t, "it was not saved", func() bool {
			return rdb.InfoMap(t.Context(), "persistence").Item("Persistence", "rdb_last_bgsave_status") == "err"
		})
	}},
}

// without starts a server that lacks a module.
func without(name string) holdfasttest.Option {
	paths, _ := redisserver.Modules() // where they are not, the server says so
	var others []string
	for _, path := range paths {
		if !strings.Contains(path, name) {
			others = append(others, path)
		}
	}
	return holdfasttest.WithModules(others...)
}

func TestEachFaultOfAServerIsFound(t *testing.T) {
	for what, f := range faults {
		t.Run(what, func(t *testing.T) {
			s := holdfasttest.Server(t, append([]holdfasttest.Option{well}, f.options...)...)
			rdb := s.Client()
			if f.plant != nil {
				f.plant(t, s, rdb)
			}
			r := examine(t, rdb)
			if len(r.Findings) != 1 || r.Findings[0].ID != f.id || r.Findings[0].Severity != f.severity {
				t.Fatalf("%s, %s was planted, and this is found: %+v", f.id, f.severity, r.Findings)
			}
			found := r.Findings[0]
			if found.What == "" || found.Why == "" || found.Cure == "" {
				t.Errorf("it does not say all: %+v", found)
			}
			if !f.cured {
				return
			}
			command, ok := strings.CutPrefix(found.Cure, fmt.Sprintf("redis-cli -h 127.0.0.1 -p %d ", s.Port))
			if !ok {
				t.Fatalf("the cure is no command for this server: %s", found.Cure)
			}
			do(t, rdb, command)
			if r := examine(t, rdb); len(r.Findings) > 0 {
				t.Errorf("%s does not cure it: %+v", command, r.Findings)
			}
		})
	}
	if len(faults) < 12 {
		t.Errorf("%d faults", len(faults))
	}
}

func TestEachFaultOfAPairIsFound(t *testing.T) {
	for what, f := range map[string]struct {
		id    string
		plant func(t *testing.T, primary, replica *holdfasttest.Instance) (examined *holdfasttest.Instance)
	}{
		"a primary that goes on when it is cut off": {"min-replicas", func(t *testing.T, primary, _ *holdfasttest.Instance) *holdfasttest.Instance {
			do(t, primary.Client(), "CONFIG SET min-replicas-to-write 0")
			return primary
		}},
		"a replica that hangs": {"unreachable", func(t *testing.T, primary, replica *holdfasttest.Instance) *holdfasttest.Instance {
			if err := syscall.Kill(replica.PID(), syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = syscall.Kill(replica.PID(), syscall.SIGCONT) })
			return primary
		}},
		"a replica that lost its primary": {"replica-link", func(t *testing.T, primary, replica *holdfasttest.Instance) *holdfasttest.Instance {
			primary.Kill()
			rdb := replica.Client()
			until(t, "the replica knows", func() bool {
				return rdb.InfoMap(t.Context(), "replication").Item("Replication", "master_link_status") == "down"
			})
			return replica
		}},
	} {
		t.Run(what, func(t *testing.T) {
			primary, replica := pair(t)
			r := examine(t, f.plant(t, primary, replica).Client())
			if got := ids(r); len(got) != 1 || got[0] != f.id {
				t.Errorf("%s was planted, and this is found: %+v", f.id, r.Findings)
			}
		})
	}
}

func TestAClusterWithoutASlotIsFound(t *testing.T) {
	c := holdfasttest.Cluster(t, 3, 0, well)
	for _, node := range c.Nodes {
		do(t, node.Client(), "CLUSTER DELSLOTS 7")
	}
	rdb := c.Client()
	until(t, "the cluster knows", func() bool {
		return strings.Contains(rdb.ClusterInfo(context.Background()).Val(), "cluster_slots_ok:16383")
	})
	r := examine(t, rdb)
	if got := ids(r); len(got) != 1 || got[0] != "coverage" {
		t.Errorf("%+v", r.Findings)
	}
}

func TestWhatOurUserMayNotLookAtIsNotSaidToBeWell(t *testing.T) {
	s := holdfasttest.Server(t, well)
	for _, rights := range []string{"-info", "-config", "-module", "-task.list", "-time"} {
		t.Run(rights, func(t *testing.T) {
			do(t, s.Client(), "ACL SETUSER looker reset on >secret ~* +@all "+rights)
			rdb := redis.NewClient(&redis.Options{Addr: s.Addr, Username: "looker", Password: "secret"})
			defer rdb.Close()
			r := examine(t, rdb)
			if got := ids(r); len(got) == 0 || got[0] != "permission" {
				t.Errorf("%+v", r.Findings)
			}
		})
	}
}
