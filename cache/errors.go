package cache

import (
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"
)

var (
	// ErrClosed is returned after Close, and by calls that Close ended.
	ErrClosed = errors.New("the cache is closed")

	// ErrLoadFailed is returned where another process loaded the value and failed. The
	// loader's error is only in its text; a panic's text stays in its own process.
	ErrLoadFailed = errors.New("loading it failed elsewhere")

	// ErrLoadTimeout is returned where a load took longer than Options.LoadTimeout. It
	// tells that apart from the end of the caller's own context.
	ErrLoadTimeout = errors.New("the load took longer than LoadTimeout")

	// ErrNotFound is for a loader to return, alone or wrapped, when there is no value.
	// The cache remembers that for NegativeTTL, and Fetch returns it.
	ErrNotFound = errors.New("not found")

	// ErrRecursiveLoad is returned to a loader that fetches the key it loads, directly
	// or through the loaders of other keys: it would wait for itself.
	ErrRecursiveLoad = errors.New("the loader of this key fetches it")
)

// failed says which call failed for which key, and what to do about it where that is
// known.
func failed(call, key string, err error) error {
	return fmt.Errorf("cache: %s %q: %w%s", call, key, err, hint(err))
}

func hint(err error) string {
	switch {
	case redis.HasErrorPrefix(err, "unknown command"):
		return " (the server has not loaded the module cachelock: try loadmodule …/cachelock.so)"
	case redis.HasErrorPrefix(err, "WRONGTYPE"):
		return " (the key holds something that is not the cache's: use another, or delete it)"
	}
	return ""
}
