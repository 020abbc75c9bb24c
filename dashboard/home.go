package dashboard

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"holdfast/internal/doctor"
	"holdfast/internal/where"
	"holdfast/queue"
)

const (
	queuesMost = 1000 // queues that one page looks into
	needsMost  = 7    // what a person takes in at once
)

// row is a queue in a list.
type row struct {
	queue.Overview
	Dead, Buried int64
	Groups       []queue.GroupStats
}

// rows are the queues from a cursor on, each with its dead letters.
type rows struct {
	Queues []row
	Cursor string // there are more than were looked into
}

// perQueue is how long what a list says of one queue holds: a list of many is asked for less often,
// so that it costs the server no more than a list of some.
const perQueue = 10 * time.Millisecond

// rows lists the queues whose names match, those with the most dead letters first.
func (v *visit) rows(match, cursor string) (rows, error) {
	key := "queues " + match + " " + cursor
	all, err := askFor(v, key, func(all rows) time.Duration { return time.Duration(len(all.Queues)) * perQueue }, func(ctx context.Context) (rows, error) {
		return v.board.list(ctx, match, cursor)
	})
	mine := rows{Cursor: all.Cursor}
	for _, q := range all.Queues {
		if v.May(View, Target{Queue, q.Stream}) {
			mine.Queues = append(mine.Queues, q)
		}
	}
	return mine, err
}

// listers is how many queues are looked into at once.
const listers = 8

func (b *board) list(ctx context.Context, match, cursor string) (all rows, err error) {
	all.Cursor = cursor
	seen := map[string]bool{}
	for {
		page, err := b.queues.Overviews(ctx, match, all.Cursor)
		if err != nil {
			return all, err
		}
		for _, q := range page.Queues {
			if !seen[q.Stream] {
				seen[q.Stream] = true
				all.Queues = append(all.Queues, row{Overview: q})
			}
		}
		if all.Cursor = page.Cursor; all.Cursor == "" || len(all.Queues) >= queuesMost {
			break
		}
	}
	var looking sync.WaitGroup
	errs := make([]error, listers)
	for n := range listers {
		looking.Go(func() {
			for i := n; i < len(all.Queues) && errs[n] == nil; i += listers {
				errs[n] = b.look(ctx, &all.Queues[i])
			}
		})
	}
	looking.Wait()
	slices.SortStableFunc(all.Queues, func(a, b row) int {
		return cmp.Or(cmp.Compare(b.Dead, a.Dead), cmp.Compare(b.Ready, a.Ready), cmp.Compare(a.Stream, b.Stream))
	})
	return all, errors.Join(errs...)
}

// look adds to a row what the stream's retries and dead letters say.
func (b *board) look(ctx context.Context, q *row) error {
	s, err := b.queues.Stats(ctx, q.Stream)
	if err != nil {
		return err
	}
	q.Ready, q.InWork, q.Delayed, q.Held = 0, 0, s.Delayed, s.Held
	for _, g := range s.Groups {
		q.Ready, q.InWork = q.Ready+g.Ready, q.InWork+g.Pending
	}
	if len(s.Groups) == 0 {
		q.Ready = s.Length
	}
	q.Dead, q.Buried, q.Groups = s.Dead, s.Buried, s.Groups
	return nil
}

// failures are the causes of a queue's dead letters.
type failures struct {
	queue.FailureReport
	dead, buried int64 // of the queue, when it was looked into
}

// unchanged is how long failures are shown of a queue whose counts stay as they were.
const unchanged = time.Minute

// failures groups the dead letters of a queue. The letters are read again when their number has
// changed, many less often.
func (v *visit) failures(stream string, dead, buried int64) (queue.FailureReport, error) {
	within := func(f failures) time.Duration {
		if f.dead == dead && f.buried == buried {
			return unchanged
		}
		if dead > 1000 {
			return costly
		}
		return fresh
	}
	f, err := askFor(v, "failures "+stream, within, func(ctx context.Context) (failures, error) {
		report, err := v.queues.Failures(ctx, stream, queue.SearchOptions{})
		for i := range report.Groups {
			v.redact(stream, report.Groups[i].Sample)
			report.Groups[i].Entries = nil // named by their cause, and never shown
		}
		return failures{report, dead, buried}, err
	})
	return f.FailureReport, err
}

