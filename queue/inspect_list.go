package queue

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// ListOptions say which tasks to list.
type ListOptions struct {
	Cursor string    // where to go on: the Cursor of the page before
	From   time.Time // tasks from this time on: of a delayed task its due time, else when its entry was added
	Group  string    // of this group alone; empty is every group, and a task is listed for each
	Limit  int       // how many tasks a page has at most, 1000 being the most. Defaults to 100
	Newest bool      // the newest first. Tasks in work are always listed oldest first, held ones key by key
	State  State
	To     time.Time // tasks before this time
}

// Page is a part of a list of tasks.
type Page struct {
	Tasks  []Record `json:"tasks"`
	Cursor string   `json:"cursor,omitempty"` // where the next page begins; empty at the end
}

// List returns a page of the tasks of a stream that are in one state. Tasks that come and
// go meanwhile may be missed, never listed twice at one place.
func (i *Inspector) List(ctx context.Context, stream string, o ListOptions) (Page, error) {
	if err := i.check(stream); err != nil {
		return Page{}, err
	}
	o.Limit = min(max(o.Limit, 0), 1000)
	if o.Limit == 0 {
		o.Limit = 100
	}
	page, err := i.list(ctx, stream, o)
	if err != nil {
		return page, failed("list tasks of", stream, err)
	}
	return page, nil
}

// place is one of the keys that hold a queue's tasks of one state.
type place struct {
	key   string
	group string // empty for delayed tasks
	after string // of ready tasks: the last id that the group was given
	read  func(i *Inspector, ctx context.Context, p place, o ListOptions, from string) (tasks []Record, next string, err error)
}

func (i *Inspector) list(ctx context.Context, stream string, o ListOptions) (page Page, err error) {
	places, err := i.places(ctx, stream, o)
	if err != nil {
		return page, err
	}
	number, from, _ := strings.Cut(o.Cursor, ":")
	n, _ := strconv.Atoi(number)
	left := o.Limit
	for ; n < len(places) && n >= 0; n++ {
		o.Limit = left
		tasks, next, err := places[n].read(i, ctx, places[n], o, from)
		if err != nil {
			return page, err
		}
		for k := range tasks {
			tasks[k].place = n
		}
		page.Tasks = append(page.Tasks, tasks...)
		if next != "" {
			page.Cursor = fmt.Sprint(n, ":", next)
			return page, nil
		}
		if left -= len(tasks); left <= 0 && n+1 < len(places) {
			page.Cursor = fmt.Sprint(n+1, ":")
			return page, nil
		}
		from = ""
	}
	return page, nil
}

// places are the keys to look into, in the order of the list: for each group its own.
func (i *Inspector) places(ctx context.Context, stream string, o ListOptions) (all []place, err error) {
	groups, err := groupsOf(ctx, i.conns, stream)
	if err != nil {
		return nil, err
	}
	names := []string{}
	given := map[string]string{}
	for _, g := range groups {
		given[g.name] = g.given
		if o.Group == "" || o.Group == g.name {
			names = append(names, g.name)
		}
	}
	if len(names) == 0 { // nobody reads the stream yet
		names = append(names, groupOr(o.Group))
	}
	switch o.State {
	case Ready:
		for _, g := range names {
			all = append(all, place{stream, g, "", readAvailable}, place{stream, g, given[g], readFresh})
			retry := RetryStream(stream, g)
			last := ""
			if of, err := groupsOf(ctx, i.conns, retry); err != nil {
				return nil, err
			} else if len(of) > 0 {
				last = of[0].given
			}
			all = append(all, place{retry, g, "", readAvailable}, place{retry, g, last, readFresh})
		}
	case InWork:
		for _, g := range names {
			all = append(all, place{stream, g, "", readPending}, place{RetryStream(stream, g), g, "", readPending})
		}
	case Delayed:
		all = append(all, place{key: delayedSet(stream), read: readDelayed})
		for _, g := range names {
			all = append(all, place{delayedSet(RetryStream(stream, g)), g, "", readDelayed})
		}
	case Held:
		all = append(all, place{key: heldSet(stream), read: readHeld})
	case Dead:
		for _, g := range names {
			all = append(all, place{DeadStream(stream, g), g, "", readEntries})
		}
	default:
		return nil, fmt.Errorf("%q is no state: take one of %s, %s, %s, %s, %s", o.State, Ready, InWork, Delayed, Held, Dead)
	}
	return all, nil
}

// pageWithin bounds how long one page may take.
const pageWithin = 10 * time.Second

