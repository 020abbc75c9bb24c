package blocking

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"
)

// command is one that go-redis never sends a second time: whether the first was
// carried out is for the caller to find out.
type command struct{ *redis.Cmd }

func (command) NoRetry() bool { return true }

// result is the command's reply, nil for a nil one.
func (c command) result() (any, error) {
	if err := c.Err(); !errors.Is(err, redis.Nil) {
		return c.Val(), err
	}
	return nil, nil
}

// text is a command that answers a text.
type text struct{ *redis.StringCmd }

func (text) NoRetry() bool { return true }

// texts is a command that answers an array of texts.
type texts struct{ *redis.StringSliceCmd }

func (texts) NoRetry() bool { return true }

// Do sends a command that does not wait, once, over a connection of the pool's own,
// and returns its reply, nil for a nil one. It returns when ctx ends or within (or a
// quarter more) is over, whatever state the connections of the caller's client are
// in. After an error that passes, no kept connection is trusted.
//
// A client that asks Sentinel is used itself, for it alone hears of a failover while
// the old primary is still up.
func (p *Pool) Do(ctx context.Context, within time.Duration, key string, args ...any) (any, error) {
	if c, ok := p.rdb.(interface{ Options() *redis.Options }); ok && c.Options().Addr == sentinelAddr {
		bounded, cancel := context.WithTimeout(ctx, within)
		defer cancel()
		reply, err := p.Send(bounded, args...)
		return reply, cmp.Or(ctx.Err(), err)
	}
	reply, err := p.do(ctx, within, key, args)
	if Passes(err) && ctx.Err() == nil {
		p.Forget(ctx)
	}
	return reply, err
}

func (p *Pool) do(ctx context.Context, within time.Duration, key string, args []any) (any, error) {
	c, _, err := p.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	c.Late = ignore
	reply, err := c.Do(ctx, within, nil, args...)
	if err != nil && !Refused(err) {
		c.Close()
	} else {
		c.Put()
	}
	return reply, err
}

func ignore(any) {}

// Send sends a command that does not wait, once, through the caller's client, and
// returns its reply, nil for a nil one. Like SendForText, SendForTexts and SendAll it
// returns when ctx ends, also while the server is silent.
func (p *Pool) Send(ctx context.Context, args ...any) (any, error) {
	return untilDone(ctx, func(ctx context.Context) (any, error) {
		cmd := command{redis.NewCmd(ctx, args...)}
		p.process(ctx, cmd)
		return cmd.result()
	})
}

// process sends a command, which has its error, and refreshes a cluster's slot map if
// that may have been out of date.
func (p *Pool) process(ctx context.Context, cmd redis.Cmder) {
	if Passes(p.rdb.Process(ctx, cmd)) {
		p.reload(ctx)
	}
}

// SendForText is Send for a command that answers a text or nil. SendForText and
// SendForTexts are for what is sent most: go-redis reads a reply of which it knows the
// kind with half the allocations.
func (p *Pool) SendForText(ctx context.Context, args ...any) (reply string, there bool, err error) {
	reply, err = untilDone(ctx, func(ctx context.Context) (string, error) {
		cmd := text{redis.NewStringCmd(ctx, args...)}
		p.process(ctx, cmd)
		return cmd.Result()
	})
	if errors.Is(err, redis.Nil) {
		return "", false, nil
	}
	return reply, err == nil, err
}

// SendForTexts is Send for a command that answers an array of texts. A nil among them
// is an empty text.
func (p *Pool) SendForTexts(ctx context.Context, args ...any) ([]string, error) {
	return untilDone(ctx, func(ctx context.Context) ([]string, error) {
		cmd := texts{redis.NewStringSliceCmd(ctx, args...)}
		p.process(ctx, cmd)
		return cmd.Result()
	})
}

// SendAll is Send for commands in one pipeline. Each has its own error.
func (p *Pool) SendAll(ctx context.Context, commands [][]any) (replies []any, errs []error) {
	return p.pipelined(ctx, p.rdb.Pipeline, commands)
}

// SendTogether is SendAll for commands of one slot in a transaction: the server carries
// all of them out, one after another, or none.
func (p *Pool) SendTogether(ctx context.Context, commands [][]any) (replies []any, errs []error) {
	return p.pipelined(ctx, p.rdb.TxPipeline, commands)
}

func (p *Pool) pipelined(ctx context.Context, open func() redis.Pipeliner, commands [][]any) (replies []any, errs []error) {
	cmds, err := untilDone(ctx, func(ctx context.Context) ([]command, error) {
		pipe := open()
		cmds := make([]command, len(commands))
		for i, args := range commands {
			cmds[i] = command{redis.NewCmd(ctx, args...)}
			_ = pipe.Process(ctx, cmds[i])
		}
		_, _ = pipe.Exec(ctx)
		return cmds, nil
	})
	replies, errs = make([]any, len(commands)), make([]error, len(commands))
	for i := range commands {
		if err != nil {
			errs[i] = err
			continue
		}
		replies[i], errs[i] = cmds[i].result()
	}
	return replies, errs
}
