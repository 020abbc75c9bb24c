// Package doctor examines servers with the modules: what is wrong, why it matters, and the
// command that cures it. The tool prints its findings, and the pages show them.
package doctor

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/internal/nodes"
	"holdfast/queue"
)

// Severity says how bad a finding is.
type Severity string

const (
	Warning  Severity = "warning"  // it will hurt some day
	Critical Severity = "critical" // it hurts, or the next failover will
)

// Finding is one thing that is wrong.
type Finding struct {
	ID       string   `json:"id" help:"which check found it"`
	Severity Severity `json:"severity" help:"warning or critical"`
	What     string   `json:"what"`
	Why      string   `json:"why" help:"why it matters"`
	Cure     string   `json:"cure" help:"the command that cures it, or what to do"`
	Node     string   `json:"node,omitempty" help:"the server's address, where it is one server's"`
	Queue    string   `json:"queue,omitempty" help:"the queue, where it is one queue's"`
}

// Report is what an examination found.
type Report struct {
	At       time.Time `json:"at"`
	Nodes    int       `json:"nodes" help:"servers examined, replicas included"`
	Queues   int       `json:"queues" help:"queues examined"`
	Findings []Finding `json:"findings" help:"the worst first"`
}

// Worst is the worst severity of the findings, "" where there are none.
func (r *Report) Worst() Severity {
	if len(r.Findings) == 0 {
		return ""
	}
	return r.Findings[0].Severity
}

// Options bound an examination.
type Options struct {
	// Gone is for how long a consumer that has tasks may be silent before it is taken for dead.
	// Defaults to 10 minutes.
	Gone time.Duration

	// Queues is how many queues are looked into at most. Defaults to 1,000.
	Queues int
}

// answerWithin is how long a server may take to answer before it is a finding.
const answerWithin = 2 * time.Second

// examination is one run of all checks.
type examination struct {
	ctx     context.Context
	rdb     redis.UniversalClient
	inspect *queue.Inspector
	report  Report
	nodes   []*node
	gone    time.Duration
}

func (e *examination) found(f Finding) { e.report.Findings = append(e.report.Findings, f) }

// Examine looks at all servers and queues that a client reaches. It changes nothing, and costs some
// commands for each server and queue.
func Examine(ctx context.Context, rdb redis.UniversalClient, o Options) (*Report, error) {
	if o.Queues == 0 {
		o.Queues = 1000
	}
	if o.Gone == 0 {
		o.Gone = 10 * time.Minute
	}
	e := &examination{ctx: ctx, rdb: rdb, inspect: queue.Inspect(rdb), report: Report{At: time.Now(), Findings: []Finding{}}, gone: o.Gone}
	if err := e.findNodes(); err != nil {
		return nil, err
	}
	defer e.close()
	for _, n := range e.nodes {
		for _, check := range nodeChecks {
			check(e, n)
		}
	}
	e.clocks()
	e.versions()
	if err := e.queues(o.Queues); err != nil && !e.refused(nil, err, "the queues") {
		return nil, err
	}
	e.report.Nodes = len(e.nodes)
	slices.SortStableFunc(e.report.Findings, func(a, b Finding) int { return rank(a) - rank(b) })
	return &e.report, nil
}

func rank(f Finding) int {
	if f.Severity == Critical {
		return 0
	}
	return 1
}

// node is a server and what it says of itself.
type node struct {
	addr    string
	primary bool
	client  *redis.Client
	close   func()
	info    map[string]string
	config  map[string]string
	modules map[string]int64
	ahead   time.Duration // its clock before ours
}

func (e *examination) close() {
	for _, n := range e.nodes {
		n.close()
	}
}

// findNodes asks every primary and replica. One that cannot be asked is a finding, unless it is the only
// one: then there is nothing to examine.
func (e *examination) findNodes() error {
	all, err := nodes.All(e.ctx, e.rdb, answerWithin)
	if err != nil {
		return err
	}
	for _, one := range all {
		n := &node{addr: one.Addr, client: one.Client, close: one.Close}
		err := e.ask(n)
		if err == nil {
			e.nodes = append(e.nodes, n)
			continue
		}
		one.Close()
		if len(all) == 1 {
			return err
		}
		e.found(Finding{
			ID: "unreachable", Severity: Warning, Node: n.addr, What: fmt.Sprintf("%s cannot be asked: %v", n.addr, err),
			Why: "It was not examined: whether it could take over, nobody knows.", Cure: cli(n) + "PING",
		})
	}
	if c, ok := e.rdb.(*redis.ClusterClient); ok {
		e.coverage(c)
	}
	return nil
}

