package doctor

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
)

// nodeChecks look at one server each.
var nodeChecks = []func(*examination, *node){
	modulesLoaded, serverVersion, eviction, memory, persistence, writesRefused, replicas, openToAll, lostTasks, expiredWhileHeld,
}

var moduleNames = []string{"cachelock", "distlock", "taskqueue"}

func modulesLoaded(e *examination, n *node) {
	if len(n.info) == 0 && len(n.modules) == 0 { // our user may not look
		return
	}
	var missing []string
	for _, m := range moduleNames {
		if n.modules[m] == 0 && n.info[map[string]string{"cachelock": "cachelock_hits", "distlock": "distlock_held", "taskqueue": "taskqueue_published"}[m]] == "" {
			missing = append(missing, m)
		}
	}
	if len(missing) == 0 {
		return
	}
	f := Finding{
		ID: "modules-missing", Severity: Critical, Node: n.addr, What: fmt.Sprintf("%s has not loaded %s.", n.addr, strings.Join(missing, ", ")),
		Why: "Clients find its commands unknown.", Cure: "holdfast modules >> redis.conf, on that machine, and a restart",
	}
	if !n.primary {
		f.Why = "When this replica is promoted, clients find the commands unknown and nobody is served."
	}
	if len(missing) < len(moduleNames) {
		f.Severity = Warning
	}
	e.found(f)
}

// flawed are versions of servers that are known to be bad, and from which on they are good.
var flawed = []struct {
	server     string
	from, good [3]int
	what, why  string
}{
	{"valkey", [3]int{8, 1, 0}, [3]int{8, 1, 2}, "loses COPY … DB on replicas", "On this release a COPY to another database is lost on replicas and in the append-only file while anybody waits in a module."},
	{"valkey", [3]int{7, 2, 0}, [3]int{7, 2, 13}, cve, cveWhy},
	{"valkey", [3]int{8, 0, 0}, [3]int{8, 0, 8}, cve, cveWhy},
	{"valkey", [3]int{8, 1, 0}, [3]int{8, 1, 7}, cve, cveWhy},
	{"valkey", [3]int{9, 0, 0}, [3]int{9, 0, 4}, cve, cveWhy},
	{"redis", [3]int{8, 2, 0}, [3]int{8, 2, 6}, cve, cveWhy},
	{"redis", [3]int{8, 4, 0}, [3]int{8, 4, 3}, cve, cveWhy},
	{"redis", [3]int{8, 6, 0}, [3]int{8, 6, 3}, cve, cveWhy},
	{"redis", [3]int{6, 0, 0}, [3]int{7, 0, 8}, "is too old", "The modules need Redis 7.0.8 or later."},
}

const (
	cve    = "has CVE-2026-23479"
	cveWhy = "A use after free while a client is unblocked can crash the server, or worse."
)

func serverVersion(e *examination, n *node) {
	server, text := "redis", n.info["redis_version"]
	if v := n.info["valkey_version"]; v != "" {
		server, text = "valkey", v
	}
	var v [3]int
	_, _ = fmt.Sscanf(text, "%d.%d.%d", &v[0], &v[1], &v[2])
	for _, f := range flawed {
		if server != f.server || before(v, f.from) || !before(v, f.good) {
			continue
		}
		e.found(Finding{
			ID: "server-version", Severity: Warning, Node: n.addr, What: fmt.Sprintf("%s runs %s %s, which %s.", n.addr, server, text, f.what), Why: f.why,
			Cure: fmt.Sprintf("upgrade to %s %d.%d.%d or later, replicas first (a distribution's package may have the fix under an older number)", server, f.good[0], f.good[1], f.good[2]),
		})
		return
	}
}

func before(a, b [3]int) bool { return slices.Compare(a[:], b[:]) < 0 }

// keepsState tells whether a server holds what must not be lost: locks or tasks.
func (n *node) keepsState() bool {
	return n.number("distlock_held") > 0 || n.number("taskqueue_published") > 0 || n.number("taskqueue_delivered") > 0 || n.number("distlock_grants") > 0
}

