package e2e

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"holdfast/holdfasttest"
)

// asUser is a client of the server that is a user with these rules.
func asUser(t *testing.T, s *holdfasttest.Instance, rules ...any) *redis.Client {
	t.Helper()
	admin := s.Client()
	if err := admin.Do(context.Background(), append([]any{"ACL", "SETUSER", "worker", "reset", "on", ">secret"}, rules...)...).Err(); err != nil {
		t.Fatal(err)
	}
	o := *admin.Options()
	o.Username, o.Password = "worker", "secret"
	c := redis.NewClient(&o)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func refused(err error) bool { return err != nil && strings.HasPrefix(err.Error(), "NOPERM") }

func TestACommandThatIsNamedIsAllowedAndNoOther(t *testing.T) {
	ctx := context.Background()
	s := holdfasttest.Server(t)
	c := asUser(t, s, "~tasks*", "+task.consume", "+task.ack", "+task.retry")
	if err := c.Do(ctx, "TASK.CONSUME", "g", "c", "tasks").Err(); !errors.Is(err, redis.Nil) {
		t.Errorf("consume: %v", err)
	}
	if err := c.Do(ctx, "TASK.CONSUME", "g", "c", "mail").Err(); !refused(err) {
		t.Errorf("consume of another key: %v", err)
	}
	if err := c.Do(ctx, "TASK.PUBLISH", "tasks", "p").Err(); !refused(err) {
		t.Errorf("publish: %v", err)
	}
	// All three streams of a retry count.
	if err := c.Do(ctx, "TASK.RETRY", "tasks", "1-1", "p", 0, "tasks:retry", "dead", 3).Err(); !refused(err) {
		t.Errorf("retry with another's dead stream: %v", err)
	}
	if err := c.Do(ctx, "TASK.RETRY", "tasks", "1-1", "p", 0, "tasks:retry", "tasks:dead", 3).Err(); err != nil {
		t.Errorf("retry: %v", err)
	}
}

// TestCategoriesHoldWhereTheServerHasThem: on Redis 7.0 module commands are in
// @all alone, which the docs say and this shows.
func TestCategoriesHoldWhereTheServerHasThem(t *testing.T) {
	ctx := context.Background()
	s := holdfasttest.Server(t)
	has := !strings.HasPrefix(s.Client().InfoMap(ctx, "server").Val()["Server"]["redis_version"], "7.0.")
	writer := asUser(t, s, "~*", "+@write")
	if err := writer.Do(ctx, "LOCK.ACQUIRE", "l", "o", 1000).Err(); refused(err) == has {
		t.Errorf("a user with +@write acquires: %v", err)
	}
	if err := writer.Do(ctx, "LOCK.INFO", "l").Err(); !refused(err) {
		t.Errorf("a user with +@write alone reads: %v", err)
	}
	none := asUser(t, s, "~*", "+@all", "-@write")
	if err := none.Do(ctx, "LOCK.RELEASE", "l", "o").Err(); refused(err) != has {
		t.Errorf("a user with -@write releases: %v", err)
	}
}
