package queue

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// QueuePage is a part of the list of streams.
type QueuePage struct {
	Streams []string `json:"streams"`
	Cursor  string   `json:"cursor,omitempty"` // where the next part begins; empty at the end
}

// Overview is a stream at a glance, without its retry streams. Ready and InWork are summed up
// over its groups.
type Overview struct {
	Stream       string        `json:"stream"`
	Length       int64         `json:"length"`
	Ready        int64         `json:"ready"`
	InWork       int64         `json:"in_work"`
	Delayed      int64         `json:"delayed"`
	Held         int64         `json:"held"`
	Paused       bool          `json:"paused"`
	Waiting      int64         `json:"waiting"`       // connections that wait for a task
	OldestAge    time.Duration `json:"oldest_age_ns"` // of the oldest task in the stream
	InPerMinute  int64         `json:"in_per_minute"` // tasks added in the last minute, or -1 where the server does not know yet
	OutPerMinute int64         `json:"out_per_minute"`
}

// OverviewPage is a part of the list of streams, each at a glance.
type OverviewPage struct {
	Queues []Overview `json:"queues"`
	Cursor string     `json:"cursor,omitempty"` // where the next part begins; empty at the end
}

// Queues lists the streams that are queues, those whose names match the glob-style
// pattern match, "" being all. The list goes on at the page's Cursor; a page may be
// empty before the end, and a stream may be listed twice while the server works. Retry and
// dead streams are not listed. In a cluster all primaries are asked, one after another.
func (i *Inspector) Queues(ctx context.Context, match, cursor string) (page QueuePage, err error) {
	page.Cursor, err = i.eachQueue(ctx, match, cursor, false, func(one any) {
		page.Streams = append(page.Streams, fmt.Sprint(one))
	})
	return page, err
}

// Overviews is Queues, with each stream at a glance, in as many commands.
func (i *Inspector) Overviews(ctx context.Context, match, cursor string) (page OverviewPage, err error) {
	page.Cursor, err = i.eachQueue(ctx, match, cursor, true, func(one any) {
		m := mapOf(one)
		name, _ := m["stream"].(string)
		o := Overview{
			Stream: name, Length: number(m["length"]), Ready: number(m["ready"]), InWork: number(m["in_work"]),
			Delayed: number(m["delayed"]), Held: number(m["held"]), Paused: number(m["paused"]) != 0,
			Waiting: number(m["waiting"]), OldestAge: millis(m["oldest_age_ms"]), InPerMinute: -1, OutPerMinute: -1,
		}
		if in, known := m["in_per_minute"].(int64); known {
			o.InPerMinute, o.OutPerMinute = in, number(m["out_per_minute"])
		}
		page.Queues = append(page.Queues, o)
	})
	return page, err
}

const (
	// listCount is how many names one step of a list asks for.
	listCount = 1000

	// listSteps is how many steps one page takes at most: the server bounds each by
	// time.
	listSteps = 50
)

// eachQueue calls f for the queues of a part of the list, and returns where the next part
// begins.
func (i *Inspector) eachQueue(ctx context.Context, match, cursor string, withStats bool, f func(one any)) (string, error) {
	nodes, err := i.primaries(ctx)
	if err != nil {
		return cursor, failed("list", "queues", err)
	}
	number, at, _ := strings.Cut(cursor, ":")
	n, _ := strconv.Atoi(number)
	if at == "" {
		at = "0"
	}
	if match == "" {
		match = "*"
	}
	found := 0
	for range listSteps {
		if n >= len(nodes) || n < 0 {
			return "", nil
		}
		next, list, err := listQueues(ctx, nodes[n], match, at, withStats)
		if err != nil {
			return cursor, failed("list", "queues", err)
		}
		for _, one := range list {
			name, _ := one.(string)
			if withStats {
				name, _ = mapOf(one)["stream"].(string)
			}
			if !isSideStream(name) {
				f(one)
				found++
			}
		}
		if at = next; at == "0" {
			n++
		}
		if found >= listCount/2 {
			break
		}
	}
	if n >= len(nodes) {
		return "", nil
	}
	return fmt.Sprint(n, ":", at), nil
}

// listQueues is one step through a node's list of streams: TASK.LIST, or where the server
// has an older module, a step of SCAN over the streams that have groups.
func listQueues(ctx context.Context, node redis.UniversalClient, match, cursor string, withStats bool) (next string, list []any, err error) {
	args := []any{"TASK.LIST", "MATCH", match, "CURSOR", cursor, "COUNT", listCount}
	if withStats {
		args = append(args, "WITHSTATS")
	}
	reply, err := node.Do(ctx, args...).Slice()
	if err == nil && len(reply) == 2 {
		list, _ = reply[1].([]any)
		return fmt.Sprint(reply[0]), list, nil
	}
	if withStats || err != nil && !redis.HasErrorPrefix(err, "unknown command") {
		return "", nil, err
	}
	from, _ := strconv.ParseUint(cursor, 10, 64)
	keys, to, err := node.ScanType(ctx, from, match, listCount, "stream").Result()
	if err != nil {
		return "", nil, err
	}
	for _, key := range keys {
		groups, err := node.XInfoGroups(ctx, key).Result()
		if err != nil && !redis.HasErrorPrefix(err, "no such key") {
			return "", nil, err
		}
		if len(groups) > 0 {
			list = append(list, key)
		}
	}
	return strconv.FormatUint(to, 10), list, nil
}
