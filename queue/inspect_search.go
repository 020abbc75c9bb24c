package queue

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// Filter chooses tasks. Each field that is set must match; the zero Filter matches all.
type Filter struct {
	Cause    string    // of the last error, as [NormalizeError] writes it
	Error    string    // part of the last error, whatever the case
	From     time.Time // as in ListOptions
	Headers  Headers   // headers that the task must have, with these values
	Kind     string
	MinTries int
	Payload  string // part of the payload
	To       time.Time
}

// Match tells whether the filter chooses a task. The times are compared with Due for
// a delayed task, else with Since.
func (f *Filter) Match(r *Record) bool {
	at := r.Since
	if r.State == Delayed {
		at = r.Due
	}
	switch {
	case f.Kind != "" && f.Kind != r.Kind, r.Try < f.MinTries,
		!f.From.IsZero() && at.Before(f.From), !f.To.IsZero() && !at.Before(f.To),
		f.Cause != "" && f.Cause != NormalizeError(r.Error),
		f.Error != "" && !strings.Contains(strings.ToLower(r.Error), strings.ToLower(f.Error)),
		f.Payload != "" && !bytes.Contains(r.Payload, []byte(f.Payload)):
		return false
	}
	for name, value := range f.Headers {
		if got, there := r.Headers[name]; !there || got != value {
			return false
		}
	}
	return true
}

// takesAll reports whether the filter chooses all tasks between From and To.
func (f *Filter) takesAll() bool {
	return f.Cause == "" && f.Error == "" && len(f.Headers) == 0 && f.Kind == "" && f.MinTries == 0 && f.Payload == ""
}

// SearchOptions say where to search, and for how long.
type SearchOptions struct {
	Cursor string // where to go on: the Cursor of the result before
	Filter Filter
	Group  string // as in ListOptions
	Limit  int    // how many tasks to find at most. Defaults to 100
	Newest bool   // as in ListOptions
	State  State
	Window int // how many tasks to look at, at most. Defaults to 10,000

	// Keep changes each task that the result will hold, such as to shorten a payload, so that
	// what it cuts off needs no memory once the next tasks are read. It may be nil.
	Keep func(r *Record)
}

func (o *SearchOptions) keep(r *Record) Record {
	kept := *r
	if o.Keep != nil {
		o.Keep(&kept)
	}
	return kept
}

// SearchResult is what a search found.
type SearchResult struct {
	Tasks  []Record `json:"tasks"`
	Looked int      `json:"looked"`           // how many tasks were looked at
	Cursor string   `json:"cursor,omitempty"` // where to go on; empty when all were looked at
}

// DefaultWindow is how many tasks a search looks at unless it is told.
const DefaultWindow = 10_000

// Search looks through the tasks of one state for those that a filter chooses, until it
// has found Limit of them or looked at Window.
func (i *Inspector) Search(ctx context.Context, stream string, o SearchOptions) (found SearchResult, err error) {
	limit := o.Limit
	if limit <= 0 {
		limit = 100
	}
	if o.Filter.takesAll() && (o.Window <= 0 || o.Window > limit) { // nothing behind the last task found needs to be read
		o.Window = limit
	}
	found.Cursor, err = i.each(ctx, stream, o, func(r *Record) bool {
		found.Looked++
		if o.Filter.Match(r) {
			found.Tasks = append(found.Tasks, o.keep(r))
		}
		return len(found.Tasks) < limit
	})
	return found, err
}

const (
	pageFirst = 10      // tasks of the first page, which tells how large tasks are
	pageBytes = 4 << 20 // of the payloads of a later page, about
	pageMost  = 1000    // tasks of a page
)

// pageSize is how many tasks to read after a page of some. Large payloads are read a few at a time,
// so that neither the server nor the caller needs memory for a thousand of them.
func pageSize(tasks []Record) int {
	bytes := 1
	for n := range tasks {
		bytes += len(tasks[n].Payload)
	}
	if len(tasks) == 0 {
		return pageFirst
	}
	return min(max(pageBytes*len(tasks)/bytes, 1), pageFirst*len(tasks), pageMost)
}

