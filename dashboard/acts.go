package dashboard

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"holdfast/queue"
)

// form is what an act is about, as a form or a link has it.
type form struct{ url.Values }

func (f form) queue() string    { return f.Get("q") }
func (f form) group() string    { return f.Get("group") }
func (f form) ids() []string    { return strings.Fields(f.Get("ids")) }
func (f form) consumer() string { return f.Get("consumer") }

// target is what the act is done to: what has to be typed in production.
func (f form) target() string { return first(f.Get("q"), f.Get("lock"), f.Get("key")) }

// words are a verb of the tool with the queue, the ids and the group.
func (f form) words(verb string, more ...string) string {
	words := []string{"queue", verb, f.queue()}
	for _, id := range f.ids() {
		if verb != "cancel" { // the ids of dead letters are their entries'
			id = "entry:" + id
		}
		words = append(words, id)
	}
	if f.group() != "" && verb != "cancel" {
		words = append(words, "--group="+f.group())
	}
	return command(append(words, more...)...)
}

// act is something that can be done from the pages. Each is a verb of the tool.
type act struct {
	Name    string
	Button  string
	Right   Right
	Asks    bool // is confirmed on a page of its own
	Command func(f form) string
	Warning string // what cannot be undone
	do      func(ctx context.Context, b *board, f form) (string, error)
}

var acts = []act{
	{Name: "redrive", Button: "Run again", Right: Operate, Asks: true,
		Command: func(f form) string { return f.words("redrive") },
		do: func(ctx context.Context, b *board, f form) (string, error) {
			out, err := b.queues.Redrive(ctx, f.queue(), queue.Selection{Entries: f.ids(), Group: f.group()})
			return fmt.Sprintf("%s of %d moved back to %s", count(out.Done, "task", "tasks"), len(f.ids()), f.queue()), err
		}},
	{Name: "discard", Button: "Delete", Right: Destroy, Asks: true, Warning: "They are deleted for good and cannot be run again.",
		Command: func(f form) string { return f.words("discard") },
		do: func(ctx context.Context, b *board, f form) (string, error) {
			out, err := b.queues.Discard(ctx, f.queue(), queue.Selection{Entries: f.ids(), Group: f.group()})
			return fmt.Sprintf("%s of %d of %s deleted", count(out.Done, "task", "tasks"), len(f.ids()), f.queue()), err
		}},
	{Name: "retry", Button: "Run again", Right: Operate,
		Command: func(f form) string { return f.words("redrive") },
		do: func(ctx context.Context, b *board, f form) (string, error) {
			out, err := b.queues.Redrive(ctx, f.queue(), queue.Selection{Entries: f.ids(), Group: f.group()})
			if err == nil && out.Done == 0 {
				return "Nothing to move: somebody else has done it, or it is gone", nil
			}
			return count(out.Done, "task", "tasks") + " moved back to " + f.queue(), err
		}},
	{Name: "repair", Button: "Repair and run again", Right: Operate,
		Command: func(f form) string { return f.words("redrive", "--payload="+f.Get("payload")) },
		do: func(ctx context.Context, b *board, f form) (string, error) {
			if b.Redact != nil {
				return "", failure{http.StatusForbidden, "Payloads are hidden here, and cannot be repaired."}
			}
			if len(f.ids()) != 1 {
				return "", failure{http.StatusBadRequest, "Name the one task to repair."}
			}
			// A browser sends line ends as CR LF.
			payload := strings.ReplaceAll(f.Get("payload"), "\r\n", "\n")
			there, err := b.queues.Repair(ctx, f.queue(), f.group(), "entry:"+f.ids()[0], []byte(payload))
			if err == nil && !there {
				return "Nothing to repair: the task is not dead any more", nil
			}
			return "1 task repaired and moved back to " + f.queue(), err
		}},
	{Name: "cancel", Button: "Cancel", Right: Destroy, Asks: true, Warning: "It is taken out of the queue. A worker that has it is told when it next renews its lease.",
		Command: func(f form) string { return f.words("cancel") },
		do: func(ctx context.Context, b *board, f form) (string, error) {
			n, err := b.queues.Cancel(ctx, f.queue(), f.ids()...)
			return count(n, "task", "tasks") + " of " + f.queue() + " cancelled", err
		}},
	{Name: "pause", Button: "Pause", Right: Operate,
		Command: func(f form) string { return command("queue", "pause", f.queue()) },
		do: func(ctx context.Context, b *board, f form) (string, error) {
			return f.queue() + " is paused", b.queues.Pause(ctx, f.queue())
		}},
	{Name: "resume", Button: "Resume", Right: Operate,
		Command: func(f form) string { return command("queue", "resume", f.queue()) },
		do: func(ctx context.Context, b *board, f form) (string, error) {
			return f.queue() + " goes on", b.queues.Resume(ctx, f.queue())
		}},
	{Name: "forget", Button: "Forget", Right: Destroy, Asks: true, Warning: "If it still works, what it does is done twice: its tasks go to the others at once.",
		Command: func(f form) string { return f.words("forget", f.consumer()) },
		do: func(ctx context.Context, b *board, f form) (string, error) {
			n, err := b.queues.Forget(ctx, f.queue(), f.group(), f.consumer())
			return fmt.Sprintf("%s forgotten, %s given to the others", f.consumer(), count(n, "task", "tasks")), err
		}},
	{Name: "break", Button: "Break", Right: Destroy, Asks: true, Warning: "A holder that still works learns of it at its next renewal. The next in line is served at once.",
		Command: func(f form) string {
			words := []string{"lock", "break", f.Get("lock")}
			if owner := f.Get("owner"); owner != "" {
				words = append(words, "--owner="+owner)
			}
			return command(words...)
		},
		do: func(ctx context.Context, b *board, f form) (string, error) {
			n, err := b.locks.Break(ctx, f.Get("lock"), f.Get("owner"))
			return fmt.Sprintf("%s of %s removed", count(n, "holder", "holders"), f.Get("lock")), err
		}},
	{Name: "delete", Button: "Delete", Right: Destroy, Asks: true, Warning: "The next who asks for it loads it. A load that goes on ends.",
		Command: func(f form) string { return command("cache", "del", f.Get("key")) },
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
	Strong  bool
}

// Button is the button of an act for whoever has the right, else nothing. The pairs are the
// names and values of what it is about.
func (v *visit) Button(name string, pairs ...string) *button {
	a, err := actOf(name)
	f := form{url.Values{}}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			f.Set(pairs[i], pairs[i+1])
		}
	}
	if err != nil || !v.May(a.Right, f.queue()) {
		return nil
	}
	return &button{act: a, Form: f, Command: a.Command(f), Back: v.Here()}
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

