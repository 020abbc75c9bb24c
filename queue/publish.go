package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"holdfast/internal/blocking"
)

// publication is how a task is published.
type publication struct {
	delay   time.Duration
	at      time.Time
	unique  *string
	ttl     time.Duration
	limit   int
	headers Headers
}

// PublishOption changes how a task is published.
type PublishOption func(*publication)

// Delay has a task wait before it enters the queue. In whole milliseconds.
func Delay(d time.Duration) PublishOption { return func(p *publication) { p.delay = d } }

// At has a task enter the queue at a time, by the server's clock.
func At(t time.Time) PublishOption { return func(p *publication) { p.at = t } }

// Header gives a task a header. The server refuses the names of a task's own fields,
// as payload.
func Header(name, value string) PublishOption {
	return func(p *publication) { p.headers.Set(name, value) }
}

// Limit refuses a task with [ErrFull] when its stream holds so many already, those
// in work included. Defaults to 0: no limit.
func Limit(n int) PublishOption { return func(p *publication) { p.limit = n } }

// Unique publishes nothing if a task of this id was published within ttl; Publish
// returns that one's id then. It makes publishing safe to repeat, and is repeated
// by Publish itself when a reply is lost.
func Unique(id string, ttl time.Duration) PublishOption {
	return func(p *publication) { p.unique, p.ttl = &id, ttl }
}

// Publish adds a task, and hands it to the worker that has waited longest. It returns
// the task's id; of a delayed one, what Cancel takes.
//
// An error may mean that the reply was lost and nobody knows whether the task was
// added: such a command is sent again only with [Unique]. What the server refuses
// for a moment is tried for as long as Options.Outage.
func (q *Queue[T]) Publish(ctx context.Context, payload T, options ...PublishOption) (string, error) {
	p, err := q.publication(ctx, options)
	if err != nil {
		return "", err
	}
	data, err := q.o.Codec.Marshal(payload)
	if err != nil {
		return "", failed("publish to", q.name, err)
	}
	reply, err := q.send(ctx, p.unique != nil, p.command(q.stream(p), data)...)
	if err != nil {
		return "", failed("publish to", q.name, err)
	}
	id, _ := reply.(string)
	return id, nil
}

// PublishBatch adds tasks, all to one partition, and returns their ids. Without
// options it is one command, and all of them are added or none; keep to some
// thousands at a time. With options, which are those of each task, it is one
// pipeline, and the ids of tasks that failed are "".
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
	stream := q.stream(p)
	args := append(make([]any, 0, 2+len(payloads)), "TASK.MPUBLISH", stream)
	for _, payload := range payloads {
		data, err := q.o.Codec.Marshal(payload)
		if err != nil {
			return nil, failed("publish to", q.name, err)
		}
		args = append(args, data)
	}
	if len(options) > 0 || len(p.headers) > 0 {
		return q.publishEach(ctx, p, stream, args[2:])
	}
	reply, err := q.send(ctx, false, args...)
	if err != nil {
		return nil, failed("publish to", q.name, err)
	}
	list, _ := reply.([]any)
	ids := make([]string, len(list))
	for i := range list {
		ids[i], _ = list[i].(string)
	}
	return ids, nil
}

func (q *Queue[T]) publishEach(ctx context.Context, p *publication, stream string, payloads []any) ([]string, error) {
	commands := make([][]any, len(payloads))
	for i, data := range payloads {
		commands[i] = p.command(stream, data)
	}
	replies, errs := q.conns.SendAll(ctx, commands)
	ids := make([]string, len(replies))
	for i := range replies {
		ids[i], _ = replies[i].(string)
	}
	if err := errors.Join(errs...); err != nil {
		return ids, failed("publish to", q.name, err)
	}
	return ids, nil
}

func (q *Queue[T]) publication(ctx context.Context, options []PublishOption) (*publication, error) {
	p := &publication{headers: Headers{}}
	if q.err != nil {
		return p, q.err
	}
	q.o.Inject(ctx, p.headers)
	for _, set := range options {
		set(p)
	}
	if err := p.check(); err != nil {
		return p, failed("publish to", q.name, err)
	}
	return p, nil
}

// check says what is wrong with the options, and how it would be right.
func (p *publication) check() error {
	switch {
	case p.delay < 0:
		return fmt.Errorf("Delay is %v: it must not be negative", p.delay)
	case p.delay > 0 && !p.at.IsZero():
		return errors.New("both Delay and At are given: choose one")
	case p.limit < 0:
		return fmt.Errorf("Limit is %d: it must not be negative, and 0 is none", p.limit)
	case p.unique != nil && (*p.unique == "" || p.ttl <= 0):
		return fmt.Errorf("Unique has the id %q for %v: it takes an id and a time above 0", *p.unique, p.ttl)
	}
	return nil
}

// stream is where a task goes: in turn, and those of one unique id to the same.
func (q *Queue[T]) stream(p *publication) string {
	switch {
	case len(q.streams) == 1:
		return q.streams[0]
	case p.unique != nil:
		return q.streams[spread(*p.unique, len(q.streams))]
	}
	return q.streams[int(q.turn.Add(1)%uint32(len(q.streams)))]
}

func (p *publication) command(stream string, payload any) []any {
	args := append(make([]any, 0, 12+2*len(p.headers)), "TASK.PUBLISH", stream, payload)
	switch {
	case p.delay > 0:
		args = append(args, "DELAY", blocking.Millis(p.delay))
	case !p.at.IsZero():
		args = append(args, "AT", max(p.at.UnixMilli(), 1))
	}
	if p.unique != nil {
		args = append(args, "UNIQUE", *p.unique, blocking.Millis(p.ttl))
	}
	if p.limit > 0 {
		args = append(args, "LIMIT", p.limit)
	}
	if len(p.headers) > 0 {
		args = append(args, "HEADERS", len(p.headers))
		for name, value := range p.headers {
			args = append(args, name, value)
		}
	}
	return args
}
