package e2e

import (
	"fmt"
	"os"
	"testing"
	"time"
)

// A trial holds a promise while something goes wrong. It takes some ten seconds, and all
// its choices come from the seed.
type trial struct {
	name string
	run  func(t *testing.T, seed uint64) tally
	once bool // it costs too much for every round
}

// tally counts what happened in trials.
type tally struct {
	operations int // requests that clients sent
	kills      int // clients, workers and servers that were ended or stopped, links that were cut
	histories  int // that were compared with the promise
}

func (a tally) plus(b tally) tally {
	return tally{a.operations + b.operations, a.kills + b.kills, a.histories + b.histories}
}

func (a tally) String() string {
	return fmt.Sprintf("%d operations, %d kills, %d histories", a.operations, a.kills, a.histories)
}

var trials = []trial{
	{name: "locks", run: func(t *testing.T, seed uint64) tally { return lockHistories(t, seed, 30) }},
	{name: "cache", run: func(t *testing.T, seed uint64) tally { return cacheIsRead(t, seed, 8*time.Second) }},
	{name: "tasks", run: func(t *testing.T, seed uint64) tally { return tasksUnderFire(t, seed, 40_000) }},
	{name: "keyed", run: func(t *testing.T, seed uint64) tally { return keyedStorm(t, seed, 5000) }},
	{name: "swaps", run: func(t *testing.T, seed uint64) tally { return tasksThatAreSwapped(t, seed, 8*time.Second) }},
	{name: "keys", run: func(t *testing.T, seed uint64) tally { return keyedHistories(t, seed, 3) }},
	{name: "operators", run: func(t *testing.T, seed uint64) tally { return operate(t, seed, 100) }},
	{name: "garbage", run: func(t *testing.T, seed uint64) tally { return sendGarbage(t, seed, 40_000) }},
	{name: "cluster", run: func(t *testing.T, seed uint64) tally { return clusterMoves(t, seed, 10*time.Second) }},
	{name: "partition", run: partition},
	{name: "memory", run: func(t *testing.T, _ uint64) tally { return churn(t, 1000) }, once: true},
	{name: "connections", run: func(t *testing.T, _ uint64) tally { return allWhoCanWait(t) }, once: true},
}

// TestSoak runs the trials in turn for as long as HOLDFAST_SOAK says, e.g. 30m, each time
// from another seed. A trial that fails is repeated by
//
//	HOLDFAST_SOAK=1s HOLDFAST_SEED=its-seed go test ./e2e -run TestSoak/its-name
func TestSoak(t *testing.T) {
	howLong, err := time.ParseDuration(os.Getenv("HOLDFAST_SOAK"))
	if err != nil {
		t.Skip("HOLDFAST_SOAK is no time, such as 30m")
	}
	seed, end := seeded(t), time.Now().Add(howLong)
	all, violated := map[string]tally{}, map[string]int{}
	for round := uint64(0); round == 0 || time.Now().Before(end); round++ {
		for _, trial := range trials {
			if round > 0 && (trial.once || time.Now().After(end)) {
				continue
			}
			t.Run(trial.name, func(t *testing.T) {
				t.Cleanup(func() {
					if t.Failed() {
						violated[trial.name]++
					}
				})
				t.Logf("HOLDFAST_SEED=%d", seed+round)
				all[trial.name] = all[trial.name].plus(trial.run(t, seed+round))
			})
		}
	}
	var sum tally
	violations := 0
	for _, trial := range trials {
		t.Logf("%-12s %v, %d violations", trial.name, all[trial.name], violated[trial.name])
		sum, violations = sum.plus(all[trial.name]), violations+violated[trial.name]
	}
	t.Logf("%-12s %v, %d violations", "all", sum, violations)
}
