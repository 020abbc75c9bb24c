package queue_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/redis/go-redis/v9"

	"holdfast/holdfasttest"
)

// rdb is your go-redis client. The examples run against a real server.
var rdb *redis.Client

func TestMain(m *testing.M) {
	addr, stop, err := holdfasttest.Start()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	rdb = redis.NewClient(&redis.Options{Addr: addr})
	code := m.Run()
	_ = rdb.Close()
	stop()
	os.Exit(code)
}
