package queue

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"holdfast/internal/blocking"
)

// publication is how a task is published.
type publication struct {
	delay     time.Duration
	at        time.Time
	expire    time.Duration
	unique    *string
	untilDone bool
	ttl       time.Duration
	duplicate *bool
	limit     int
	key       *string
	weight    int
	headers   Headers
	err       error // what an option was given in vain
}

// PublishOption changes how a task is published.
type PublishOption func(*publication)

// Delay has a task wait before it enters the queue. In whole milliseconds.
func Delay(d time.Duration) PublishOption { return func(p *publication) { p.delay = d } }

// At has a task enter the queue at a time, by the server's clock.
func At(t time.Time) PublishOption { return func(p *publication) { p.at = t } }

// Expire makes a task a dead letter, with the reason expired, if no worker was given it
// within d. In whole milliseconds.
func Expire(d time.Duration) PublishOption { return func(p *publication) { p.expire = d } }

// Header gives a task a header. The names of a task's own fields, such as payload, are
// refused.
func Header(name, value string) PublishOption {
	return func(p *publication) {
		switch name {
		case fieldKind, fieldMaxTries, fieldTimeout, fieldBackoff:
			p.err = fmt.Errorf("Header %q: a task has a field of this name: take another", name)
		}
		p.headers.Set(name, value)
	}
}

// Limit refuses a task with [ErrFull] when its stream has so many already, those in work
// and those that are held included. Defaults to 0: no limit.
func Limit(n int) PublishOption { return func(p *publication) { p.limit = n } }

// MaxTries is how often this task is tried, whatever its worker's options say.
func MaxTries(n int) PublishOption {
	return func(p *publication) {
		if n < 1 {
			p.err = fmt.Errorf("MaxTries is %d: it must be above 0", n)
		}
		p.headers.Set(fieldMaxTries, strconv.Itoa(n))
	}
}

// Timeout is how long a handler may work on this task, whatever its worker's options
// say. In whole milliseconds.
func Timeout(d time.Duration) PublishOption {
	return func(p *publication) {
		if d <= 0 {
			p.err = fmt.Errorf("Timeout is %v: it must be above 0", d)
		}
		p.headers.Set(fieldTimeout, strconv.FormatInt(blocking.Millis(d), 10))
	}
}

// Backoff has this task wait between tries as [Exponential] says, whatever its worker's
// options say. In whole milliseconds.
func Backoff(first, most time.Duration) PublishOption {
	return func(p *publication) {
		if first < 0 || most < first {
			p.err = fmt.Errorf("Backoff is from %v to %v: the second must not be below the first, nor negative", first, most)
		}
		p.headers.Set(fieldBackoff, backoffText(first, most))
	}
}

// Unique publishes nothing if a task of this id was published within ttl; Publish
// returns that task's id then. It makes publishing safe to repeat, and Publish itself
// repeats it when a reply is lost. In a queue with Partitions, tasks with a [Key] are unique
// among those of their partition.
func Unique(id string, ttl time.Duration) PublishOption {
	return func(p *publication) { p.unique, p.ttl, p.untilDone = &id, ttl, false }
}

// UniqueUntilDone is Unique for as long as the earlier task is neither done, nor a dead
// letter, nor cancelled, and for ttl at most.
func UniqueUntilDone(id string, ttl time.Duration) PublishOption {
	return func(p *publication) { p.unique, p.ttl, p.untilDone = &id, ttl, true }
}

// Duplicate sets found to whether [Unique] found an earlier task, so that nothing was
// published. It is not set when Publish returns an error. After a lost reply a task that this very call
// published may be taken for an earlier one.
func Duplicate(found *bool) PublishOption { return func(p *publication) { p.duplicate = found } }

// Publish adds a task, and hands it to the worker that has waited longest. It returns
// the task's id, which stays the same for the task's whole life.
//
// An error may mean that the reply was lost and the task may have been added: then it
// is [ErrUnknown], for such a command is sent again only with [Unique]. A command that the
// server refuses for a moment is sent again for as long as Options.Outage.
func (q *Queue[T]) Publish(ctx context.Context, payload T, options ...PublishOption) (string, error) {
	p, err := q.publication(ctx, options)
	if err != nil {
		return "", err
	}
	data, err := q.o.Codec.Marshal(payload)
	if err != nil {
		return "", failed("publish to", q.name, err)
	}
	reply, err := send(ctx, q.conns, q.o.Outage, p.unique != nil, p.command(q.stream(p), data)...)
	if err != nil {
		return "", failed("publish to", q.name, err)
	}
	if pair, ok := reply.([]any); ok && len(pair) == 2 { // of WITHSTATUS
		*p.duplicate = pair[0] == "DUPLICATE"
		reply = pair[1]
	}
	id, _ := reply.(string)
	return id, nil
}

