package holdfasttest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/redis/go-redis/v9"

	"holdfast/internal/redisserver"
)

// SentinelInstance is a primary with its replicas, and who fails it over.
type SentinelInstance struct {
	Name      string      // by which Sentinel knows the primary
	Nodes     []*Instance // the first primary first
	Sentinels []*Instance
	t         testing.TB
}

// Sentinel starts a primary, so many replicas of it, and so many Sentinels, most of
// which must agree to a failover, and returns when all know of all. A primary that
// dies is failed over after about two seconds.
func Sentinel(t testing.TB, replicas, sentinels int, options ...Option) *SentinelInstance {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	s := &SentinelInstance{t: t, Name: "holdfast"}
	s.Nodes = startAll(t, 1+replicas, append([]Option{WithArgs("--repl-diskless-sync-delay", "0")}, options...))
	primary := s.Nodes[0]
	for _, replica := range s.Nodes[1:] {
		rdb := replica.Client()
		must(t, rdb.ReplicaOf(ctx, "127.0.0.1", strconv.Itoa(primary.Port)).Err())
		await(ctx, t, "the replica follows", func() bool {
			return rdb.InfoMap(ctx, "replication").Item("Replication", "master_link_status") == "up"
		})
	}
	for range sentinels {
		s.Sentinels = append(s.Sentinels, s.sentinel(primary, sentinels/2+1))
	}
	for _, sentinel := range s.Sentinels {
		rdb := redis.NewSentinelClient(&redis.Options{Addr: sentinel.Addr})
		t.Cleanup(func() { _ = rdb.Close() })
		await(ctx, t, "every Sentinel knows all", func() bool {
			m := rdb.Master(ctx, s.Name).Val()
			return m["flags"] == "master" && m["num-slaves"] == strconv.Itoa(replicas) && m["num-other-sentinels"] == strconv.Itoa(sentinels-1)
		})
	}
	return s
}

// sentinel starts one Sentinel, which needs a file to write to.
func (s *SentinelInstance) sentinel(primary *Instance, quorum int) *Instance {
	s.t.Helper()
	dir := s.t.TempDir()
	file := filepath.Join(dir, "sentinel.conf")
	must(s.t, os.WriteFile(file, fmt.Appendf(nil, `sentinel monitor %[1]s 127.0.0.1 %[2]d %[3]d
sentinel down-after-milliseconds %[1]s 1000
sentinel failover-timeout %[1]s 10000
`, s.Name, primary.Port, quorum), 0o600))
	return run(s.t, redisserver.Config{Binary: os.Getenv("HOLDFAST_SERVER"), Dir: dir, File: file, Args: []string{"--sentinel"}})
}

// Addrs are the addresses of the Sentinels.
func (s *SentinelInstance) Addrs() []string {
	addrs := make([]string, len(s.Sentinels))
	for i, sentinel := range s.Sentinels {
		addrs[i] = sentinel.Addr
	}
	return addrs
}

// Client is a new client of whoever is the primary, by the Sentinels, with
// go-redis's own timeouts and retries; closed when the test ends.
func (s *SentinelInstance) Client() *redis.Client {
	rdb := redis.NewFailoverClient(&redis.FailoverOptions{MasterName: s.Name, SentinelAddrs: s.Addrs()})
	s.t.Cleanup(func() { _ = rdb.Close() })
	return rdb
}

// Primary is who is the primary now: all Sentinels say so, and it answers. During a
// failover that is waited for.
func (s *SentinelInstance) Primary() *Instance {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	var primary *Instance
	await(ctx, s.t, "there is a primary", func() bool {
		named := map[string]int{}
		for _, sentinel := range s.Sentinels {
			rdb := redis.NewSentinelClient(&redis.Options{Addr: sentinel.Addr})
			if addr := rdb.GetMasterAddrByName(ctx, s.Name).Val(); len(addr) == 2 {
				named[addr[1]]++
			}
			_ = rdb.Close()
		}
		for _, n := range s.Nodes {
			if named[strconv.Itoa(n.Port)] == len(s.Sentinels) && n.is("master") {
				primary = n
			}
		}
		return primary != nil
	})
	return primary
}

// is tells whether a server answers, and in this role.
func (s *Instance) is(role string) bool {
	rdb := redis.NewClient(&redis.Options{Addr: s.Addr, MaxRetries: -1, DialerRetries: 1})
	defer func() { _ = rdb.Close() }()
	return rdb.InfoMap(context.Background(), "replication").Item("Replication", "role") == role
}
