package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Selection says which dead letters to act on: those named by Entries and IDs, or else those
// that Filter chooses among the next Window ones. With several groups, names want a Group.
type Selection struct {
	Cursor  string   // of a filter: where to go on
	DryRun  bool     // look, and change nothing
	Entries []string // ids of entries of the dead stream
	Filter  Filter
	Group   string   // empty is every group
	IDs     []string // as people name them: a task's id, an entry's, or entry: and an entry's, which names no task
	Window  int      // of a filter: how many to look at, at most. Defaults to 10,000
}

// Outcome is what an act did, or in a dry run would do. The tasks that a dry run chose
// are done later exactly by passing its Entries in a Selection.
type Outcome struct {
	Looked  int      `json:"looked"`           // how many tasks were looked at
	Entries []string `json:"entries"`          // of the tasks chosen
	Done    int      `json:"done"`             // how many of them were acted on; 0 in a dry run
	Sample  []Record `json:"sample"`           // the first five chosen
	Cursor  string   `json:"cursor,omitempty"` // where to go on; empty when all were looked at
}

// actStep is how many tasks one command acts on.
const actStep = 500

// Redrive brings dead letters back to the group for which they died, as if they had never
// been tried. It may be repeated after an error: a task is brought back once.
func (i *Inspector) Redrive(ctx context.Context, stream string, s Selection) (Outcome, error) {
	several, err := hasSeveralGroups(ctx, i.conns, stream)
	if err != nil {
		return Outcome{}, failed("redrive", stream, err)
	}
	return i.act(ctx, "redrive", stream, s, func(group string, entries []any) ([]any, string) {
		dead := DeadStream(stream, group)
		args := append([]any{"TASK.REDRIVE", dead, "IDS", len(entries)}, entries...)
		return append(args, "TO", redriveTarget(stream, group, several)), dead
	})
}

// redriveTarget is where a group's dead letters go back to: where other groups would be
// given them too, to the group's own retries.
func redriveTarget(stream, group string, several bool) string {
	if several {
		return RetryStream(stream, group)
	}
	return stream
}

// Repair gives a dead letter another payload and brings it back, in one step. It tells
// whether the dead letter was there. id is one of Selection.IDs.
func (i *Inspector) Repair(ctx context.Context, stream, group, id string, payload []byte) (bool, error) {
	several, err := hasSeveralGroups(ctx, i.conns, stream)
	if err != nil {
		return false, failed("repair a task of", stream, err)
	}
	n, resent, err := sendForCount(ctx, i.conns, outageOfActs, "TASK.REDRIVE", DeadStream(stream, group), "IDS", 1, id,
		"TO", redriveTarget(stream, groupOr(group), several), "PAYLOAD", payload)
	if err == nil && n == 0 && resent {
		err = ErrUnknown
	}
	if err != nil {
		return false, failed("repair a task of", stream, err)
	}
	return n > 0, nil
}

// Discard deletes dead letters for good.
func (i *Inspector) Discard(ctx context.Context, stream string, s Selection) (Outcome, error) {
	return i.act(ctx, "discard", stream, s, func(group string, entries []any) ([]any, string) {
		dead := DeadStream(stream, group)
		return append([]any{"TASK.CANCEL", dead}, entries...), dead
	})
}

// act chooses dead letters and sends a command for each some of them.
func (i *Inspector) act(ctx context.Context, what, stream string, s Selection, command func(group string, entries []any) (args []any, dead string)) (out Outcome, err error) {
	chosen := map[string][]any{}
	var order []string
	if named := s.named(); len(named) > 0 {
		group := s.Group
		if group == "" {
			groups, err := groupsOf(ctx, i.conns, stream)
			switch {
			case err != nil:
				return out, failed(what, stream, err)
			case len(groups) > 1:
				return out, failed(what, stream, errors.New("the stream has several groups: say of which group the tasks are"))
			case len(groups) == 1:
				group = groups[0].name
			}
		}
		out.Entries, out.Looked = s.Entries, len(named)
		order = append(order, group)
		chosen[group] = named
	} else {
		search := SearchOptions{Cursor: s.Cursor, Filter: s.Filter, Group: s.Group, State: Dead, Window: s.Window}
		out.Cursor, err = i.each(ctx, stream, search, func(r *Record) bool {
			if out.Looked++; s.Filter.Match(r) {
				if chosen[r.Group] == nil {
					order = append(order, r.Group)
				}
				chosen[r.Group] = append(chosen[r.Group], exactly(r.Entry))
				out.Entries = append(out.Entries, r.Entry)
				if len(out.Sample) < sampleSize {
					out.Sample = append(out.Sample, *r)
				}
			}
			return true
		})
	}
	if err != nil || s.DryRun {
		return out, err
	}
	for _, group := range order {
		for part := range slices.Chunk(chosen[group], actStep) {
			args, dead := command(group, part)
			n, resent, err := sendForCount(ctx, i.conns, outageOfActs, args...)
			if err != nil {
				return out, failed(what, stream, err)
			}
			if resent {
				if n, err = i.complete(ctx, dead, part, func(ids []any) []any { args, _ := command(group, ids); return args }); err != nil {
					return out, failed(what, stream, err)
				}
			}
			out.Done += n
		}
	}
	return out, nil
}

