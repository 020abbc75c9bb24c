package dashboard

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"holdfast/queue"
)

// sampleMost is how many of what an act is done to are shown before it.
const sampleMost = 5

// confirmData is what is shown before an act: what it would do, and to what.
type confirmData struct {
	Act    *button
	Of     string   // what would be done, in one sentence
	Sample []task   // the first tasks
	Lines  []string // the first of what is no task
	Count  int
	Looked int
	Typed  string
	Cause  string
	All    *button // of a bulk act: the same for all dead letters, where only some were looked at
	Total  int     // about how many those are
}

// searchWithin is how long an act, or the search before it, may take.
const searchWithin = 10 * time.Second

func confirmPage(v *visit) (page, error) {
	f := form{v.r.URL.Query()}
	a, err := actOf(f.Get("act"))
	if err != nil {
		return page{}, err
	}
	if err := v.need(a.Right, a.over(f)); err != nil {
		return page{}, err
	}
	if a.over(f).Name == "" {
		return page{}, failure{http.StatusBadRequest, "The link does not say what to act on."}
	}
	if !a.asks(f) {
		return page{}, failure{http.StatusNotFound, "That needs no confirmation."}
	}
	if v.gone != nil {
		return page{}, v.gone
	}
	ctx, cancel := context.WithTimeout(v.r.Context(), searchWithin)
	defer cancel()
	back := pageOf(f.Get("back")).String()
	f.Del("back")
	d := confirmData{Count: 1}
	switch {
	case f.isBulk():
		err = v.looked(ctx, a, f, back, &d)
	case a.Name == "discard":
		err = v.named(ctx, f, &d)
	default:
		err = v.one(ctx, a, f, &d)
	}
	if err != nil {
		return page{}, err
	}
	d.Act = &button{act: a, Form: f, Back: back, Command: a.Command(f)}
	if v.Production && a.Right == Destroy {
		d.Typed = a.over(f).Name
	}
	return page{name: "confirm", Title: a.Button, Menu: a.Kind, Data: d}, nil
}

// one describes an act on one thing.
func (v *visit) one(ctx context.Context, a act, f form, d *confirmData) error {
	switch a.Name {
	case "cancel":
		r, err := v.queues.Find(ctx, f.queue(), f.Get("ids"))
		if errors.Is(err, queue.ErrNotFound) {
			return failure{http.StatusNotFound, "The task is not there any more: it is done, or was cancelled."}
		}
		if err != nil {
			return err
		}
		v.brief(f.queue(), &r)
		d.Of, d.Sample = "Cancel one task of "+short(f.queue())+"?", v.sample(f.queue(), []queue.Record{r})
	case "forget":
		all, err := v.queues.Consumers(ctx, f.queue(), f.group())
		if err != nil {
			return err
		}
		i := slices.IndexFunc(all, func(c queue.Consumer) bool { return c.Name == f.consumer() })
		if i < 0 {
			return failure{http.StatusNotFound, "The consumer is not there any more."}
		}
		d.Lines = []string{fmt.Sprintf("%s in work, silent for %s", count(int(all[i].Pending), "task", "tasks"), span(all[i].Idle))}
		d.Of = "Forget the consumer " + short(f.consumer()) + " of " + short(f.queue()) + "?"
	case "break":
		info, err := v.locks.Info(ctx, f.Get("lock"))
		if err != nil {
			return err
		}
		d.Count = 0
		for _, h := range info.Holders {
			if owner := f.Get("owner"); owner == "" || owner == h.Owner {
				if d.Count++; d.Count <= sampleMost {
					left := span(h.Left) + " left"
					if h.Left < 0 {
						left = "the lease does not end"
					}
					d.Lines = append(d.Lines, fmt.Sprintf("%s, for %s, %s", short(h.Owner), span(h.Held), left))
				}
			}
		}
		d.Of = fmt.Sprintf("Take the lock %s from %s? %s in line.", short(info.Name), count(d.Count, "holder", "holders"), count(len(info.Waiters), "waits", "wait"))
	case "delete":
		d.Of = "Delete the cached value " + short(f.Get("key")) + "?"
	}
	return nil
}