// need is a thing that needs a person.
type need struct {
	Bad   bool // it hurts now
	Count string
	What  string
	Cause string
	Since time.Time
	Look  string // where to look
	Act   *button
	Cure  string // a command, where no button does it
	rank  int64
}

// homeData is what the first page shows.
type homeData struct {
	State, More         string
	Needs               []need
	Hidden              int
	Ready, InWork, Dead int64
	Delayed, In, Out    int64
	Known               bool // the rates are
	Queues              []row
	Locks               []lockRow
	NoQueues, Locked    bool
	Examining           bool // what is found comes with the next push
	Partial             int  // queues looked into, where there are more
}

// causesOf is of how many queues, those with the most dead letters, the first page shows causes.
const causesOf = 20

func home(v *visit) (page, error) {
	_, _, _ = v.examine(0) // while the queues are listed
	_, _ = v.lockRowsSoon(0)
	all, err := v.rows("", "")
	if err != nil {
		return page{}, err
	}
	d := homeData{NoQueues: len(all.Queues) == 0, Queues: all.Queues[:min(6, len(all.Queues))]}
	if all.Cursor != "" {
		d.Partial = len(all.Queues)
	}
	for n, q := range all.Queues {
		d.Ready, d.InWork, d.Dead, d.Delayed = d.Ready+q.Ready, d.InWork+q.InWork, d.Dead+q.Dead, d.Delayed+q.Delayed
		if q.InPerMinute >= 0 {
			d.Known = true
			d.In, d.Out = d.In+q.InPerMinute, d.Out+q.OutPerMinute
		}
		if err := v.ofQueue(&d, q, n < causesOf); err != nil {
			return page{}, err
		}
	}
	if v.Area("lock") {
		all, there := v.lockRowsSoon(patient)
		for _, l := range v.visible(contended(all.rows), locksMost) {
			if l.First > time.Minute {
				d.Needs = append(d.Needs, need{Count: number(l.Waiting), What: noun(l.Waiting, "waits", "wait") + " for the lock " + l.Name, Cause: "Held by " + l.Owner + ".", Since: v.Of("locks").Add(-l.First),
					Look: link("lock", vals("name", l.Name)), rank: int64(l.Waiting)})
			}
		}
		d.Locks, d.Locked = v.visible(all.rows, 5), there
	}
	v.findings(&d)
	slices.SortStableFunc(d.Needs, func(a, b need) int { return cmp.Compare(b.rank, a.rank) })
	things := len(d.Needs)
	if v.arg("all") == "" && things > needsMost {
		d.Hidden = things - needsMost
		d.Needs = d.Needs[:needsMost]
	}
	d.say(things)
	return page{name: "home", Title: d.State, Menu: "home", Data: d, Live: true}, nil
}

// ofQueue adds what needs a person in one queue.
func (v *visit) ofQueue(d *homeData, q row, causes bool) error {
	switch {
	case q.Dead > 0 && causes:
		report, err := v.failures(q.Stream, q.Dead, q.Buried)
		if err != nil {
			return err
		}
		for _, g := range report.Groups {
			d.Needs = append(d.Needs, v.failed(q.Stream, g, len(q.Groups) > 1))
		}
	case q.Dead > 0:
		d.Needs = append(d.Needs, need{Bad: true, Count: number(q.Dead), What: noun(int(q.Dead), "task", "tasks") + " of " + q.Stream + " failed", rank: 1<<30 + q.Dead,
			Look: link("queue", vals("q", q.Stream, "tab", "failures"))})
	}
	switch behind := eta(q.Overview); {
	case q.Paused && q.Ready > 0:
		d.Needs = append(d.Needs, need{Count: number(q.Ready), What: noun(int(q.Ready), "task waits", "tasks wait") + " in " + q.Stream + ": the queue is paused", Cause: "Nothing is handed out until somebody resumes it.",
			Look: link("queue", vals("q", q.Stream)), Act: v.Button("resume", "q", q.Stream), rank: 1 << 20})
	case q.OldestAge > 5*time.Minute && q.InPerMinute > q.OutPerMinute && q.Ready > 0:
		d.Needs = append(d.Needs, need{Count: number(q.Ready), What: noun(int(q.Ready), "task waits", "tasks wait") + " in " + q.Stream + ", which " + behind, Cause: "Its workers do less than comes in.",
			Since: v.Of("queues").Add(-q.OldestAge), Look: link("queue", vals("q", q.Stream, "tab", "in-work")), rank: q.Ready})
	}
	return nil
}

