package dashboard

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"holdfast/queue"
)

const (
	jobsMost = 4   // bulk acts that run at once
	jobStep  = 500 // dead letters read and acted on in one step
	jobSoon  = 500 * time.Millisecond
)

// choice names dead letters of one group: those that a filter chooses, up to one entry. Entries
// are only ever added behind that entry, so a later walk finds what the first walk found, less
// what others have moved meanwhile.
type choice struct {
	stream, group string
	filter        queue.Filter
	cause         string // the digest of a cause that Redact hides
	upto          string // the last entry; empty for no bound
}

func (c choice) has(r *queue.Record) bool {
	return c.filter.Match(r) && (c.cause == "" || c.cause == digest(queue.NormalizeError(r.Error)))
}

// choice reads the choice of a form or link. Times such as since:2h count from the time that the
// form names, which is when the page was made.
func (v *visit) choice(f form) (choice, error) {
	c := choice{stream: f.queue(), group: f.group(), cause: f.Get("cause"), upto: f.Get("upto")}
	now := v.Now
	if at, err := strconv.ParseInt(f.Get("at"), 10, 64); err == nil {
		now = time.UnixMilli(at)
	}
	var err error
	if c.filter, err = v.filter(f.Get("where"), now); err != nil {
		return c, failure{http.StatusBadRequest, err.Error()}
	}
	if _, _, ok := entryID(c.upto); !ok && c.upto != "" {
		return c, failure{http.StatusBadRequest, "The form does not say up to which task."}
	}
	return c, nil
}

// entryID reads the two numbers of an entry id.
func entryID(id string) (ms, seq uint64, ok bool) {
	a, b, _ := strings.Cut(id, "-")
	ms, errA := strconv.ParseUint(a, 10, 64)
	seq, errB := strconv.ParseUint(b, 10, 64)
	return ms, seq, errA == nil && errB == nil
}

// isAfter reports whether an entry lies behind another one.
func isAfter(id, other string) bool {
	ms, seq, _ := entryID(id)
	otherMS, otherSeq, ok := entryID(other)
	return ok && (ms > otherMS || ms == otherMS && seq > otherSeq)
}

// walk reads the dead letters of a choice's group, the oldest first, and calls step with those
// of each page that are chosen. It ends behind the last entry, after most letters, or with an
// error of step. It tells whether there are more.
func (b *board) walk(ctx context.Context, c choice, most int, step func(looked int, chosen []queue.Record, last string) error) (more bool, err error) {
	var is []bool // of each task read: whether it is chosen, which its whole payload tells
	o := queue.SearchOptions{State: queue.Dead, Group: c.group, Filter: queue.Filter{From: c.filter.From, To: c.filter.To}, Keep: func(r *queue.Record) {
		is = append(is, c.has(r))
		b.brief(c.stream, r)
	}}
	for looked := 0; looked < most; {
		o.Limit, is = min(jobStep, most-looked), is[:0]
		page, err := b.queues.Search(ctx, c.stream, o)
		if err != nil {
			return true, err
		}
		var chosen []queue.Record
		last, n := "", 0
		for i, r := range page.Tasks {
			if c.upto != "" && isAfter(r.Entry, c.upto) {
				page.Cursor = ""
				break
			}
			if last, n = r.Entry, n+1; is[i] {
				chosen = append(chosen, r)
			}
		}
		looked += n
		if n > 0 {
			if err := step(n, chosen, last); err != nil {
				return true, err
			}
		}
		if o.Cursor = page.Cursor; o.Cursor == "" {
			return false, nil
		}
	}
	return true, nil
}

// job is a bulk act. It goes on when the page that began it is closed.
type job struct {
	act   act
	of    int // about how many dead letters there are to look at
	began time.Time
	over  Target
	stop  context.CancelFunc
	ended chan struct{}

	mu           sync.Mutex
	looked, done int
	err          error
	end          time.Time
}

var (
	errJobs    = failure{http.StatusServiceUnavailable, fmt.Sprintf("%d bulk acts are under way already. Wait until one has ended, or stop one. Nothing was done.", jobsMost)}
	errRight   = errors.New("you do not have the right any more")
	errStopped = errors.New("stopped")
)

