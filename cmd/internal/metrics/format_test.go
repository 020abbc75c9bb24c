package metrics

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/redis/go-redis/v9"

	"holdfast/holdfasttest"
)

func TestPrometheusFindsNothingToMend(t *testing.T) {
	s := holdfasttest.Sentinel(t, 1, 1)
	rdb := s.Client()
	for _, command := range []string{
		"TASK.PUBLISH mail hello", "TASK.CONSUME workers me mail 1 0 LEASE 60000", "LOCK.ACQUIRE nightly me 60000", "CACHE.SET user:7 ann 60000", "CACHE.GET user:7", "CACHE.GET user:8",
	} {
		if err := rdb.Do(t.Context(), fields(command)...).Err(); err != nil && err != redis.Nil {
			t.Fatal(command, err)
		}
	}
	for _, name := range []string{"with\ttab", "with\nline", `with"quote`, `with\backslash`, "with名", "with\xffbyte", "with\x01control"} {
		if err := rdb.Do(t.Context(), "TASK.PUBLISH", name, "x").Err(); err != nil {
			t.Fatal(err)
		}
	}
	var page bytes.Buffer
	if err := Write(t.Context(), &page, rdb, Options{MaxQueues: 100}); err != nil {
		t.Fatal(err)
	}
	text := page.String()
	problems, err := promlint.New(&page).Lint() // what promtool check metrics does
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	if n := strings.Count(text, "\nholdfast_up{"); n != 2 {
		t.Errorf("%d servers of a pair:\n%s", n, text)
	}
	if n := strings.Count(text, "\nholdfast_queue_ready{"); n != 8 {
		t.Errorf("%d queues of 8", n)
	}
}

func TestAServerThatIsDownIsTold(t *testing.T) {
	s := holdfasttest.Server(t)
	rdb := s.Client()
	s.Kill()
	var page bytes.Buffer
	if err := Write(t.Context(), &page, rdb, Options{MaxQueues: 100}); err == nil {
		t.Error("no error")
	}
	if !strings.Contains(page.String(), fmt.Sprintf("holdfast_up{node=%q} 0\n", s.Addr)) {
		t.Error(page.String())
	}
}

func TestAThousandQueuesAreScrapedInTime(t *testing.T) {
	rdb := holdfasttest.Server(t).Client()
	for n := range 1000 {
		if err := rdb.Do(t.Context(), "TASK.PUBLISH", fmt.Sprint("queue:", n), "x").Err(); err != nil {
			t.Fatal(err)
		}
	}
	fastest := time.Hour
	for range 10 {
		var page bytes.Buffer
		began := time.Now()
		if err := Write(t.Context(), &page, rdb, Options{MaxQueues: 1000}); err != nil {
			t.Fatal(err)
		}
		fastest = min(fastest, time.Since(began))
		if n := strings.Count(page.String(), "\nholdfast_queue_dead{"); n != 1000 {
			t.Fatalf("%d queues", n)
		}
	}
	t.Log("the fastest of ten:", fastest)
	if fastest > 50*time.Millisecond {
		t.Errorf("the fastest of ten took %v", fastest)
	}
}
