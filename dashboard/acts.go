package dashboard

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"holdfast/internal/shell"
	"holdfast/queue"
)

// form is what an act is about, as a form or a link has it.
type form struct{ url.Values }

func (f form) queue() string    { return f.Get("q") }
func (f form) group() string    { return f.Get("group") }
func (f form) ids() []string    { return strings.Fields(f.Get("ids")) }
func (f form) consumer() string { return f.Get("consumer") }

// isBulk reports whether the form chooses dead letters by a filter or a cause, and not by their ids.
func (f form) isBulk() bool { return f.Has("where") || f.Has("cause") }

// nameOf is the field of a form that names the target.
var nameOf = map[Kind]string{Queue: "q", Lock: "lock", Cache: "key"}

// command is a verb of the tool with the queue, the ids or the filter, and the group.
func (f form) command(verb string, flags ...string) string {
	if f.Has("cause") { // only its digest is known here, see visit.Cause
		return ""
	}
	names := []string{f.queue()}
	for _, id := range f.ids() {
		if verb != "cancel" { // the ids of dead letters are their entries'
			id = "entry:" + id
		}
		names = append(names, id)
	}
	if where := f.Get("where"); where != "" {
		flags = append(flags, "--where="+where)
	}
	if n, _ := strconv.Atoi(f.Get("of")); n > queue.DefaultWindow {
		flags = append(flags, fmt.Sprint("--window=", n))
	}
	if f.group() != "" && verb != "cancel" {
		flags = append(flags, "--group="+f.group())
	}
	return shell.Command("queue "+verb, flags, names...)
}

// selection are the dead letters that a form names by their ids.
func (f form) selection() queue.Selection {
	return queue.Selection{Entries: f.ids(), Group: f.group()}
}

// act is something that can be done from the pages. Each is a verb of the tool.
type act struct {
	Name    string
	Button  string
	Right   Right
	Kind    Kind // of its target
	Asks    bool // is confirmed on a page of its own
	Command func(f form) string
	Warning string // what cannot be undone

	do   func(ctx context.Context, b *board, f form) (string, error)
	bulk func(ctx context.Context, b *board, stream string, s queue.Selection) (queue.Outcome, error) // do for one step of many
	past string                                                                                       // of bulk: what was done
	many string                                                                                       // of bulk: what the button says, with %s for how many
}

// Label is what the button says that acts on n.
func (a act) Label(n int) string {
	if n < 2 || a.many == "" {
		return a.Button
	}
	return fmt.Sprintf(a.many, number(n))
}

// LabelAll is what the button says that acts on all.
func (a act) LabelAll() string { return fmt.Sprintf(a.many, "all that match") }

// over is the target that a form names for the act.
func (a act) over(f form) Target { return Target{a.Kind, f.Get(nameOf[a.Kind])} }

// asks reports whether the act is confirmed on a page of its own: a bulk act always is.
func (a act) asks(f form) bool { return a.Asks || f.isBulk() }