// readEntries reads entries of a stream, from the cursor on.
func readEntries(i *Inspector, ctx context.Context, p place, o ListOptions, from string) ([]Record, string, error) {
	state := Dead
	if o.State == Ready {
		state = Ready
	}
	low, high := "-", "+"
	if !o.From.IsZero() {
		low = strconv.FormatInt(o.From.UnixMilli(), 10)
	}
	if !o.To.IsZero() {
		high = "(" + strconv.FormatInt(o.To.UnixMilli(), 10)
	}
	if p.after != "" && !idBefore(p.after, low) {
		low = "(" + p.after
	}
	name := "XRANGE"
	switch {
	case o.Newest && from != "":
		name, high = "XREVRANGE", "("+from
	case o.Newest:
		name = "XREVRANGE"
	case from != "":
		low = "(" + from
	}
	if name == "XREVRANGE" {
		low, high = high, low
	}
	reply, err := i.conns.Do(ctx, pageWithin, p.key, name, p.key, low, high, "COUNT", o.Limit)
	if err != nil {
		return nil, "", err
	}
	list, _ := reply.([]any)
	tasks := make([]Record, 0, len(list))
	for _, one := range list {
		id, fields := entryFields(one)
		r := recordOf(state, p.key, id, fields)
		if r.Group = p.group; state == Ready {
			r.Error, r.Origin = lastError(fields), ""
		}
		tasks = append(tasks, r)
	}
	return tasks, lastCursor(tasks, o.Limit), nil
}

// idBefore tells whether a stream id is before the time with which a range begins.
func idBefore(id, low string) bool {
	ms, _, _ := strings.Cut(id, "-")
	a, errA := strconv.ParseInt(ms, 10, 64)
	b, errB := strconv.ParseInt(low, 10, 64)
	return errA == nil && errB == nil && a < b
}

func entryFields(reply any) (id string, fields []any) {
	if parts, ok := reply.([]any); ok && len(parts) == 2 {
		id, _ = parts[0].(string)
		fields, _ = parts[1].([]any)
	}
	return id, fields
}

// lastError is the field error of an entry that is in the queue.
func lastError(fields []any) string {
	for k := 0; k+1 < len(fields); k += 2 {
		if fields[k] == fieldError {
			text, _ := fields[k+1].(string)
			return text
		}
	}
	return ""
}

// lastCursor is where a list goes on behind a full page; a shorter page is the last.
func lastCursor(tasks []Record, limit int) string {
	if len(tasks) < limit || len(tasks) == 0 {
		return ""
	}
	return tasks[len(tasks)-1].cursor
}

// readFresh reads entries that the group was not given yet.
func readFresh(i *Inspector, ctx context.Context, p place, o ListOptions, from string) ([]Record, string, error) {
	return readEntries(i, ctx, p, o, from)
}

// readDelayed reads the sorted set of the delayed tasks. The cursor is the last due time
// and how many tasks that are due then were listed.
func readDelayed(i *Inspector, ctx context.Context, p place, o ListOptions, from string) ([]Record, string, error) {
	low, high := "-inf", "+inf"
	if !o.From.IsZero() {
		low = strconv.FormatInt(o.From.UnixMilli(), 10)
	}
	if !o.To.IsZero() {
		high = "(" + strconv.FormatInt(o.To.UnixMilli(), 10)
	}
	due, skip := "", 0
	if from != "" {
		var n string
		due, n, _ = strings.Cut(from, "+")
		skip, _ = strconv.Atoi(n)
		if o.Newest {
			high = due
		} else {
			low = due
		}
	}
	args := []any{"ZRANGEBYSCORE", p.key, low, high, "WITHSCORES", "LIMIT", skip, o.Limit}
	if o.Newest {
		args[0], args[2], args[3] = "ZREVRANGEBYSCORE", high, low
	}
	members, scores, err := i.scored(ctx, args)
	if err != nil {
		return nil, "", err
	}
	tasks := make([]Record, 0, len(members))
	for n, member := range members {
		id, fields := delayedOf(member)
		r := recordOf(Delayed, p.key, id, fields)
		r.Group, r.Due, r.Since = p.group, time.UnixMilli(int64(scores[n])), time.Time{}
		if score := strconv.FormatFloat(scores[n], 'f', -1, 64); score == due {
			skip++
		} else {
			due, skip = score, 1
		}
		r.cursor = fmt.Sprint(due, "+", skip)
		tasks = append(tasks, r)
	}
	return tasks, lastCursor(tasks, o.Limit), nil
}

// scored sends a command that answers members with their scores, as a flat list in RESP2
// and as pairs in RESP3.
func (i *Inspector) scored(ctx context.Context, args []any) (members []string, scores []float64, err error) {
	reply, err := i.conns.Send(ctx, args...)
	if err != nil {
		return nil, nil, err
	}
	list, _ := reply.([]any)
	flat := make([]any, 0, 2*len(list))
	for _, one := range list {
		if pair, ok := one.([]any); ok {
			flat = append(flat, pair...)
		} else {
			flat = append(flat, one)
		}
	}
	if len(flat)%2 != 0 {
		return nil, nil, errors.New("members without scores")
	}
	for k := 0; k < len(flat); k += 2 {
		member, _ := flat[k].(string)
		score, ok := flat[k+1].(float64)
		if text, is := flat[k+1].(string); is && !ok {
			score, _ = strconv.ParseFloat(text, 64)
		}
		members, scores = append(members, member), append(scores, score)
	}
	return members, scores, nil
}
