package queue_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"holdfast/queue"
)

func TestTwoProcessesPublishATickOnce(t *testing.T) {
	s := start(t)
	q := s.queue("q")
	every, err := queue.ParseSchedule("@every 20ms", nil)
	if err != nil {
		t.Fatal(err)
	}
	type process struct {
		cancel context.CancelFunc
		done   chan error
	}
	begin := func() process {
		p := queue.NewPeriodic(s.rdb(), "ticks", quiet)
		queue.Every(p, q, "tick", every, func(tick time.Time) string { return fmt.Sprint(tick.UnixMilli()) })
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
