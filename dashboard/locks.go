package dashboard

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"time"

	"holdfast/internal/shell"
	"holdfast/lock"
)

// lockRow is a lock in a list.
type lockRow struct {
	lock.Info
	Owner       string // the first holder
	Left, Whole time.Duration
	Held        time.Duration
	Next        string        // the first in line
	First       time.Duration // how long the first in line waits
}

const (
	locksMost  = 10_000               // locks that a page looks at
	peopleMost = 10                   // holders and waiters of each that a list keeps
	perLock    = 2 * time.Millisecond // as perQueue
	walkMost   = 2 * time.Second      // of a walk through a keyspace that is large
)

// lockList are locks, those with the longest lines first.
type lockList struct {
	rows []lockRow
	more bool // there are more
	took time.Duration
}

// holds is how long the list is shown: of many locks, or where it took a walk through many keys,
// longer, so that the walks take the server a twentieth of its time at most.
func (l lockList) holds() time.Duration {
	return max(time.Duration(len(l.rows))*perLock, min(20*l.took, time.Minute))
}

// lockRows lists the locks that match. Only the rows that visible returns may be shown.
func (v *visit) lockRows(match string) (lockList, error) {
	return askFor(v, "locks "+match, lockList.holds, func(ctx context.Context) (lockList, error) { return v.board.lockRows(ctx, match) })
}

// lockRowsSoon is lockRows for pages about something else, which do not wait for many locks.
func (v *visit) lockRowsSoon(wait time.Duration) (all lockList, there bool) {
	all, there, _ = askSoon(v, "locks ", wait, lockList.holds, func(ctx context.Context) (lockList, error) { return v.board.lockRows(ctx, "") })
	return all, there
}

func (b *board) lockRows(ctx context.Context, match string) (all lockList, err error) {
	seen, began := map[string]bool{}, time.Now()
	for cursor := ""; ; {
		page, err := b.locks.List(ctx, lock.ListOptions{Cursor: cursor, Match: match})
		if err != nil {
			return all, err
		}
		for _, l := range page.Locks {
			if seen[l.Name] {
				continue
			}
			seen[l.Name] = true
			l.Holders = slices.Clone(l.Holders[:min(len(l.Holders), peopleMost)])
			l.Waiters = slices.Clone(l.Waiters[:min(len(l.Waiters), peopleMost)])
			r := lockRow{Info: l}
			if len(l.Holders) > 0 {
				h := l.Holders[0]
				r.Owner, r.Left, r.Held = h.Owner, h.Left, h.Held
			}
			if len(l.Waiters) > 0 {
				r.Next, r.First = l.Waiters[0].Owner, l.Waiters[0].Waited
			}
			all.rows = append(all.rows, r)
		}
		if cursor = page.Cursor; cursor == "" || len(all.rows) >= locksMost || time.Since(began) > walkMost {
			all.more = cursor != ""
			break
		}
	}
	slices.SortStableFunc(all.rows, func(a, b lockRow) int {
		return cmp.Or(cmp.Compare(b.Waiting, a.Waiting), cmp.Compare(a.Name, b.Name))
	})
	all.took = time.Since(began)
	return all, nil
}

// visible are the first rows that the visitor may see, with how long their leases are.
func (v *visit) visible(rows []lockRow, most int) (shown []lockRow) {
	for _, r := range rows {
		if len(shown) == most {
			break
		}
		if v.May(View, Target{Lock, r.Name}) {
			r.Whole = v.whole(r.Name, r.Owner, r.Left)
			shown = append(shown, r)
		}
	}
	return shown
}

// contended are the rows somebody waits in, which come first.
func contended(rows []lockRow) []lockRow {
	n := slices.IndexFunc(rows, func(r lockRow) bool { return r.Waiting == 0 })
	if n < 0 {
		n = len(rows)
	}
	return rows[:n]
}

// whole is how long a holder's lease is.
func (v *visit) whole(name, owner string, left time.Duration) time.Duration {
	return v.terms.of("lock "+name+" "+owner, left)
}

// waitsFor is one step in who waits for whom: somebody waits for a lock that others hold.
type waitsFor struct {
	Owner   string
	Waited  time.Duration
	Lock    string
	Holders []string
	Depth   int
}

