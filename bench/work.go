package main

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

const owner = "owner-0123456789"

var (
	payload = strings.Repeat("p", 64)
	// What an entry of TASK.PUBLISH holds, for its peers.
	entry = []any{"payload", payload, "timestamp", 1790000000, "retry_count", 0}
)

// workers is how many goroutines call through go-redis at once.
const workers = 20

// ops does n operations with go-redis and answers how many were done per second.
func ops(n int, op func(i int)) float64 {
	var next atomic.Int64
	var all sync.WaitGroup
	began := time.Now()
	for range workers {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				op(i)
			}
		})
	}
	all.Wait()
	return float64(n) / time.Since(began).Seconds()
}

// latencies does an operation n times, one after the other, and answers how long
// each took in µs.
func latencies(n int, op func(i int)) []float64 {
	took := make([]float64, n)
	for i := range took {
		began := time.Now()
		op(i)
		took[i] = us(time.Since(began))
	}
	return took
}

// do sends a command through go-redis and gives up on an error.
func do(s *Server, args ...any) any {
	v, err := s.Do(bg, args...).Result()
	if err != nil && err != redis.Nil {
		fail(fmt.Errorf("%v: %w", args[0], err))
	}
	return v
}

// must gives up on an error.
func must(err error) {
	if err != nil {
		fail(err)
	}
}

// page is the i-th name; all are of one length.
func page(i int) string {
	s := strconv.Itoa(i)
	return "page:000000000"[:14-len(s)] + s
}
