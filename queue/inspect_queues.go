package queue

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/internal/blocking"
)

// QueuePage is a part of the list of streams.
type QueuePage struct {
	Streams []string `json:"streams"`
	Cursor  string   `json:"cursor,omitempty"` // where the next part begins; empty at the end
}

// Overview is a stream at a glance, its retry streams included. Ready and InWork are summed up
// over its groups.
type Overview struct {
	Stream       string        `json:"stream"`
	Groups       int           `json:"groups"` // groups of workers that read the stream
	Length       int64         `json:"length"`
	Ready        int64         `json:"ready"`
	InWork       int64         `json:"in_work"`
	Delayed      int64         `json:"delayed"`
	Held         int64         `json:"held"`
	Keys         int64         `json:"keys"`         // keys with held tasks
	LongestLine  int64         `json:"longest_line"` // held tasks of the key with most
	Dead         int64         `json:"dead"`         // dead letters of all groups
	Paused       bool          `json:"paused"`
	Waiting      int64         `json:"waiting"`       // connections that wait for a task
	OldestAge    time.Duration `json:"oldest_age_ns"` // of the oldest task in the stream
	InPerMinute  int64         `json:"in_per_minute"` // tasks added to the stream in the last minute, without retry streams, or -1 where the server does not know yet
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

// Overviews is Queues, with each stream at a glance. It costs two pipelines more for a page.
func (i *Inspector) Overviews(ctx context.Context, match, cursor string) (page OverviewPage, err error) {
	page.Cursor, err = i.eachQueue(ctx, match, cursor, true, func(one any) {
		f := blocking.FieldsOf(one)
		o := Overview{
			Stream: f.Text("stream"), Length: f.Int("length"), Ready: f.Int("ready"), InWork: f.Int("in_work"),
			Delayed: f.Int("delayed"), Held: f.Int("held"), Keys: f.Int("keys"), LongestLine: f.Int("longest_line"), Paused: f.Bool("paused"),
			Waiting: f.Int("waiting"), OldestAge: f.Millis("oldest_age_ms"), InPerMinute: -1, OutPerMinute: -1,
		}
		if f.Has("in_per_minute") {
			o.InPerMinute, o.OutPerMinute = f.Int("in_per_minute"), f.Int("out_per_minute")
		}
		page.Queues = append(page.Queues, o)
	})
	if err == nil {
		if err = i.addGroups(ctx, page.Queues); err != nil {
			err = failed("list", "queues", err)
		}
	}
	return page, err
}

// addGroups adds the groups of some queues, with their dead letters and, where a queue has several
// groups and thus retry streams, with their retries.
func (i *Inspector) addGroups(ctx context.Context, queues []Overview) error {
	commands := make([][]any, len(queues))
	for n, q := range queues {
		commands[n] = []any{"XINFO", "GROUPS", q.Stream}
	}
	replies, errs := i.conns.SendAll(ctx, commands)
	var add []func(reply any) // what to do with the reply of each command
	commands = nil
	for n := range queues {
		groups, err := groupsIn(replies[n], errs[n])
		if err != nil {
			return err
		}
		q := &queues[n]
		if q.Groups = len(groups); q.Groups == 0 {
			groups = []group{{name: DefaultGroup}}
		}
		for _, g := range groups {
			commands, add = append(commands, []any{"XLEN", DeadStream(q.Stream, g.name)}), append(add, q.addDead)
			if q.Groups > 1 {
				commands, add = append(commands, []any{"TASK.STATS", RetryStream(q.Stream, g.name)}), append(add, q.addRetries)
			}
		}
	}
	replies, errs = i.conns.SendAll(ctx, commands)
	for n := range commands {
		if errs[n] != nil {
			return errs[n]
		}
		add[n](replies[n])
	}
	return nil
}

func (o *Overview) addDead(reply any) { o.Dead += blocking.Int(reply) }

// addRetries adds what TASK.STATS tells of a retry stream, which only one group reads.
func (o *Overview) addRetries(reply any) {
	f := blocking.FieldsOf(reply)
	o.Length += f.Int("length")
	o.Delayed += f.Int("delayed")
	o.OldestAge = max(o.OldestAge, f.Millis("oldest_age_ms"))
	for _, g := range f.Maps("groups") {
		o.Ready += g.Int("ready")
		o.InWork += g.Int("pending")
	}
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
	nodes, err := blocking.Primaries(ctx, i.rdb)
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
				name = blocking.FieldsOf(one).Text("stream")
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
func listQueues(ctx context.Context, node blocking.Node, match, cursor string, withStats bool) (next string, list []any, err error) {
	args := []any{"TASK.LIST", "MATCH", match, "CURSOR", cursor, "COUNT", listCount}
	if withStats {
		args = append(args, "WITHSTATS")
	}
	next, list, err = listPart(node.Send(ctx, args...))
	if err == nil || withStats || !redis.HasErrorPrefix(err, "unknown command") {
		return next, list, err
	}
	next, keys, err := listPart(node.Send(ctx, "SCAN", cursor, "MATCH", match, "COUNT", listCount, "TYPE", "stream"))
	if err != nil {
		return "", nil, err
	}
	for _, key := range keys {
		groups, err := node.Send(ctx, "XINFO", "GROUPS", key)
		if err != nil && !redis.HasErrorPrefix(err, "no such key") {
			return "", nil, err
		}
		if len(blocking.MapsOf(groups)) > 0 {
			list = append(list, key)
		}
	}
	return next, list, nil
}

// listPart reads a reply of a cursor and a list.
func listPart(reply any, err error) (next string, list []any, _ error) {
	parts, _ := reply.([]any)
	if err == nil && len(parts) != 2 {
		err = fmt.Errorf("a reply of another shape: %v", reply)
	}
	if err != nil {
		return "", nil, err
	}
	list, _ = parts[1].([]any)
	return fmt.Sprint(parts[0]), list, nil
}
