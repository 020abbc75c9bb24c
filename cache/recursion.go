package cache

import "context"

// loading says which key of which cache a loader loads, or which keys. It is in the
// loader's context.
type loading struct {
	cache any
	key   string
	keys  map[string]bool // of a batch
	outer *loading        // the load whose loader called this one
}

type loadingKey struct{}

func withLoading(ctx context.Context, l *loading) context.Context {
	l.outer, _ = ctx.Value(loadingKey{}).(*loading)
	return context.WithValue(ctx, loadingKey{}, l)
}

// isLoading reports whether ctx is the context of a loader that loads the key, or that
// such a loader called.
func isLoading(ctx context.Context, cache any, key string) bool {
	l, _ := ctx.Value(loadingKey{}).(*loading)
	for ; l != nil; l = l.outer {
		if l.cache == cache && (l.key == key && l.keys == nil || l.keys[key]) {
			return true
		}
	}
	return false
}
