package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"

	"holdfast/bench/internal/result"
)

// Bench takes the figures of a group.
type Bench struct {
	Quick bool
	group string
	mu    sync.Mutex
	out   *json.Encoder
}

// AtMost and AtLeast are goals for the ratio, or for our figure where there is
// no peer. A goal may be missed, and then the table says so.
var AtMost, AtLeast = result.AtMost, result.AtLeast

// Pairs is how many times a comparison is repeated.
func (b *Bench) Pairs() int {
	if b.Quick {
		return 2
	}
	return 7
}

// Rounds is the same where each takes seconds.
func (b *Bench) Rounds() int {
	if b.Quick {
		return 1
	}
	return 5
}

// size is how much of something to do.
func (b *Bench) size(n int) int {
	if b.Quick {
		return max(n/10, 1)
	}
	return n
}

// inTurn runs all sides n times, one after the other and each round beginning
// with another, and answers what came of each.
func inTurn[T any](n int, sides ...func() T) [][]T {
	out := make([][]T, len(sides))
	for round := range n {
		for i := range sides {
			k := (round + i) % len(sides)
			out[k] = append(out[k], sides[k]())
		}
	}
	return out
}

// Compare measures ours and theirs in turn and writes the figure.
func (b *Bench) Compare(name, unit, peer string, goal *result.Goal, ours, theirs func() float64) result.Figure {
	v := inTurn(b.Pairs(), ours, theirs)
	return b.pairs(name, unit, peer, goal, v[0], v[1])
}

// Closely is Compare in so many times as many pairs, for sides that differ little: the
// machine's pace changes from one second to the next, so many short ones tell more.
func (b *Bench) Closely(times int, name, unit, peer string, goal *result.Goal, ours, theirs func() float64) result.Figure {
	v := inTurn(times*b.Pairs(), ours, theirs)
	return b.pairs(name, unit, peer, goal, v[0], v[1])
}

// pairs writes the figure of measurements made in pairs.
func (b *Bench) pairs(name, unit, peer string, goal *result.Goal, ours, theirs []float64) result.Figure {
	f := result.Figure{Name: name, Unit: unit}
	f.Stat, f.Peer = result.Beside(peer, ours, theirs)
	return b.add(f, goal)
}

// Above writes by how much ours is above theirs in a figure already written.
func (b *Bench) Above(name, unit string, goal *result.Goal, of result.Figure) {
	p := of.Peer
	f := result.Figure{Name: name, Unit: unit}
	f.Stat = result.Stat{Value: of.Value - p.Value, Spread: [2]float64{of.Spread[0] - p.Spread[1], of.Spread[1] - p.Spread[0]}, N: of.N}
	b.add(f, goal)
}

// Figure measures ours alone.
func (b *Bench) Figure(name, unit string, goal *result.Goal, ours func() float64) result.Figure {
	return b.alone(name, unit, goal, inTurn(b.Pairs(), ours)[0]...)
}

// alone writes the figure of measurements of ours.
func (b *Bench) alone(name, unit string, goal *result.Goal, ours ...float64) result.Figure {
	f := result.Figure{Name: name, Unit: unit}
	f.Stat = result.Median(ours...)
	return b.add(f, goal)
}

func (b *Bench) add(f result.Figure, goal *result.Goal) result.Figure {
	f.Group = b.group
	f.Set(goal)
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.out.Encode(f); err != nil {
		fail(err)
	}
	return f
}

// side is one way to do something, ours or a peer's.
type side[T any] struct {
	name string
	run  func() T
}

// contest runs sides, of which the first is ours, in turn.
func contest[T any](b *Bench, rounds int, sides []side[T]) [][]T {
	runs := make([]func() T, len(sides))
	for i, s := range sides {
		runs[i] = s.run
	}
	return inTurn(rounds, runs...)
}

// beside writes a figure of ours beside each of the other sides.
func beside[T any](b *Bench, name, unit string, goal *result.Goal, sides []side[T], results [][]T, of func(T) float64) {
	for i := 1; i < len(sides); i++ {
		b.pairs(name, unit, sides[i].name, goal, each(results[0], of), each(results[i], of))
	}
}

func each[T any](v []T, of func(T) float64) []float64 {
	out := make([]float64, len(v))
	for i := range v {
		out[i] = of(v[i])
	}
	return out
}

// percentiles are those that are quoted of every latency.
var percentiles = []struct {
	name string
	q    float64
}{{"p50", 0.5}, {"p99", 0.99}, {"p99.9", 0.999}}

// mute keeps go-redis from telling of every connection that a peer's timeout cost.
type mute struct{}

func (mute) Printf(context.Context, string, ...any) {}

// runGroup runs a group in this process.
func runGroup(name string, quick bool) {
	redis.SetLogger(mute{})
	for _, g := range groups {
		if g.name == name {
			if err := g.run(&Bench{Quick: quick, group: name, out: json.NewEncoder(os.Stdout)}); err != nil {
				fail(err)
			}
			return
		}
	}
	fail(fmt.Errorf("there is no group %q; there are %s", name, strings.Join(names(), ", ")))
}

func names() (all []string) {
	for _, g := range groups {
		all = append(all, g.name)
	}
	return all
}
