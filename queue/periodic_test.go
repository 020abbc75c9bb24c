package queue_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/internal/clienttest"

	"holdfast/queue"
)

func TestTwoProcessesPublishATickOnce(t *testing.T) {
	s := start(t)
	q := s.queue("q")
	schedule := every(t, 20*time.Millisecond)
	type process struct {
		cancel context.CancelFunc
		done   chan error
	}
	begin := func() process {
		p := queue.NewPeriodic(s.rdb(), "ticks", queue.PeriodicOptions{Logger: quiet})
		if err := queue.Every(p, q, "tick", schedule, func(tick time.Time) string { return fmt.Sprint(tick.UnixMilli()) }); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error)
		go func() { done <- p.Run(ctx) }()
		return process{cancel, done}
	}
	all := []process{begin(), begin()}
	length := func() int64 { return s.stats(q).Length }
	for want := int64(20); want <= 60; want += 20 {
		s.Until("ticks were published", func() bool { return length() >= want })
		all[0].cancel() // the leader or not: another takes its place
		if err := <-all[0].done; err != nil {
			t.Error(err)
		}
		all = append(all[1:], begin())
		s.KillClients("cmd=lock.acquire") // and the sessions break, one of them the leader's
	}
	for _, p := range all {
		p.cancel()
		if err := <-p.done; err != nil {
			t.Error(err)
		}
	}
	seen := map[any]bool{}
	for _, entry := range s.XRange(s.Context(), "q", "-", "+").Val() {
		tick := entry.Values["payload"]
		if seen[tick] {
			t.Errorf("tick %v was published twice", tick)
		}
		seen[tick] = true
		var ms int64
		_, _ = fmt.Sscanf(tick.(string), "\"%d\"", &ms)
		if ms%20 != 0 {
			t.Errorf("tick %v is no multiple of 20 ms", tick)
		}
	}
	t.Logf("%d ticks", len(seen))
	if len(s.Keys(s.Context(), "ticks").Val()) > 0 {
		t.Error("the lock is held still")
	}
}

// every is a schedule whose ticks come so often.
func every(t *testing.T, d time.Duration) *queue.Schedule {
	t.Helper()
	s, err := queue.ParseSchedule("@every "+d.String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func payload(tick time.Time) string { return fmt.Sprint(tick.UnixMilli()) }

// A server that hangs, that is gone and comes back, and that is gone for good.
func TestPeriodicTasksStopWithinSecondsWhoeverIsAway(t *testing.T) {
	for what, away := range map[string]func(*clienttest.Proxy){
		"hung": (*clienttest.Proxy).Freeze, "gone": (*clienttest.Proxy).Refuse, "forgotten": (*clienttest.Proxy).Forget,
		"back before it ends": func(p *clienttest.Proxy) {
			p.Freeze()
			time.Sleep(time.Second) // the outage
			p.Thaw()
		},
	} {
		t.Run(what, func(t *testing.T) {
			s := start(t)
			proxy := clienttest.NewProxy(t, s.Addr)
			rdb := redis.NewClient(&redis.Options{Addr: proxy.Addr})
			t.Cleanup(func() { _ = rdb.Close() })
			p := queue.NewPeriodic(rdb, "ticks", queue.PeriodicOptions{Logger: quiet})
			if err := queue.Every(p, queue.New[string](rdb, "q", queue.Options{}), "tick", every(t, 20*time.Millisecond), payload); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(context.Background())
			done := make(chan error, 1)
			go func() { done <- p.Run(ctx) }()
			s.Until("ticks are published", func() bool { return s.stats(s.queue("q")).Length > 2 })
			away(proxy)
			if what == "back before it ends" {
				n := s.stats(s.queue("q")).Length
				s.Until("ticks are published again", func() bool { return s.stats(s.queue("q")).Length > n+10 })
			}
			began := time.Now()
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
			if took := time.Since(began); took > 4*time.Second {
				t.Errorf("Run returned %v after its context ended", took)
			}
			proxy.Thaw()
			proxy.Accept()
		})
	}
}

func TestATickThatTheServerRefusesIsPublishedWhenItDoesNot(t *testing.T) {
	s := start(t)
	p := queue.NewPeriodic(s.rdb(), "ticks", queue.PeriodicOptions{Logger: quiet})
	if err := queue.Every(p, s.queue("q"), "tick", every(t, 3*time.Second), payload); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	s.Until("the lock is held", func() bool { return s.Exists(s.Context(), "ticks").Val() == 1 })
	s.ConfigSet(s.Context(), "maxmemory", "1")
	n := s.XLen(s.Context(), "q").Val()
	s.Until("a tick was refused", func() bool { return strings.Contains(s.Info(s.Context(), "errorstats").Val(), "errorstat_OOM") })
	s.ConfigSet(s.Context(), "maxmemory", "0")
	s.Until("it is published", func() bool { return s.XLen(context.Background(), "q").Val() > n })
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	var last int64
	for _, entry := range s.XRange(s.Context(), "q", "-", "+").Val() {
		var tick int64
		_, _ = fmt.Sscanf(entry.Values["payload"].(string), "\"%d\"", &tick)
		if last != 0 && tick != last+3000 {
			t.Errorf("after the tick %d came %d", last, tick)
		}
		last = tick
	}
}

func TestPeriodicTasksAreTheirNames(t *testing.T) {
	s := start(t)
	q, o := s.queue("q"), queue.PeriodicOptions{Logger: quiet}
	p := queue.NewPeriodic(s.rdb(), "eu", o)
	hourly := every(t, time.Hour)
	for why, err := range map[string]error{
		"needs a name":     queue.Every(p, q, "", hourly, payload),
		"Queue is nil":     queue.Every[string](p, nil, "a", hourly, payload),
		"Schedule is nil":  queue.Every(p, q, "a", nil, payload),
		"function":         queue.Every[string](p, q, "a", hourly, nil),
		"a } and no":       queue.Every(p, s.queue("a}b"), "a", hourly, payload),
		"one of this name": twice(func() error { return queue.Every(p, q, "b", hourly, payload) }),
	} {
		if err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v", why, err)
		}
	}
	// "eu" with "mail:daily" and "eu:mail" with "daily" are two tasks.
	for name, task := range map[string]string{"eu": "mail:daily", "eu:mail": "daily"} {
		p := queue.NewPeriodic(s.rdb(), name, o)
		if err := queue.Every(p, q, task, every(t, 20*time.Millisecond), func(time.Time) string { return name }); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- p.Run(ctx) }()
		t.Cleanup(func() { cancel(); <-done })
	}
	s.Until("both publish", func() bool {
		seen := map[any]int{}
		for _, entry := range s.XRange(s.Context(), "q", "-", "+").Val() {
			seen[entry.Values["payload"]]++
		}
		return len(seen) == 2 && seen[`"eu"`] > 5 && seen[`"eu:mail"`] > 5
	})
}

func twice(f func() error) error {
	if err := f(); err != nil {
		return err
	}
	return f()
}