func eviction(e *examination, n *node) {
	policy := n.config["maxmemory-policy"]
	if n.config["maxmemory"] == "" || n.config["maxmemory"] == "0" || policy == "noeviction" || policy == "" || !n.keepsState() {
		return
	}
	e.found(Finding{
		ID: "eviction", Severity: Critical, Node: n.addr, What: fmt.Sprintf("%s evicts by %s, and holds locks or queues.", n.addr, policy),
		Why: "A full server may evict a lock that is held, or a queue.", Cure: cli(n) + "CONFIG SET maxmemory-policy noeviction",
	})
}

// memoryMost is how much of maxmemory may be in use before little is left.
const memoryMost = 0.9

func memory(e *examination, n *node) {
	used, most := n.number("used_memory"), n.number("maxmemory")
	if most == 0 || float64(used) < memoryMost*float64(most) || n.info["maxmemory_policy"] != "noeviction" {
		return
	}
	e.found(Finding{
		ID: "memory", Severity: Critical, Node: n.addr, What: fmt.Sprintf("%s uses %d %% of its maxmemory, and evicts nothing.", n.addr, 100*used/most),
		Why: "When it is full, locks, loads and publications are refused (OOM).", Cure: "more memory: " + cli(n) + fmt.Sprintf("CONFIG SET maxmemory %d; or fewer tasks: holdfast queue ls", 2*most),
	})
}

func persistence(e *examination, n *node) {
	if n.config["appendonly"] == "" || !n.primary || n.number("taskqueue_published") == 0 {
		return
	}
	switch {
	case n.config["appendonly"] != "yes":
		e.found(Finding{
			ID: "persistence", Severity: Warning, Node: n.addr, What: n.addr + " holds queues and keeps no append-only file.",
			Why: "A crash loses all tasks since the last snapshot.", Cure: cli(n) + "CONFIG SET appendonly yes",
		})
	case n.config["appendfsync"] == "no":
		e.found(Finding{
			ID: "persistence", Severity: Warning, Node: n.addr, What: n.addr + " never flushes its append-only file.",
			Why: "A crash of the machine loses some 30 seconds of tasks.", Cure: cli(n) + "CONFIG SET appendfsync everysec",
		})
	}
}

func writesRefused(e *examination, n *node) {
	if !n.primary {
		if n.info["master_link_status"] == "down" {
			e.found(Finding{
				ID: "replica-link", Severity: Critical, Node: n.addr, What: n.addr + " has lost its primary.",
				Why: "What is written now is lost when this replica is promoted.", Cure: cli(n) + "INFO replication",
			})
		}
		return
	}
	for field, what := range map[string]string{"rdb_last_bgsave_status": "cannot write its snapshot", "aof_last_write_status": "cannot write its append-only file"} {
		if n.info[field] == "err" {
			e.found(Finding{
				ID: "disk", Severity: Critical, Node: n.addr, What: n.addr + " " + what + ", and so refuses writes (MISCONF).",
				Why: "Nothing is granted, published or acknowledged.", Cure: "make room on its disk: " + cli(n) + "INFO persistence",
			})
		}
	}
}

func replicas(e *examination, n *node) {
	least, _ := strconv.Atoi(n.config["min-replicas-to-write"])
	if good, known := n.info["min_slaves_good_slaves"]; n.primary && known && n.number("min_slaves_good_slaves") < int64(least) {
		e.found(Finding{
			ID: "min-replicas", Severity: Critical, Node: n.addr, What: fmt.Sprintf("%s has %s good replicas, wants %d, and so refuses writes (NOREPLICAS).", n.addr, good, least),
			Why: "Nothing is granted, published or acknowledged.", Cure: "start its replicas, or: " + cli(n) + "CONFIG SET min-replicas-to-write 0",
		})
		return
	}
	if !n.primary || n.number("connected_slaves") == 0 || n.number("distlock_grants") == 0 {
		return
	}
	if v, ok := n.config["min-replicas-to-write"]; ok && v == "0" {
		e.found(Finding{
			ID: "min-replicas", Severity: Warning, Node: n.addr, What: n.addr + " has replicas, grants locks, and would go on when cut off from them.",
			Why: "A primary that is cut off grants locks of which the promoted replica knows nothing: two hold one lock.", Cure: cli(n) + "CONFIG SET min-replicas-to-write 1",
		})
	}
}

