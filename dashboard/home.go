package dashboard

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"holdfast/internal/doctor"
	"holdfast/queue"
)

const (
	queuesMost = 200 // queues that one page looks into
	needsMost  = 7   // what a person takes in at once
)

// row is a queue in a list.
type row struct {
	queue.Overview
	Dead   int64
	Groups []queue.GroupStats
}

// rows are the queues from a cursor on, each with its dead letters.
type rows struct {
	Queues []row
	Cursor string
}

func (v *visit) rows(cursor string) (rows, error) {
	all, err := ask(v, "queues "+cursor, fresh, func(ctx context.Context) (all rows, err error) {
		all.Cursor = cursor
		seen := map[string]bool{}
		for {
			page, err := v.queues.Overviews(ctx, "", all.Cursor)
			if err != nil {
				return all, err
			}
			for _, q := range page.Queues {
				if seen[q.Stream] {
					continue
				}
				seen[q.Stream] = true
				s, err := v.queues.Stats(ctx, q.Stream)
				if err != nil {
					return all, err
				}
				q.Ready, q.InWork = 0, 0 // with the retries
				for _, g := range s.Groups {
					q.Ready, q.InWork = q.Ready+g.Ready, q.InWork+g.Pending
				}
				if len(s.Groups) == 0 {
					q.Ready = s.Length
				}
				q.Delayed, q.Held = s.Delayed, s.Held
				all.Queues = append(all.Queues, row{q, s.Dead, s.Groups})
			}
			if all.Cursor = page.Cursor; all.Cursor == "" || len(all.Queues) >= queuesMost {
				return all, nil
			}
		}
	})
	mine := rows{Cursor: all.Cursor}
	for _, q := range all.Queues {
		if v.May(View, q.Stream) {
			mine.Queues = append(mine.Queues, q)
		}
	}
	slices.SortStableFunc(mine.Queues, func(a, b row) int {
		return cmp.Or(cmp.Compare(b.Dead, a.Dead), cmp.Compare(b.Ready, a.Ready), cmp.Compare(a.Stream, b.Stream))
	})
	return mine, err
}

// failures groups the dead letters of a queue. Of many it is done less often.
func (v *visit) failures(stream string, dead int64) (queue.FailureReport, error) {
	within := fresh
	if dead > 1000 {
		within = costly
	}
	return ask(v, "failures "+stream, within, func(ctx context.Context) (queue.FailureReport, error) { return v.deadByCause(ctx, stream) })
}

func (v *visit) deadByCause(ctx context.Context, stream string) (queue.FailureReport, error) {
	report, err := v.queues.Failures(ctx, stream, queue.SearchOptions{})
	for i := range report.Groups {
		v.redact(stream, report.Groups[i].Sample)
	}
	return report, err
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
	State, More               string
	Needs                     []need
	Hidden                    int
	Ready, InWork, Dead       int64
	Delayed, In, Out          int64
	Known                     bool // the rates are
	Queues                    []row
	Locks                     []lockRow
	Loads                     int
	Fine                      bool
	NoQueues, Partial, Locked bool
}

