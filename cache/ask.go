package cache

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/internal/blocking"
)

// answer is a reply of CACHE.FETCH.
type answer struct {
	status string
	value  string
	there  bool // there is a value, possibly an old one
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

// fetchArgs is CACHE.FETCH with room for the key.
func (o *Options) fetchArgs() []any {
	millis := func(d time.Duration) string { return strconv.FormatInt(blocking.Millis(d), 10) }
	args := []any{"CACHE.FETCH", nil, millis(o.Lease), millis(o.LoadTimeout)}
	if early := o.early(); early > 0 {
		args = append(args, "REFRESH", millis(early))
	}
	return args
}

func (c *Cache[T]) fetchCommand(key string, more ...any) []any {
	args := append(make([]any, 0, len(c.fetchArgs)+len(more)), c.fetchArgs...)
	args[1] = c.redisKey(key)
	return append(args, more...)
}

// hitsBeforeGet is the number of hits in a row after which the next value is asked for
// by CACHE.GET first.
const hitsBeforeGet = 16

// readsPrimaries reports whether a client sends reads to primaries. A replica may still
// have a value that was invalidated a moment ago.
func readsPrimaries(rdb redis.UniversalClient) bool {
	switch c := rdb.(type) {
	case *redis.Client, *redis.Ring:
		return true
	case *redis.ClusterClient:
		return !c.Options().ReadOnly
	}
	return false
}

// askNow asks for a key without waiting for a load. CACHE.GET costs the server less
// than CACHE.FETCH and says as much while the value is there and not to be refreshed,
// but a miss then costs a second command. So it is asked where most calls are hits.
func (c *Cache[T]) askNow(ctx context.Context, key string) (answer, error) {
	if c.getFirst && c.hitsInARow.Load() >= hitsBeforeGet {
		value, there, err := c.conns.SendForText(ctx, "CACHE.GET", c.redisKey(key))
		switch {
		case err != nil && redis.HasErrorPrefix(err, "NOPERM"):
			c.hitsInARow.Store(math.MinInt32) // do not try again for a long time
		case err != nil || there:
			return answer{status: "HIT", value: value, there: there}, err
		}
	}
	a, err := c.fetchNow(ctx, key)
	switch {
	case a.status != "HIT":
		c.hitsInARow.Store(min(c.hitsInARow.Load(), 0))
	case c.hitsInARow.Load() < hitsBeforeGet:
		c.hitsInARow.Add(1)
	}
	return a, err
}

// fetchNow is CACHE.FETCH without waiting.
func (c *Cache[T]) fetchNow(ctx context.Context, key string) (answer, error) {
	if c.emptyValues && c.o.early() > 0 { // an old value may be the empty string
		reply, err := c.conns.Send(ctx, c.fetchCommand(key)...)
		if err != nil {
			return answer{}, err
		}
		return parse(reply)
	}
	reply, err := c.conns.SendForTexts(ctx, c.fetchCommand(key)...)
	if err != nil {
		return answer{}, err
	}
	if len(reply) != 3 || reply[0] == "" {
		return answer{}, fmt.Errorf("CACHE.FETCH answered %q", reply)
	}
	return answer{status: reply[0], value: reply[1], there: reply[1] != "", token: reply[2]}, nil
}

// round is how long one request waits for a load elsewhere. Asking again after it finds
// a server that has stopped answering, and what was loaded in between.
const round = time.Second

// fetchWaiting asks for a key and waits for the process that loads it.
func (c *Cache[T]) fetchWaiting(ctx context.Context, key string) (answer, error) {
	block := min(c.o.LoadTimeout, round)
	return c.fetchOver(ctx, key, block+c.o.Timeout, true, c.fetchCommand(key, "BLOCK", blocking.Millis(block)))
}

// askAgain is askNow after an error, within Timeout and over a connection of the
// cache's own: those in the client's pool may be dead.
func (c *Cache[T]) askAgain(ctx context.Context, key string) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, c.o.Timeout)
	defer cancel()
	return c.fetchOver(ctx, key, c.o.Timeout, false, c.fetchCommand(key))
}

// fetchOver sends CACHE.FETCH over a connection of the cache's own. A lease that is
// granted too late to be returned is given up.
func (c *Cache[T]) fetchOver(ctx context.Context, key string, within time.Duration, waits bool, command []any) (answer, error) {
	conn, _, err := c.conns.Get(ctx, c.redisKey(key))
	if err != nil {
		return answer{}, err
	}
	if waits {
		conn.Waiting()
	}
	late := func(reply any) {
		if a, err := parse(reply); err == nil && a.status == "LOAD" {
			c.unlock(key, a.token)
		}
	}
	conn.Late = late
	reply, err := conn.Do(ctx, within, nil, command...)
	switch {
	case err == nil:
		conn.Put()
		return parse(reply)
	case blocking.Refused(err):
		conn.Put()
	default:
		conn.Close()
		late(reply) // there may be one, of the moment in which ctx ended
	}
	return answer{}, err
}

// do sends a command about a key over a connection of the cache's own, and waits no
// longer than within for its reply.
func (c *Cache[T]) do(ctx context.Context, key string, within time.Duration, args ...any) (any, error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	return c.conns.Do(ctx, within, c.redisKey(key), args...)
}

// unlock gives a lease up. If that fails the lease runs out.
func (c *Cache[T]) unlock(key, token string) {
	_, _ = c.do(context.WithoutCancel(c.ctx), key, c.o.Timeout, "CACHE.UNLOCK", c.redisKey(key), token)
}
