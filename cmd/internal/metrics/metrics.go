// Package metrics tells Prometheus what the modules know.
package metrics

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/internal/nodes"
	"holdfast/queue"
)

// Options bound what is told.
type Options struct {
	Queues    string // a glob-style pattern; empty is all
	MaxQueues int    // how many queues to tell of at most
}

// answerWithin is how long a server may take to answer.
const answerWithin = 2 * time.Second

// Write asks every primary and replica, and writes what they say in Prometheus' text format. A server
// that does not answer is holdfast_up 0, and no error; without any server the queues are left out.
func Write(ctx context.Context, w io.Writer, rdb redis.UniversalClient, o Options) error {
	p := page{families: map[string]*family{}}
	err := p.nodes(ctx, rdb)
	if err == nil {
		err = p.queues(ctx, rdb, o)
	}
	if _, writeErr := w.Write(p.text()); writeErr != nil {
		return writeErr
	}
	return err
}

// family is a metric and its samples.
type family struct {
	name, kind, help string
	samples          []string
}

// page collects families, in the order in which they come.
type page struct {
	order    []*family
	families map[string]*family
}

func (p *page) add(name, kind, help, suffix, labels string, value float64) {
	f := p.families[name]
	if f == nil {
		f = &family{name: name, kind: kind, help: help}
		p.families[name] = f
		p.order = append(p.order, f)
	}
	f.samples = append(f.samples, name+suffix+"{"+labels+"} "+strconv.FormatFloat(value, 'g', -1, 64))
}

func (p *page) text() []byte {
	var b bytes.Buffer
	for _, f := range p.order {
		fmt.Fprintf(&b, "# HELP %s %s\n# TYPE %s %s\n%s\n", f.name, f.help, f.name, f.kind, strings.Join(f.samples, "\n"))
	}
	return b.Bytes()
}

var escapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

// Label is a label of a sample. The text format knows no other escapes, and takes only UTF-8.
func Label(name, value string) string {
	return name + `="` + escapes.Replace(strings.ToValidUTF8(value, "\uFFFD")) + `"`
}

// nodes tells of every server's modules.
func (p *page) nodes(ctx context.Context, rdb redis.UniversalClient) error {
	all, err := nodes.All(ctx, rdb, answerWithin)
	texts := make([]string, len(all))
	var asked sync.WaitGroup
	for i, n := range all {
		asked.Go(func() {
			defer n.Close()
			texts[i], _ = n.Client.Info(ctx, "everything").Result()
		})
	}
	asked.Wait()
	for i, n := range all {
		p.node(n.Addr, texts[i])
	}
	return err
}

// modules are the sections of INFO that are told.
var modules = []string{"cachelock", "distlock", "taskqueue"}

// gauges are fields of INFO that go up and down; the others count.
var gauges = map[string]string{
	"distlock_held":               "Locks that are held.",
	"distlock_waiting":            "Waiters in the lines of all locks.",
	"distlock_last_token":         "The last fencing token.",
	"distlock_quarantine_left_ms": "How long unknown locks are not granted yet.",
	"cachelock_leases":            "Loads under way.",
	"cachelock_lease_bytes":       "Memory of leases and their waiters.",
	"cachelock_backoffs":          "Keys whose load failed and is not tried for a while.",
	"cachelock_waiting":           "Waiters for loads.",
	"taskqueue_delayed":           "Delayed tasks of the streams that are known.",
	"taskqueue_waiting":           "Consumers that wait.",
	"taskqueue_streams":           "Streams that are known.",
	"taskqueue_waiting_streams":   "Streams that consumers wait for.",
	"taskqueue_delayed_known":     "Delayed tasks that are known.",
	"taskqueue_waiting_consumers": "Consumers that wait.",
}

// counters are fields of INFO with something to say of them.
var counters = map[string]string{
	"distlock_grants":             "Locks granted.",
	"distlock_handed_over":        "Locks granted to one who waited.",
	"distlock_expired_while_held": "Leases of locks that ran out.",
	"distlock_deadlocks":          "Waits refused because they would have closed a cycle.",
	"cachelock_hits":              "Values found.",
	"cachelock_misses":            "Values not found.",
	"cachelock_loads":             "Loads begun.",
	"cachelock_loads_avoided":     "Callers who waited for another's load and got its value.",
	"cachelock_loads_failed":      "Loads that failed.",
	"taskqueue_published":         "Tasks published by the module's commands.",
	"taskqueue_delivered":         "Tasks handed out.",
	"taskqueue_acked":             "Tasks acknowledged.",
	"taskqueue_retried":           "Tasks put back for another try.",
	"taskqueue_dead":              "Tasks that became dead letters.",
	"taskqueue_lost_trimmed":      "Tasks whose entries were trimmed or deleted before they were done.",
}

