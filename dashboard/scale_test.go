package dashboard_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/dashboard"
	"holdfast/queue"
)

// crowd is how much there is on a large server.
type crowd struct{ tasks, dead, queues, locks, waiters int }

// gather fills a server.
func (s *shop) gather(c crowd) {
	s.Helper()
	pipe := s.rdb.Pipeline()
	flush := func() {
		if _, err := pipe.Exec(s.Context()); err != nil {
			s.Fatal(err)
		}
	}
	batch := make([]any, 0, 1002)
	for n := 0; n < c.tasks; n += 1000 {
		batch = append(batch[:0], "TASK.MPUBLISH", "big")
		for i := n; i < min(n+1000, c.tasks); i++ {
			batch = append(batch, fmt.Sprintf(`{"to":"ann-%d@example.com","order":%d}`, i, i))
		}
		pipe.Do(s.Context(), append([]any{}, batch...)...)
		if n%20_000 == 0 {
			flush()
		}
	}
	pipe.XGroupCreateMkStream(s.Context(), "big", "workers", "0")
	pipe.Do(s.Context(), "XREADGROUP", "GROUP", "workers", "c", "COUNT", 100, "STREAMS", "big", ">")
	flush()
	for i := range c.dead {
		pipe.Do(s.Context(), "XADD", queue.DeadStream("big", ""), "*", "payload", `{"to":"ann@example.com"}`, "timestamp", 1790000000, "retry_count", 9, "task_id", fmt.Sprintf("1790000000000-%d", i),
			"reason", fmt.Sprintf("cause %c%c: dial tcp 10.0.0.%d:443: timeout after %d ms", 'a'+i%40/2, 'a'+i%2, i%250, i), "origin_stream", "big", "origin_group", "workers", "origin_consumer", "vm:1", "origin_id", "1790000000000-1", "deliveries", 1, "failed_at", 1790000001)
		if i%1000 == 999 {
			flush()
		}
	}
	for i := range c.queues {
		name := fmt.Sprintf("tenant-%04d", i)
		pipe.Do(s.Context(), "TASK.PUBLISH", name, "x")
		pipe.XGroupCreate(s.Context(), name, "workers", "0")
	}
	flush()
	for i := range c.locks {
		pipe.Do(s.Context(), "LOCK.ACQUIRE", fmt.Sprintf("lock-%05d", i), "ann", 24*3600_000)
	}
	flush()
	for i := range c.waiters {
		rdb := s.server.Client()
		go func() {
			_ = rdb.Do(s.Context(), "LOCK.ACQUIRE", "lock-00007", fmt.Sprint("waiter-", i), 1000, "BLOCK", 3600_000).Err()
		}()
	}
	s.until("lock?name=lock-00007", fmt.Sprintf(`<span class="quiet">%d</span>`, c.waiters))
}

// fresh are pages over a client, which remember nothing.
func (s *shop) fresh(rdb redis.UniversalClient) *httptest.Server {
	pages := httptest.NewServer(dashboard.Handler(rdb, dashboard.Options{Logger: slog.New(slog.DiscardHandler)}))
	s.Cleanup(func() { pages.CloseClientConnections(); pages.Close() })
	return pages
}

func (s *shop) cpu() time.Duration {
	text := s.rdb.Info(s.Context(), "cpu").Val()
	var sum float64
	for _, m := range regexp.MustCompile(`used_cpu_(?:user|sys):([\d.]+)`).FindAllStringSubmatch(text, -1) {
		n, _ := strconv.ParseFloat(m[1], 64)
		sum += n
	}
	return time.Duration(sum * float64(time.Second))
}

// heap is the memory that stays in use, without what a page that is being rendered uses.
func heap() float64 {
	least := math.Inf(1)
	for range 8 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		least = min(least, float64(m.HeapAlloc)/(1<<20))
	}
	return least
}

func TestALargeServerIsShownAtOnce(t *testing.T) {
	c, most, watch := crowd{20_000, 2_000, 100, 500, 20}, 2*time.Second, 6*time.Second
	if os.Getenv("HOLDFAST_SOAK") != "" {
		c, most, watch = crowd{1_000_000, 10_000, 1_000, 5_000, 500}, 300*time.Millisecond, time.Minute
	} else if testing.Short() {
		t.Skip("-short")
	}
	s := open(t, dashboard.Options{})
	s.gather(c)
	paths := []string{"", "queues", "queues?match=tenant-00*", "queue?q=big", "queue?q=big&tab=dead", "queue?q=big&tab=dead&where=error~timeout", "queue?q=big&tab=in-work", "queue?q=big&tab=ready", "queue?q=big&tab=workers",
		"queue?q=tenant-0099", "task?q=big&id=1790000000000-7", "locks", "lock?name=lock-00007", "cache", "audit", "confirm?act=redrive&q=big&where=error~timeout"}
	for _, path := range paths {
		pages := s.fresh(s.rdb) // nothing is remembered
		began := time.Now()
		answer, err := http.Get(pages.URL + "/" + path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		took := time.Since(began)
		t.Logf("%-45s %4d ms, %4d KB", path, took.Milliseconds(), len(body)>>10)
		if answer.StatusCode != http.StatusOK || took > most {
			t.Errorf("%s: %d, after %v", path, answer.StatusCode, took)
		}
		pages.Close()
	}
	// Ten viewers of the largest pages cost the server little, and send little while nothing changes.
	pages := s.fresh(s.rdb)
	idle, began := s.cpu(), time.Now()
	time.Sleep(watch / 3)
	idleShare := float64(s.cpu()-idle) / float64(time.Since(began))
	ctx, stop := context.WithCancel(t.Context())
	var viewers sync.WaitGroup
	var sent, mains atomic.Int64
	for i := range 10 {
		viewers.Go(func() {
			r, _ := http.NewRequestWithContext(ctx, "GET", pages.URL+"/events?at="+[]string{"./", "queue?q=big", "locks", "queues", "lock?name=lock-00007"}[i%5], nil)
			answer, err := http.DefaultClient.Do(r)
			if err != nil {
				return
			}
			defer answer.Body.Close()
			buffer := make([]byte, 64<<10)
			for {
				n, err := answer.Body.Read(buffer)
				sent.Add(int64(n))
				mains.Add(int64(strings.Count(string(buffer[:n]), "event: main")))
				if err != nil {
					return
				}
			}
		})
	}
	time.Sleep(watch / 2) // all have seen their page
	before, bytes, used, began := heap(), sent.Load(), s.cpu(), time.Now()
	time.Sleep(watch)
	share := float64(s.cpu()-used)/float64(time.Since(began)) - idleShare
	after, perMinute := heap(), float64(sent.Load()-bytes)/10/time.Since(began).Minutes()/1024
	stop()
	viewers.Wait()
	t.Logf("ten viewers: %.2f %% of a processor more for the server, %.1f KB a minute for each, %d contents; heap %.1f MB, then %.1f MB", share*100, perMinute, mains.Load(), before, after)
	if after > before+8 {
		t.Errorf("the memory grew from %.1f MB to %.1f MB", before, after)
	}
	if os.Getenv("HOLDFAST_SOAK") != "" && (share > 0.02 || perMinute > 5) {
		t.Error("that is too much")
	}
}
