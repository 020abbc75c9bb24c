package clienttest_test

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/holdfasttest"
	"holdfast/internal/clienttest"
)

const patience = 30 * time.Second

// through is a server, a proxy in front of it, and a client with one connection
// through the proxy.
func through(t *testing.T) (*clienttest.Server, *clienttest.Proxy, *redis.Client) {
	s := clienttest.Start(t, patience, holdfasttest.WithModules())
	p := clienttest.NewProxy(t, s.Addr)
	rdb := redis.NewClient(&redis.Options{Addr: p.Addr, PoolSize: 1, MaxRetries: -1, ReadTimeout: 100 * time.Millisecond, DialerRetries: 1})
	t.Cleanup(func() { _ = rdb.Close() })
	if err := rdb.Ping(s.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	return s, p, rdb
}

func timedOut(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("it answered, or broke: %v", err)
	}
}

func TestWhatIsFrozenArrivesAfterAThaw(t *testing.T) {
	s, p, rdb := through(t)
	p.Freeze()
	timedOut(t, rdb.Incr(s.Context(), "n").Err())
	timedOut(t, rdb.Ping(s.Context()).Err()) // over a new connection
	if n := s.Exists(s.Context(), "n").Val(); n != 0 {
		t.Error("it arrived")
	}
	p.Thaw()
	s.Until("it arrived", func() bool { return s.Exists(s.Context(), "n").Val() == 1 })
}

func TestAForgottenConnectionIsSilentAndNewOnesWork(t *testing.T) {
	for name, break_ := range map[string]func(*clienttest.Proxy){"forget": (*clienttest.Proxy).Forget, "half open": (*clienttest.Proxy).HalfOpen} {
		t.Run(name, func(t *testing.T) {
			s, p, rdb := through(t)
			break_(p)
			timedOut(t, rdb.Incr(s.Context(), "n").Err())
			if n, err := rdb.Incr(s.Context(), "n").Result(); n != 1 || err != nil {
				t.Error("a new connection:", n, err)
			}
		})
	}
}

func TestALostReplyIsOfACommandThatWasCarriedOut(t *testing.T) {
	s, p, rdb := through(t)
	p.SwallowReplies("incr", 1)
	timedOut(t, rdb.Incr(s.Context(), "n").Err())
	p.CutReplies("incr", 1)
	if err := rdb.Incr(s.Context(), "n").Err(); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("a reply that was cut off:", err)
	}
	if n, err := rdb.Incr(s.Context(), "n").Result(); n != 3 || err != nil {
		t.Error("the third time:", n, err)
	}
}

func TestARefusedConnectionIsClosed(t *testing.T) {
	s, p, rdb := through(t)
	p.Refuse()
	if err := rdb.Ping(s.Context()).Err(); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
	p.Accept()
	s.Until("it is accepted again", func() bool { return rdb.Ping(context.Background()).Err() == nil })
}

func TestADelayDelaysBothDirections(t *testing.T) {
	s, p, _ := through(t)
	rdb := redis.NewClient(&redis.Options{Addr: p.Addr})
	t.Cleanup(func() { _ = rdb.Close() })
	p.Delay(20 * time.Millisecond)
	began := time.Now()
	if err := rdb.Ping(s.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < 40*time.Millisecond {
		t.Error("it took", took)
	}
}