// complete acts on those entries that the stream still has, after a reply was lost, and
// counts them and those that it has no more. What a task's id named cannot be known then.
func (i *Inspector) complete(ctx context.Context, stream string, names []any, command func(names []any) []any) (int, error) {
	commands := make([][]any, len(names))
	for k, name := range names {
		entry, exact := strings.CutPrefix(name.(string), exactly(""))
		if !exact {
			return 0, ErrUnknown
		}
		commands[k] = []any{"XRANGE", stream, entry, entry}
	}
	replies, errs := i.conns.SendAll(ctx, commands)
	if err := errors.Join(errs...); err != nil {
		return 0, err
	}
	var left []any
	for k, reply := range replies {
		if list, _ := reply.([]any); len(list) > 0 {
			left = append(left, names[k])
		}
	}
	gone := len(names) - len(left)
	if len(left) == 0 {
		return gone, nil
	}
	n, resent, err := sendForCount(ctx, i.conns, outageOfActs, command(left)...)
	if err == nil && resent {
		err = ErrUnknown
	}
	return gone + n, err
}

// named returns the names in a selection, as the server takes them.
func (s *Selection) named() (names []any) {
	for _, e := range s.Entries {
		names = append(names, exactly(e))
	}
	for _, id := range s.IDs {
		names = append(names, id)
	}
	return names
}

// exactly names an entry by its id, which could be another task's id too.
func exactly(entry string) string { return "entry:" + entry }

// Cancel takes tasks out of the queue by their ids, wherever they are: delayed, ready,
// or in work, in which case the handler's context ends with [ErrLost] at the next
// renewal of its lease. It tells how many there were.
func (i *Inspector) Cancel(ctx context.Context, stream string, ids ...string) (int, error) {
	groups, err := groupsOf(ctx, i.conns, stream)
	if err != nil {
		return 0, failed("cancel tasks of", stream, err)
	}
	n, err := cancelIn(ctx, i.conns, outageOfActs, stream, groups, ids)
	if err != nil {
		return n, failed("cancel tasks of", stream, err)
	}
	return n, nil
}

// Pause has the queue hand out nothing until Resume; see [Queue.Pause].
func (i *Inspector) Pause(ctx context.Context, stream string) error {
	return i.sendNamed(ctx, "pause", "TASK.PAUSE", stream)
}

// Resume ends a Pause.
func (i *Inspector) Resume(ctx context.Context, stream string) error {
	return i.sendNamed(ctx, "resume", "TASK.RESUME", stream)
}

func (i *Inspector) sendNamed(ctx context.Context, what, command, stream string) error {
	if _, _, err := sendForCount(ctx, i.conns, outageOfActs, command, stream); err != nil {
		return failed(what, stream, err)
	}
	return nil
}

// Forget removes a consumer that will not come back, and makes its tasks available to
// the others at once. It tells how many.
func (i *Inspector) Forget(ctx context.Context, stream, group, consumer string) (int, error) {
	n, resent, err := sendForCount(ctx, i.conns, outageOfActs, "TASK.FORGET", stream, groupOr(group), consumer)
	if err == nil && resent && n == 0 {
		err = fmt.Errorf("%w: the consumer is forgotten, but not how many tasks it had", ErrUnknown)
	}
	if err != nil {
		return n, failed("forget a consumer of", stream, err)
	}
	return n, nil
}

// Purge deletes all tasks of a stream that are in one state: Ready, Delayed or Dead; of
// dead letters those of one group, or with an empty group of all. It works in steps and may
// be stopped and repeated; it tells how many tasks it deleted.
func (i *Inspector) Purge(ctx context.Context, stream string, state State, group string) (total int, err error) {
	if state != Ready && state != Delayed && state != Dead {
		return 0, failed("purge", stream, fmt.Errorf("the state is %q: it must be %s, %s or %s", state, Ready, Delayed, Dead))
	}
	for ctx.Err() == nil {
		page, err := i.List(ctx, stream, ListOptions{State: state, Group: group, Limit: 1000})
		if err != nil {
			return total, err
		}
		byKey := map[string][]any{}
		for _, r := range page.Tasks {
			key := r.Key
			if state == Delayed {
				key = streamOfDelayed(key)
			}
			name := r.Entry
			if state != Delayed {
				name = exactly(name)
			}
			byKey[key] = append(byKey[key], name)
		}
		n := 0
		for key, entries := range byKey {
			k, _, err := sendForCount(ctx, i.conns, outageOfActs, append([]any{"TASK.CANCEL", key}, entries...)...)
			if err != nil {
				return total, failed("purge", stream, err)
			}
			n += k
		}
		if total += n; n == 0 {
			return total, nil
		}
	}
	return total, ctx.Err()
}