var acts = []act{
	{Name: "redrive", Button: "Run again", Right: Operate, Kind: Queue,
		Command: func(f form) string { return f.command("redrive") },
		do: func(ctx context.Context, b *board, f form) (string, error) {
			out, err := b.queues.Redrive(ctx, f.queue(), f.selection())
			if err == nil && out.Done == 0 {
				return "Nothing to move: somebody else has done it, or it is gone", nil
			}
			return count(out.Done, "task", "tasks") + " moved back to " + short(f.queue()), err
		},
		bulk: func(ctx context.Context, b *board, stream string, s queue.Selection) (queue.Outcome, error) {
			return b.queues.Redrive(ctx, stream, s)
		}, past: "moved back to", many: "Run %s again"},
	{Name: "discard", Button: "Delete", Right: Destroy, Kind: Queue, Asks: true, Warning: "Deleted tasks are gone for good and cannot be run again.",
		Command: func(f form) string { return f.command("discard") },
		do: func(ctx context.Context, b *board, f form) (string, error) {
			out, err := b.queues.Discard(ctx, f.queue(), f.selection())
			return fmt.Sprintf("%s of %s deleted", count(out.Done, "task", "tasks"), short(f.queue())), err
		},
		bulk: func(ctx context.Context, b *board, stream string, s queue.Selection) (queue.Outcome, error) {
			return b.queues.Discard(ctx, stream, s)
		}, past: "deleted from", many: "Delete %s"},
	{Name: "repair", Button: "Repair and run again", Right: Operate, Kind: Queue,
		Command: func(f form) string { return f.command("redrive", "--payload="+f.Get("payload")) },
		do: func(ctx context.Context, b *board, f form) (string, error) {
			if b.Redact != nil {
				return "", failure{http.StatusForbidden, "Payloads are hidden here, and cannot be repaired."}
			}
			if len(f.ids()) != 1 {
				return "", failure{http.StatusBadRequest, "Name the one task to repair."}
			}
			there, err := b.queues.Repair(ctx, f.queue(), f.group(), "entry:"+f.ids()[0], []byte(f.Get("payload")))
			if err == nil && !there {
				return "Nothing to repair: the task is not dead any more", nil
			}
			return "1 task repaired and moved back to " + short(f.queue()), err
		}},
	{Name: "cancel", Button: "Cancel", Right: Destroy, Kind: Queue, Asks: true, Warning: "The task is taken out of the queue. A worker that has it is told when it next renews its lease.",
		Command: func(f form) string { return f.command("cancel") },
		do: func(ctx context.Context, b *board, f form) (string, error) {
			n, err := b.queues.Cancel(ctx, f.queue(), f.ids()...)
			return count(n, "task", "tasks") + " of " + short(f.queue()) + " cancelled", err
		}},
	{Name: "pause", Button: "Pause", Right: Operate, Kind: Queue,
		Command: func(f form) string { return f.command("pause") },
		do: func(ctx context.Context, b *board, f form) (string, error) {
			return short(f.queue()) + " is paused", b.queues.Pause(ctx, f.queue())
		}},
	{Name: "resume", Button: "Resume", Right: Operate, Kind: Queue,
		Command: func(f form) string { return f.command("resume") },
		do: func(ctx context.Context, b *board, f form) (string, error) {
			return short(f.queue()) + " goes on", b.queues.Resume(ctx, f.queue())
		}},
	{Name: "forget", Button: "Forget", Right: Destroy, Kind: Queue, Asks: true, Warning: "The worker's tasks go to the others at once. If the worker still runs, they are done twice.",
		Command: func(f form) string {
			return shell.Command("queue forget", []string{"--group=" + f.group()}, f.queue(), f.consumer())
		},
		do: func(ctx context.Context, b *board, f form) (string, error) {
			n, err := b.queues.Forget(ctx, f.queue(), f.group(), f.consumer())
			return fmt.Sprintf("%s forgotten, %s given to the others", short(f.consumer()), count(n, "task", "tasks")), err
		}},
	{Name: "break", Button: "Break", Right: Destroy, Kind: Lock, Asks: true, Warning: "A holder that still works learns of it at its next renewal. The next in line is served at once.",
		Command: func(f form) string {
			var flags []string
			if owner := f.Get("owner"); owner != "" {
				flags = append(flags, "--owner="+owner)
			}
			return shell.Command("lock break", flags, f.Get("lock"))
		},
		do: func(ctx context.Context, b *board, f form) (string, error) {
			n, err := b.locks.Break(ctx, f.Get("lock"), f.Get("owner"))
			return fmt.Sprintf("%s of %s removed", count(n, "holder", "holders"), short(f.Get("lock"))), err
		}},
	{Name: "delete", Button: "Delete", Right: Destroy, Kind: Cache, Asks: true, Warning: "The next reader loads the value again. A load that is under way ends.",
		Command: func(f form) string { return shell.Command("cache del", nil, f.Get("key")) },
		do: func(ctx context.Context, b *board, f form) (string, error) {
			n, err := b.caches.Delete(ctx, f.Get("key"))
			return count(int(n), "value", "values") + " deleted", err
		}},
}

func actOf(name string) (act, error) {
	if i := slices.IndexFunc(acts, func(a act) bool { return a.Name == name }); i >= 0 {
		return acts[i], nil
	}
	return act{}, failure{http.StatusNotFound, "There is no such act."}
}

// button is a button of a page for an act, with the command that does the same.
type button struct {
	act
	Form    form
	Command string
	Back    string
	Asks    bool
}

// Button is the button of an act for a visitor who has the right, else nil. The pairs are the
// names and values of the form. There is no button for a name that a form cannot carry.
func (v *visit) Button(name string, pairs ...string) *button {
	a, err := actOf(name)
	f := form{vals(pairs...)}
	if err != nil || !v.May(a.Right, a.over(f)) || slices.ContainsFunc(pairs, func(s string) bool { return !shell.Carries(s) }) {
		return nil
	}
	return &button{act: a, Form: f, Command: a.Command(f), Back: v.Here(), Asks: a.asks(f)}
}