// each calls f for the tasks of one state within a window, until f returns false. It
// returns where to go on, or "" at the end.
func (i *Inspector) each(ctx context.Context, stream string, o SearchOptions, f func(r *Record) bool) (cursor string, err error) {
	window := o.Window
	if window <= 0 {
		window = DefaultWindow
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	list := ListOptions{Cursor: o.Cursor, From: o.Filter.From, Group: o.Group, Limit: min(window, pageFirst), Newest: o.Newest, State: o.State, To: o.Filter.To}
	for pages := i.fetch(ctx, stream, list); ; {
		page := <-pages
		if page.err != nil {
			return list.Cursor, page.err
		}
		window -= len(page.Tasks)
		list.Cursor, list.Limit = page.Cursor, min(window, pageSize(page.Tasks))
		more := list.Cursor != "" && window > 0
		if more { // the next page comes while f looks at this one
			pages = i.fetch(ctx, stream, list)
		}
		for n := range page.Tasks {
			if !f(&page.Tasks[n]) {
				if n == len(page.Tasks)-1 {
					return page.Cursor, nil
				}
				return fmt.Sprint(page.Tasks[n].place, ":", page.Tasks[n].cursor), nil
			}
		}
		if !more {
			return list.Cursor, nil
		}
	}
}

// fetched is a page that was asked for, or why it did not come.
type fetched struct {
	Page
	err error
}

// fetch lists a page in the background.
func (i *Inspector) fetch(ctx context.Context, stream string, o ListOptions) <-chan fetched {
	pages := make(chan fetched, 1)
	go func() {
		page, err := i.List(ctx, stream, o)
		pages <- fetched{page, err}
	}()
	return pages
}

// Find returns a task by its id, or by the id of one of its entries: wherever it is, in the
// queue, in work, delayed, held or dead. A task that has failed before lies under another
// entry: it is looked for among the DefaultWindow entries behind its first, and as many
// delayed and newest dead tasks. [ErrNotFound] says that the task is done, was cancelled, or lies outside of that.
func (i *Inspector) Find(ctx context.Context, stream, id string) (Record, error) {
	groups, err := groupsOf(ctx, i.conns, stream)
	if err != nil {
		return Record{}, failed("find in", stream, err)
	}
	keys := []string{stream}
	for _, g := range groups {
		keys = append(keys, RetryStream(stream, g.name))
	}
	for n, key := range keys {
		group := ""
		if n > 0 {
			group = groups[n-1].name
		}
		at, there, err := i.conns.SendForText(ctx, "HGET", sideKey(key, "tasks"), id) // where the server last put it
		if err != nil || !there {
			at = id
		}
		r, err := i.at(ctx, key, group, at)
		if err != nil || r.Entry != "" {
			return r, err
		}
	}
	for _, state := range []State{InWork, Ready, Delayed, Dead} {
		o := SearchOptions{State: state, Newest: state == Dead}
		if state == Ready || state == InWork {
			o.Filter.From = timeOf(id)
		}
		var found Record
		_, err := i.each(ctx, stream, o, func(r *Record) bool {
			if r.ID == id || r.Entry == id || r.Origin == id {
				found = *r
			}
			return found.Entry == ""
		})
		if err != nil || found.Entry != "" {
			return found, err
		}
	}
	return Record{}, failed("find in", stream, ErrNotFound)
}

// at is the task that lies under an entry id beside a stream; a zero record where there is
// none.
func (i *Inspector) at(ctx context.Context, stream, group, entry string) (Record, error) {
	if strings.HasPrefix(entry, "held-") {
		return i.heldAt(ctx, stream, entry)
	}
	due, ok := dueOf(entry)
	if !ok {
		return i.entryAt(ctx, stream, entry)
	}
	members, _, err := i.scored(ctx, []any{"ZRANGEBYSCORE", delayedSet(stream), due, due, "WITHSCORES"})
	for _, member := range members {
		if id, fields := delayedOf(member); id == entry {
			r := recordOf(Delayed, delayedSet(stream), id, fields)
			r.Group, r.Due, r.Since = group, time.UnixMilli(due), time.Time{}
			return r, err
		}
	}
	return Record{}, err
}

// entryAt is the entry of an id in a stream, with what its groups know of it; a zero record
// where there is none.
func (i *Inspector) entryAt(ctx context.Context, key, id string) (Record, error) {
	reply, err := i.conns.Send(ctx, "XRANGE", key, id, id)
	if err != nil {
		if redis.HasErrorPrefix(err, "Invalid stream ID") {
			err = nil
		}
		return Record{}, err
	}
	list, _ := reply.([]any)
	if len(list) != 1 {
		return Record{}, nil
	}
	entry, fields := entryFields(list[0])
	r := recordOf(Ready, key, entry, fields)
	groups, err := groupsOf(ctx, i.conns, key)
	for _, g := range groups {
		r.Group = g.name
		p := place{key, g.name, "", readPending}
		owned, _, perr := i.readOwned(ctx, p, ListOptions{State: InWork, Limit: 1, From: timeOf(id), To: timeOf(id).Add(time.Millisecond)}, before(entry), "")
		if err = errors.Join(err, perr); len(owned) == 1 && owned[0].Entry == entry {
			return owned[0], err
		}
	}
	return r, err
}
