package size

import (
	"errors"
	"strings"
	"testing"
)

// simple are costs with which one can reckon in the head.
var simple = Costs{
	HandOver: 100, Hit: 10, Load: 20, Lock: 50, Task: 100,
	BytesConnection: 10_000, BytesLock: 300, BytesServer: 10e6, BytesTask: 500, BytesValue: 100, BytesWaiter: 10_000,
}

func TestAPlanIsTheSmallestThatCarriesTheLoadAndNamesWhatGivesOutFirst(t *testing.T) {
	for name, c := range map[string]struct {
		load      Load
		primaries int
		first     string
	}{
		"nothing":                       {Load{Clients: 1}, 1, "connections"},
		"5,000 tasks fill half a core":  {Load{TasksPerS: 5000, Workers: 10}, 1, "processor time"},
		"a few more need a cluster":     {Load{TasksPerS: 5100, Workers: 10}, 3, "processor time"},
		"10,000 locks fill half a core": {Load{LocksPerS: 10_000}, 1, "processor time"},
		"three carry 30,000 locks":      {Load{LocksPerS: 30_000}, 3, "processor time"},
		"values need memory":            {Load{Values: 10_000_000, ValueBytes: 900, HitsPerS: 1}, 3, "memory"},
		"a backlog needs memory":        {Load{Backlog: 4_000_000, Payload: 500, TasksPerS: 1}, 1, "memory"},
		"waiters need connections":      {Load{Waiters: 8000}, 1, "connections"},
		"8,001 of them need three":      {Load{Waiters: 8001}, 3, "connections"},
		"one lock stays on one server":  {Load{HottestPS: 4000}, 1, "processor time"},
	} {
		p, err := For(c.load, DefaultNode, simple)
		if err != nil || p.Primaries != c.primaries || p.First != c.first {
			t.Errorf("%s: %+v, %v; want %d primaries, and first %s", name, p, err, c.primaries, c.first)
		}
	}
}

func TestWhatCannotBeSharedIsRefusedAndNamed(t *testing.T) {
	for name, c := range map[string]struct {
		load Load
		want string
	}{
		"a lock that is handed over too often": {Load{HottestPS: 6000}, "processor time"},
		"workers that wait in every partition": {Load{TasksPerS: 1, Workers: 5000, Waiters: 1}, "connections"},
		"clients that connect to every server": {Load{Clients: 5000}, "connections"},
	} {
		_, err := For(c.load, DefaultNode, simple)
		if !errors.Is(err, ErrTooMuch) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}

func TestMoreLoadNeedsNeverFewerServers(t *testing.T) {
	for _, of := range []func(x float64) Load{
		func(x float64) Load { return Load{TasksPerS: x, Workers: 20} },
		func(x float64) Load { return Load{LocksPerS: x, HitsPerS: x} },
		func(x float64) Load { return Load{Values: int(x) * 100, ValueBytes: 1000, Waiters: int(x)} },
	} {
		before := 0
		for x := 1000.0; x < 500_000; x *= 1.3 {
			p, err := For(of(x), DefaultNode, simple)
			if err != nil {
				t.Fatal(err)
			}
			if p.Primaries < before {
				t.Errorf("%+v needs %d, and less needs %d", of(x), p.Primaries, before)
			}
			before = p.Primaries
			if p.CPU > DefaultNode.Core || p.Memory > DefaultNode.Gigabytes*1e9 || p.Clients > DefaultNode.MaxClients {
				t.Errorf("%+v is carried beyond the limits: %+v", of(x), p)
			}
		}
	}
}

func TestPartitionsSpreadTheBetterTheMoreThereAre(t *testing.T) {
	for _, primaries := range []int{3, 6, 12, 100, 1000} {
		over := map[int]float64{}
		for _, each := range []int{1, 4, 16} {
			over[each] = Busiest(each*primaries, primaries) * float64(primaries)
			t.Logf("%4d primaries, %2d partitions each: the busiest has %.2f times its share", primaries, each, over[each])
		}
		if over[16] < 1 || over[16] >= over[1] || over[16] > 2 {
			t.Errorf("%d primaries: %v times its share, by partitions each", primaries, over)
		}
	}
}