// Link is where the act is confirmed.
func (b button) Link() string {
	q := url.Values{}
	for name, values := range b.Form.Values {
		q[name] = values
	}
	q.Set("act", b.Name)
	q.Set("back", b.Back)
	return link("confirm", q)
}

const (
	formMost = 1 << 20 // bytes of a form
	idsMost  = 1000    // tasks named in one form
)

// act does what a form says. The right is asked for again, whatever the page showed.
func (b *board) act(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, formMost)
	if err := r.ParseForm(); err != nil {
		b.refuse(w, r, failure{http.StatusBadRequest, "The form cannot be read: " + err.Error()})
		return
	}
	v, f := b.visit(r), form{r.PostForm}
	for name := range f.Values { // a browser sends line ends as CR LF
		f.Set(name, strings.ReplaceAll(f.Get(name), "\r\n", "\n"))
	}
	a, err := actOf(f.Get("act"))
	if err == nil {
		err = v.check(a, f)
	}
	if err == nil {
		v.feel()
		err = v.gone
	}
	if err != nil {
		b.refuse(w, r, err)
		return
	}
	e := entry{At: v.Now, User: b.User(r), Act: a.Name, Over: a.over(f), Command: a.Command(f)}
	if f.isBulk() {
		e.Job, err = v.begin(a, f, e)
	} else {
		ctx, cancel := context.WithTimeout(r.Context(), searchWithin)
		e.Said, e.Err = a.do(ctx, b, f)
		cancel()
		b.memory.forget()
		if refused := (failure{}); errors.As(e.Err, &refused) {
			err = refused
		}
	}
	if err != nil {
		b.refuse(w, r, err)
		return
	}
	id := fmt.Sprint(b.trail.add(e))
	if e.Job == nil {
		e.log(b)
	}
	if e.Job != nil && !e.Job.endsSoon(r.Context()) {
		redirect(w, link("job", vals("id", id)))
		return
	}
	back := pageOf(f.Get("back"))
	q := back.Query()
	q.Set("did", id)
	back.RawQuery = q.Encode()
	redirect(w, back.String())
}

// check refuses forms that are not complete, and visitors without the right.
func (v *visit) check(a act, f form) error {
	over := a.over(f)
	if err := v.need(a.Right, over); err != nil {
		return err
	}
	switch {
	case over.Name == "":
		return failure{http.StatusBadRequest, "The form does not say what to act on."}
	case f.isBulk() && a.bulk == nil, f.isBulk() && f.Has("ids"):
		return failure{http.StatusBadRequest, "The form chooses tasks in two ways."}
	case len(f.ids()) > idsMost:
		return failure{http.StatusBadRequest, fmt.Sprintf("The form names %d tasks; %d are the most.", len(f.ids()), idsMost)}
	case len(f.ids()) == 0 && !f.isBulk() && (f.Has("ids") || a.bulk != nil):
		return failure{http.StatusBadRequest, "The form names no tasks."}
	case v.Production && a.Right == Destroy && f.Get("typed") != over.Name:
		return failure{http.StatusBadRequest, fmt.Sprintf("This is production: type %s to go on. Nothing was done.", short(over.Name))}
	}
	return nil
}

// redirect leads to a page. The address is relative, so that it holds under any prefix.
func redirect(w http.ResponseWriter, to string) {
	w.Header().Set("Location", to)
	w.WriteHeader(http.StatusSeeOther)
}

// pageOf is one of these pages by its address, which may be forged: never another site.
func pageOf(address string) *url.URL {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "" || u.Host != "" || strings.ContainsAny(strings.TrimPrefix(u.Path, "./"), `/\:.`) {
		return &url.URL{Path: "./"}
	}
	return &url.URL{Path: first(u.Path, "./"), RawQuery: u.RawQuery}
}

func first(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

// theme keeps the choice of light or dark.
func (b *board) theme(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 1<<10)
	choice := r.PostFormValue("theme")
	if choice != "dark" && choice != "light" {
		choice = ""
	}
	http.SetCookie(w, &http.Cookie{Name: "holdfast_theme", Value: choice, MaxAge: 365 * 86400, HttpOnly: true, SameSite: http.SameSiteLaxMode})
	redirect(w, "./")
}

// Theme is light, dark, or "" for what the system says.
func (v *visit) Theme() string {
	choice := v.arg("theme")
	if c, err := v.r.Cookie("holdfast_theme"); err == nil && choice == "" {
		choice = c.Value
	}
	if choice == "dark" || choice == "light" {
		return choice
	}
	return ""
}
