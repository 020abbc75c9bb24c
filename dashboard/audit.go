package dashboard

import (
	"slices"
	"strconv"
	"sync"
	"time"
)

// entry is one act in the audit.
type entry struct {
	ID      int
	At      time.Time
	User    string
	Act     string
	Target  string
	Command string
	Said    string
	Err     error
}

// trail has the last acts.
type trail struct {
	mu   sync.Mutex
	last int
	all  []entry
}

const trailMost = 500

func (t *trail) add(b *board, e entry) int {
	t.mu.Lock()
	t.last++
	e.ID = t.last
	if len(e.Command) > 2000 {
		e.Command = e.Command[:2000] + " …"
	}
	t.all = append(t.all, e)
	if len(t.all) > trailMost {
		t.all = slices.Delete(t.all, 0, len(t.all)-trailMost)
	}
	t.mu.Unlock()
	log := b.Logger.With("user", e.User, "act", e.Act, "target", e.Target, "command", e.Command)
	if e.Err != nil {
		log.Warn("dashboard: act failed", "error", e.Err)
	} else {
		log.Info("dashboard: act", "result", e.Said)
	}
	return e.ID
}

func (t *trail) newest() []entry {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := slices.Clone(t.all)
	slices.Reverse(all)
	return all
}

// Did is the act whose result the page is to show.
func (v *visit) Did() *entry {
	id, err := strconv.Atoi(v.arg("did"))
	if err != nil {
		return nil
	}
	user := v.User(v.r)
	for _, e := range v.trail.newest() {
		if e.ID == id && e.User == user && v.Now.Sub(e.At) < time.Minute {
			return &e
		}
	}
	return nil
}

func auditPage(v *visit) (page, error) {
	if err := v.need(View, ""); err != nil {
		return page{}, err
	}
	return page{name: "audit", Title: "Audit", Area: "audit", Data: v.trail.newest(), Live: true}, nil
}
