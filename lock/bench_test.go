package lock_test

import (
	"context"
	"testing"

	"github.com/redis/go-redis/v9"

	"holdfast/lock"
)

// A free lock, taken and given back; to be compared with two plain commands.
func BenchmarkPair(b *testing.B) {
	locks := lock.New(rdb, lock.Options{})
	defer locks.Close()
	b.Run("lock", func(b *testing.B) {
		for b.Loop() {
			l, err := locks.Acquire(context.Background(), "bench")
			if err != nil {
				b.Fatal(err)
			}
			if err := l.Release(context.Background()); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("set+eval", func(b *testing.B) {
		script := redis.NewScript(`if redis.call("get", KEYS[1]) == ARGV[1] then return redis.call("del", KEYS[1]) end return 0`)
		for b.Loop() {
			if err := rdb.SetNX(context.Background(), "bench:set", "owner", 30e9).Err(); err != nil {
				b.Fatal(err)
			}
			if err := script.Run(context.Background(), rdb, []string{"bench:set"}, "owner").Err(); err != nil {
				b.Fatal(err)
			}
		}
	})
}
