package cache

import (
	"context"
	"errors"
	"fmt"
)

// FetchMany returns the values of many keys, for few round trips. load is called once
// with all the keys that this process has to load; those that another caller or process
// loads already are waited for. Like Fetch, FetchMany returns when ctx ends.
//
// load returns the values by key. A key that is not in its map has no value, which the
// cache remembers for NegativeTTL; if load returns an error too, that is the error of
// those keys. load may also be called with a single key, when another process was to
// load that key and did not.
//
// The map has the values there are. The error says how many keys failed, and wraps the
// first of their errors; the map has the values of the others then. That there is no
// value is no error: the key is not in the map.
func (c *Cache[T]) FetchMany(ctx context.Context, keys []string, load func(ctx context.Context, keys []string) (map[string]T, error)) (map[string]T, error) {
	if err := c.usable(ctx); err != nil {
		return nil, fmt.Errorf("cache: fetch %d keys: %w", len(keys), err)
	}
	values := make(map[string]T, len(keys))
	seen := make(map[string]bool, len(keys))
	var failures manyErrors
	var firsts, joined []*flight[T]
	for _, key := range keys {
		if seen[key] {
			continue
		}
		seen[key] = true
		if c.near != nil {
			if value, err, ok := c.near.get(key); ok {
				c.stats.count(isNear)
				if err == nil {
					values[key] = value
				}
				continue
			}
		}
		f, first, err := c.join(ctx, key, loadOne(key, load))
		switch {
		case err != nil:
			c.stats.count(isError)
			failures.add(failed("fetch", key, err))
		case first:
			firsts = append(firsts, f)
		default:
			joined = append(joined, f)
		}
	}
	if len(firsts) > 0 {
		c.askMany(&batch[T]{c: c, load: load, ctx: context.WithoutCancel(ctx), flights: append([]*flight[T](nil), firsts...)})
	}
	take := func(flights []*flight[T], wait func(context.Context, *flight[T]) (T, error)) {
		for _, f := range flights {
			key := f.key // before the flight may be reused
			switch value, err := wait(ctx, f); {
			case err == nil:
				values[key] = value
			case !errors.Is(err, ErrNotFound):
				failures.add(err)
			}
		}
	}
	take(firsts, c.wait)
	take(joined, c.share)
	return values, failures.err()
}

// loadOne is the loader of one key of a batch.
func loadOne[T any](key string, load func(context.Context, []string) (map[string]T, error)) func(context.Context) (T, error) {
	return func(ctx context.Context) (T, error) {
		values, err := load(ctx, []string{key})
		value, ok := values[key]
		switch {
		case ok:
			return value, nil
		case err != nil:
			return value, err
		}
		return value, ErrNotFound
	}
}

// manyErrors counts errors and keeps the first.
type manyErrors struct {
	first error
	n     int
}

func (m *manyErrors) add(err error) {
	if m.n++; m.first == nil {
		m.first = err
	}
}

func (m *manyErrors) err() error {
	if m.n > 1 {
		return fmt.Errorf("%w (and %d more keys failed)", m.first, m.n-1)
	}
	return m.first
}
