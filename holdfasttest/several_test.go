package holdfasttest_test

import (
	"context"
	"testing"
	"time"

	"holdfast/holdfasttest"
)

// works waits until a command is answered, by whoever does so now.
func works(t *testing.T, command func(ctx context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for {
		err := command(ctx)
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			t.Fatal(err)
		}
	}
}

func TestAClusterBearsTheDeathOfAPrimary(t *testing.T) {
	c := holdfasttest.Cluster(t, 3, 1)
	rdb := c.Client()
	set := func(ctx context.Context) error {
		defer rdb.ReloadState(ctx) // go-redis looks once a minute who is a primary
		return rdb.Do(ctx, "CACHE.SET", "k", "v", 60000).Err()
	}
	works(t, set)
	before := c.Primary("k")
	before.Kill()
	works(t, set)
	if after := c.Primary("k"); after == before {
		t.Error("nobody else is the primary now")
	}
}

func TestSentinelFailsOverAPrimaryThatDied(t *testing.T) {
	s := holdfasttest.Sentinel(t, 1, 3)
	rdb := s.Client()
	set := func(ctx context.Context) error { return rdb.Do(ctx, "CACHE.SET", "k", "v", 60000).Err() }
	works(t, set)
	before := s.Primary()
	before.Kill()
	works(t, set)
	if after := s.Primary(); after == before {
		t.Error("nobody else is the primary now")
	}
}
