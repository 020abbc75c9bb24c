package main

import (
	"context"
	"crypto/rand"
	"errors"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/rueidis/rueidisaside"
	"golang.org/x/sync/singleflight"

	"holdfast/cache"
)

// connected is a crowd in which each has a connection.
func (s *Server) connected(of func(conn *redis.Conn) fetch) crowd {
	return func(n int) (func(int) fetch, func()) {
		c := client(s.Addr, n)
		all := make([]*redis.Conn, n)
		for i := range all {
			all[i] = c.Conn()
			must(all[i].Ping(bg).Err())
		}
		return func(i int) fetch { return of(all[i]) }, func() {
			for _, conn := range all {
				_ = conn.Close()
			}
			_ = c.Close()
		}
	}
}

// ours: every caller a connection of its own, as if each were another process.
func (s *Server) ours(lease time.Duration) crowd {
	return s.connected(func(conn *redis.Conn) fetch {
		return func(ctx context.Context, key string, load func() (string, error)) (string, error) {
			reply, err := conn.Do(ctx, "CACHE.FETCH", key, lease.Milliseconds(), 10_000, "BLOCK", 0).Slice()
			if err != nil {
				return "", err
			}
			if reply[0] != "LOAD" {
				return reply[1].(string), nil
			}
			v, err := load()
			if err != nil {
				return "", errors.Join(err, conn.Close())
			}
			return v, conn.Do(ctx, "CACHE.SET", key, v, 60_000, "TOKEN", reply[2]).Err()
		}
	})
}

// polling is the recipe of Redis's documentation: whoever sets a lock key loads,
// the others look again every 25 ms.
func (s *Server) polling(lease time.Duration) crowd {
	return s.connected(func(conn *redis.Conn) fetch {
		return func(ctx context.Context, key string, load func() (string, error)) (string, error) {
			for {
				if v, err := conn.Get(ctx, key).Result(); err != redis.Nil {
					return v, err
				}
				me := rand.Text()
				if won, err := conn.SetNX(ctx, "lock:"+key, me, lease).Result(); err != nil {
					return "", err
				} else if won {
					v, err := load()
					if err != nil {
						return "", errors.Join(err, conn.Close())
					}
					if err := conn.Set(ctx, key, v, time.Minute).Err(); err != nil {
						return "", err
					}
					return v, unlockScript.Run(ctx, conn, []string{"lock:" + key}, me).Err()
				}
				time.Sleep(25 * time.Millisecond)
			}
		}
	})
}

// asides: every caller a rueidisaside of its own. It puts a placeholder at the key,
// and the others learn by client tracking that it was replaced.
func (s *Server) asides(lease time.Duration) crowd {
	return func(n int) (func(int) fetch, func()) {
		clients := make([]rueidisaside.CacheAsideClient, n)
		for i := range clients {
			var err error
			clients[i], err = s.aside(lease, 1<<20)
			must(err)
		}
		return func(i int) fetch {
				c := clients[i]
				return func(ctx context.Context, key string, load func() (string, error)) (string, error) {
					return c.Get(ctx, time.Minute, key, func(context.Context, string) (string, error) {
						v, err := load()
						if err != nil {
							c.Client().Close() // or it would give the key back, which who dies does not
						}
						return v, err
					})
				}
			}, func() {
				for _, c := range clients {
					c.Close()
				}
			}
	}
}

// processes are how many the callers are shared among where each has many.
const processes = 10

// caches: package cache, one in each process.
func (s *Server) caches(n int) (func(int) fetch, func()) {
	var all [processes]*cache.Cache[string]
	rdb := client(s.Addr, n)
	for i := range all {
		all[i] = cache.New[string](rdb, cache.Options{Codec: cache.Bytes})
		_, err := all[i].Fetch(bg, "warm:"+strconv.Itoa(i), func(context.Context) (string, error) { return body, nil })
		must(err)
	}
	return func(i int) fetch {
			return func(ctx context.Context, key string, load func() (string, error)) (string, error) {
				return all[i%processes].Fetch(ctx, key, func(context.Context) (string, error) { return load() })
			}
		}, func() {
			for _, c := range all {
				must(c.Close())
			}
			_ = rdb.Close()
		}
}

// flights: GET and SET with a singleflight in each process.
func (s *Server) flights(n int) (func(int) fetch, func()) {
	var all [processes]singleflight.Group
	rdb := client(s.Addr, n)
	return func(i int) fetch {
		return func(ctx context.Context, key string, load func() (string, error)) (string, error) {
			v, err, _ := all[i%processes].Do(key, func() (any, error) {
				if v, err := rdb.Get(ctx, key).Result(); err != redis.Nil {
					return v, err
				}
				v, err := load()
				if err != nil {
					return "", err
				}
				return v, rdb.Set(ctx, key, v, time.Minute).Err()
			})
			return v.(string), err
		}
	}, func() { _ = rdb.Close() }
}