// ask learns what a server says of itself.
func (e *examination) ask(n *node) error {
	sent := time.Now()
	at, err := n.client.Time(e.ctx).Result()
	if err == nil {
		n.ahead = at.Sub(sent.Add(time.Since(sent) / 2))
	} else if !e.refused(n, err, "its clock") {
		return err
	}
	text, err := n.client.Info(e.ctx, "everything").Result()
	if err != nil && !e.refused(n, err, "most of it") {
		return err
	}
	n.info = ParseInfo(text)
	n.primary = n.info["role"] == "master"
	n.config = map[string]string{}
	for _, pattern := range []string{"maxmemory*", "append*", "save", "min-replicas-to-write", "bind", "protected-mode", "requirepass"} {
		some, err := n.client.ConfigGet(e.ctx, pattern).Result()
		if err != nil {
			e.refused(n, err, "its configuration")
			break
		}
		for k, v := range some {
			n.config[k] = v
		}
	}
	n.modules = map[string]int64{}
	list, err := n.client.Do(e.ctx, "MODULE", "LIST").Slice()
	if err != nil {
		e.refused(n, err, "its list of modules")
		return nil
	}
	for _, one := range list {
		m := pairs(one)
		name, _ := m["name"].(string)
		n.modules[name], _ = m["ver"].(int64)
	}
	return nil
}

// refused tells whether err says that our user may not run a command, which is a finding then: what was
// not examined must not pass for well.
func (e *examination) refused(n *node, err error, what string) bool {
	// "NOPERM this user has no permissions to run the 'config|get' command"
	if !strings.Contains(err.Error(), "NOPERM") {
		return false
	}
	f := Finding{
		ID: "permission", Severity: Warning, What: fmt.Sprintf("Our user may not look: %s was not examined (%s).", what, strings.TrimSpace(err.Error())),
		Why: "What could not be looked at may be wrong.", Cure: "redis-cli ACL SETUSER USER +@read +info +time +config|get +module|list, or doctor with another user",
	}
	if n != nil {
		f.Node, f.Cure = n.addr, strings.Replace(f.Cure, "redis-cli ", cli(n), 1)
	}
	if !slices.ContainsFunc(e.report.Findings, func(other Finding) bool { return other.ID == f.ID && other.What == f.What && other.Node == f.Node }) {
		e.found(f)
	}
	return true
}

// coverage looks whether every slot of a cluster has a primary that answers.
func (e *examination) coverage(c *redis.ClusterClient) {
	text, err := c.ClusterInfo(e.ctx).Result()
	info := ParseInfo(text)
	if err != nil || info["cluster_state"] == "ok" && info["cluster_slots_ok"] == "16384" {
		return
	}
	missing := 16384
	if n, err := strconv.Atoi(info["cluster_slots_ok"]); err == nil {
		missing -= n
	}
	e.found(Finding{
		ID: "coverage", Severity: Critical, What: fmt.Sprintf("The cluster is %s: %d of its 16384 slots have no primary that answers.", info["cluster_state"], missing),
		Why: "Locks, values and queues of these slots are refused, and by default all others too.", Cure: "redis-cli --cluster fix " + e.nodeAddr(),
	})
}

// nodeAddr is the address of any node that answers.
func (e *examination) nodeAddr() string {
	if len(e.nodes) == 0 {
		return "HOST:PORT"
	}
	return e.nodes[0].addr
}

// ParseInfo reads the reply of INFO.
func ParseInfo(text string) map[string]string {
	all := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimRight(line, "\r\n"), ":"); ok && name[0] != '#' {
			all[name] = value
		}
	}
	return all
}

// pairs is a map reply, as RESP2 and RESP3 have it.
func pairs(reply any) map[string]any {
	all := map[string]any{}
	switch r := reply.(type) {
	case map[any]any:
		for k, v := range r {
			all[fmt.Sprint(k)] = v
		}
	case []any:
		for i := 0; i+1 < len(r); i += 2 {
			all[fmt.Sprint(r[i])] = r[i+1]
		}
	}
	return all
}

func (n *node) number(field string) int64 {
	v, _ := strconv.ParseInt(n.info[field], 10, 64)
	return v
}
