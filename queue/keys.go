package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"holdfast/internal/blocking"
)

// Key says whose task it is: a tenant's, an account's, that of whatever must not have more
// than its share. A [Rule] of the queue says what follows from it; without a rule the key is
// only kept. A key has 1 to 512 bytes. All tasks of a key go to the same partition.
func Key(key string) PublishOption {
	return func(p *publication) {
		if p.key = &key; key == "" || len(key) > 512 {
			p.err = fmt.Errorf("Key has %d bytes: it must have 1 to 512", len(key))
		}
	}
}

// Weight gives the key of a task n turns for one of a key without a weight, when both have
// tasks that are held. The weight said last counts for all tasks of the key. It goes with
// [Key]. From 1 to 1000. Defaults to 1.
func Weight(n int) PublishOption {
	return func(p *publication) {
		if p.weight = n; n < 1 || n > 1000 {
			p.err = fmt.Errorf("Weight is %d: it must be from 1 to 1000", n)
		}
	}
}

// Rule says how many tasks of one key (see [Key]) a queue lets in: those beyond are held in
// the server until others of their key are done. Keys with held tasks take turns. The zero
// Rule holds nothing.
type Rule struct {
	// Limit is how many tasks of one key may be in the queue's stream or in work, whatever
	// happens. 0 is any number.
	Limit int `json:"limit,omitempty"`

	// Ordered lets the tasks of one key run one by one, in the order of their publication. A
	// task that fails keeps its place until it succeeds, is a dead letter or is cancelled.
	Ordered bool `json:"ordered,omitempty"`

	// Rate is how many tasks of one key are let in within a time.
	Rate Rate `json:"rate,omitzero"`

	// Share is Limit, but a worker that would be idle is given more. 0 is any number.
	Share int `json:"share,omitempty"`
}

// Rate is N tasks within Per. The zero Rate is any number.
type Rate struct {
	N   int           `json:"n"`
	Per time.Duration `json:"per_ns"`        // in whole milliseconds
	All bool          `json:"all,omitempty"` // of the tasks of all keys together, in each partition
}

// Validate tells what is wrong with a rule, and how it would be right.
func (r Rule) Validate() error {
	switch {
	case r.Limit < 0 || r.Share < 0 || r.Rate.N < 0 || r.Rate.Per < 0:
		return errors.New("queue: Rule: a number is negative: 0 is no limit")
	case r.Limit > 0 && r.Share > 0:
		return errors.New("queue: Rule: both Limit and Share are given: choose one")
	case (r.Rate.N > 0) != (r.Rate.Per > 0):
		return errors.New("queue: Rule: Rate takes both N and Per")
	case r.Ordered && (r.Share > 0 || r.Limit > 1):
		return errors.New("queue: Rule: Ordered is a Limit of 1: leave Limit and Share out")
	}
	return nil
}

func (r Rule) command(stream string) []any {
	args := []any{"TASK.KEYS", stream}
	switch {
	case r.Limit > 0:
		args = append(args, "LIMIT", r.Limit)
	case r.Share > 0:
		args = append(args, "SHARE", r.Share)
	}
	if r.Rate.N > 0 {
		args = append(args, "RATE", r.Rate.N, "PER", blocking.Millis(r.Rate.Per))
		if r.Rate.All {
			args = append(args, "ALL")
		}
	}
	if r.Ordered {
		args = append(args, "ORDERED")
	}
	if len(args) == 2 {
		args = append(args, "NONE")
	}
	return args
}

// SetRule sets the rule for the queue's keys, of each partition, for all who publish. It
// applies at once to what is held, and stays until another is set; the zero Rule takes it
// away and lets in all that is held. A queue with a rule has one group. It may be repeated.
func (q *Queue[T]) SetRule(ctx context.Context, r Rule) error {
	if q.invalid != nil {
		return q.invalid
	}
	if err := r.Validate(); err != nil {
		return err
	}
	for _, stream := range q.streams {
		if _, err := send(ctx, q.conns, q.o.Outage, true, r.command(stream)...); err != nil {
			return failed("set the rule of", q.name, err)
		}
	}
	return nil
}

// Rule returns the rule for the queue's keys, as its first partition has it.
func (q *Queue[T]) Rule(ctx context.Context) (Rule, error) {
	if q.invalid != nil {
		return Rule{}, q.invalid
	}
	k, err := keysOf(ctx, q.conns, q.o.Outage, q.streams[0], 1)
	if err != nil {
		return Rule{}, failed("read the rule of", q.name, err)
	}
	return k.Rule, nil
}

// Keys tells of the keys of a stream.
type Keys struct {
	Rule  Rule   `json:"rule"`
	Held  int64  `json:"held"`  // tasks
	Keys  int64  `json:"keys"`  // with held tasks
	Lines []Line `json:"lines"` // the longest first
}

// Line is a key with held tasks.
type Line struct {
	Key    string `json:"key"`
	Held   int64  `json:"held"`
	In     int64  `json:"in"` // tasks in the stream or in work; 0 where the rule does not count them, and while a large stream is read
	Weight int64  `json:"weight"`
}

// Keys tells the rule for the keys of a stream, and the n keys with most held tasks, 1000
// being the most. It asks the primary.
func (i *Inspector) Keys(ctx context.Context, stream string, n int) (Keys, error) {
	if err := i.check(stream); err != nil {
		return Keys{}, err
	}
	k, err := keysOf(ctx, i.conns, outageOfActs, stream, max(n, 1))
	if err != nil {
		return Keys{}, failed("list the keys of", stream, err)
	}
	k.Lines = k.Lines[:min(len(k.Lines), max(n, 0))]
	return k, nil
}

// SetRule sets the rule for the keys of one stream; see [Queue.SetRule].
func (i *Inspector) SetRule(ctx context.Context, stream string, r Rule) error {
	if err := i.check(stream); err != nil {
		return err
	}
	if err := r.Validate(); err != nil {
		return err
	}
	if _, err := send(ctx, i.conns, outageOfActs, true, r.command(stream)...); err != nil {
		return failed("set the rule of", stream, err)
	}
	return nil
}

func keysOf(ctx context.Context, conns *blocking.Pool, outage time.Duration, stream string, n int) (k Keys, err error) {
	reply, err := send(ctx, conns, outage, true, "TASK.KEYS", stream, "COUNT", n)
	if err != nil {
		return k, err
	}
	m := blocking.FieldsOf(reply)
	k.Rule = Rule{
		Limit: int(m.Int("limit")), Share: int(m.Int("share")), Ordered: m.Bool("ordered"),
		Rate: Rate{N: int(m.Int("rate")), Per: m.Millis("per_ms"), All: m.Bool("all")},
	}
	if k.Rule.Ordered {
		k.Rule.Limit = 0
	}
	k.Held, k.Keys = m.Int("held"), m.Int("keys")
	for _, l := range m.Maps("lines") {
		k.Lines = append(k.Lines, Line{Key: l.Text("key"), Held: l.Int("held"), In: l.Int("in"), Weight: l.Int("weight")})
	}
	return k, nil
}
