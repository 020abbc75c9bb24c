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
	"time"
	"unicode/utf8"

	"holdfast/internal/shell"
	"holdfast/internal/where"
	"holdfast/queue"
)

func vals(pairs ...string) url.Values {
	q := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	return q
}

// queuesData is what the list of queues shows.
type queuesData struct {
	Queues       []queue.Overview
	Match        string
	Looked       int    // queues that the list was sorted from
	From, To     int    // which of these are shown
	Newer, Older string // links to the part before and behind
	Further      string // link to the queues that were not looked into
}

func queuesPage(v *visit) (page, error) {
	if err := v.need(View, Target{Kind: Queue}); err != nil {
		return page{}, err
	}
	d := queuesData{Match: v.arg("match")}
	all, err := v.rows(d.Match, v.arg("cursor"))
	d.Looked = len(all.Queues)
	d.From, _ = strconv.Atoi(v.arg("from"))
	d.From = min(max(d.From, 0), d.Looked)
	d.To = min(d.From+shownTasks, d.Looked)
	d.Queues = all.Queues[d.From:d.To]
	part := func(from int, cursor string) string {
		q := vals("match", d.Match, "cursor", cursor)
		if from > 0 {
			q.Set("from", strconv.Itoa(from))
		}
		return link("queues", q)
	}
	if d.From > 0 {
		d.Newer = part(max(d.From-shownTasks, 0), v.arg("cursor"))
	}
	if d.To < d.Looked {
		d.Older = part(d.To, v.arg("cursor"))
	} else if all.Cursor != "" {
		d.Further = part(0, all.Cursor)
	}
	return page{name: "queues", Title: "Queues", Menu: Queue, Data: d, Live: true}, err
}

// tab is one of the lists of a queue.
type tab struct {
	Name, Label string
	Count       int64
	Bad         bool
}

// queueData is what the page of a queue shows.
type queueData struct {
	Stream    string
	At        queue.Overview
	Stats     queue.Stats
	Tabs      []tab
	Tab       string
	Where     string
	Wrong     string // with the filter
	Failures  queue.FailureReport
	Several   bool   // there are several groups
	Chosen    string // of these
	Tasks     []task
	Looked    int
	Next      string
	Consumers []consumer
	Pause     *button
	Keyed     queue.Keys
	RunAll    *button // all that failed, whatever the cause
	Known     bool    // the rates are
}

// task is a task in a list.
type task struct {
	queue.Record
	Whole time.Duration // of its lease
	Href  string
	Act   *button
}

type consumer struct {
	queue.Consumer
	Group string
	Gone  bool
	Act   *button
}

// shownTasks is how many rows a list has.
const shownTasks = 100

func queuePage(v *visit) (page, error) {
	stream := v.arg("q")
	if stream == "" {
		return page{}, failure{http.StatusNotFound, "Which queue?"}
	}
	if err := v.need(View, Target{Queue, stream}); err != nil {
		return page{}, err
	}
	d := queueData{Stream: stream, Where: v.arg("where"), Chosen: v.arg("group")}
	var err error
	if d.At, err = v.overview(stream); err != nil {
		return page{}, err
	}
	d.Known = d.At.InPerMinute >= 0
	if d.Stats, err = v.stats(stream); err != nil {
		return page{}, err
	}
	d.Several = len(d.Stats.Groups) > 1
	d.tabs(v.arg("tab"))
	if d.Pause = v.Button("pause", "q", stream); d.Stats.Paused {
		d.Pause = v.Button("resume", "q", stream)
	}
	switch d.Tab {
	case "failures":
		d.Failures, err = v.failures(stream, d.Stats.Dead)
		if !d.Several && len(d.Failures.Groups) > 1 {
			d.RunAll = v.Button("redrive", "q", stream, "where", "tries>=0")
		}
	case "workers":
		err = v.consumers(&d)
	case "keys":
		d.Keyed, err = v.keys(stream)
	default:
		err = v.list(&d)
	}
	title := short(stream)
	if d.Stats.Dead > 0 {
		title = number(d.Stats.Dead) + " failed – " + short(stream)
	}
	return page{name: "queue", Title: title, Menu: Queue, Data: d, Live: true}, err
}

