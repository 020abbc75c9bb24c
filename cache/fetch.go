package cache

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/internal/blocking"
	"holdfast/internal/codec"
)

// patience is how long an error that passes is ridden out before values are loaded
// without Redis.
const patience = 200 * time.Millisecond

// answer is a reply of CACHE.FETCH.
type answer struct {
	status string
	value  string
	there  bool // there is a value, be it an old one
	token  string
}

func parse(reply any) (a answer, err error) {
	parts, ok := reply.([]any)
	if ok && len(parts) == 3 {
		a.status, ok = parts[0].(string)
		a.value, a.there = parts[1].(string)
		if parts[2] != nil {
			a.token = fmt.Sprint(parts[2])
		}
	}
	if !ok || a.status == "" {
		return a, fmt.Errorf("CACHE.FETCH answered %v", reply)
	}
	return a, nil
}

// early is how long before its end a value is to be loaded anew.
func (o *Options) early() time.Duration { return o.RefreshAhead + o.StaleOnError }

// command is CACHE.FETCH, with room for the key.
func (o *Options) command() []any {
	millis := func(d time.Duration) string { return strconv.FormatInt(blocking.Millis(d), 10) }
	args := []any{"CACHE.FETCH", nil, millis(o.Lease), millis(o.LoadTimeout)}
	if early := o.early(); early > 0 {
		args = append(args, "REFRESH", millis(early))
	}
	return args
}

func (c *Cache[T]) command(key string, more ...any) []any {
	args := append(make([]any, 0, len(c.fetch)+len(more)), c.fetch...)
	args[1] = key
	return append(args, more...)
}

// asIfThere is after how many values in a row that were there the next is asked for as
// if it were there too.
const asIfThere = 16

// primaries tells whether a client asks primaries also for what only reads. A replica
// may know a value that was invalidated a moment ago.
func primaries(rdb redis.UniversalClient) bool {
	switch c := rdb.(type) {
	case *redis.Client, *redis.Ring:
		return true
	case *redis.ClusterClient:
		return !c.Options().ReadOnly
	}
	return false
}

// ask asks for a key without waiting. CACHE.GET is the cheaper question, and as good as
// long as the value is there and not to be refreshed; otherwise it is one too many. So
// it is asked where most are there.
func (c *Cache[T]) ask(ctx context.Context, key string) (answer, error) {
	if c.cheaply && c.inARow.Load() >= asIfThere {
		value, there, err := c.conns.SendForText(ctx, "CACHE.GET", key)
		switch {
		case err != nil && redis.HasErrorPrefix(err, "NOPERM"):
			c.inARow.Store(math.MinInt32) // not in a long time
		case err != nil || there:
			return answer{status: "HIT", value: value, there: there}, err
		}
	}
	a, err := c.fetchNow(ctx, key)
	switch {
	case a.status != "HIT":
		c.inARow.Store(min(c.inARow.Load(), 0))
	case c.inARow.Load() < asIfThere:
		c.inARow.Add(1)
	}
	return a, err
}

// fetchNow is CACHE.FETCH without waiting.
func (c *Cache[T]) fetchNow(ctx context.Context, key string) (answer, error) {
	reply, err := c.conns.SendForTexts(ctx, c.command(key)...)
	if err != nil {
		return answer{}, err
	}
	if len(reply) != 3 || reply[0] == "" {
		return answer{}, fmt.Errorf("CACHE.FETCH answered %q", reply)
	}
	a := answer{status: reply[0], value: reply[1], there: reply[1] != "", token: reply[2]}
	if a.status == "LOAD" && !a.there && c.o.early() > 0 { // the old value may be an empty one
		value, _ := c.conns.Send(ctx, "CACHE.GET", key)
		a.value, a.there = value.(string)
	}
	return a, nil
}

// round is how long one request waits at most: where its connection leads, nobody may
// be any more, and nobody would tell. Who asks again gets the value all the same.
const round = 5 * time.Second

// await asks for a key and waits for who loads it.
func (c *Cache[T]) await(ctx context.Context, key string) (answer, error) {
	conn, _, err := c.conns.Get(ctx, key)
	if err != nil {
		return answer{}, err
	}
	conn.Waiting()
	block := min(c.o.LoadTimeout, round)
	reply, err := conn.Do(ctx, block+round, nil, c.command(key, "BLOCK", blocking.Millis(block))...)
	a, perr := parse(reply)
	switch {
	case err == nil && perr == nil:
		conn.Put()
		return a, nil
	case err == nil:
		err = perr
	case perr == nil && a.status == "LOAD": // told to load, in the moment it was called off
		c.unlock(key, a.token)
	}
	conn.Close()
	return a, err
}

// unlock gives a lease up. If that fails it runs out.
func (c *Cache[T]) unlock(key, token string) {
	_, _ = c.conns.Send(context.Background(), "CACHE.UNLOCK", key, token)
}

// settle ends a flight by an answer that is all there is to say. A value that
// cannot be decoded, because its type has changed since, is loaded anew.
func (c *Cache[T]) settle(f *flight[T], a answer) bool {
	var none T
	switch a.status {
	case "HIT", "STALE":
		// In place, because what is passed to a codec is allocated.
		if err := codec.Decode(c.o.Codec, a.value, &f.value); err != nil {
			f.value = none
			return false
		}
		c.finish(f, f.value, nil)
		return true
	case "ABSENT":
		c.finish(f, none, ErrNotFound)
		return true
	}
	return false
}

// timedOut tells whether it took a timeout to fail: enough has been waited then.
func timedOut(err error) bool {
	var e net.Error
	return errors.As(err, &e) && e.Timeout()
}

// pursue follows a flight to its end, from the first answer or error.
func (c *Cache[T]) pursue(ctx context.Context, f *flight[T], a answer, err error) {
	var none T
	var trouble, crowd blocking.Backoff
	for {
		switch {
		case err != nil && redis.HasErrorPrefix(err, "LOADFAILED"):
			what := strings.TrimPrefix(err.Error(), "LOADFAILED ")
			c.finish(f, none, fmt.Errorf("%w: %s", ErrLoadFailed, what))
			return
		case ctx.Err() != nil:
			if err == nil && a.status == "LOAD" {
				c.unlock(f.key, a.token)
			}
			c.finish(f, none, context.Cause(ctx))
			return
		case err != nil && !blocking.Passes(err):
			c.finish(f, none, err)
			return
		case err != nil:
			c.conns.Forget(ctx)
			if (timedOut(err) || !trouble.Pause(ctx, patience)) && ctx.Err() == nil {
				c.fell(f.key, err)
				c.loadAlone(ctx, f)
				return
			}
		case c.settle(f, a):
			return
		case a.status == "LOAD":
			c.loadAndStore(ctx, f, a)
			return
		case a.status != "WAIT": // a value that cannot be decoded
			if _, err := c.conns.Send(ctx, "CACHE.DEL", f.key); err != nil && !blocking.Passes(err) {
				c.finish(f, none, err)
				return
			}
		}
		asked := time.Now()
		if a, err = c.await(ctx, f.key); err == nil {
			c.rose(f.key)
			trouble = blocking.Backoff{}
			// WAIT at once says that too many wait already.
			if a.status == "WAIT" && time.Since(asked) < patience {
				crowd.Pause(ctx, c.o.LoadTimeout)
			}
		}
	}
}
