package cache

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
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
	TTL     time.Duration `json:"ttl_ns"`  // left; 0 without an expiry
	Bytes   int64         `json:"bytes"`   // of the value as it is stored

	Loading bool          `json:"loading"`              // somebody loads it, since Age
	Age     time.Duration `json:"age_ns,omitempty"`     //
	Lease   time.Duration `json:"lease_ns,omitempty"`   // left of the time in which the loader is alone
	Budget  time.Duration `json:"budget_ns,omitempty"`  // left of LoadTimeout
	Waiters int64         `json:"waiters"`              // connections that wait for the load
	Failed  string        `json:"failed,omitempty"`     // the error of the last load, while nobody loads because of it
	Backoff time.Duration `json:"backoff_ns,omitempty"` // left of that time
}

// Info tells what the server knows of a key. It is the zero Info if that is nothing.
func (i *Inspector) Info(ctx context.Context, key string) (Info, error) {
	reply, err := i.conns.Send(ctx, "CACHE.INFO", key)
	if err != nil {
		return Info{}, failed("info", key, err)
	}
	all := blocking.FieldsOf(reply)
	value, lease, failure := all.Map("value"), all.Map("lease"), all.Map("failed")
	return Info{
		Present: value.Bool("present"), Absent: value.Bool("absent"), Bytes: value.Int("bytes"),
		TTL: max(value.Millis("ttl_ms"), 0), Waiters: all.Int("waiters"), Loading: lease != nil,
		Age: lease.Millis("age_ms"), Lease: lease.Millis("left_ms"), Budget: lease.Millis("budget_left_ms"),
		Failed: failure.Text("message"), Backoff: failure.Millis("left_ms"),
	}, nil
}

// Load is a load that goes on.
type Load struct {
	Key     string        `json:"key"`
	Age     time.Duration `json:"age_ns"`
	Lease   time.Duration `json:"lease_ns"` // left of the time in which the loader is alone
	Waiters int64         `json:"waiters"`  // connections that wait for it
}

// Loads lists loads that go on, those with the most waiters first, at most limit of
// each server. It has those that somebody waits for, and recent ones.
func (i *Inspector) Loads(ctx context.Context, limit int) ([]Load, error) {
	replies, err := blocking.SendEverywhere(ctx, i.rdb, "CACHE.LOADS", "COUNT", limit)
	if err != nil {
		return nil, fmt.Errorf("cache: list loads: %w%s", err, hint(err))
	}
	var loads []Load
	for _, reply := range replies {
		for _, f := range blocking.MapsOf(reply) {
			loads = append(loads, Load{Key: f.Text("key"), Age: f.Millis("age_ms"), Lease: f.Millis("left_ms"), Waiters: f.Int("waiters")})
		}
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
	total, err := blocking.SumInfo(ctx, i.rdb, "cachelock", func(name string) bool { return strings.HasPrefix(name, "load_ms_") })
	if err != nil {
		err = fmt.Errorf("cache: stats: %w", err)
	}
	return total, err
}

// PrefixStats tells of the keys that begin with one of the prefixes in the server's setting
// cachelock.stats-prefixes. A key counts for the longest prefix that it begins with.
type PrefixStats struct {
	Prefix    string        `json:"prefix"`
	Hits      int64         `json:"hits"` // old values and remembered absences included
	Misses    int64         `json:"misses"`
	Loads     int64         `json:"loads"`
	Coalesced int64         `json:"coalesced"` // loads avoided: a caller waited for another's load
	LoadP50   time.Duration `json:"load_p50_ns"`
	LoadP99   time.Duration `json:"load_p99_ns"`
	LoadMax   time.Duration `json:"load_max_ns"`
}

// Prefixes returns the counters of each prefix in cachelock.stats-prefixes, summed over all
// primaries, in the order of the prefixes. Load times are the greatest of any server.
func (i *Inspector) Prefixes(ctx context.Context) ([]PrefixStats, error) {
	replies, err := blocking.SendEverywhere(ctx, i.rdb, "INFO", "cachelock")
	if err != nil {
		return nil, fmt.Errorf("cache: stats by prefix: %w", err)
	}
	byPrefix := map[string]*PrefixStats{}
	for _, reply := range replies {
		text, _ := reply.(string)
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
