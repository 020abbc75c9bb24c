package queue

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/internal/blocking"
)

// available is the server's consumer with which tasks lie that any worker may take.
const available = "taskqueue:available"

// readAvailable reads ready tasks that lie with the consumer available: those of workers
// that are gone.
func readAvailable(i *Inspector, ctx context.Context, p place, o ListOptions, from string) ([]Record, string, error) {
	return i.readOwned(ctx, p, o, from, available)
}

// readPending reads the tasks that consumers have.
func readPending(i *Inspector, ctx context.Context, p place, o ListOptions, from string) ([]Record, string, error) {
	return i.readOwned(ctx, p, o, from, "")
}

// readOwned reads the pending list of a group, and the entries of what it finds there.
func (i *Inspector) readOwned(ctx context.Context, p place, o ListOptions, from, consumer string) ([]Record, string, error) {
	low, high := "-", "+"
	if !o.From.IsZero() {
		low = strconv.FormatInt(o.From.UnixMilli(), 10)
	}
	if !o.To.IsZero() {
		high = "(" + strconv.FormatInt(o.To.UnixMilli(), 10)
	}
	if from != "" {
		low = "(" + from
	}
	args := []any{"XPENDING", p.key, p.group, low, high, o.Limit}
	if consumer != "" {
		args = append(args, consumer)
	}
	list, err := pendingOf(i.conns.Send(ctx, args...))
	if err != nil {
		if redis.HasErrorPrefix(err, "NOGROUP") { // nobody was given anything
			err = nil
		}
		return nil, "", err
	}
	next := ""
	if len(list) == o.Limit {
		next = list[len(list)-1].id
	}
	commands := make([][]any, len(list))
	for n, t := range list {
		commands[n] = []any{"XRANGE", p.key, t.id, t.id}
	}
	replies, errs := i.conns.SendAll(ctx, commands)
	info, err := i.leases(ctx, p, list)
	if err != nil {
		return nil, "", err
	}
	var tasks []Record
	for n, t := range list {
		if errs[n] != nil {
			return nil, "", errs[n]
		}
		if consumer == "" && strings.HasPrefix(t.consumer, "taskqueue:") {
			continue
		}
		entry, _ := replies[n].([]any)
		if len(entry) != 1 { // somebody deleted the entry
			continue
		}
		id, fields := entryFields(entry[0])
		r := recordOf(o.State, p.key, id, fields)
		r.Group, r.Deliveries, r.Idle = p.group, t.deliveries, t.idle
		if consumer == "" {
			r.Consumer = t.consumer
			r.LeaseLeft, r.Connected = info[t.id].left, info[t.id].connected
		}
		tasks = append(tasks, r)
	}
	return tasks, next, nil
}

// pending is what XPENDING tells of an entry.
type pending struct {
	id, consumer string
	idle         time.Duration
	deliveries   int
}

func pendingOf(reply any, err error) (all []pending, _ error) {
	list, _ := reply.([]any)
	for _, one := range list {
		row, _ := one.([]any)
		if len(row) != 4 {
			continue
		}
		id, _ := row[0].(string)
		consumer, _ := row[1].(string)
		all = append(all, pending{id, consumer, time.Duration(blocking.Int(row[2])) * time.Millisecond, int(blocking.Int(row[3]))})
	}
	return all, err
}

// lease is what the server knows of a task's lease.
type lease struct {
	left      time.Duration
	connected bool
}

// leases asks TASK.PENDING for the leases of the tasks of a page. An older module has no
// such command: then nothing is known.
func (i *Inspector) leases(ctx context.Context, p place, list []pending) (map[string]lease, error) {
	all := map[string]lease{}
	if len(list) == 0 {
		return all, nil
	}
	last, cursor := list[len(list)-1].id, before(list[0].id)
	for len(all) < len(list) { // each reply is bounded by time, too
		reply, err := i.conns.Send(ctx, "TASK.PENDING", p.key, p.group, "CURSOR", cursor, "COUNT", len(list))
		if err != nil {
			if redis.HasErrorPrefix(err, "unknown command") {
				err = nil
			}
			return all, err
		}
		parts, _ := reply.([]any)
		if len(parts) != 2 {
			return all, nil
		}
		tasks := blocking.MapsOf(parts[1])
		for _, f := range tasks {
			all[f.Text("id")] = lease{f.Millis("lease_left_ms"), f.Bool("alive")}
		}
		if cursor, _ = parts[0].(string); cursor == "0" || all[last] != (lease{}) || len(tasks) == 0 {
			break
		}
	}
	return all, nil
}
