package queue

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
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
	list, err := i.rdb.XPendingExt(ctx, &redis.XPendingExtArgs{
		Stream: p.key, Group: p.group, Start: low, End: high, Count: int64(o.Limit), Consumer: consumer,
	}).Result()
	if err != nil {
		if redis.HasErrorPrefix(err, "NOGROUP") { // nobody was given anything
			err = nil
		}
		return nil, "", err
	}
	next := ""
	if len(list) == o.Limit {
		next = list[len(list)-1].ID
	}
	commands := make([][]any, len(list))
	for n, t := range list {
		commands[n] = []any{"XRANGE", p.key, t.ID, t.ID}
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
		if consumer == "" && strings.HasPrefix(t.Consumer, "taskqueue:") {
			continue
		}
		entry, _ := replies[n].([]any)
		if len(entry) != 1 { // somebody deleted the entry
			continue
		}
		id, fields := entryFields(entry[0])
		r := recordOf(o.State, p.key, id, fields)
		r.Group, r.Deliveries, r.Idle = p.group, int(t.RetryCount), t.Idle
		if consumer == "" {
			r.Consumer = t.Consumer
			r.LeaseLeft, r.Connected = info[t.ID].left, info[t.ID].connected
		}
		tasks = append(tasks, r)
	}
	return tasks, next, nil
}

// lease is what the server knows of a task's lease.
type lease struct {
	left      time.Duration
	connected bool
}

// leases asks TASK.PENDING for the leases of the tasks of a page. An older module has no
// such command: then nothing is known.
func (i *Inspector) leases(ctx context.Context, p place, list []redis.XPendingExt) (map[string]lease, error) {
	all := map[string]lease{}
	if len(list) == 0 {
		return all, nil
	}
	last, cursor := list[len(list)-1].ID, before(list[0].ID)
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
		tasks, _ := parts[1].([]any)
		for _, one := range tasks {
			m := mapOf(one)
			id, _ := m["id"].(string)
			all[id] = lease{millis(m["lease_left_ms"]), number(m["alive"]) != 0}
		}
		if cursor, _ = parts[0].(string); cursor == "0" || all[last] != (lease{}) || len(tasks) == 0 {
			break
		}
	}
	return all, nil
}