// node tells of one server.
func (p *page) node(addr, info string) {
	label := Label("node", addr)
	up, role := 0.0, ""
	for line := range strings.Lines(info) {
		name, value, ok := strings.Cut(strings.TrimRight(line, "\r\n"), ":")
		if !ok {
			continue
		}
		if name == "role" {
			up, role = 1, value
		}
		module, field, ok := strings.Cut(name, "_")
		if strings.HasPrefix(field, "prefix_") {
			p.prefix(label, value)
			continue
		}
		n, err := strconv.ParseFloat(value, 64)
		if !ok || err != nil || !slices.Contains(modules, module) {
			continue
		}
		p.field(label, module, field, n)
	}
	p.add("holdfast_up", "gauge", "Whether the server answers.", "", label, up)
	p.add("holdfast_primary", "gauge", "Whether the server is a primary.", "", label, map[string]float64{"master": 1}[role])
}

// prefix tells of the keys of one prefix that cachelock.stats-prefixes names.
func (p *page) prefix(label, value string) {
	numbers, prefix, ok := strings.Cut(value, ",prefix=")
	if !ok {
		return
	}
	label += "," + Label("prefix", prefix)
	for _, one := range strings.Split(numbers, ",") {
		name, text, _ := strings.Cut(one, "=")
		n, err := strconv.ParseFloat(text, 64)
		if err == nil {
			p.field(label, "cachelock", "prefix_"+name, n)
		}
	}
}

// field tells of a number in INFO.
func (p *page) field(label, module, field string, n float64) {
	field = strings.TrimSuffix(field, "_total")
	if what, stat, _ := strings.Cut(field, "lateness_"); what == "" && stat != "" {
		field = "lateness_ms_" + strings.TrimSuffix(stat, "_ms")
	}
	name := "holdfast_" + module + "_" + field
	if what, stat, timed := strings.Cut(field, "_ms_"); timed {
		name = "holdfast_" + module + "_" + what + "_seconds"
		help := "How long it took: " + strings.ReplaceAll(what, "_", " ") + "."
		switch stat {
		case "count":
			p.add(name, "summary", help, "_count", label, n)
		case "max":
			p.add(name+"_max", "gauge", help+" The longest since the server started.", "", label, n/1000)
		case "p50", "p99":
			p.add(name, "summary", help, "", label+`,quantile="0.`+strings.Replace(stat[1:], "50", "5", 1)+`"`, n/1000)
		}
		return
	}
	key := module + "_" + field
	if help, ok := gauges[key]; ok {
		if seconds, ok := strings.CutSuffix(name, "_ms"); ok {
			name, n = seconds+"_seconds", n/1000
		}
		p.add(name, "gauge", help, "", label, n)
		return
	}
	help := counters[key]
	if help == "" {
		help = "The field " + key + " of INFO."
	}
	p.add(name+"_total", "counter", help, "", label, n)
}

// queues tells of the queues, each at a glance.
func (p *page) queues(ctx context.Context, rdb redis.UniversalClient, o Options) error {
	i := queue.Inspect(rdb)
	told := map[string]bool{}
	for cursor := ""; ; {
		page, err := i.Overviews(ctx, o.Queues, cursor)
		if err != nil {
			return err
		}
		for _, q := range page.Queues {
			if told[q.Stream] || len(told) >= o.MaxQueues {
				continue
			}
			told[q.Stream] = true
			p.queue(&q)
		}
		if cursor = page.Cursor; cursor == "" || len(told) >= o.MaxQueues {
			return nil
		}
	}
}

func (p *page) queue(q *queue.Overview) {
	label := Label("queue", q.Stream)
	add := func(name, help string, n float64) { p.add("holdfast_queue_"+name, "gauge", help, "", label, n) }
	add("length", "Tasks in the queue, those in work included.", float64(q.Length))
	add("ready", "Tasks that no worker was given.", float64(q.Ready))
	add("in_work", "Tasks that workers have.", float64(q.InWork))
	add("delayed", "Tasks that are not due.", float64(q.Delayed))
	add("held", "Tasks that wait for others of their key.", float64(q.Held))
	add("dead", "Dead letters.", float64(q.Dead))
	add("waiting", "Workers' connections that wait for a task.", float64(q.Waiting))
	add("oldest_seconds", "Age of the oldest task in the queue.", q.OldestAge.Seconds())
	paused := 0.0
	if q.Paused {
		paused = 1
	}
	add("paused", "Whether nothing is handed out.", paused)
}
