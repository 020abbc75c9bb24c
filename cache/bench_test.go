package cache_test

import (
	"context"
	"testing"
	"time"

	"holdfast/cache"
)

// A value that is there, beside a plain GET of it.
func BenchmarkHit(b *testing.B) {
	ctx := context.Background()
	c := cache.New[string](rdb, cache.Options{Codec: cache.Bytes, TTL: time.Hour})
	defer c.Close()
	load := func(context.Context) (string, error) { return "value", nil }
	if _, err := c.Fetch(ctx, "bench", load); err != nil {
		b.Fatal(err)
	}
	b.Run("fetch", func(b *testing.B) {
		for b.Loop() {
			if _, err := c.Fetch(ctx, "bench", load); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("get", func(b *testing.B) {
		for b.Loop() {
			if err := rdb.Get(ctx, "bench").Err(); err != nil {
				b.Fatal(err)
			}
		}
	})
}
