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
	Over    Target
	Command string
	Said    string
	Err     error
	Job     *job // of a bulk act
}

// trail keeps the last acts.
type trail struct {
	mu   sync.Mutex
	last int
	all  []entry
}

const (
	trailMost   = 500  // acts kept
	commandMost = 2000 // bytes of a command kept
)

func (t *trail) add(e entry) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last++
	e.ID = t.last
	if len(e.Command) > commandMost {
		e.Command = e.Command[:commandMost] + " …"
	}
	t.all = append(t.all, e)
	if len(t.all) > trailMost {
		t.all = slices.Delete(t.all, 0, len(t.all)-trailMost)
	}
	return e.ID
}

func (e entry) log(b *board) {
	log := b.Logger.With("user", e.User, "act", e.Act, "target", e.Over.Name, "command", e.Command)
	switch said, err := e.Result(); {
	case err != nil:
		log.Warn("dashboard: act failed", "result", said, "error", err)
	default:
		log.Info("dashboard: act", "result", said)
	}
}

// Result is what an act did, so far, and why it failed.
func (e entry) Result() (said string, err error) {
	if e.Job != nil {
		p := e.Job.progress()
		return p.Said, p.Err
	}
	return e.Said, e.Err
}

// newest returns the acts, the newest first.
func (t *trail) newest() []entry {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := slices.Clone(t.all)
	slices.Reverse(all)
	return all
}

// find returns the act of an id as a link has it.
func (t *trail) find(id string) (entry, bool) {
	n, _ := strconv.Atoi(id)
	all := t.newest()
	if i := slices.IndexFunc(all, func(e entry) bool { return e.ID == n }); i >= 0 {
		return all[i], true
	}
	return entry{}, false
}

// seen are the acts on what the visitor may see.
func (v *visit) seen(all []entry) []shownEntry {
	var mine []shownEntry
	for _, e := range all {
		if v.May(View, e.Over) {
			mine = append(mine, v.shown(e))
		}
	}
	return mine
}

// shownEntry is an act with what it did so far.
type shownEntry struct {
	entry
	Said    string
	Err     error
	Going   bool
	Percent int // of a bulk act
}

func (v *visit) shown(e entry) shownEntry {
	said, err := e.Result()
	s := shownEntry{entry: e, Said: said, Err: err}
	if e.Job != nil {
		p := e.Job.progress()
		s.Going, s.Percent = !p.Ended, p.Percent
	}
	return s
}

// Did is the act whose result the page shows above its content.
func (v *visit) Did() *shownEntry {
	e, there := v.trail.find(v.arg("did"))
	if !there || e.User != v.User(v.r) || v.Now.Sub(e.At) > time.Minute {
		return nil
	}
	s := v.shown(e)
	return &s
}

func auditPage(v *visit) (page, error) {
	if err := v.need(View, Target{Kind: Server}); err != nil {
		return page{}, err
	}
	return page{name: "audit", Title: "Audit", Menu: Server, Data: v.seen(v.trail.newest()), Live: true}, nil
}
