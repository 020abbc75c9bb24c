package queue

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"
)

// Stats is how a queue is doing, all partitions together.
type Stats struct {
	Length    int64         // tasks in the queue, those in work included
	Delayed   int64         // tasks that are not due yet
	Dead      int64         // dead letters
	Paused    bool          // nothing is handed out
	Waiting   int64         // workers' connections that wait for a task
	OldestAge time.Duration // of the oldest task in the queue
	Groups    []GroupStats
}

// GroupStats is how a group of workers is doing.
type GroupStats struct {
	Name          string
	Ready         int64         // tasks nobody was given yet
	Pending       int64         // tasks workers have
	Consumers     int64         // one for each worker and stream
	OldestPending time.Duration // since the oldest of those was delivered or its lease renewed
}

// Stats tells how the queue is doing. It costs two commands for each partition.
func (q *Queue[T]) Stats(ctx context.Context) (s Stats, err error) {
	if q.err != nil {
		return s, q.err
	}
	groups := map[string]int{}
	for _, stream := range q.streams {
		reply, err := q.send(ctx, true, "TASK.STATS", stream)
		if err != nil {
			return s, failed("stats of", q.name, err)
		}
		dead, err := q.rdb.XLen(ctx, deadOf(stream)).Result()
		if err != nil && !errors.Is(err, redis.Nil) {
			return s, failed("stats of", q.name, err)
		}
		m := fields(reply)
		s.Dead += dead
		s.Length += number(m["length"])
		s.Delayed += number(m["delayed"])
		s.Waiting += number(m["waiting"])
		s.Paused = s.Paused || number(m["paused"]) != 0
		s.OldestAge = max(s.OldestAge, time.Duration(number(m["oldest_age_ms"]))*time.Millisecond)
		list, _ := m["groups"].([]any)
		for _, one := range list {
			g := fields(one)
			name, _ := g["name"].(string)
			i, known := groups[name]
			if !known {
				i = len(s.Groups)
				groups[name] = i
				s.Groups = append(s.Groups, GroupStats{Name: name})
			}
			to := &s.Groups[i]
			to.Ready += number(g["ready"])
			to.Pending += number(g["pending"])
			to.Consumers += number(g["consumers"])
			to.OldestPending = max(to.OldestPending, time.Duration(number(g["oldest_pending_ms"]))*time.Millisecond)
		}
	}
	return s, nil
}

// fields is a reply that is a map: as such in RESP3, else as a flat list.
func fields(reply any) map[any]any {
	switch r := reply.(type) {
	case map[any]any:
		return r
	case []any:
		m := map[any]any{}
		for i := 0; i+1 < len(r); i += 2 {
			m[r[i]] = r[i+1]
		}
		return m
	}
	return nil
}

func number(v any) int64 {
	switch v := v.(type) {
	case int64:
		return v
	case bool:
		if v {
			return 1
		}
	}
	return 0
}