func (v *visit) stats(stream string) (queue.Stats, error) {
	return ask(v, "stats "+stream, fresh, func(ctx context.Context) (queue.Stats, error) { return v.queues.Stats(ctx, stream) })
}

// literal escapes what a glob-style pattern does not take literally.
var literal = strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`, "]", `\]`, "^", `\^`)

// overview is the row of one queue in the list of queues, for its rates: all else stats tells.
func (v *visit) overview(stream string) (queue.Overview, error) {
	within := func(q queue.Overview) time.Duration {
		if q.InPerMinute < 0 { // the server tells the rates when it is asked for the second time
			return fresh
		}
		return costly
	}
	return askFor(v, "overview "+stream, within, func(ctx context.Context) (queue.Overview, error) {
		none := queue.Overview{Stream: stream, InPerMinute: -1, OutPerMinute: -1}
		for cursor := ""; ; {
			found, err := v.queues.Overviews(ctx, literal.Replace(stream), cursor)
			if err != nil {
				return none, err
			}
			for _, q := range found.Queues {
				if q.Stream == stream {
					return q, nil
				}
			}
			if cursor = found.Cursor; cursor == "" {
				return none, nil
			}
		}
	})
}

// tabs fills in the counts and the lists that a queue has, and which of these is shown.
func (d *queueData) tabs(chosen string) {
	var ready, work, consumers int64
	for _, g := range d.Stats.Groups {
		ready, work, consumers = ready+g.Ready, work+g.Pending, consumers+g.Consumers
	}
	if len(d.Stats.Groups) == 0 {
		ready = d.Stats.Length
	}
	d.At.Ready, d.At.InWork, d.At.Paused = ready, work, d.Stats.Paused
	d.Tabs = []tab{
		{"failures", "Failures", d.Stats.Dead, true}, {"dead", "Dead", d.Stats.Dead, false}, {"in-work", "In work", work, false},
		{"ready", "Ready", ready, false}, {"delayed", "Delayed", d.Stats.Delayed, false}, {"workers", "Workers", consumers, false},
	}
	if d.Stats.Held > 0 || chosen == "keys" {
		d.Tabs = slices.Insert(d.Tabs, 5, tab{"keys", "Held", d.Stats.Held, false})
	}
	d.Tab = chosen
	if !slices.ContainsFunc(d.Tabs, func(t tab) bool { return t.Name == chosen }) {
		if d.Tab = "in-work"; d.Stats.Dead > 0 {
			d.Tab = "failures"
		}
	}
}

// Group is the group where it has to be said.
func (d queueData) Group(of string) string {
	if d.Several {
		return of
	}
	return ""
}

// filter reads a filter as people write it.
func (v *visit) filter(text string, now time.Time) (queue.Filter, error) {
	f, err := where.Parse(text, now)
	if err == nil && v.Redact != nil && (f.Payload != "" || f.Error != "" || f.Cause != "" || len(f.Headers) > 0) {
		err = errors.New("what is hidden here cannot be searched")
	}
	return f, err
}

// list fills in the tasks of one state.
func (v *visit) list(d *queueData) error {
	filter, err := v.filter(d.Where, v.Now)
	if err != nil {
		d.Wrong = err.Error()
		return nil
	}
	o := queue.SearchOptions{Cursor: v.arg("cursor"), Filter: filter, Group: d.Chosen, State: queue.State(d.Tab), Newest: d.Tab == "dead", Limit: shownTasks}
	within := fresh
	if d.Where != "" { // a search looks at many
		within = costly
	}
	found, err := ask(v, fmt.Sprint("list ", d.Stream, " ", d.Tab, " ", d.Chosen, " ", o.Cursor, " ", d.Where), within, func(ctx context.Context) (queue.SearchResult, error) {
		o.Keep = func(r *queue.Record) { v.brief(d.Stream, r) }
		return v.queues.Search(ctx, d.Stream, o)
	})
	if err != nil {
		return err
	}
	d.Looked = found.Looked
	if found.Cursor != "" {
		q := v.r.URL.Query()
		q.Set("cursor", found.Cursor)
		d.Next = link("queue", q)
	}
	for _, r := range found.Tasks {
		d.Tasks = append(d.Tasks, v.task(d.Stream, r, d.Several))
	}
	return nil
}

func (v *visit) task(stream string, r queue.Record, several bool) task {
	t := task{Record: r, Href: link("task", vals("q", stream, "id", r.ID))}
	group := ""
	if several {
		group = r.Group
	}
	switch r.State {
	case queue.Dead:
		t.Act = v.Button("redrive", "q", stream, "group", group, "ids", r.Entry)
	case queue.InWork:
		t.Whole = v.board.terms.of("task "+stream+" "+r.Entry+" "+r.Consumer, r.LeaseLeft)
	}
	return t
}

// cutBytes is a copy of the first most bytes, which lets go of the others. It splits no letter.
func cutBytes(b []byte, most int) []byte {
	if len(b) <= most {
		return b
	}
	for back := 0; back < utf8.UTFMax && !utf8.RuneStart(b[most]); back++ {
		most--
	}
	return slices.Clone(b[:most])
}

// redact hides what Options.Redact hides.
func (b *board) redact(stream string, r *queue.Record) {
	if b.Redact != nil {
		b.Redact(stream, r)
		r.Size = len(r.Payload)
	}
}

const (
	gistMost  = 4 << 10 // bytes of a payload from which a row is made
	errorMost = 1 << 10 // bytes of an error of which a row shows a part
)

// brief leaves of a task what a row of a list shows, with what Options.Redact hides hidden.
func (b *board) brief(stream string, r *queue.Record) {
	b.redact(stream, r)
	r.Payload, r.Headers, r.History = cutBytes(r.Payload, gistMost), nil, nil
	r.Error = string(cutBytes([]byte(r.Error), errorMost))
}

// goneAfter is how long a consumer is silent before it is taken for gone.
const goneAfter = time.Minute

func (v *visit) consumers(d *queueData) error {
	for _, g := range d.Stats.Groups {
		list, err := ask(v, "consumers "+d.Stream+" "+g.Name, fresh, func(ctx context.Context) ([]queue.Consumer, error) {
			return v.queues.Consumers(ctx, d.Stream, g.Name)
		})
		if err != nil {
			return err
		}
		for _, c := range list {
			one := consumer{Consumer: c, Group: g.Name, Gone: c.Idle > max(goneAfter, 3*g.Lease)}
			if one.Gone {
				one.Act = v.Button("forget", "q", d.Stream, "group", g.Name, "consumer", c.Name)
			}
			d.Consumers = append(d.Consumers, one)
		}
	}
	slices.SortStableFunc(d.Consumers, func(a, b consumer) int { return int(b.Pending - a.Pending) })
	d.Consumers = d.Consumers[:min(len(d.Consumers), shownTasks)]
	return nil
}

// try is a point on the line of a task.
type try struct {
	At       time.Time
	Name     string
	Consumer string
	Error    string
	Wait     time.Duration // since the point before
	State    string        // done, failed, now
}

// taskData is what the page of a task shows.
type taskData struct {
	Stream  string
	Task    task
	Gone    bool
	ID      string
	Tries   []try
	Show    string
	Tree    node
	IsTree  bool
	IsText  bool
	Cut     bool
	Payload []byte
	Headers []string
	Repair  *button
	Discard *button
	Cancel  *button
	Find    string
}

func taskPage(v *visit) (page, error) {
	stream, id := v.arg("q"), v.arg("id")
	if err := v.need(View, Target{Queue, stream}); err != nil {
		return page{}, err
	}
	d := taskData{Stream: stream, ID: id, Show: v.arg("show"), Find: shell.Command("queue find", nil, stream, id)}
	out := page{name: "task", Title: "Task " + short(id), Menu: Queue, Live: true}
	stats, err := v.stats(stream)
	if err != nil {
		return out, err
	}
	r, err := ask(v, "task "+stream+" "+id, fresh, func(ctx context.Context) (queue.Record, error) {
		r, err := v.queues.Find(ctx, stream, id)
		if err == nil {
			v.redact(stream, &r)
		}
		r.Payload = cutBytes(r.Payload, shownMost)
		return r, err
	})
	if errors.Is(err, queue.ErrNotFound) {
		d.Gone = true
		out.Data = d
		return out, nil
	}
	if err != nil {
		return out, err
	}
	d.Task, d.Payload = v.task(stream, r, len(stats.Groups) > 1), r.Payload
	d.Cut = r.Size > len(r.Payload)
	d.Tree, d.IsTree = treeOf(d.Payload)
	d.IsText = printableText(d.Payload)
	if d.Show != "hex" && d.Show != "text" {
		d.Show = "tree"
	}
	if d.Show == "tree" && !d.IsTree {
		d.Show = "text"
	}
	if d.Show == "text" && !d.IsText {
		d.Show = "hex"
	}
	for name := range r.Headers {
		d.Headers = append(d.Headers, name)
	}
	slices.Sort(d.Headers)
	d.Tries = tries(r)
	group := ""
	if len(stats.Groups) > 1 {
		group = r.Group
	}
	if r.State == queue.Dead {
		d.Discard = v.Button("discard", "q", stream, "group", group, "ids", r.Entry)
		if v.Redact == nil && d.IsText && !d.Cut {
			d.Repair = v.Button("repair", "q", stream, "group", group, "ids", r.Entry)
		}
	} else {
		d.Cancel = v.Button("cancel", "q", stream, "ids", r.ID)
	}
	out.Data = d
	return out, nil
}

func printableText(b []byte) bool {
	return !strings.ContainsFunc(strings.ToValidUTF8(string(b), "\x00"), func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' && r != '\r' })
}

// tries is the line of a task, from its publication to where it is now.
func tries(r queue.Record) []try {
	all := []try{{At: r.Published, Name: "Published", State: "done"}}
	seen := len(r.History)
	for i, f := range r.History {
		n := r.Try - seen + i
		if r.State == queue.Dead {
			n++
		}
		all = append(all, try{At: f.At, Name: fmt.Sprint("Try ", max(n, 1), " failed"), Consumer: f.Consumer, Error: f.Error, State: "failed"})
	}
	switch r.State {
	case queue.Dead:
		if n := len(r.History); n > 0 && r.History[n-1].Error == r.Error && !r.Since.After(r.History[n-1].At.Add(2*time.Second)) {
			all = append(all, try{At: r.Since, Name: "Given up", State: "now"})
		} else {
			all = append(all, try{At: r.Since, Name: "Given up", Consumer: r.Consumer, Error: r.Error, State: "now"})
		}
	case queue.Delayed:
		all = append(all, try{At: r.Due, Name: fmt.Sprint("Try ", r.Try, " is due"), State: "now"})
	case queue.Held:
		all = append(all, try{At: r.Since, Name: "Held back, until others of its key are done", State: "now"})
	case queue.InWork:
		all = append(all, try{At: time.Now().Add(-r.Idle).Truncate(time.Second), Name: fmt.Sprint("Try ", r.Try, ", in work, last heard of"), Consumer: r.Consumer, State: "now"})
	default:
		all = append(all, try{At: r.Since, Name: fmt.Sprint("Ready for try ", r.Try), State: "now"})
	}
	for i := 1; i < len(all); i++ {
		if w := all[i].At.Sub(all[i-1].At); w > 0 && !all[i-1].At.IsZero() {
			all[i].Wait = w
		}
	}
	return all
}
