package cache

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/internal/blocking"
)

// Inspector looks into the caches of a server or cluster, for operators and programs
// built for them. Its keys are those in Redis, with prefixes. An Inspector keeps
// nothing open and may be used by several goroutines.
type Inspector struct {
	rdb   redis.UniversalClient
	conns *blocking.Pool
}

// Inspect returns an Inspector over rdb.
func Inspect(rdb redis.UniversalClient) *Inspector {
	return &Inspector{rdb: rdb, conns: blocking.NewPool(rdb)}
}

// Info is what a server knows of a key.
type Info struct {
	Present bool          `json:"present"` // there is a value
	Absent  bool          `json:"absent"`  // it is known that there is none
	TTL     time.Duration `json:"ttl"`     // left; 0 without an expiry
	Bytes   int64         `json:"bytes"`   // of the value as it is stored

	Loading bool          `json:"loading"`           // somebody loads it, since Age
	Age     time.Duration `json:"age,omitempty"`     //
	Lease   time.Duration `json:"lease,omitempty"`   // left of the time in which the loader is alone
	Budget  time.Duration `json:"budget,omitempty"`  // left of LoadTimeout
	Waiters int64         `json:"waiters"`           // connections that wait for the load
	Failed  string        `json:"failed,omitempty"`  // the error of the last load, while nobody loads because of it
	Backoff time.Duration `json:"backoff,omitempty"` // left of that time
}

// Info tells what the server knows of a key. It is the zero Info if that is nothing.
func (i *Inspector) Info(ctx context.Context, key string) (Info, error) {
	reply, err := i.conns.Send(ctx, "CACHE.INFO", key)
	if err != nil {
		return Info{}, failed("info", key, err)
	}
	all := fields(reply)
	value, lease, failure := fields(all["value"]), fields(all["lease"]), fields(all["failed"])
	info := Info{
		Present: number(value, "present") == 1, Absent: number(value, "absent") == 1, Bytes: number(value, "bytes"),
		TTL: max(millis(value, "ttl_ms"), 0), Waiters: number(all, "waiters"), Loading: lease != nil,
		Age: millis(lease, "age_ms"), Lease: millis(lease, "left_ms"), Budget: millis(lease, "budget_left_ms"),
		Backoff: millis(failure, "left_ms"),
	}
	info.Failed, _ = failure["message"].(string)
	return info, nil
}

// Load is a load that goes on.
type Load struct {
	Key     string        `json:"key"`
	Age     time.Duration `json:"age"`
	Lease   time.Duration `json:"lease"`   // left of the time in which the loader is alone
	Waiters int64         `json:"waiters"` // connections that wait for it
}

