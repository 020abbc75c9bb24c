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
	// Queues is how many queues are looked into at most. Defaults to 1,000.
	Queues int
}

// examination is one run of all checks.
type examination struct {
	ctx     context.Context
	rdb     redis.UniversalClient
	inspect *queue.Inspector
	report  Report
	nodes   []*node
}

func (e *examination) found(f Finding) { e.report.Findings = append(e.report.Findings, f) }

// Examine looks at all servers and queues that a client reaches. It changes nothing, and costs some
// commands for each server and queue.
func Examine(ctx context.Context, rdb redis.UniversalClient, o Options) (*Report, error) {
	if o.Queues == 0 {
		o.Queues = 1000
	}
	e := &examination{ctx: ctx, rdb: rdb, inspect: queue.Inspect(rdb), report: Report{At: time.Now(), Findings: []Finding{}}}
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
	if err := e.queues(o.Queues); err != nil {
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
	own     bool // closed by us
	info    map[string]string
	config  map[string]string
	modules map[string]int64
	ahead   time.Duration // its clock before ours
}

func (e *examination) close() {
	for _, n := range e.nodes {
		if n.own {
			_ = n.client.Close()
		}
	}
}

// findNodes connects to every primary and replica. Replicas that cannot be reached are findings.
func (e *examination) findNodes() error {
	switch c := e.rdb.(type) {
	case *redis.ClusterClient:
		all := make(chan *redis.Client, 1024)
		err := c.ForEachShard(e.ctx, func(_ context.Context, shard *redis.Client) error {
			all <- shard
			return nil
		})
		close(all)
		for client := range all {
			n := &node{addr: client.Options().Addr, client: client}
			if e.ask(n) == nil {
				e.nodes = append(e.nodes, n)
			}
		}
		return err
	case *redis.Client:
		n := &node{addr: c.Options().Addr, client: c}
		if err := e.ask(n); err != nil {
			return err
		}
		n.addr = first(n.info["tcp_port"], n.addr)
		if host := c.Options().Addr; host != "" {
			n.addr = host
		}
		e.nodes = append(e.nodes, n)
		for i := 0; ; i++ {
			text, ok := n.info[fmt.Sprint("slave", i)]
			if !ok {
				break
			}
			e.replica(c, text)
		}
		return nil
	}
	return fmt.Errorf("doctor: a client that shows no servers: %T", e.rdb)
}

// replica connects to a replica that a primary names, with the primary's credentials.
func (e *examination) replica(primary *redis.Client, text string) {
	fields := map[string]string{}
	for _, part := range strings.Split(text, ",") {
		name, value, _ := strings.Cut(part, "=")
		fields[name] = value
	}
	o := *primary.Options()
	o.Addr, o.Dialer, o.Network = fields["ip"]+":"+fields["port"], nil, "tcp"
	n := &node{addr: o.Addr, own: true, client: redis.NewClient(&o)}
	if err := e.ask(n); err != nil {
		_ = n.client.Close()
		e.found(Finding{
			ID: "replica-unreachable", Severity: Warning, Node: o.Addr, What: fmt.Sprintf("The replica %s cannot be asked: %v", o.Addr, err),
			Why: "Whether it has the modules, nobody knows before it is promoted.", Cure: "redis-cli -h " + fields["ip"] + " -p " + fields["port"] + " ping",
		})
		return
	}
	e.nodes = append(e.nodes, n)
}

// ask learns what a server says of itself.
func (e *examination) ask(n *node) error {
	sent := time.Now()
	at, err := n.client.Time(e.ctx).Result()
	if err != nil {
		return err
	}
	n.ahead = at.Sub(sent.Add(time.Since(sent) / 2))
	text, err := n.client.Info(e.ctx, "everything").Result()
	if err != nil {
		return err
	}
	n.info = ParseInfo(text)
	n.primary = n.info["role"] == "master"
	n.config = map[string]string{}
	for _, pattern := range []string{"maxmemory*", "append*", "save", "min-replicas-to-write", "bind", "protected-mode", "requirepass"} {
		if some, err := n.client.ConfigGet(e.ctx, pattern).Result(); err == nil {
			for k, v := range some {
				n.config[k] = v
			}
		}
	}
	n.modules = map[string]int64{}
	list, err := n.client.Do(e.ctx, "MODULE", "LIST").Slice()
	if err != nil {
		return nil // not allowed: the commands tell
	}
	for _, one := range list {
		m := pairs(one)
		name, _ := m["name"].(string)
		n.modules[name], _ = m["ver"].(int64)
	}
	return nil
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

func first(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}