func openToAll(e *examination, n *node) {
	if n.config["protected-mode"] != "no" || n.config["requirepass"] != "" || onlyLocal(n.config["bind"]) {
		return
	}
	reply, err := n.client.Do(e.ctx, "ACL", "GETUSER", "default").Result()
	if err != nil {
		return
	}
	flags := strings.Fields(strings.Trim(fmt.Sprint(pairs(reply)["flags"]), "[]"))
	if slices.Contains(flags, "nopass") && slices.Contains(flags, "on") {
		e.found(Finding{
			ID: "acl", Severity: Critical, Node: n.addr, What: n.addr + " lets everybody in, without a password.",
			Why: "Whoever reaches it can take and break every lock, and read every task.", Cure: cli(n) + "ACL SETUSER default '>PASSWORD'",
		})
	}
}

// onlyLocal tells whether a server listens on the loopback interface alone.
func onlyLocal(bind string) bool {
	for addr := range strings.FieldsSeq(bind) {
		if ip := net.ParseIP(strings.TrimPrefix(addr, "-")); ip == nil || !ip.IsLoopback() {
			return false
		}
	}
	return bind != ""
}

func lostTasks(e *examination, n *node) {
	if lost := n.number("taskqueue_lost_trimmed"); lost > 0 {
		e.found(Finding{
			ID: "lost-trimmed", Severity: Critical, Node: n.addr, What: fmt.Sprintf("%d tasks were lost on %s: something trimmed or deleted their entries before they were done.", lost, n.addr),
			Why: "Workers had them, and found nothing.", Cure: "look for XTRIM, XDEL or XADD … MAXLEN on the queues: " + cli(n) + "INFO commandstats",
		})
	}
}

func expiredWhileHeld(e *examination, n *node) {
	if expired := n.number("distlock_expired_while_held"); expired > 0 && n.primary {
		e.found(Finding{
			ID: "expired-while-held", Severity: Warning, Node: n.addr, What: fmt.Sprintf("%d locks on %s ended by their lease and not by a release.", expired, n.addr),
			Why: "Their holders died, or were slower than their lease: work may have run twice.", Cure: "longer leases or renewals, and fencing tokens where it matters (holdfast docs distlock)",
		})
	}
}

// clockMost is how far clocks may differ before a failover is felt.
const clockMost = 500 * time.Millisecond

func (e *examination) clocks() {
	if len(e.nodes) < 2 {
		return
	}
	slowest, fastest := e.nodes[0], e.nodes[0]
	for _, n := range e.nodes {
		if n.ahead < slowest.ahead {
			slowest = n
		}
		if n.ahead > fastest.ahead {
			fastest = n
		}
	}
	if d := fastest.ahead - slowest.ahead; d > clockMost {
		e.found(Finding{
			ID: "clock", Severity: Warning, Node: slowest.addr, What: fmt.Sprintf("The clocks of %s and %s differ by %s.", slowest.addr, fastest.addr, d.Round(10*time.Millisecond)),
			Why: "After a failover leases end that much too early or too late, and fencing tokens grow only as far as clocks agree.", Cure: "timedatectl set-ntp true, on both machines",
		})
	}
}

// versions compares the modules of all servers.
func (e *examination) versions() {
	for _, m := range moduleNames {
		newest := slices.MaxFunc(append([]*node{{}}, e.nodes...), func(a, b *node) int { return int(a.modules[m] - b.modules[m]) })
		for _, n := range e.nodes {
			if v := n.modules[m]; v != 0 && v < newest.modules[m] {
				e.found(Finding{
					ID: "module-versions", Severity: Warning, Node: n.addr, What: fmt.Sprintf("%s has version %d of %s, and %s has version %d.", n.addr, v, m, newest.addr, newest.modules[m]),
					Why: "After a failover clients find commands and options unknown.", Cure: "install the newer modules on that machine, and restart its server",
				})
			}
		}
	}
}

// cli begins a command for one server.
func cli(n *node) string {
	host, port := "127.0.0.1", "6379"
	if i := strings.LastIndexByte(n.addr, ':'); i >= 0 {
		host, port = n.addr[:i], n.addr[i+1:]
	}
	if _, err := strconv.Atoi(port); err != nil {
		return "redis-cli "
	}
	return "redis-cli -h " + host + " -p " + port + " "
}
