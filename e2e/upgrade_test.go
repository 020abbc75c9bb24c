package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/holdfasttest"
)

// What earlier versions wrote, into an RDB file and into an append-only file, is understood:
// who held a lock holds it, who was first in a queue is first, and what was done is not done
// again. scripts/upgrade-fixture makes the files.
func TestWhatEveryEarlierVersionWroteIsUnderstood(t *testing.T) {
	versions, err := filepath.Glob("testdata/upgrade/*-*")
	if err != nil || len(versions) < 4 {
		t.Fatal(versions, err)
	}
	for _, version := range versions {
		for file, args := range map[string][]string{
			"dump.rdb":       {"--appendonly", "no"},
			"appendonly.aof": {"--appendonly", "yes"},
		} {
			t.Run(filepath.Base(version)+"/"+file, func(t *testing.T) {
				dir := t.TempDir()
				data, err := os.ReadFile(filepath.Join(version, file))
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(dir, file), data, 0o600); err != nil {
					t.Fatal(err)
				}
				s := holdfasttest.Server(t, holdfasttest.WithDir(dir), holdfasttest.WithArgs(args...))
				understood(t, dialCache(t, s.Addr))
			})
		}
	}
}

func understood(t *testing.T, c *cacheConn) {
	// Locks
	for lock, owners := range map[string]string{"lock": "alice", "described": "bob", "places": "one two", "common": "ann ben"} {
		info := c.do("LOCK.INFO %", lock)
		for _, owner := range strings.Fields(owners) {
			if !strings.Contains(info, `"owner" "`+owner+`"`) {
				t.Errorf("LOCK.INFO %s lacks %s: %s", lock, owner, info)
			}
		}
		options := ""
		if lock == "places" {
			options = " LIMIT 2"
		}
		c.wants("0", "LOCK.ACQUIRE % other 1000"+options, lock)
		for _, owner := range strings.Fields(owners) {
			c.wants("1", "LOCK.EXTEND % % 60000", lock, owner)
			c.wants("1", "LOCK.RELEASE % %", lock, owner)
		}
		c.wants("1", "LOCK.ACQUIRE % other 1000"+options, lock)
	}
	// Values
	c.wants(`"text"`, "CACHE.GET value")
	c.wants(`["ABSENT" nil nil]`, "CACHE.FETCH nothing 1000 1000")

	// Tasks
	if stats := c.do("TASK.STATS queue"); !strings.Contains(stats, `"delayed" 1`) {
		t.Errorf("the delayed task is gone: %s", stats)
	}
	first := c.do("TASK.CONSUME workers new queue 1 1 LEASE 1")
	if !strings.Contains(first, `"first"`) {
		t.Errorf("the task of the consumer that is gone: %s", first)
	}
	for _, payload := range []string{"second", "third", "only"} {
		if task := c.do("TASK.CONSUME workers new queue"); !strings.Contains(task, `"`+payload+`"`) {
			t.Errorf("after the first comes %s, want %s", task, payload)
		}
	}
	if again := c.do("TASK.PUBLISH queue again UNIQUE once 60000 WITHSTATUS"); !strings.HasPrefix(again, `["DUPLICATE" `) {
		t.Errorf("the unique task is published again: %s", again)
	}
	c.wants("1", "TASK.REDRIVE dead")
	if task := c.do("TASK.CONSUME workers new failing"); !strings.Contains(task, `"broken"`) {
		t.Errorf("the dead task comes back as %s", task)
	}
	c.wants("nil", "TASK.CONSUME workers new halted")
	c.wants("OK", "TASK.RESUME halted")
	if task := c.do("TASK.CONSUME workers new halted"); !strings.Contains(task, `"stopped"`) {
		t.Errorf("the halted queue gives %s", task)
	}
	// The delayed task comes when its time has.
	c.do("ZADD {queue}:delayed XX % %", time.Now().UnixMilli(), delayedMember(c))
	if task := c.do("TASK.CONSUME workers new queue 1 5000"); !strings.Contains(task, `"later"`) {
		t.Errorf("the delayed task comes as %s", task)
	}
}

// delayedMember is the only member of the queue's delayed set.
func delayedMember(c *cacheConn) string {
	c.t.Helper()
	member := strings.Trim(c.do("ZRANGE {queue}:delayed 0 0"), `[]`)
	return strings.ReplaceAll(strings.Trim(member, `"`), `\"`, `"`)
}