// begin begins a bulk act. Between its steps the visitor's right is asked for again.
func (v *visit) begin(a act, f form, e entry) (*job, error) {
	c, err := v.choice(f)
	if err != nil {
		return nil, err
	}
	if c.upto == "" {
		return nil, failure{http.StatusBadRequest, "The form does not say up to which task."}
	}
	if v.running.Add(1) > jobsMost {
		v.running.Add(-1)
		return nil, errJobs
	}
	unending := context.WithoutCancel(v.r.Context())
	goes, stop := context.WithCancel(unending)
	of, _ := strconv.Atoi(f.Get("of"))
	j := &job{act: a, of: of, began: v.Now, over: e.Over, stop: stop, ended: make(chan struct{})}
	asked, b := v.r.Clone(unending), v.board
	step := func(looked int, chosen []queue.Record, _ string) error {
		switch {
		case !b.allows(asked, a.Right, j.over):
			return errRight
		case goes.Err() != nil:
			return errStopped
		case len(chosen) == 0:
			j.add(looked, 0)
			return nil
		}
		ids := make([]string, len(chosen))
		for i := range chosen {
			ids[i] = chosen[i].Entry
		}
		out, err := a.bulk(unending, b, c.stream, queue.Selection{Entries: ids, Group: c.group})
		if err != nil {
			looked = 0
		}
		j.add(looked, out.Done)
		return err
	}
	go func() {
		var err error
		defer func() {
			if p := recover(); p != nil { // of Options.Can; it must not end the program
				err = fmt.Errorf("panic: %v", p)
			}
			stop()
			j.finish(err)
			b.running.Add(-1)
			b.memory.forget()
			e.Job = j
			e.log(b)
		}()
		_, err = b.walk(unending, c, math.MaxInt, step)
	}()
	return j, nil
}

func (j *job) add(looked, done int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.looked, j.done = j.looked+looked, j.done+done
}

func (j *job) finish(err error) {
	j.mu.Lock()
	j.err, j.end = err, time.Now()
	j.mu.Unlock()
	close(j.ended)
}

// endsSoon waits a moment for the end, so that a small bulk act needs no page of its own.
func (j *job) endsSoon(ctx context.Context) bool {
	soon := time.NewTimer(jobSoon)
	defer soon.Stop()
	select {
	case <-j.ended:
		return true
	case <-soon.C:
	case <-ctx.Done():
	}
	return false
}

// progress is how far a bulk act is.
type progress struct {
	Looked, Of, Done int
	Percent          int
	Ended            bool
	Stopped          bool
	Took             time.Duration
	Left             time.Duration // 0 where it is not known
	Said             string
	Err              error
}

func (j *job) progress() progress {
	j.mu.Lock()
	defer j.mu.Unlock()
	p := progress{Looked: j.looked, Of: max(j.of, j.looked), Done: j.done, Err: j.err, Ended: !j.end.IsZero(), Took: time.Since(j.began)}
	if p.Ended {
		p.Took, p.Of = j.end.Sub(j.began), j.looked
	}
	if p.Of > 0 {
		p.Percent = p.Looked * 100 / p.Of
	}
	if p.Looked > 0 && !p.Ended {
		p.Left = time.Duration(float64(p.Took) / float64(p.Looked) * float64(p.Of-p.Looked))
	}
	p.Said = fmt.Sprintf("%s %s %s, of %s looked at", count(p.Done, "task", "tasks"), j.act.past, short(j.over.Name), number(p.Looked))
	if p.Stopped = errors.Is(p.Err, errStopped); p.Stopped {
		p.Err = nil
		p.Said = "Stopped: " + p.Said
	} else if p.Err != nil {
		p.Said += ", then: " + p.Err.Error()
	}
	return p
}

// Jobs are the bulk acts that go on over a queue, or with "" over all that the visitor may see.
func (v *visit) Jobs(stream string) []shownEntry {
	var going []shownEntry
	for _, e := range v.seen(v.trail.newest()) {
		if e.Going && (stream == "" || e.Over.Name == stream) {
			going = append(going, e)
		}
	}
	return going
}

// jobData is what the page of a bulk act shows.
type jobData struct {
	E entry
	progress
	Act  act
	Stop bool // the visitor may stop it
}

func jobPage(v *visit) (page, error) {
	e, there := v.trail.find(v.arg("id"))
	if !there || e.Job == nil {
		return page{}, failure{http.StatusNotFound, "There is no such act in this process, or it was long ago."}
	}
	if err := v.need(View, e.Over); err != nil {
		return page{}, err
	}
	d := jobData{e, e.Job.progress(), e.Job.act, v.May(e.Job.act.Right, e.Over)}
	title := fmt.Sprintf("%d %% – %s", d.Percent, short(e.Over.Name))
	if d.Ended {
		title = "Done – " + short(e.Over.Name)
	}
	return page{name: "job", Title: title, Menu: Queue, Data: d, Live: true}, nil
}

// stop ends a bulk act after the step that it is at.
func (b *board) stop(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 1<<10)
	v := b.visit(r)
	e, there := b.trail.find(r.PostFormValue("id"))
	if !there || e.Job == nil {
		b.refuse(w, r, failure{http.StatusNotFound, "There is no such act in this process, or it was long ago."})
		return
	}
	if err := v.need(e.Job.act.Right, e.Over); err != nil {
		b.refuse(w, r, err)
		return
	}
	e.Job.stop()
	e.Job.endsSoon(r.Context())
	b.Logger.Info("dashboard: a bulk act was stopped", "user", b.User(r), "act", e.Act, "target", e.Over.Name)
	redirect(w, link("job", vals("id", fmt.Sprint(e.ID))))
}