// formMost bounds what a form may bring: the ids of 10,000 tasks take some 400 KB.
const formMost = 4 << 20

// act does what a form says: the right is asked for again, whatever the page showed.
func (b *board) act(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, formMost)
	if err := r.ParseForm(); err != nil {
		b.refuse(w, r, failure{http.StatusBadRequest, "The form cannot be read: " + err.Error()})
		return
	}
	v, f := b.visit(r), form{r.PostForm}
	a, err := actOf(f.Get("act"))
	if err == nil {
		err = v.need(a.Right, f.queue())
	}
	if err == nil && f.target() == "" {
		err = failure{http.StatusBadRequest, "The form does not say what to act on."}
	}
	if err == nil && f.Has("ids") && len(f.ids()) == 0 {
		err = failure{http.StatusBadRequest, "The form names no tasks."}
	}
	if err == nil && b.Production && a.Right == Destroy && f.Get("typed") != f.target() {
		err = failure{http.StatusBadRequest, fmt.Sprintf("This is production: type %s to go on. Nothing was done.", f.target())}
	}
	if err != nil {
		b.refuse(w, r, err)
		return
	}
	said, err := a.do(r.Context(), b, f)
	var refused failure
	if errors.As(err, &refused) {
		b.refuse(w, r, refused)
		return
	}
	b.memory.forget()
	id := b.trail.add(b, entry{At: v.Now, User: b.User(r), Act: a.Name, Target: f.target(), Command: a.Command(f), Said: said, Err: err})
	back := pageOf(f.Get("back"))
	q := back.Query()
	q.Set("did", fmt.Sprint(id))
	back.RawQuery = q.Encode()
	w.Header().Set("Location", back.String()) // relative, whatever the prefix
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
	w.Header().Set("Location", "./")
	w.WriteHeader(http.StatusSeeOther)
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