func home(v *visit) (page, error) {
	all, err := v.rows("")
	if err != nil {
		return page{}, err
	}
	d := homeData{NoQueues: len(all.Queues) == 0, Partial: all.Cursor != ""}
	for _, q := range all.Queues {
		d.Ready, d.InWork, d.Dead, d.Delayed = d.Ready+q.Ready, d.InWork+q.InWork, d.Dead+q.Dead, d.Delayed+q.Delayed
		if q.InPerMinute >= 0 {
			d.Known = true
			d.In, d.Out = d.In+q.InPerMinute, d.Out+q.OutPerMinute
		}
		if q.Dead > 0 {
			report, err := v.failures(q.Stream, q.Dead)
			if err != nil {
				return page{}, err
			}
			for _, g := range report.Groups {
				d.Needs = append(d.Needs, v.failed(q.Stream, g, len(q.Groups) > 1))
			}
		}
		switch behind := eta(q.Overview); {
		case q.Paused && q.Ready > 0:
			d.Needs = append(d.Needs, need{Count: number(q.Ready), What: "tasks of " + q.Stream + " wait: it is paused", Cause: "Nothing is handed out until somebody resumes it.",
				Look: link("queue", vals("q", q.Stream)), Act: v.Button("resume", "q", q.Stream), rank: 1 << 20})
		case q.OldestAge > 5*time.Minute && q.InPerMinute > q.OutPerMinute && q.Ready > 0:
			d.Needs = append(d.Needs, need{Count: number(q.Ready), What: "tasks of " + q.Stream + " wait, and it " + behind, Cause: "Its workers do less than comes in.",
				Since: v.Now.Add(-q.OldestAge), Look: link("queue", vals("q", q.Stream, "tab", "in-work")), rank: q.Ready})
		}
	}
	if v.May(View, "") {
		locks, _, err := v.lockRows("")
		if err != nil {
			return page{}, err
		}
		for _, l := range locks {
			if l.First > time.Minute {
				d.Needs = append(d.Needs, need{Count: number(l.Waiting), What: "wait for the lock " + l.Name, Cause: "Held by " + l.Owner + ".", Since: v.Now.Add(-l.First),
					Look: link("lock", vals("name", l.Name)), rank: int64(l.Waiting)})
			}
		}
		d.Locks = locks[:min(5, len(locks))]
		d.Locked = true
	}
	findings, err := ask(v, "doctor", 3*costly, func(ctx context.Context) (*doctor.Report, error) {
		return doctor.Examine(ctx, v.rdb, doctor.Options{Queues: queuesMost})
	})
	if err != nil {
		findings = &doctor.Report{Findings: []doctor.Finding{{What: "The server could not be examined.", Why: err.Error(), Cure: "holdfast doctor"}}}
	}
	for _, f := range findings.Findings {
		if f.ID == "dead-letters" || f.ID == "paused" || !v.May(View, f.Queue) { // said above, with a button
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
	slices.SortStableFunc(d.Needs, func(a, b need) int { return cmp.Compare(b.rank, a.rank) })
	things := len(d.Needs)
	if v.arg("all") == "" && things > needsMost {
		d.Hidden = things - needsMost
		d.Needs = d.Needs[:needsMost]
	}
	d.Queues = all.Queues[:min(6, len(all.Queues))]
	d.Fine = things == 0
	switch {
	case things == 1:
		d.State = "One thing needs you."
	case things > 1:
		d.State = words(things) + " things need you."
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
	return page{name: "home", Title: d.State, Area: "home", Data: d, Live: true}, nil
}

func words(n int) string {
	if names := []string{"No", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine"}; n < len(names) {
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
	text := v.Example(g)
	noun := "tasks of "
	if g.Count == 1 {
		noun = "task of "
	}
	return need{
		Bad: true, Count: number(g.Count), What: noun + stream + " failed", Cause: cut(110, text), Since: g.First, rank: 1<<30 + int64(g.Count),
		Look: v.Like(stream, g), Act: v.Button("redrive", "q", stream, "group", group, "error", v.Cause(g)),
	}
}

// Example is the newest error of a group, which says more than what they have in common.
func (v *visit) Example(g queue.FailureGroup) string {
	if n := len(g.Sample); n > 0 && g.Sample[n-1].Error != "" {
		return g.Sample[n-1].Error
	}
	if v.Redact != nil {
		return "no reason shown"
	}
	return first(g.Error, "no reason given")
}

// Cause names a group in links: by its text, or where that may be secret, by its digest.
func (v *visit) Cause(g queue.FailureGroup) string {
	if v.Redact == nil {
		return g.Error
	}
	return fmt.Sprintf("%x", sha256.Sum256([]byte(g.Error)))
}

// Like is where the tasks are listed that failed as a group did.
func (v *visit) Like(stream string, g queue.FailureGroup) string {
	text := longest(g.Error)
	if text == "" || v.Redact != nil {
		return link("queue", vals("q", stream, "tab", "dead"))
	}
	return link("queue", vals("q", stream, "tab", "dead", "where", `error~"`+text+`"`))
}
