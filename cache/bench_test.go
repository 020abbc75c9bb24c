package cache_test

import (
	"context"
	"testing"
	"time"

	"holdfast/cache"
)

// A value that is there, beside a plain GET of it; and one that is near.
func BenchmarkHit(b *testing.B) {
	ctx := context.Background()
	load := func(context.Context) (string, error) { return "value", nil }
	fetch := func(b *testing.B, o cache.Options) *cache.Cache[string] {
		c := cache.New[string](rdb, o)
		b.Cleanup(func() { _ = c.Close() })
		if _, err := c.Fetch(ctx, "bench", load); err != nil {
			b.Fatal(err)
		}
		return c
	}
	run := func(name string, do func(*testing.B) func() error) {
		b.Run(name, func(b *testing.B) {
			once := do(b)
			for b.Loop() {
				if err := once(); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+"/parallel", func(b *testing.B) {
			once := do(b)
			b.RunParallel(func(p *testing.PB) {
				for p.Next() {
					if err := once(); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
	run("fetch", func(b *testing.B) func() error {
		c := fetch(b, cache.Options{Codec: cache.Bytes, TTL: time.Hour})
		return func() error { _, err := c.Fetch(ctx, "bench", load); return err }
	})
	run("near", func(b *testing.B) func() error {
		c := fetch(b, cache.Options{Codec: cache.Bytes, TTL: time.Hour, Near: cache.NearOptions{Size: 100}})
		for n := 0; n == 0; n, _ = cache.Near(c) {
			_, _ = c.Fetch(ctx, "bench", load)
		}
		return func() error { _, err := c.Fetch(ctx, "bench", load); return err }
	})
	run("get", func(*testing.B) func() error {
		return func() error { return rdb.Get(ctx, "bench").Err() }
	})
}