// examine has the servers and queues examined in the background. Of many queues, those that are
// listed first are examined.
func (v *visit) examine(wait time.Duration) (*doctor.Report, bool, error) {
	within := func(r *doctor.Report) time.Duration { return max(3*costly, time.Duration(r.Queues)*4*perQueue) }
	return askSoon(v, "doctor", wait, within, func(ctx context.Context) (*doctor.Report, error) {
		return doctor.Examine(ctx, v.rdb, doctor.Options{Queues: queuesMost})
	})
}

// findings adds what an examination of the servers and queues found.
func (v *visit) findings(d *homeData) {
	report, there, err := v.examine(patient)
	switch {
	case err != nil && !there:
		report = &doctor.Report{Findings: []doctor.Finding{{What: "The server could not be examined.", Why: err.Error(), Cure: "holdfast doctor"}}}
	case !there:
		d.Examining = true
		return
	}
	for _, f := range report.Findings {
		over := Target{Kind: Server}
		if f.Queue != "" {
			over = Target{Queue, f.Queue}
		}
		if f.ID == "dead-letters" || f.ID == "paused" || !v.May(View, over) { // ofQueue says those, with a button
			continue
		}
		n := need{Bad: f.Severity == doctor.Critical, What: f.What, Cause: f.Why, Cure: f.Cure}
		if n.Bad {
			n.rank = 1 << 40
		}
		if f.Queue != "" {
			n.Look = link("queue", vals("q", f.Queue, "tab", "workers"))
		}
		d.Needs = append(d.Needs, n)
	}
}

// say writes the sentences at the top.
func (d *homeData) say(things int) {
	switch {
	case things == 1:
		d.State = "One thing needs you."
	case things > 1:
		d.State = words(things) + " things need you."
	case d.Examining:
		d.State = "Looking …"
	default:
		d.State = "All is well."
	}
	switch {
	case d.NoQueues:
		d.More = "Nobody has published a task yet."
	case d.Ready == 0:
		d.More = "Nothing waits."
	default:
		d.More = count(int(d.Ready), "task waits.", "tasks wait.")
	}
	if d.Known {
		d.More += fmt.Sprintf(" In the last minute %s came and %s were done.", number(d.In), number(d.Out))
	}
}

func words(n int) string {
	if names := []string{"No", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten", "Eleven", "Twelve"}; n < len(names) {
		return names[n]
	}
	return number(n)
}

// failed is a group of failures that needs a person.
func (v *visit) failed(stream string, g queue.FailureGroup, several bool) need {
	group := ""
	if several {
		group = g.Group
	}
	return need{
		Bad: true, Count: number(g.Count), What: noun(g.Count, "task", "tasks") + " of " + stream + " failed", Cause: cut(110, v.Example(g)), Since: g.First, rank: 1<<30 + int64(g.Count),
		Look: v.Like(stream, group, g), Act: v.ButtonFor("redrive", stream, group, g),
	}
}

// Example is the newest error of a group, which says more than what the errors have in common.
func (v *visit) Example(g queue.FailureGroup) string {
	for _, r := range g.Sample {
		if r.Error != "" {
			return r.Error
		}
	}
	if v.Redact != nil {
		return "no reason shown"
	}
	return first(g.Error, "no reason given")
}

// cause names a group of failures in links: by a filter, or where its text may be secret or is
// empty, by its digest.
func (v *visit) cause(g queue.FailureGroup) (name, value string) {
	if v.Redact == nil && g.Error != "" {
		return "where", where.Term("cause", g.Error)
	}
	return "cause", digest(g.Error)
}

func digest(cause string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(cause))) }

// ButtonFor is the button of an act on a group of failures.
func (v *visit) ButtonFor(act, stream, group string, g queue.FailureGroup) *button {
	name, value := v.cause(g)
	return v.Button(act, "q", stream, "group", group, name, value)
}

// Like is where the tasks are listed that failed as a group did.
func (v *visit) Like(stream, group string, g queue.FailureGroup) string {
	name, value := v.cause(g)
	if name != "where" {
		value = ""
	}
	return link("queue", vals("q", stream, "tab", "dead", "group", group, "where", value))
}
