package main

import (
	"encoding/json"
	"strings"
	"syscall"
	"testing"

	"github.com/redis/go-redis/v9"

	"holdfast/holdfasttest"
)

func TestABenchmarkComparesAndLeavesNothing(t *testing.T) {
	for name, site := range map[string]func(t *testing.T) (addr string, size func() int64){
		"a server": func(t *testing.T) (string, func() int64) {
			s := holdfasttest.Server(t)
			return s.Addr, func() int64 { return s.Client().DBSize(t.Context()).Val() }
		},
		"a cluster": func(t *testing.T) (string, func() int64) {
			c := holdfasttest.Cluster(t, 3, 0)
			return c.Nodes[0].Addr, func() int64 { return c.Client().DBSize(t.Context()).Val() }
		},
	} {
		t.Run(name, func(t *testing.T) {
			addr, size := site(t)
			p := startTool(t, addr, t.TempDir(), "bench", "--for", "100ms", "--json")
			if code := p.wait(); code != 0 {
				t.Fatalf("exit code %d: %s", code, p.said())
			}
			rows := 0
			for line := range strings.Lines(p.said()) {
				var row benchRow
				if err := json.Unmarshal([]byte(line), &row); err != nil {
					t.Fatal(line, err)
				}
				rows++
				if row.Ours.Count == 0 || row.Bare.Count == 0 || row.Ours.P50 <= 0 || row.Ours.P99 < row.Ours.P50 || row.Ratio <= 0 {
					t.Errorf("%+v", row)
				}
				if row.Ours.Loads > 1 || row.Ours.Loads > 0 && row.Bare.Loads <= 1 {
					t.Errorf("%s: %v loads a miss, and %v without the module", row.Operation, row.Ours.Loads, row.Bare.Loads)
				}
			}
			if rows != 6 {
				t.Errorf("%d operations", rows)
			}
			if n := size(); n != 0 {
				t.Errorf("%d keys are left", n)
			}
		})
	}
}

func TestABenchmarkThatCtrlCEndsLeavesNothing(t *testing.T) {
	s := holdfasttest.Server(t)
	rdb := s.Client()
	p := startTool(t, s.Addr, t.TempDir(), "bench", "--for", "10m")
	until(t, "it publishes", func() bool { return rdb.DBSize(t.Context()).Val() > 0 })
	p.signal(syscall.SIGINT)
	if code := p.wait(); code != 130 {
		t.Errorf("exit code %d: %s", code, p.said())
	}
	if keys := rdb.Keys(t.Context(), "*").Val(); len(keys) > 0 {
		t.Errorf("%v are left", keys)
	}
}

func TestABenchmarkOfProductionNeedsConsent(t *testing.T) {
	s := holdfasttest.Server(t)
	dir := t.TempDir()
	if p := startTool(t, s.Addr, dir, "context", "add", "live", "redis://"+s.Addr, "--production"); p.wait() != 0 {
		t.Fatal(p.said())
	}
	p := startTool(t, s.Addr, dir, "bench", "--context", "live", "--for", "10ms")
	if code := p.wait(); code != 2 || !strings.Contains(p.said(), "--yes") {
		t.Errorf("exit code %d: %s", code, p.said())
	}
	if n := published(t, s.Client()); n != 0 {
		t.Errorf("%d tasks were published", n)
	}
	if p = startTool(t, s.Addr, dir, "bench", "--context", "live", "--for", "10ms", "--yes"); p.wait() != 0 {
		t.Error(p.said())
	}
}

func published(t *testing.T, rdb *redis.Client) int64 {
	return infoNumber(t, rdb, "taskqueue_published")
}
