package lock

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/internal/blocking"
)

// Inspector looks at the locks of a server or cluster, and breaks them: what an operator
// needs, and programs built for operators. An Inspector keeps nothing open and may be
// used by several goroutines.
type Inspector struct {
	rdb   redis.UniversalClient
	conns *blocking.Pool
}

// Inspect returns an Inspector over rdb.
func Inspect(rdb redis.UniversalClient) *Inspector {
	return &Inspector{rdb: rdb, conns: blocking.NewPool(rdb)}
}

// Info is what a server knows of a lock.
type Info struct {
	Name             string       `json:"name"`
	Mode             string       `json:"mode"`               // exclusive, shared or limit; empty for a lock that nobody holds
	Limit            int          `json:"limit"`              // how many may hold it; 0 without a bound
	Holding          int          `json:"holding"`            // how many hold it
	Waiting          int          `json:"waiting"`            // how many wait in its line
	ExpiredWhileHeld int64        `json:"expired_while_held"` // leases that ran out since the server started
	Holders          []HolderInfo `json:"holders"`            // List tells of 100 at most
	Waiters          []WaiterInfo `json:"waiters"`            // in the order of the line; List tells of 100 at most
	Node             string       `json:"node,omitempty"`     // of a list over a cluster: the primary's address
}

// HolderInfo is one who holds a lock.
type HolderInfo struct {
	Owner   string        `json:"owner"`
	Token   int64         `json:"token,omitempty"` // the fencing token; none of a foreign holder
	Left    time.Duration `json:"left_ns"`         // until the lease ends; negative for one that does not end
	Held    time.Duration `json:"held_ns"`         // since the lock was acquired; 0 of a foreign holder
	Session bool          `json:"session,omitempty"`
	Meta    string        `json:"meta,omitempty"`
	Foreign bool          `json:"foreign,omitempty"` // a client's SET NX PX, not LOCK.ACQUIRE
}

// WaiterInfo is one who waits for a lock.
type WaiterInfo struct {
	Owner  string        `json:"owner"`
	Mode   string        `json:"mode"`
	Waited time.Duration `json:"waited_ns"`
	Also   int           `json:"also,omitempty"` // how many further locks it wants together with this one
}

// Page is a part of a list of locks.
type Page struct {
	Locks  []Info `json:"locks"`
	Cursor string `json:"cursor,omitempty"` // where the next part begins; empty at the end
}

// ListOptions say which locks to list.
type ListOptions struct {
	Cursor string // where to go on: the Cursor of the page before
	Count  int    // how many keys the server looks at for a page. Defaults to 1,000
	Match  string // a glob-style pattern of names; empty is all
	Owner  string // only locks that this owner holds or waits for
}

// List returns a page of the locks that are held or waited for, as SCAN lists keys: a lock that is
// there all the while is listed at least once, and a page may be empty before the end. In a
// cluster all primaries are asked, one after another.
func (i *Inspector) List(ctx context.Context, o ListOptions) (Page, error) {
	nodes, err := blocking.Primaries(ctx, i.rdb)
	if err != nil {
		return Page{}, failed("list", "locks", err)
	}
	number, at, _ := strings.Cut(o.Cursor, ":")
	n, _ := strconv.Atoi(number)
	if n < 0 || n >= len(nodes) {
		return Page{}, nil
	}
	if at == "" {
		at = "0"
	}
	if o.Count <= 0 {
		o.Count = 1000
	}
	args := []any{"LOCK.LIST", "CURSOR", at, "COUNT", o.Count, "WITHINFO"}
	if o.Match != "" {
		args = append(args, "MATCH", o.Match)
	}
	if o.Owner != "" {
		args = append(args, "OWNER", o.Owner)
	}
	reply, err := nodes[n].Send(ctx, args...)
	parts, _ := reply.([]any)
	if err == nil && len(parts) != 2 {
		err = fmt.Errorf("a reply of another shape: %v", reply)
	}
	if err != nil {
		return Page{}, failed("list", "locks", err)
	}
	var page Page
	for _, one := range blocking.MapsOf(parts[1]) {
		info := infoOf(one)
		info.Node = nodes[n].Addr
		page.Locks = append(page.Locks, info)
	}
	switch next := fmt.Sprint(parts[0]); {
	case next != "0":
		page.Cursor = fmt.Sprint(n, ":", next)
	case n+1 < len(nodes):
		page.Cursor = fmt.Sprint(n+1, ":0")
	}
	return page, nil
}

