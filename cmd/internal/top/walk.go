package top

import (
	"context"
	"slices"
	"strings"
	"time"

	"holdfast/lock"
)

// Walking through the keys of a large server costs it time that its clients wait for: a step is a small part
// of the time between two samples, and asks for few keys at once.
const (
	stepShare = 20 // one of so many
	stepKeys  = 250
)

// walk finds the locks. Servers list locks by walking through all of their keys, which may be millions, so
// each sample walks a bit further, and asks again about the locks that were found before.
type walk struct {
	every  time.Duration // between two steps
	cursor string        // where to go on; empty is the beginning
	round  int
	found  map[string]foundLock
	whole  bool // a round has come to its end
}

type foundLock struct {
	lock.Info
	round int // in which the lock was last found
}

// step walks on, and returns all locks that are known.
func (w *walk) step(ctx context.Context, inspect *lock.Inspector) ([]lock.Info, error) {
	if w.found == nil {
		w.found = map[string]foundLock{}
	}
	now := map[string]bool{}
	for end := time.Now().Add(w.every / stepShare); ; {
		page, err := inspect.List(ctx, lock.ListOptions{Cursor: w.cursor, Count: stepKeys})
		if err != nil {
			return nil, err
		}
		for _, l := range page.Locks {
			if _, known := w.found[l.Name]; known || len(w.found) < most {
				w.found[l.Name] = foundLock{l, w.round}
				now[l.Name] = true
			}
		}
		if w.cursor = page.Cursor; w.cursor == "" {
			w.end()
			break
		}
		if time.Now().After(end) {
			break
		}
	}
	var all []lock.Info
	for name, l := range w.found {
		if !now[name] {
			var err error
			if l.Info, err = inspect.Info(ctx, name); err != nil {
				return nil, err
			}
			if l.Holding == 0 && l.Waiting == 0 {
				delete(w.found, name)
				continue
			}
			w.found[name] = l
		}
		all = append(all, l.Info)
	}
	slices.SortFunc(all, func(a, b lock.Info) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

// end ends a round: locks that it did not find are gone.
func (w *walk) end() {
	for name, l := range w.found {
		if l.round < w.round {
			delete(w.found, name)
		}
	}
	w.round++
	w.whole = true
}