// PublishBatch adds tasks in one step, all to one partition, and returns their ids: all of
// them are added or none, but with [Limit] those for which there is no room are left out, and their
// ids are "". The options are those of each task. Keep to some thousands at a time. Errors
// are as those of Publish.
func (q *Queue[T]) PublishBatch(ctx context.Context, payloads []T, options ...PublishOption) ([]string, error) {
	p, err := q.publication(ctx, options)
	if err != nil {
		return nil, err
	}
	if p.unique != nil {
		return nil, failed("publish to", q.name, errors.New("the tasks of a batch cannot be Unique together"))
	}
	if len(payloads) == 0 {
		return nil, nil
	}
	data := make([]any, len(payloads))
	for i, payload := range payloads {
		if data[i], err = q.o.Codec.Marshal(payload); err != nil {
			return nil, failed("publish to", q.name, err)
		}
	}
	stream := q.stream(p)
	var list []any
	if len(options) == 0 && len(p.headers) == 0 {
		var reply any
		reply, err = send(ctx, q.conns, q.o.Outage, false, append([]any{"TASK.MPUBLISH", stream}, data...)...)
		list, _ = reply.([]any)
	} else {
		commands := make([][]any, len(data))
		for i := range data {
			commands[i] = p.command(stream, data[i])
		}
		list, err = sendTogether(ctx, q.conns, q.o.Outage, commands)
	}
	ids := make([]string, len(list))
	for i := range list {
		ids[i], _ = list[i].(string)
	}
	if err != nil {
		return ids, failed("publish to", q.name, err)
	}
	return ids, nil
}

func (q *Queue[T]) publication(ctx context.Context, options []PublishOption) (*publication, error) {
	p := &publication{headers: Headers{}}
	if q.invalid != nil {
		return p, q.invalid
	}
	q.o.Inject(ctx, p.headers)
	for _, set := range options {
		set(p)
	}
	if q.o.Kind != "" {
		p.headers.Set(fieldKind, q.o.Kind)
	}
	if err := p.check(); err != nil {
		return p, failed("publish to", q.name, err)
	}
	return p, nil
}

// check says what is wrong with the options, and how it would be right.
func (p *publication) check() error {
	switch {
	case p.err != nil:
		return p.err
	case p.delay < 0:
		return fmt.Errorf("Delay is %v: it must not be negative", p.delay)
	case p.delay > 0 && !p.at.IsZero():
		return errors.New("both Delay and At are given: choose one")
	case p.expire < 0:
		return fmt.Errorf("Expire is %v: it must not be negative", p.expire)
	case p.limit < 0:
		return fmt.Errorf("Limit is %d: it must not be negative, and 0 is none", p.limit)
	case p.unique != nil && (*p.unique == "" || p.ttl <= 0):
		return fmt.Errorf("Unique has the id %q for %v: it takes an id and a time above 0", *p.unique, p.ttl)
	case p.weight != 0 && p.key == nil:
		return errors.New("Weight is given without Key")
	case p.unique == nil && p.duplicate != nil:
		return errors.New("Duplicate is given without Unique")
	}
	return nil
}

// stream is where a task goes: to each stream in turn, and tasks of one key, or else of one
// unique id, to the same.
func (q *Queue[T]) stream(p *publication) string {
	switch {
	case len(q.streams) == 1:
		return q.streams[0]
	case p.key != nil:
		return q.streams[spread(*p.key, len(q.streams))]
	case p.unique != nil:
		return q.streams[spread(*p.unique, len(q.streams))]
	}
	return q.streams[int(q.turn.Add(1)%uint32(len(q.streams)))]
}

func (p *publication) command(stream string, payload any) []any {
	args := append(make([]any, 0, 16+2*len(p.headers)), "TASK.PUBLISH", stream, payload)
	switch {
	case p.delay > 0:
		args = append(args, "DELAY", blocking.Millis(p.delay))
	case !p.at.IsZero():
		args = append(args, "AT", max(p.at.UnixMilli(), 1))
	}
	if p.unique != nil {
		args = append(args, "UNIQUE", *p.unique, blocking.Millis(p.ttl))
		if p.untilDone {
			args = append(args, "UNTIL", "DONE")
		}
	}
	if p.expire > 0 {
		args = append(args, "EXPIRE", blocking.Millis(p.expire))
	}
	if p.limit > 0 {
		args = append(args, "LIMIT", p.limit)
	}
	if p.key != nil {
		args = append(args, "KEY", *p.key)
		if p.weight > 0 {
			args = append(args, "WEIGHT", p.weight)
		}
	}
	if p.duplicate != nil {
		args = append(args, "WITHSTATUS")
	}
	return p.headers.append(args)
}
