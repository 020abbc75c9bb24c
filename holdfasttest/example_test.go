package holdfasttest_test

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/redis/go-redis/v9"

	"holdfast/holdfasttest"
	"holdfast/lock"
)

// A test of yours, with a server of its own. (In your file it is called TestOrders
// and is given t.)
func ExampleServer() {
	testOrders := func(t *testing.T) {
		s := holdfasttest.Server(t)
		locks := lock.New(s.Client(), lock.Options{})
		defer locks.Close()
		err := locks.WithLock(t.Context(), "order:7", func(context.Context) error { return nil })
		if err != nil {
			t.Error(err)
		}
	}
	_ = testOrders
}

// One server for all the tests of a package, or for its examples.
func ExampleStart() {
	addr, stop, err := holdfasttest.Start()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	defer stop()
	rdb := redis.NewClient(&redis.Options{Addr: addr})
	defer rdb.Close()
	fmt.Println(rdb.Do(context.Background(), "LOCK.ACQUIRE", "report", "me", 30000).Val())
	// Output: 1
}
