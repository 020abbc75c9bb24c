package blocking

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// Node is a server that is asked by itself.
type Node struct {
	Addr string // of one of several; empty for a client of one server
	rdb  redis.UniversalClient
}

// Primaries returns the servers that hold the data of rdb: one, or those of a cluster or
// ring, in the order of their addresses. It returns when ctx ends.
func Primaries(ctx context.Context, rdb redis.UniversalClient) ([]Node, error) {
	var each func(context.Context, func(context.Context, *redis.Client) error) error
	switch c := rdb.(type) {
	case *redis.ClusterClient:
		each = c.ForEachMaster
	case *redis.Ring:
		each = c.ForEachShard
	default:
		return []Node{{rdb: rdb}}, nil
	}
	return untilDone(ctx, func(ctx context.Context) ([]Node, error) {
		var mu sync.Mutex
		var all []Node
		err := each(ctx, func(_ context.Context, node *redis.Client) error {
			mu.Lock()
			defer mu.Unlock()
			all = append(all, Node{Addr: node.Options().Addr, rdb: node})
			return nil
		})
		slices.SortFunc(all, func(a, b Node) int { return strings.Compare(a.Addr, b.Addr) })
		return all, err
	})
}

// Send sends a command that does not wait to the node, once, and returns its reply, nil for
// a nil one. It returns when ctx ends.
func (n Node) Send(ctx context.Context, args ...any) (any, error) {
	return untilDone(ctx, func(ctx context.Context) (any, error) {
		cmd := command{redis.NewCmd(ctx, args...)}
		_ = n.rdb.Process(ctx, cmd)
		return cmd.result()
	})
}

// SendEverywhere sends a command to all primaries of rdb at once, and returns their replies
// in the order of their addresses, or the first error.
func SendEverywhere(ctx context.Context, rdb redis.UniversalClient, args ...any) ([]any, error) {
	nodes, err := Primaries(ctx, rdb)
	if err != nil {
		return nil, err
	}
	replies, errs := make([]any, len(nodes)), make([]error, len(nodes))
	var all sync.WaitGroup
	for i, node := range nodes {
		all.Go(func() { replies[i], errs[i] = node.Send(ctx, args...) })
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return replies, nil
}

// SumInfo returns the numbers in a module's section of INFO, without the module's name before
// them, summed over all primaries of rdb; of those for which greatest says so, the greatest.
func SumInfo(ctx context.Context, rdb redis.UniversalClient, module string, greatest func(name string) bool) (map[string]int64, error) {
	replies, err := SendEverywhere(ctx, rdb, "INFO", module)
	if err != nil {
		return nil, err
	}
	total := map[string]int64{}
	for _, reply := range replies {
		text, _ := reply.(string)
		for line := range strings.Lines(text) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
			n, err := strconv.ParseInt(value, 10, 64)
			if err != nil {
				continue
			}
			if name = strings.TrimPrefix(name, module+"_"); greatest(name) {
				n = max(n-total[name], 0)
			}
			total[name] += n
		}
	}
	return total, nil
}

// Fields are the parts of a reply that is a map.
type Fields map[string]any

// FieldsOf reads a reply that is a map, which RESP2 has as a list. They are nil for
// any other reply.
func FieldsOf(reply any) Fields {
	switch reply := reply.(type) {
	case map[any]any:
		f := make(Fields, len(reply))
		for name, value := range reply {
			f[fmt.Sprint(name)] = value
		}
		return f
	case []any:
		f := make(Fields, len(reply)/2)
		for i := 0; i+1 < len(reply); i += 2 {
			f[fmt.Sprint(reply[i])] = reply[i+1]
		}
		return f
	}
	return nil
}

// Has reports whether there is a field that is not nil.
func (f Fields) Has(name string) bool { return f[name] != nil }

// Map is a field that is a map itself.
func (f Fields) Map(name string) Fields { return FieldsOf(f[name]) }

// Maps is a field that is a list of maps.
func (f Fields) Maps(name string) []Fields { return MapsOf(f[name]) }

// MapsOf reads a reply that is a list of maps.
func MapsOf(reply any) []Fields {
	list, _ := reply.([]any)
	all := make([]Fields, len(list))
	for i, one := range list {
		all[i] = FieldsOf(one)
	}
	return all
}

// Text is a field that is a text; empty for any other.
func (f Fields) Text(name string) string {
	s, _ := f[name].(string)
	return s
}

// Int is a field that is a number; 0 for any other. A true is 1.
func (f Fields) Int(name string) int64 { return Int(f[name]) }

// Int is a reply that is a number; 0 for any other. A true is 1.
func Int(reply any) int64 {
	switch v := reply.(type) {
	case int64:
		return v
	case bool:
		if v {
			return 1
		}
	}
	return 0
}

// Bool is a field that is true, or a number other than 0.
func (f Fields) Bool(name string) bool { return f.Int(name) != 0 }

// Millis is a field that is a number of milliseconds.
func (f Fields) Millis(name string) time.Duration {
	return time.Duration(f.Int(name)) * time.Millisecond
}