// Info tells who holds a lock and who waits for it. It is an Info without holders and waiters for
// a lock that is free.
func (i *Inspector) Info(ctx context.Context, name string) (Info, error) {
	reply, err := i.conns.Send(ctx, "LOCK.INFO", name)
	if err != nil {
		return Info{Name: name}, failed("info", name, err)
	}
	info := infoOf(blocking.FieldsOf(reply))
	info.Name, info.Holding, info.Waiting = name, len(info.Holders), len(info.Waiters)
	return info, nil
}

// Stats returns the counters of INFO distlock, summed over all primaries: held, waiting, grants,
// contended, expired_while_held and so on. Times (wait_ms_…, hold_ms_…) are the greatest of any
// server, but for their counts.
func (i *Inspector) Stats(ctx context.Context) (map[string]int64, error) {
	total, err := blocking.SumInfo(ctx, i.rdb, "distlock", func(name string) bool {
		return name == "last_token" || strings.Contains(name, "_ms_") && !strings.HasSuffix(name, "_count")
	})
	if err != nil {
		err = failed("stats of", "locks", err)
	}
	return total, err
}

// Break takes a lock away from its holders, or from one owner, whose wait in the line it ends too.
// Waiters are served at once. The holder's context ends at its next renewal, and its fencing token
// is smaller than the next one's. It tells how many holders there were.
func (i *Inspector) Break(ctx context.Context, name, owner string) (int, error) {
	args := []any{"LOCK.BREAK", name}
	if owner != "" {
		args = append(args, owner)
	}
	reply, err := i.conns.Send(ctx, args...)
	if err != nil {
		return 0, failed("break", name, err)
	}
	n, _ := reply.(int64)
	return int(n), nil
}

// observeEvery is how often Observe looks where no event told it to.
const observeEvery = time.Second

// Observe calls each with what is known of a lock, and again whenever holders or waiters have changed,
// until ctx ends or each returns an error, which Observe returns. It looks once a second, and at once
// where the server publishes keyspace events (notify-keyspace-events "KA"). Leases that run down are
// no change.
func (i *Inspector) Observe(ctx context.Context, name string, each func(Info) error) error {
	var events <-chan *redis.Message
	if c, ok := i.rdb.(*redis.Client); ok {
		// go-redis connects for as long as its own timeouts, and Close waits for that.
		sub := c.Subscribe(ctx)
		defer func() { go func() { _ = sub.Close() }() }()
		go func() { _ = sub.Subscribe(ctx, fmt.Sprintf("__keyspace@%d__:%s", c.Options().DB, name)) }()
		events = sub.Channel()
	}
	var last Info
	for first := true; ; first = false {
		info, err := i.Info(ctx, name)
		if err != nil {
			return err
		}
		if first || !sameLine(last, info) {
			if err := each(info); err != nil {
				return err
			}
			last = info
		}
		select {
		case <-ctx.Done():
			return failed("observe", name, context.Cause(ctx))
		case <-events:
		case <-time.After(observeEvery):
		}
	}
}

// sameLine tells whether the same hold a lock and the same wait for it.
func sameLine(a, b Info) bool {
	names := func(i Info) (all []string) {
		for _, h := range i.Holders {
			all = append(all, fmt.Sprint("holds ", h.Token, " ", h.Owner))
		}
		slices.Sort(all)
		for _, w := range i.Waiters {
			all = append(all, "waits "+w.Owner)
		}
		return all
	}
	return a.Mode == b.Mode && reflect.DeepEqual(names(a), names(b))
}

// infoOf reads what LOCK.INFO or LOCK.LIST tells of a lock.
func infoOf(f blocking.Fields) Info {
	info := Info{
		Name: f.Text("name"), Mode: f.Text("mode"), Limit: int(f.Int("limit")), Holding: int(f.Int("holding")), Waiting: int(f.Int("waiting")),
		ExpiredWhileHeld: f.Int("expired_while_held"), Holders: []HolderInfo{}, Waiters: []WaiterInfo{},
	}
	for _, h := range f.Maps("holders") {
		info.Holders = append(info.Holders, HolderInfo{
			Owner: h.Text("owner"), Token: h.Int("token"), Left: h.Millis("ttl_ms"), Held: h.Millis("held_ms"),
			Session: h.Bool("session"), Meta: h.Text("meta"), Foreign: h.Bool("foreign"),
		})
	}
	for _, w := range f.Maps("waiters") {
		info.Waiters = append(info.Waiters, WaiterInfo{Owner: w.Text("owner"), Mode: w.Text("mode"), Waited: w.Millis("waited_ms"), Also: int(w.Int("also"))})
	}
	return info
}
