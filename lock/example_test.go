package lock_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/holdfasttest"
	"holdfast/lock"
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

func Example() {
	locks := lock.New(rdb, lock.Options{})
	defer locks.Close()

	err := locks.WithLock(context.Background(), "report", func(ctx context.Context) error {
		fmt.Println("nobody else writes it now") // ctx ends before the lock can be another's
		return nil
	})
	fmt.Println(err)
	// Output:
	// nobody else writes it now
	// <nil>
}

func ExampleClient_Acquire() {
	locks := lock.New(rdb, lock.Options{})
	defer locks.Close()

	// Wait for it, for two seconds at most.
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	l, err := locks.Acquire(ctx, "invoice:7")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer l.Release(context.Background())

	select {
	case <-l.Context().Done():
		fmt.Println("lost:", context.Cause(l.Context()))
	default:
		fmt.Println("held")
	}
	// Output: held
}

func ExampleClient_TryAcquire() {
	locks := lock.New(rdb, lock.Options{})
	defer locks.Close()
	ctx := context.Background()

	l, err := locks.TryAcquire(ctx, "nightly")
	fmt.Println(err)
	_, err = locks.TryAcquire(ctx, "nightly")
	fmt.Println(errors.Is(err, lock.ErrHeld), err)
	fmt.Println(l.Release(ctx))
	// Output:
	// <nil>
	// true lock: try "nightly": held by others
	// <nil>
}

func ExampleLimit() {
	locks := lock.New(rdb, lock.Options{Limit: 2}) // for all, or lock.Limit(2) for one
	defer locks.Close()
	ctx := context.Background()

	for range 3 {
		_, err := locks.TryAcquire(ctx, "downloads", lock.Lease(time.Second))
		fmt.Println(err)
	}
	// Output:
	// <nil>
	// <nil>
	// lock: try "downloads": held by others
}

func ExampleShared() {
	locks := lock.New(rdb, lock.Options{Lease: time.Second})
	defer locks.Close()
	ctx := context.Background()

	_, one := locks.TryAcquire(ctx, "index", lock.Shared())
	_, two := locks.TryAcquire(ctx, "index", lock.Shared())
	_, writer := locks.TryAcquire(ctx, "index")
	fmt.Println(one, two, writer)
	// Output: <nil> <nil> lock: try "index": held by others
}

// A lock that counts only when a replica has it outlives the death of the primary.
// Here there is no replica.
func ExampleReplicas() {
	locks := lock.New(rdb, lock.Options{})
	defer locks.Close()

	_, err := locks.Acquire(context.Background(), "ledger", lock.Replicas(1, 10*time.Millisecond))
	fmt.Println(errors.Is(err, lock.ErrNotReplicated))
	// Output: true
}

// A holder that was paused for longer than its lease still believes that it holds
// the lock. Its token tells: it is smaller than that of the present holder.
func ExampleClient_Fence() {
	locks := lock.New(rdb, lock.Options{})
	defer locks.Close()
	ctx := context.Background()

	paused, _ := locks.Acquire(ctx, "stock")
	rdb.Do(ctx, "LOCK.BREAK", "stock") // as if its lease had run out
	present, _ := locks.Acquire(ctx, "stock")

	fmt.Println(locks.Fence(ctx, "stock:fence", present.Token()))
	err := locks.Fence(ctx, "stock:fence", paused.Token())
	fmt.Println(errors.Is(err, lock.ErrStale))
	_ = present.Release(ctx)
	// Output:
	// <nil>
	// true
}

// In SQL the row keeps the greatest token it has seen, and the statement that
// writes checks it.
func ExampleAffected() {
	const update = `UPDATE accounts SET balance = $1, fence = $2 WHERE id = $3 AND fence <= $2`
	db := &table{fence: 5}

	fmt.Println(lock.Affected(db.Exec(update, 100, 7, "a")))
	err := lock.Affected(db.Exec(update, 200, 6, "a"))
	fmt.Println(errors.Is(err, lock.ErrStale), db.balance)
	// Output:
	// <nil>
	// true 100
}

// Over HTTP the token travels in a header, and the service refuses stale ones.
func ExampleSetToken() {
	locks := lock.New(rdb, lock.Options{})
	defer locks.Close()

	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, err := lock.HeaderToken(r.Header)
		if err == nil {
			err = locks.Fence(r.Context(), "printer:fence", token)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusPreconditionFailed)
		}
	}))
	defer service.Close()

	err := locks.WithLock(context.Background(), "printer", func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodPut, service.URL, nil)
		if err != nil {
			return err
		}
		lock.SetToken(req.Header, lock.FromContext(ctx).Token())
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		fmt.Println(resp.StatusCode)
		return resp.Body.Close()
	})
	fmt.Println(err)

	resp, _ := http.Get(service.URL) // without a token
	fmt.Println(resp.StatusCode, resp.Body.Close())
	// Output:
	// 200
	// <nil>
	// 412 <nil>
}

// table does what a database would do with the one statement of the example.
type table struct{ balance, fence int }

type rows int64

func (n rows) RowsAffected() (int64, error) { return int64(n), nil }

func (t *table) Exec(_ string, balance, fence int, _ string) (rows, error) {
	if t.fence > fence {
		return 0, nil
	}
	t.balance, t.fence = balance, fence
	return 1, nil
}
