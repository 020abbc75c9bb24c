package queue

import (
	"context"
	"slices"
	"time"

	"holdfast/internal/blocking"
)

// Stats tells how a queue is doing, all partitions together.
type Stats struct {
	Length    int64         `json:"length"`    // tasks in the queue, retries and those in work included
	Delayed   int64         `json:"delayed"`   // tasks that are not due yet
	Dead      int64         `json:"dead"`      // dead letters of all groups
	Held      int64         `json:"held"`      // tasks that wait for others of their key
	Published int64         `json:"published"` // tasks and retries ever added to the stream
	Retried   int64         `json:"retried"`   // since the server started, as are the next ones
	Buried    int64         `json:"buried"`    // tasks that became dead letters
	Expired   int64         `json:"expired"`   // tasks that no worker was given in time
	Cancelled int64         `json:"cancelled"`
	Paused    bool          `json:"paused"`        // nothing is handed out
	Waiting   int64         `json:"waiting"`       // workers' connections that wait for a task
	OldestAge time.Duration `json:"oldest_age_ns"` // of the oldest task in the queue
	Groups    []GroupStats  `json:"groups"`
}

// GroupStats tells how a group of workers is doing.
type GroupStats struct {
	Name          string        `json:"name"`
	Ready         int64         `json:"ready"`             // tasks that no worker was given yet
	Pending       int64         `json:"pending"`           // tasks that workers have
	Dead          int64         `json:"dead"`              // dead letters
	Consumers     int64         `json:"consumers"`         // one for each worker and stream
	Waiting       int64         `json:"waiting"`           // connections that wait for a task
	OldestPending time.Duration `json:"oldest_pending_ns"` // since the oldest of those was delivered or its lease renewed
	Lease         time.Duration `json:"lease_ns"`          // that its workers last asked for
	Wait          Quantiles     `json:"wait"`              // from publication to the first delivery
	Run           Quantiles     `json:"run"`               // from delivery to acknowledgement
}

// Quantiles tell how long something took, since the server started.
type Quantiles struct {
	Count int64         `json:"count"`
	P50   time.Duration `json:"p50_ns"`
	P99   time.Duration `json:"p99_ns"`
	Max   time.Duration `json:"max_ns"`
}

// Stats tells how the queue is doing. It costs a few commands for each partition.
func (q *Queue[T]) Stats(ctx context.Context) (s Stats, err error) {
	if q.invalid != nil {
		return s, q.invalid
	}
	for _, stream := range q.streams {
		if err := s.add(ctx, q.conns, stream); err != nil {
			return s, failed("stats of", q.name, err)
		}
	}
	return s, nil
}

// add adds what one stream and those beside it tell.
func (s *Stats) add(ctx context.Context, conns *blocking.Pool, stream string) error {
	reply, err := send(ctx, conns, outageOfActs, true, "TASK.STATS", stream)
	if err != nil {
		return err
	}
	s.addStream(reply, "")
	m := mapOf(reply)
	list, _ := m["groups"].([]any)
	names := []string{}
	for _, one := range list {
		name, _ := mapOf(one)["name"].(string)
		names = append(names, name)
	}
	if len(names) == 0 {
		names = append(names, DefaultGroup)
	}
	var commands [][]any
	for _, name := range names {
		commands = append(commands, []any{"XLEN", DeadStream(stream, name)}, []any{"TASK.STATS", RetryStream(stream, name)})
	}
	replies, errs := conns.SendAll(ctx, commands)
	for n, name := range names {
		for _, err := range errs[2*n : 2*n+2] {
			if err != nil {
				return err
			}
		}
		dead := number(replies[2*n])
		s.Dead += dead
		if len(list) > 0 {
			s.group(name).Dead += dead
		}
		s.addStream(replies[2*n+1], name)
	}
	return nil
}

// addStream adds what TASK.STATS answered for a stream: for a retry stream, the group is
// that whose retries it has.
func (s *Stats) addStream(reply any, group string) {
	m := mapOf(reply)
	s.Length += number(m["length"])
	s.Delayed += number(m["delayed"])
	s.Held += number(m["held"])
	s.Published += number(m["published"])
	s.Retried += number(m["retried"])
	s.Buried += number(m["dead"])
	s.Expired += number(m["expired"])
	s.Cancelled += number(m["cancelled"])
	s.Paused = s.Paused || number(m["paused"]) != 0
	s.OldestAge = max(s.OldestAge, millis(m["oldest_age_ms"]))
	if group == "" { // who waits on several streams is counted on the first
		s.Waiting += number(m["waiting"])
	}
	list, _ := m["groups"].([]any)
	for _, one := range list {
		g := mapOf(one)
		name, _ := g["name"].(string)
		to := s.group(name)
		to.Ready += number(g["ready"])
		to.Pending += number(g["pending"])
		to.OldestPending = max(to.OldestPending, millis(g["oldest_pending_ms"]))
		if group != "" {
			continue
		}
		to.Consumers += number(g["consumers"])
		to.Waiting += number(g["waiting"])
		to.Lease = max(to.Lease, millis(g["lease_ms"]))
		to.Wait.add(g["wait_ms"])
		to.Run.add(g["run_ms"])
	}
}

// group is the group of a name, added where it is not there.
func (s *Stats) group(name string) *GroupStats {
	n := slices.IndexFunc(s.Groups, func(g GroupStats) bool { return g.Name == name })
	if n < 0 {
		n = len(s.Groups)
		s.Groups = append(s.Groups, GroupStats{Name: name})
	}
	return &s.Groups[n]
}

// add adds the quantiles of one partition: of several, the greatest are told.
func (q *Quantiles) add(reply any) {
	m := mapOf(reply)
	q.Count += number(m["count"])
	q.P50 = max(q.P50, millis(m["p50"]))
	q.P99 = max(q.P99, millis(m["p99"]))
	q.Max = max(q.Max, millis(m["max"]))
}

// mapOf is a reply that is a map: as such in RESP3, else as a flat list.
func mapOf(reply any) map[any]any {
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

func millis(v any) time.Duration { return time.Duration(number(v)) * time.Millisecond }

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
