package dashboard

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"holdfast/queue"
)

// confirmData is what is shown before an act: what it would do, and to what.
type confirmData struct {
	Act     *button
	Of      string   // what would be done, in one sentence
	IDs     string   // exactly the tasks that the form names
	Sample  []task   // the first five
	Lines   []string // the first five of what is no task
	Count   int
	Looked  int
	More    bool // there are dead letters that were not looked at
	Typed   string
	Command string
	Cause   string
}

// searchWithin is how long the search before an act may take.
const searchWithin = 10 * time.Second

func confirmPage(v *visit) (page, error) {
	f := form{v.r.URL.Query()}
	a, err := actOf(f.Get("act"))
	if err != nil {
		return page{}, err
	}
	if err := v.need(a.Right, f.queue()); err != nil {
		return page{}, err
	}
	if f.target() == "" {
		return page{}, failure{http.StatusBadRequest, "What is it to be done to?"}
	}
	ctx, cancel := context.WithTimeout(v.r.Context(), searchWithin)
	defer cancel()
	d := confirmData{Count: 1}
	switch a.Name {
	case "redrive", "discard":
		if err := v.choose(ctx, a, f, &d); err != nil {
			return page{}, err
		}
	case "cancel":
		r, err := v.queues.Find(ctx, f.queue(), f.Get("ids"))
		if err != nil {
			return page{}, failure{http.StatusNotFound, "The task is not there any more: it is done, or was cancelled."}
		}
		one := []queue.Record{r}
		v.redact(f.queue(), one)
		d.Of, d.IDs, d.Sample = "Cancel one task of "+f.queue()+"?", f.Get("ids"), []task{v.task(f.queue(), one[0], false)}
	case "forget":
		d.Of = "Forget the consumer " + f.consumer() + " of " + f.queue() + "?"
	case "break":
		info, err := v.locks.Info(ctx, f.Get("lock"))
		if err != nil {
			return page{}, err
		}
		d.Count = 0
		for _, h := range info.Holders {
			if owner := f.Get("owner"); owner == "" || owner == h.Owner {
				if d.Count++; d.Count <= 5 {
					d.Lines = append(d.Lines, fmt.Sprintf("%s, for %s, %s left", h.Owner, span(h.Held), span(h.Left)))
				}
			}
		}
		d.Of = fmt.Sprintf("Take the lock %s from %s? %s in line.", info.Name, count(d.Count, "holder", "holders"), count(len(info.Waiters), "waits", "wait"))
	case "delete":
		d.Of = "Delete the cached value " + f.Get("key") + "?"
	default:
		return page{}, failure{http.StatusNotFound, "That needs no confirmation."}
	}
	q := f.Values
	if d.IDs != "" {
		q.Set("ids", d.IDs)
	}
	d.Act = &button{act: a, Form: form{q}, Back: pageOf(f.Get("back")).String()}
	if d.Command == "" {
		d.Command = a.Command(form{q})
	}
	if v.Production && a.Right == Destroy {
		d.Typed = f.target()
	}
	return page{name: "confirm", Title: a.Button, Area: map[bool]string{true: "queues"}[f.queue() != ""], Data: d}, nil
}

// choose finds the dead letters that are meant: those with one cause, those a filter chooses, or
// those named.
func (v *visit) choose(ctx context.Context, a act, f form, d *confirmData) error {
	stream := f.queue()
	var ids []string
	switch cause := f.Get("error"); {
	case f.Has("error"):
		report, err := v.queues.Failures(ctx, stream, queue.SearchOptions{Group: f.group()})
		if err != nil {
			return err
		}
		for _, g := range report.Groups {
			if v.Cause(g) == cause && (f.group() == "" || f.group() == g.Group) {
				ids = append(ids, g.Entries...)
			}
		}
		d.Looked, d.More = report.Looked, report.Cursor != ""
		if v.Redact == nil {
			d.Cause = cause
		}
		if text := longest(cause); text != "" && v.Redact == nil {
			d.Command, err = v.sameByFilter(ctx, a, f, text, ids)
			if err != nil {
				return err
			}
		}
	case f.Has("where"):
		filter, err := v.filter(f.Get("where"))
		if err != nil {
			return failure{http.StatusBadRequest, err.Error()}
		}
		out, err := v.queues.Redrive(ctx, stream, queue.Selection{DryRun: true, Filter: filter, Group: f.group()})
		if err != nil {
			return err
		}
		ids, d.Looked, d.More = out.Entries, out.Looked, out.Cursor != ""
	default:
		ids = f.ids()
		d.Looked = len(ids)
	}
	wanted := map[string]bool{}
	for _, id := range ids {
		wanted[id] = true
	}
	// The first five, which also tells whether named ones are still there.
	seen := 0
	for cursor := ""; seen < min(5, len(ids)); {
		found, err := v.queues.Search(ctx, stream, queue.SearchOptions{State: queue.Dead, Group: f.group(), Cursor: cursor, Window: 1000, Limit: 1000})
		if err != nil {
			return err
		}
		for _, r := range found.Tasks {
			if wanted[r.Entry] && seen < 5 {
				seen++
				one := []queue.Record{r}
				v.redact(stream, one)
				d.Sample = append(d.Sample, v.task(stream, one[0], false))
			}
		}
		if cursor = found.Cursor; cursor == "" {
			break
		}
	}
	d.Count, d.IDs = len(ids), strings.Join(ids, " ")
	if seen == 0 {
		d.Count, d.IDs = 0, ""
	}
	d.Of = fmt.Sprintf("Run %s of %s again?", count(d.Count, "task", "tasks"), stream)
	if a.Name == "discard" {
		d.Of = fmt.Sprintf("Delete %s of %s?", count(d.Count, "task", "tasks"), stream)
	}
	if d.Count == 0 {
		d.Of = "Nothing to do: no such dead letter is there any more."
	}
	return nil
}

// longest is the longest part of a cause that errors have literally.
func longest(cause string) (best string) {
	for _, part := range strings.FieldsFunc(cause, func(r rune) bool { return strings.ContainsRune("#…\"'`\\", r) }) {
		if part = strings.Trim(part, " :;,.<>()[]=-"); len(part) > len(best) {
			best = part
		}
	}
	return best
}

// sameByFilter is a command with a filter, where it chooses exactly these tasks: shorter than all ids.
func (v *visit) sameByFilter(ctx context.Context, a act, f form, text string, ids []string) (string, error) {
	out, err := v.queues.Redrive(ctx, f.queue(), queue.Selection{DryRun: true, Filter: queue.Filter{Error: text}, Group: f.group()})
	if err != nil || !slices.Equal(out.Entries, ids) || out.Cursor != "" {
		return "", err
	}
	words := []string{"queue", a.Name, f.queue(), `--where=error~"` + text + `"`}
	if f.group() != "" {
		words = append(words, "--group="+f.group())
	}
	return command(words...), nil
}

// percent is a share in percent, never rounded up to all.
func percent(part, of int64) string {
	return fmt.Sprintf("%.1f %%", float64(part*1000/of)/10)
}
