package cache_test

import (
	"bytes"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/cache"
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

type User struct{ Name string }

func Example() {
	users := cache.New[User](rdb, cache.Options{TTL: time.Minute})
	defer users.Close()

	for range 2 {
		u, err := users.Fetch(context.Background(), "user:7", func(ctx context.Context) (User, error) {
			fmt.Println("loading")
			return User{"Ada"}, nil
		})
		fmt.Println(u.Name, err)
	}
	// Output:
	// loading
	// Ada <nil>
	// Ada <nil>
}

// A loader says that there is no value; that is remembered too.
func ExampleErrNotFound() {
	users := cache.New[User](rdb, cache.Options{NegativeTTL: 10 * time.Second})
	defer users.Close()

	for range 2 {
		_, err := users.Fetch(context.Background(), "user:0", func(ctx context.Context) (User, error) {
			fmt.Println("loading")
			return User{}, fmt.Errorf("no user 0: %w", cache.ErrNotFound)
		})
		fmt.Println(errors.Is(err, cache.ErrNotFound))
	}
	// Output:
	// loading
	// true
	// true
}

func ExampleCache_Invalidate() {
	names := cache.New[string](rdb, cache.Options{Codec: cache.Bytes})
	defer names.Close()
	ctx := context.Background()

	name := "Ada"
	load := func(context.Context) (string, error) { return name, nil }
	fmt.Println(names.Fetch(ctx, "name:7", load))
	name = "Grace"
	fmt.Println(names.Fetch(ctx, "name:7", load))
	fmt.Println(names.Invalidate(ctx, "name:7"))
	fmt.Println(names.Fetch(ctx, "name:7", load))
	// Output:
	// Ada <nil>
	// Ada <nil>
	// <nil>
	// Grace <nil>
}

// Many keys cost few round trips, and one query for those that are missing.
func ExampleCache_FetchMany() {
	names := cache.New[string](rdb, cache.Options{Prefix: "example:name:"})
	defer names.Close()

	load := func(ctx context.Context, keys []string) (map[string]string, error) {
		fmt.Println("loading", keys)
		return map[string]string{"1": "Ada", "2": "Grace"}, nil // there is no 3
	}
	for range 2 {
		fmt.Println(names.FetchMany(context.Background(), []string{"1", "2", "3"}, load))
	}
	// Output:
	// loading [1 2 3]
	// map[1:Ada 2:Grace] <nil>
	// map[1:Ada 2:Grace] <nil>
}

// A loader says how long its value may be kept.
func ExampleSetTTL() {
	tokens := cache.New[string](rdb, cache.Options{Prefix: "example:token:"})
	defer tokens.Close()

	token, err := tokens.Fetch(context.Background(), "api", func(ctx context.Context) (string, error) {
		token, expires := "secret", 5*time.Minute // as the service answered
		cache.SetTTL(ctx, expires)
		return token, nil
	})
	fmt.Println(token, err)
	// Output: secret <nil>
}

// Values are loaded again in the background before they expire, and kept for an hour
// more in case that fails.
func ExampleOptions() {
	prices := cache.New[int](rdb, cache.Options{
		TTL:          time.Minute,
		RefreshAhead: 10 * time.Second,
		StaleOnError: time.Hour,
	})
	defer prices.Close()

	price, err := prices.Fetch(context.Background(), "price:apple", func(context.Context) (int, error) { return 3, nil })
	fmt.Println(price, err)
	// Output: 3 <nil>
}

// Up to 10,000 users are kept in the process's memory too, and the server tells when
// one of them changes.
func ExampleNearOptions() {
	users := cache.New[User](rdb, cache.Options{
		TTL:  time.Hour,
		Near: cache.NearOptions{Size: 10_000, Prefix: "user:"},
	})
	defer users.Close()

	load := func(context.Context) (User, error) { return User{"Lin"}, nil }
	for range 1000 {
		if _, err := users.Fetch(context.Background(), "user:9", load); err != nil {
			fmt.Println(err)
		}
	}
	fmt.Println("most of these asked nobody")
	// Output: most of these asked nobody
}

// A codec of your own: here, that of package encoding/gob.
func ExampleCodec() {
	users := cache.New[User](rdb, cache.Options{Codec: gobCodec{}})
	defer users.Close()

	for range 2 {
		u, err := users.Fetch(context.Background(), "gob:7", func(context.Context) (User, error) { return User{"Ada"}, nil })
		fmt.Println(u.Name, err)
	}
	// Output:
	// Ada <nil>
	// Ada <nil>
}

type gobCodec struct{}

func (gobCodec) Marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	err := gob.NewEncoder(&b).Encode(v)
	return b.Bytes(), err
}

func (gobCodec) Unmarshal(data []byte, v any) error {
	return gob.NewDecoder(bytes.NewReader(data)).Decode(v)
}
