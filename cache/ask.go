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

// askNow asks for a key without waiting for a load: over conn, or through the client
// that was given to New if conn is nil. CACHE.GET costs the server less than
// CACHE.FETCH and says as much while the value is there and not to be refreshed, but a
// miss then costs a second command. So it is asked where most calls are hits.
func (c *Cache[T]) askNow(ctx context.Context, conn *blocking.Conn, key string) (answer, error) {
	if c.getFirst && c.hitsInARow.Load() >= hitsBeforeGet {
		value, there, err := c.getNow(ctx, conn, key)
		switch {
		case err != nil && redis.HasErrorPrefix(err, "NOPERM"):
			c.hitsInARow.Store(math.MinInt32) // do not try again for a long time
		case err != nil || there:
			return answer{status: "HIT", value: value, there: there}, err
		}
	}
	a, err := c.fetchNow(ctx, conn, key)
	switch {
	case a.status != "HIT":
		c.hitsInARow.Store(min(c.hitsInARow.Load(), 0))
	case c.hitsInARow.Load() < hitsBeforeGet:
		c.hitsInARow.Add(1)
	}
	return a, err
}

// getNow is CACHE.GET.
func (c *Cache[T]) getNow(ctx context.Context, conn *blocking.Conn, key string) (value string, there bool, err error) {
	if conn == nil {
		return c.conns.SendForText(ctx, "CACHE.GET", c.redisKey(key))
	}
	conn.Late = ignoreReply
	reply, err := conn.Do(ctx, c.o.Timeout, nil, "CACHE.GET", c.redisKey(key))
	value, there = reply.(string)
	return value, there && err == nil, err
}

func ignoreReply(any) {}

// fetchNow is CACHE.FETCH without waiting.
func (c *Cache[T]) fetchNow(ctx context.Context, conn *blocking.Conn, key string) (answer, error) {
	if conn != nil {
		return c.fetchOver(ctx, conn, key, c.o.Timeout, c.fetchCommand(key))
	}
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

// fetchOver sends CACHE.FETCH over a connection of the cache's own. A lease that is
// granted too late to be returned is given up.
func (c *Cache[T]) fetchOver(ctx context.Context, conn *blocking.Conn, key string, within time.Duration, command []any) (answer, error) {
	late := func(reply any) {
		if a, err := parse(reply); err == nil && a.status == "LOAD" {
			c.unlock(key, a.token)
		}
	}
	conn.Late = late
	reply, err := conn.Do(ctx, within, nil, command...)
	if err != nil {
		late(reply) // there may be one, of the moment in which ctx ended
		return answer{}, err
	}
	return parse(reply)
}

// giveBack gives a connection back after a command that came to err.
func giveBack(conn *blocking.Conn, err error) {
	if err == nil || blocking.Refused(err) {
		conn.Put()
	} else {
		conn.Close()
	}
}

// round is how long one request waits for a load elsewhere. Asking again after it finds
// a server that has stopped answering, and what was loaded in between.
const round = time.Second

// fetchWaiting asks for a key and waits for the process that loads it.
func (c *Cache[T]) fetchWaiting(ctx context.Context, key string) (answer, error) {
	conn, _, err := c.conns.Get(ctx, c.redisKey(key))
	if err != nil {
		return answer{}, err
	}
	conn.Waiting()
	block := min(c.o.LoadTimeout, round)
	a, err := c.fetchOver(ctx, conn, key, block+c.o.Timeout, c.fetchCommand(key, "BLOCK", blocking.Millis(block)))
	giveBack(conn, err)
	return a, err
}

// askAgain is askNow after an error, within Timeout and over a connection of the
// cache's own: those in the client's pool may be dead.
func (c *Cache[T]) askAgain(ctx context.Context, key string) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, c.o.Timeout)
	defer cancel()
	conn, _, err := c.conns.Get(ctx, c.redisKey(key))
	if err != nil {
		return answer{}, err
	}
	a, err := c.fetchOver(ctx, conn, key, c.o.Timeout, c.fetchCommand(key))
	giveBack(conn, err)
	return a, err
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
