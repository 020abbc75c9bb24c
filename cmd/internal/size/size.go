// Package size says how many servers a load needs and what gives out first. It is a model
// of a few multiplications: Costs are measured, and placement is that of real cluster slots.
package size

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"holdfast/internal/slot"
)

// Load is what clients do in a second and what the servers keep for them.
type Load struct {
	Backlog    int     // tasks that the queues hold: waiting, in work, delayed
	Clients    int     // processes that send commands
	HitsPerS   float64 // values read from the cache
	HottestPS  float64 // hand-overs of the lock that is wanted most, per second
	LoadsPerS  float64 // values loaded and stored
	LocksHeld  int     // at once
	LocksPerS  float64 // acquired and released
	Payload    int     // bytes of a task
	TasksPerS  float64 // published, consumed and acknowledged
	ValueBytes int     // bytes of a cached value
	Values     int     // in the cache
	Waiters    int     // clients that wait for locks or values at once
	Workers    int     // processes that work on the queue
}

// Node is a server, and how far it may be used.
type Node struct {
	Core       float64 // the share of one core that may be busy; commands run on one
	Gigabytes  float64 // of memory, of which three fifths are used: forks and buffers take the rest
	MaxClients int     // the server's maxclients, of which four fifths are used
	Pool       int     // connections that each process keeps to each server
}

// DefaultNode is a server as the page on sizing assumes it.
var DefaultNode = Node{Core: 0.5, Gigabytes: 8, MaxClients: 10_000, Pool: 2}

// Costs are what one of each takes of a server.
type Costs struct {
	// In microseconds of all the server's processor time, one command at a time.
	HandOver, Hit, Load, Lock, Task float64
	// In bytes of resident memory, beside the texts themselves.
	BytesConnection, BytesLock, BytesServer, BytesTask, BytesValue, BytesWaiter float64
}

// Plan is how many servers there must be, and how busy they are.
type Plan struct {
	Primaries  int      `json:"primaries"`
	Partitions int      `json:"partitions"` // of the queue, 1 for a plain one
	CPU        float64  `json:"cpu"`        // share of a core, of the busiest primary
	Memory     float64  `json:"memory"`     // bytes of the fullest primary
	Clients    int      `json:"clients"`    // connections to the primary that has most
	First      string   `json:"first"`      // what gives out first when the load grows
	At         float64  `json:"at"`         // at how many times the load
	Notes      []string `json:"notes,omitempty"`
}

// most is the number of primaries that clusters are made for.
const most = 1000

// ErrTooMuch says that no number of servers carries a load.
var ErrTooMuch = errors.New("no cluster of up to 1,000 primaries carries this")

// For finds the smallest number of primaries that carries a load.
func For(l Load, n Node, c Costs) (Plan, error) {
	var p Plan
	for primaries := 1; primaries <= most; primaries = next(primaries) {
		p = l.on(primaries, n, c)
		if p.At >= 1 {
			return p, nil
		}
	}
	return p, fmt.Errorf("%w: with %d primaries the limit of %s is reached at %.2g times the load", ErrTooMuch, p.Primaries, p.First, p.At)
}

// next is the next size of a cluster: one server, or at least three.
func next(primaries int) int {
	if primaries < 3 {
		return 3
	}
	return primaries + max(1, primaries/20)
}

// on is the plan with so many primaries, whether they carry the load or not.
func (l Load) on(primaries int, n Node, c Costs) Plan {
	p := Plan{Primaries: primaries, Partitions: l.partitions(primaries)}
	queue := Busiest(p.Partitions, primaries) // the share of the node with most partitions
	even := 1 / float64(primaries)
	p.CPU = (l.TasksPerS*c.Task*queue + (l.LocksPerS*c.Lock+l.HitsPerS*c.Hit+l.LoadsPerS*c.Load)*even) / 1e6
	hottest := l.HottestPS * c.HandOver / 1e6
	p.CPU += hottest
	partitions := math.Round(queue * float64(p.Partitions))
	waiting := float64(l.Workers)*partitions + float64(l.Waiters)*even
	pooled := float64((l.Clients + l.Workers) * n.Pool)
	if l.TasksPerS == 0 {
		waiting = float64(l.Waiters) * even
	}
	p.Clients = int(waiting + pooled)
	p.Memory = c.BytesServer + float64(l.Backlog)*(c.BytesTask+float64(l.Payload))*queue +
		(float64(l.LocksHeld)*c.BytesLock+float64(l.Values)*(c.BytesValue+float64(l.ValueBytes)))*even +
		pooled*c.BytesConnection + waiting*c.BytesWaiter
	limits := []struct {
		what string
		at   float64
	}{
		{"processor time", n.Core / p.CPU},
		{"memory", (n.Gigabytes*0.6e9 - c.BytesServer) / (p.Memory - c.BytesServer)},
		{"connections", float64(n.MaxClients) * 0.8 / float64(p.Clients)},
		{"one lock's hand-overs", n.Core * 1e6 / (l.HottestPS * c.HandOver)},
	}
	first := slices.MinFunc(limits, func(a, b struct {
		what string
		at   float64
	}) int {
		return cmp.Compare(a.at, b.at)
	})
	p.First, p.At = first.what, first.at
	if primaries > 1 && p.Partitions > 1 {
		p.Notes = append(p.Notes, fmt.Sprintf("the busiest primary has %.0f of %d partitions, %.1f times its share", partitions, p.Partitions, queue*float64(primaries)))
	}
	if bus := Bus(primaries); primaries >= 100 {
		p.Notes = append(p.Notes, fmt.Sprintf("with a replica each, the nodes' own talk takes %.1f MB/s of every node", bus/1e6))
	}
	return p
}

// partitions is the least number with which no primary has more than one and a half times
// its share of the queue, and 16 to each where there is none.
func (l Load) partitions(primaries int) int {
	if primaries == 1 || l.TasksPerS == 0 {
		return 1
	}
	for each := 1; each < 16; each++ {
		if Busiest(each*primaries, primaries)*float64(primaries) <= 1.5 {
			return each * primaries
		}
	}
	return 16 * primaries
}

// Busiest is the share of a queue's partitions, {queue:0} to {queue:n-1}, on the primary that
// has most of them when the primaries share the slots evenly.
func Busiest(partitions, primaries int) float64 {
	if partitions <= 1 || primaries <= 1 {
		return 1
	}
	on := make([]int, primaries)
	for i := range partitions {
		on[slot.Of(fmt.Appendf(nil, "{queue:%d}", i))*primaries/slot.Count]++
	}
	return float64(slices.Max(on)) / float64(partitions)
}

// Bus is what a node of a cluster with a replica for each primary sends to the others, in
// bytes per second, by the rules of the cluster bus: each node is pinged within half of
// cluster-node-timeout (15 s), one of five at random each second beside, and a message tells
// of a tenth of the nodes, of each in 104 bytes behind a header of 2,256.
func Bus(primaries int) float64 {
	nodes := float64(2 * primaries)
	pings := nodes/7.5 + 1
	return 2 * pings * (2256 + 104*math.Max(3, nodes/10))
}

// Measured are the costs that make scale found, see bench/scale.json and
// bench/results: Redis 7.0.15 on an Intel Xeon of 2026.
var Measured = Costs{
	HandOver: 55, Hit: 11, Load: 39, Lock: 26, Task: 48,
	BytesConnection: 9800, BytesLock: 280, BytesServer: 17e6, BytesTask: 230, BytesValue: 160, BytesWaiter: 9500,
}