// chainMost bounds a chain of owners who wait for each other.
const chainMost = 20

// chains are the locks that holders of a lock wait for themselves, and so on. An owner is in
// several locks only where a program gives its locks one owner.
func chains(locks []lockRow, holders []string) (all []waitsFor) {
	waits := map[string][]waitsFor{}
	for _, l := range locks {
		var by []string
		for _, h := range l.Holders {
			by = append(by, h.Owner)
		}
		for _, w := range l.Waiters {
			waits[w.Owner] = append(waits[w.Owner], waitsFor{Owner: w.Owner, Waited: w.Waited, Lock: l.Name, Holders: by})
		}
	}
	seen := map[string]bool{}
	var follow func(owner string, depth int)
	follow = func(owner string, depth int) {
		if seen[owner] || len(all) >= chainMost {
			return
		}
		seen[owner] = true
		for _, w := range waits[owner] {
			w.Depth = depth
			all = append(all, w)
			for _, h := range w.Holders {
				follow(h, depth+1)
			}
		}
	}
	for _, h := range holders {
		follow(h, 0)
	}
	return all
}

// times are the percentiles of waits or holds, in milliseconds.
type times struct{ P50, P99, Max time.Duration }

func timesOf(stats map[string]int64, name string) *times {
	if stats[name+"_count"] == 0 {
		return nil
	}
	ms := func(of string) time.Duration { return time.Duration(stats[name+of]) * time.Millisecond }
	return &times{ms("_p50"), ms("_p99"), ms("_max")}
}

type locksData struct {
	Locks      []lockRow
	Match      string
	Looked     int
	More       bool
	Stats      map[string]int64
	Wait, Hold *times
}

func locksPage(v *visit) (page, error) {
	if err := v.need(View, Target{Kind: Lock}); err != nil {
		return page{}, err
	}
	d := locksData{Match: v.arg("match")}
	var err error
	if d.Stats, err = ask(v, "lock stats", fresh, v.locks.Stats); err != nil {
		return page{}, err
	}
	d.Wait, d.Hold = timesOf(d.Stats, "wait_ms"), timesOf(d.Stats, "hold_ms")
	all, err := v.lockRows(d.Match)
	d.Looked, d.More = len(all.rows), all.more
	d.Locks = v.visible(all.rows, shownTasks)
	return page{name: "locks", Title: "Locks", Menu: Lock, Data: d, Live: true}, err
}

type holder struct {
	lock.HolderInfo
	Whole time.Duration
	Act   *button
}

type lockData struct {
	lock.Info
	Holding       []holder
	Chain         []waitsFor // what the holders wait for themselves
	All           *button
	Command       string
	HiddenHolders int
	Hidden        int // waiters
}

func lockPage(v *visit) (page, error) {
	name := v.arg("name")
	if name == "" {
		return page{}, failure{http.StatusNotFound, "Which lock?"}
	}
	if err := v.need(View, Target{Lock, name}); err != nil {
		return page{}, err
	}
	info, err := ask(v, "lock "+name, fresh, func(ctx context.Context) (lock.Info, error) { return v.locks.Info(ctx, name) })
	if err != nil {
		return page{}, err
	}
	d := lockData{Info: info, Command: shell.Command("lock watch", nil, name)}
	var owners []string
	for _, h := range info.Holders[:min(len(info.Holders), shownTasks)] {
		one := holder{HolderInfo: h, Whole: v.whole(name, h.Owner, h.Left)}
		if len(info.Holders) > 1 {
			one.Act = v.Button("break", "lock", name, "owner", h.Owner)
		}
		d.Holding = append(d.Holding, one)
		owners = append(owners, h.Owner)
	}
	d.HiddenHolders = len(info.Holders) - len(d.Holding)
	if len(info.Holders) > 0 {
		d.All = v.Button("break", "lock", name)
	}
	if d.Hidden = len(d.Waiters) - shownTasks; d.Hidden > 0 {
		d.Waiters = d.Waiters[:shownTasks]
	}
	if len(d.Waiters) > 0 {
		all, _ := v.lockRowsSoon(patient)
		d.Chain = chains(v.visible(contended(all.rows), locksMost), owners)
	}
	return page{name: "lock", Title: short(name), Menu: Lock, Data: d, Live: true}, nil
}