// sample are tasks as they are shown.
func (v *visit) sample(stream string, tasks []queue.Record) (shown []task) {
	for _, r := range tasks {
		shown = append(shown, v.task(stream, r, false))
	}
	return shown
}

// named describes an act on the dead letters that the form names by their ids.
func (v *visit) named(ctx context.Context, f form, d *confirmData) error {
	ids := f.ids()
	var there []queue.Record
	for _, id := range ids[:min(len(ids), sampleMost)] {
		ms, _, _ := entryID(id)
		at := time.UnixMilli(int64(ms))
		page, err := v.queues.List(ctx, f.queue(), queue.ListOptions{State: queue.Dead, Group: f.group(), From: at, To: at.Add(time.Millisecond), Limit: 1000})
		if err != nil {
			return err
		}
		if i := slices.IndexFunc(page.Tasks, func(r queue.Record) bool { return r.Entry == id }); i >= 0 {
			v.brief(f.queue(), &page.Tasks[i])
			there = append(there, page.Tasks[i])
		}
	}
	d.Count, d.Sample = len(ids), v.sample(f.queue(), there)
	if len(there) == 0 {
		d.Count = 0
	}
	d.ask("discard", f.queue())
	return nil
}

// looked looks for the dead letters that a bulk act chooses. The form then names exactly them.
func (v *visit) looked(ctx context.Context, a act, f form, back string, d *confirmData) error {
	if a.bulk == nil {
		return failure{http.StatusBadRequest, "The link chooses tasks in two ways."}
	}
	stats, err := v.queues.Stats(ctx, f.queue())
	if err != nil {
		return err
	}
	total := stats.Dead
	if len(stats.Groups) > 1 {
		i := slices.IndexFunc(stats.Groups, func(g queue.GroupStats) bool { return g.Name == f.group() })
		if i < 0 {
			return failure{http.StatusBadRequest, "The queue has several groups. Choose one of them first."}
		}
		total = stats.Groups[i].Dead
	}
	f.Del("upto")
	c, err := v.choice(f)
	if err != nil {
		return err
	}
	var first []queue.Record
	upto := "0-0"
	d.Count = 0
	more, err := v.walk(ctx, c, queue.DefaultWindow, func(looked int, chosen []queue.Record, last string) error {
		d.Looked, d.Count, upto = d.Looked+looked, d.Count+len(chosen), last
		first = append(first, chosen[:min(len(chosen), sampleMost-len(first))]...)
		return nil
	})
	if err != nil {
		return err
	}
	d.Sample, d.Cause = v.sample(f.queue(), first), c.filter.Cause
	f.Set("at", strconv.FormatInt(v.Now.UnixMilli(), 10))
	f.Set("upto", upto)
	f.Set("of", strconv.Itoa(d.Looked))
	if more && int(total) > d.Looked {
		newest, err := v.queues.List(ctx, f.queue(), queue.ListOptions{State: queue.Dead, Group: f.group(), Newest: true, Limit: 1})
		if err != nil || len(newest.Tasks) == 0 {
			return err
		}
		all := form{vals()}
		for name, values := range f.Values {
			all.Values[name] = values
		}
		d.Total = int(total)
		all.Set("upto", newest.Tasks[0].Entry)
		all.Set("of", strconv.Itoa(d.Total))
		d.All = &button{act: a, Form: all, Back: back, Command: a.Command(all)}
	}
	d.ask(a.Name, f.queue())
	return nil
}

// ask writes the question before an act on dead letters.
func (d *confirmData) ask(act, stream string) {
	switch {
	case d.Count == 0:
		d.Of = "Nothing to do: no such dead letter is there any more."
		if d.All != nil {
			d.Of = "None among those looked at."
		}
	case act == "discard":
		d.Of = fmt.Sprintf("Delete %s of %s?", count(d.Count, "task", "tasks"), short(stream))
	default:
		d.Of = fmt.Sprintf("Run %s of %s again?", count(d.Count, "task", "tasks"), short(stream))
	}
}

// percent is a share in percent, never rounded up to all.
func percent(part, of int64) string {
	return fmt.Sprintf("%.1f %%", float64(part*1000/of)/10)
}