// Loads lists loads that go on, those with the most waiters first, at most limit of
// each server. It has those that somebody waits for, and recent ones.
func (i *Inspector) Loads(ctx context.Context, limit int) ([]Load, error) {
	var loads []Load
	err := i.each(ctx, func(node redis.UniversalClient) error {
		reply, err := node.Do(ctx, "CACHE.LOADS", "COUNT", limit).Slice()
		for _, item := range reply {
			f := fields(item)
			key, _ := f["key"].(string)
			loads = append(loads, Load{Key: key, Age: millis(f, "age_ms"), Lease: millis(f, "left_ms"), Waiters: number(f, "waiters")})
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("cache: list loads: %w%s", err, hint(err))
	}
	slices.SortStableFunc(loads, func(a, b Load) int { return int(b.Waiters - a.Waiters) })
	return loads, nil
}

// Delete removes values and ends loads that are under way, as [Cache.Invalidate] does,
// and returns how many values there were.
func (i *Inspector) Delete(ctx context.Context, keys ...string) (deleted int64, err error) {
	commands := make([][]any, len(keys))
	for n, key := range keys {
		commands[n] = []any{"CACHE.DEL", key}
	}
	replies, errs := i.conns.SendAll(ctx, commands)
	for n, reply := range replies {
		if errs[n] != nil && err == nil {
			err = failed("delete", keys[n], errs[n])
		}
		count, _ := reply.(int64)
		deleted += count
	}
	return deleted, err
}

// Stats returns the counters of INFO cachelock, summed over all primaries: hits,
// misses, loads, loads_avoided, leases, waiting and so on. Load times (load_ms_…) are
// the greatest of any server.
func (i *Inspector) Stats(ctx context.Context) (map[string]int64, error) {
	total := map[string]int64{}
	err := i.each(ctx, func(node redis.UniversalClient) error {
		text, err := node.Info(ctx, "cachelock").Result()
		for line := range strings.Lines(text) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
			n, err := strconv.ParseInt(value, 10, 64)
			if err != nil {
				continue
			}
			name = strings.TrimPrefix(name, "cachelock_")
			if strings.HasPrefix(name, "load_ms_") {
				total[name] = max(total[name], n)
			} else {
				total[name] += n
			}
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("cache: stats: %w", err)
	}
	return total, nil
}

// PrefixStats tells of the keys that begin with one of the prefixes in the server's setting
// cachelock.stats-prefixes. A key counts for the longest prefix that it begins with.
type PrefixStats struct {
	Prefix    string        `json:"prefix"`
	Hits      int64         `json:"hits"` // old values and remembered absences included
	Misses    int64         `json:"misses"`
	Loads     int64         `json:"loads"`
	Coalesced int64         `json:"coalesced"` // loads avoided: a caller waited for another's load
	LoadP50   time.Duration `json:"load_p50"`
	LoadP99   time.Duration `json:"load_p99"`
	LoadMax   time.Duration `json:"load_max"`
}

// Prefixes returns the counters of each prefix in cachelock.stats-prefixes, summed over all
// primaries, in the order of the prefixes. Load times are the greatest of any server.
func (i *Inspector) Prefixes(ctx context.Context) ([]PrefixStats, error) {
	byPrefix := map[string]*PrefixStats{}
	err := i.each(ctx, func(node redis.UniversalClient) error {
		text, err := node.Info(ctx, "cachelock").Result()
		for line := range strings.Lines(text) {
			name, value, _ := strings.Cut(strings.TrimRight(line, "\r\n"), ":")
			counts, prefix, there := strings.Cut(value, ",prefix=") // the prefix may have commas in it
			if !there || !strings.HasPrefix(name, "cachelock_prefix_") {
				continue
			}
			s := byPrefix[prefix]
			if s == nil {
				s = &PrefixStats{Prefix: prefix}
				byPrefix[prefix] = s
			}
			s.add(counts)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("cache: stats by prefix: %w", err)
	}
	var all []PrefixStats
	for _, prefix := range slices.Sorted(maps.Keys(byPrefix)) {
		all = append(all, *byPrefix[prefix])
	}
	return all, nil
}

// add adds what one server counted, such as hits=20,misses=4.
func (s *PrefixStats) add(counts string) {
	for field := range strings.SplitSeq(counts, ",") {
		name, value, _ := strings.Cut(field, "=")
		n, _ := strconv.ParseInt(value, 10, 64)
		ms := time.Duration(n) * time.Millisecond
		switch name {
		case "hits":
			s.Hits += n
		case "misses":
			s.Misses += n
		case "loads":
			s.Loads += n
		case "coalesced":
			s.Coalesced += n
		case "load_ms_p50":
			s.LoadP50 = max(s.LoadP50, ms)
		case "load_ms_p99":
			s.LoadP99 = max(s.LoadP99, ms)
		case "load_ms_max":
			s.LoadMax = max(s.LoadMax, ms)
		}
	}
}

// each calls f for each primary, one after the other.
func (i *Inspector) each(ctx context.Context, f func(redis.UniversalClient) error) error {
	var mu sync.Mutex
	one := func(_ context.Context, node *redis.Client) error {
		mu.Lock()
		defer mu.Unlock()
		return f(node)
	}
	switch c := i.rdb.(type) {
	case *redis.ClusterClient:
		return c.ForEachMaster(ctx, one)
	case *redis.Ring:
		return c.ForEachShard(ctx, one)
	}
	return f(i.rdb)
}

// fields is a map as RESP2 or RESP3 answers it; nil for anything else.
func fields(reply any) map[string]any {
	switch reply := reply.(type) {
	case map[any]any:
		m := make(map[string]any, len(reply))
		for k, v := range reply {
			m[fmt.Sprint(k)] = v
		}
		return m
	case []any:
		m := make(map[string]any, len(reply)/2)
		for n := 0; n+1 < len(reply); n += 2 {
			m[fmt.Sprint(reply[n])] = reply[n+1]
		}
		return m
	}
	return nil
}

func number(fields map[string]any, name string) int64 {
	n, _ := fields[name].(int64)
	return n
}

func millis(fields map[string]any, name string) time.Duration {
	return time.Duration(number(fields, name)) * time.Millisecond
}
