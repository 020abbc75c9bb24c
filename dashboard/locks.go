package dashboard

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"time"

	"holdfast/cache"
	"holdfast/lock"
)

// lockRow is a lock in a list.
type lockRow struct {
	lock.Info
	Owner       string // the first holder
	Left, Whole time.Duration
	Held, First time.Duration // First is how long the first in line waits
}

// locksMost bounds how many locks a page looks at.
const locksMost = 1000

// lockRows are the locks that match, those with the longest lines first, and whether there are more.
func (v *visit) lockRows(match string) (all []lockRow, more bool, err error) {
	found, err := ask(v, "locks "+match, fresh, func(ctx context.Context) (lock.Page, error) {
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
					all.Locks = append(all.Locks, l)
				}
			}
			if all.Cursor = page.Cursor; all.Cursor == "" || len(all.Locks) >= locksMost {
				return all, nil
			}
		}
	})
	for _, l := range found.Locks {
		r := lockRow{Info: l}
		if len(l.Holders) > 0 {
			h := l.Holders[0]
			r.Owner, r.Left, r.Held = h.Owner, h.Left, h.Held
			r.Whole = v.whole(l.Name, h)
		}
		for _, w := range l.Waiters {
			r.First = max(r.First, w.Waited)
		}
		all = append(all, r)
	}
	slices.SortStableFunc(all, func(a, b lockRow) int {
		return cmp.Or(cmp.Compare(b.Waiting, a.Waiting), cmp.Compare(a.Name, b.Name))
	})
	return all, found.Cursor != "", err
}

// whole is how long a holder's lease is.
func (v *visit) whole(name string, h lock.HolderInfo) time.Duration {
	return v.terms.of("lock "+name+" "+h.Owner, h.Left)
}

type locksData struct {
	Locks   []lockRow
	Match   string
	More    bool
	Waiting int
}

func locksPage(v *visit) (page, error) {
	if err := v.need(View, ""); err != nil {
		return page{}, err
	}
	d := locksData{Match: v.arg("match")}
	var err error
	d.Locks, d.More, err = v.lockRows(d.Match)
	for _, l := range d.Locks {
		d.Waiting += l.Waiting
	}
	if len(d.Locks) > shownTasks {
		d.Locks, d.More = d.Locks[:shownTasks], true
	}
	return page{name: "locks", Title: "Locks", Area: "locks", Data: d, Live: true}, err
}

type holder struct {
	lock.HolderInfo
	Whole time.Duration
	Act   *button
}

type lockData struct {
	lock.Info
	Holding []holder
	All     *button
	Command string
	Hidden  int
}

func lockPage(v *visit) (page, error) {
	if err := v.need(View, ""); err != nil {
		return page{}, err
	}
	name := v.arg("name")
	if name == "" {
		return page{}, failure{http.StatusNotFound, "Which lock?"}
	}
	info, err := ask(v, "lock "+name, fresh, func(ctx context.Context) (lock.Info, error) { return v.locks.Info(ctx, name) })
	d := lockData{Info: info, Command: command("lock", "watch", name)}
	for _, h := range info.Holders[:min(len(info.Holders), shownTasks)] {
		one := holder{HolderInfo: h, Whole: v.whole(name, h)}
		if len(info.Holders) > 1 {
			one.Act = v.Button("break", "lock", name, "owner", h.Owner)
		}
		d.Holding = append(d.Holding, one)
	}
	if len(info.Holders) > 0 {
		d.All = v.Button("break", "lock", name)
	}
	if d.Hidden = len(d.Waiters) - shownTasks; d.Hidden > 0 {
		d.Waiters = d.Waiters[:shownTasks]
	}
	return page{name: "lock", Title: name, Area: "locks", Data: d, Live: true}, err
}

type cacheData struct {
	Stats   map[string]int64
	Asked   int64 // hits and misses
	HitRate string
	Loads   []cache.Load
	Key     string
	Info    cache.Info
	Delete  *button
	Command string
}

func cachePage(v *visit) (page, error) {
	if err := v.need(View, ""); err != nil {
		return page{}, err
	}
	out := page{name: "cache", Title: "Cache", Area: "cache", Live: true}
	d := cacheData{Key: v.arg("key")}
	var err error
	if d.Stats, err = ask(v, "cache stats", fresh, v.caches.Stats); err != nil {
		return out, err
	}
	if d.Loads, err = ask(v, "cache loads", fresh, func(ctx context.Context) ([]cache.Load, error) { return v.caches.Loads(ctx, shownTasks) }); err != nil {
		return out, err
	}
	if d.Key != "" {
		d.Info, err = ask(v, "cache key "+d.Key, fresh, func(ctx context.Context) (cache.Info, error) { return v.caches.Info(ctx, d.Key) })
		d.Delete, d.Command = v.Button("delete", "key", d.Key), command("cache", "info", d.Key)
	}
	if d.Asked = d.Stats["hits"] + d.Stats["misses"]; d.Asked > 0 {
		d.HitRate = percent(d.Stats["hits"], d.Asked)
	}
	out.Data = d
	return out, err
}

// Term is how long the lease of a load is.
func (v *visit) Term(key string, left time.Duration) time.Duration {
	return v.terms.of("load "+key, left)
}
