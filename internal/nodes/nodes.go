// Package nodes finds the servers behind a client, replicas included, for what has to ask each of
// them: the doctor and the metrics.
package nodes

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// Node is one server.
type Node struct {
	Addr   string // host:port
	Client *redis.Client
	own    bool
}

// Close closes the client if it was made for this node.
func (n *Node) Close() {
	if n.own {
		_ = n.Client.Close()
	}
}

// All returns the servers that rdb is a client of, primaries and replicas, in the order of their
// addresses, a primary before its replicas where rdb is a client of one primary. A server that is listed
// need not answer; its client waits for an answer no longer than within. An error means that nobody
// could be asked who there is.
func All(ctx context.Context, rdb redis.UniversalClient, within time.Duration) ([]*Node, error) {
	switch c := rdb.(type) {
	case *redis.ClusterClient:
		var mu sync.Mutex
		var all []*Node
		err := c.ForEachShard(ctx, func(_ context.Context, shard *redis.Client) error {
			mu.Lock()
			defer mu.Unlock()
			all = append(all, impatient(*shard.Options(), within))
			return nil
		})
		slices.SortFunc(all, func(a, b *Node) int { return strings.Compare(a.Addr, b.Addr) })
		return all, err
	case *redis.Client:
		all := []*Node{{Addr: addr(ctx, c), Client: c}}
		info, err := c.Info(ctx, "replication").Result()
		if err != nil && strings.HasPrefix(err.Error(), "NOPERM") {
			return all, nil
		}
		for line := range strings.Lines(info) {
			if host, port, ok := replica(line); ok {
				o := *c.Options()
				o.Addr, o.Dialer, o.Network = net.JoinHostPort(host, port), nil, "tcp"
				all = append(all, impatient(o, within))
			}
		}
		return all, err
	}
	return nil, fmt.Errorf("a client that shows no servers: %T", rdb)
}

// replica reads a line of INFO replication: slave0:ip=10.0.0.7,port=6379,state=online,…
func replica(line string) (host, port string, ok bool) {
	name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
	number, ok := strings.CutPrefix(name, "slave")
	if !ok || number == "" || strings.Trim(number, "0123456789") != "" {
		return "", "", false
	}
	for field := range strings.SplitSeq(value, ",") {
		switch name, value, _ := strings.Cut(field, "="); name {
		case "ip":
			host = value
		case "port":
			port = value
		}
	}
	return host, port, host != "" && port != ""
}

// impatient returns a node with a client of its own, which tries once.
func impatient(o redis.Options, within time.Duration) *Node {
	o.PushNotificationProcessor, o.MaintNotificationsConfig = nil, nil // those of the client that o is of
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.MaxRetries, o.DialerRetries = within, within, within, -1, 1
	return &Node{Addr: o.Addr, Client: redis.NewClient(&o), own: true}
}

// addr is where a client connects to. A client by Sentinel does not say, so the server is asked at
// which address it was reached.
func addr(ctx context.Context, c *redis.Client) string {
	given := c.Options().Addr
	if strings.ContainsAny(given, ":/") {
		return given
	}
	info, err := c.Do(ctx, "CLIENT", "INFO").Text()
	if err != nil {
		return given
	}
	for field := range strings.FieldsSeq(info) {
		if at, ok := strings.CutPrefix(field, "laddr="); ok {
			return at
		}
	}
	return given
}
