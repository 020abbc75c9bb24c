package dashboard

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"time"

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
	locksMost  = 10_000 // locks that a page looks at
	peopleMost = 10     // holders and waiters of each that a list keeps
	perLock    = time.Millisecond
)

// lockRows lists the locks that match, those with the longest lines first, and tells whether
// there are more.
func (v *visit) lockRows(match string) (all []lockRow, more bool, err error) {
	within := func(p lock.Page) time.Duration { return time.Duration(len(p.Locks)) * perLock }
	found, err := askFor(v, "locks "+match, within, func(ctx context.Context) (lock.Page, error) {
		var all lock.Page
		seen := map[string]bool{}
		for {
			page, err := v.locks.List(ctx, lock.ListOptions{Cursor: all.Cursor, Match: match})
			if err != nil {
				return all, err
			}
			for _, l := range page.Locks {
				if !seen[l.Name] {
					seen[l.Name] = true
					l.Holders = slices.Clone(l.Holders[:min(len(l.Holders), peopleMost)])
					l.Waiters = slices.Clone(l.Waiters[:min(len(l.Waiters), peopleMost)])
					all.Locks = append(all.Locks, l)
				}
			}
			if all.Cursor = page.Cursor; all.Cursor == "" || len(all.Locks) >= locksMost {
				return all, nil
			}
		}
	})
	for _, l := range found.Locks {
		if !v.May(View, Target{Lock, l.Name}) {
			continue
		}
		r := lockRow{Info: l}
		if len(l.Holders) > 0 {
			h := l.Holders[0]
			r.Owner, r.Left, r.Held = h.Owner, h.Left, h.Held
		}
		if len(l.Waiters) > 0 {
			r.Next, r.First = l.Waiters[0].Owner, l.Waiters[0].Waited
		}
		all = append(all, r)
	}
	slices.SortStableFunc(all, func(a, b lockRow) int {
		return cmp.Or(cmp.Compare(b.Waiting, a.Waiting), cmp.Compare(a.Name, b.Name))
	})
	return all, found.Cursor != "", err
}

// whole is how long a holder's lease is.
func (v *visit) whole(name, owner string, left time.Duration) time.Duration {
	return v.terms.of("lock "+name+" "+owner, left)
}

// wholes fills in how long the leases of rows are that are shown.
func (v *visit) wholes(shown []lockRow) []lockRow {
	for i := range shown {
		shown[i].Whole = v.whole(shown[i].Name, shown[i].Owner, shown[i].Left)
	}
	return shown
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
	d.Locks, d.More, err = v.lockRows(d.Match)
	d.Looked = len(d.Locks)
	d.Locks = v.wholes(d.Locks[:min(len(d.Locks), shownTasks)])
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
	d := lockData{Info: info, Command: command("lock", "watch", name)}
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
		others, _, err := v.lockRows("")
		if err != nil {
			return page{}, err
		}
		d.Chain = chains(others, owners)
	}
	return page{name: "lock", Title: name, Menu: Lock, Data: d, Live: true}, nil
}
