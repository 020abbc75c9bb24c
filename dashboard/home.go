package dashboard

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"time"

	"holdfast/internal/doctor"
	"holdfast/internal/where"
	"holdfast/queue"
)

const (
	queuesMost = 1000 // queues that one page looks into
	needsMost  = 7    // what a person takes in at once
)

// rows are the queues from a cursor on.
type rows struct {
	Queues []queue.Overview
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
				all.Queues = append(all.Queues, q)
			}
		}
		if all.Cursor = page.Cursor; all.Cursor == "" || len(all.Queues) >= queuesMost {
			break
		}
	}
	slices.SortStableFunc(all.Queues, func(a, b queue.Overview) int {
		return cmp.Or(cmp.Compare(b.Dead, a.Dead), cmp.Compare(b.Ready, a.Ready), cmp.Compare(a.Stream, b.Stream))
	})
	return all, nil
}

// failures are the causes of a queue's dead letters.
type failures struct {
	queue.FailureReport
	dead int64 // of the queue, when it was looked into
}

// unchanged is how long failures are shown of a queue that has as many dead letters as before.
const unchanged = 20 * time.Second

// causesMost is how many groups of failures a page shows.
const causesMost = 100

// failures groups the dead letters of a queue. The letters are read again when their number has
// changed, many less often.
func (v *visit) failures(stream string, dead int64) (queue.FailureReport, error) {
	within := func(f failures) time.Duration {
		switch {
		case f.dead == dead:
			return unchanged
		case dead > 1000:
			return costly
		}
		return fresh
	}
	f, err := askFor(v, "failures "+stream, within, func(ctx context.Context) (failures, error) {
		report, err := v.queues.Failures(ctx, stream, queue.SearchOptions{Keep: func(r *queue.Record) {
			v.brief(stream, r)
			r.Payload = nil // the pages show the errors alone
		}})
		for i := range report.Groups {
			g := &report.Groups[i]
			if g.Entries = nil; i >= causesMost { // named by their cause, and not shown
				g.Sample, g.Buckets = nil, nil
			}
		}
		return failures{report, dead}, err
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
	Cure  string // where no button does it
	Paste bool   // the cure is a command and nothing else
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
	Queues              []queue.Overview
	Locks               []lockRow
	NoQueues, Locked    bool
	Examining           bool // what is found comes with the next push
	Partial             int  // queues looked into, where there are more
}

// causesOf is the number of queues of which the first page shows causes: those with the most dead letters.
const causesOf = 20

// fewQueues are examined while the first page is made; more, behind it.
const fewQueues = 100

func home(v *visit) (page, error) {
	if v.Area("lock") {
		_, _ = v.lockRowsSoon(0) // while the queues are listed
	}
	all, err := v.rows("", "")
	if err != nil {
		return page{}, err
	}
	if len(all.Queues) <= fewQueues {
		_, _, _ = v.examine(0) // meanwhile
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
				d.Needs = append(d.Needs, need{Count: number(l.Waiting), What: noun(l.Waiting, "waits", "wait") + " for the lock " + short(l.Name), Cause: "Held by " + short(l.Owner) + ".", Since: v.Of("locks").Add(-l.First),
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
func (v *visit) ofQueue(d *homeData, q queue.Overview, causes bool) error {
	switch {
	case q.Dead > 0 && causes:
		report, err := v.failures(q.Stream, q.Dead)
		if err != nil {
			return err
		}
		for _, g := range report.Groups {
			d.Needs = append(d.Needs, v.failed(q.Stream, g, q.Groups > 1))
		}
	case q.Dead > 0:
		d.Needs = append(d.Needs, need{Bad: true, Count: number(q.Dead), What: noun(int(q.Dead), "task", "tasks") + " of " + short(q.Stream) + " failed", rank: 1<<30 + q.Dead,
			Look: link("queue", vals("q", q.Stream, "tab", "failures"))})
	}
	switch behind := eta(q); {
	case q.Paused && q.Ready > 0:
		d.Needs = append(d.Needs, need{Count: number(q.Ready), What: noun(int(q.Ready), "task waits", "tasks wait") + " in " + short(q.Stream) + ": the queue is paused", Cause: "Nothing is handed out until somebody resumes it.",
			Look: link("queue", vals("q", q.Stream)), Act: v.Button("resume", "q", q.Stream), rank: 1 << 20})
	case q.OldestAge > 5*time.Minute && q.InPerMinute > q.OutPerMinute && q.Ready > 0:
		d.Needs = append(d.Needs, need{Count: number(q.Ready), What: noun(int(q.Ready), "task waits", "tasks wait") + " in " + short(q.Stream) + ", which " + behind, Cause: "Its workers do less than comes in.",
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
		n := need{Bad: f.Severity == doctor.Critical, What: cut(300, f.What), Cause: f.Why, Cure: f.Cure, Paste: isCommand(f.Cure)}
		if n.Bad {
			n.rank = 1 << 40
		}
		if f.Queue != "" {
			n.Look = link("queue", vals("q", f.Queue, "tab", "workers"))
		}
		d.Needs = append(d.Needs, n)
	}
}

// isCommand reports whether a cure is a command line. Others are a sentence, which may have one in it.
func isCommand(cure string) bool {
	return (strings.HasPrefix(cure, "holdfast ") || strings.HasPrefix(cure, "redis-cli ")) && !strings.Contains(cure, ", ") && !strings.HasSuffix(cure, " N")
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
		Bad: true, Count: number(g.Count), What: noun(g.Count, "task", "tasks") + " of " + short(stream) + " failed", Cause: cut(110, v.Example(g)), Since: g.First, rank: 1<<30 + int64(g.Count),
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
