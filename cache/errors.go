package cache

import (
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"
)

var (
	// ErrClosed is returned after Close, and by calls that it ended.
	ErrClosed = errors.New("the cache is closed")

	// ErrLoadFailed is the error where another process loaded the value and failed.
	// What went wrong there is in its text alone.
	ErrLoadFailed = errors.New("loading it failed elsewhere")

	// ErrNotFound is for a loader to return, alone or wrapped, when there is no value.
	// That is remembered for NegativeTTL, and Fetch returns it.
	ErrNotFound = errors.New("not found")
)

// failed says what failed, and where it is known how to mend it.
func failed(what, key string, err error) error {
	hint := ""
	switch {
	case redis.HasErrorPrefix(err, "unknown command"):
		hint = " (the server has not loaded the module cachelock: try loadmodule …/cachelock.so)"
	case redis.HasErrorPrefix(err, "WRONGTYPE"):
		hint = " (the key holds something that is not the cache's: use another, or delete it)"
	}
	return fmt.Errorf("cache: %s %q: %w%s", what, key, err, hint)
}
