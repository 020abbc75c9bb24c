package queue

import (
	"context"
	"slices"
	"time"

	"holdfast/internal/blocking"
)

// Stats tells how a queue is doing, all partitions together.
type Stats struct {
	Length      int64         `json:"length"`       // tasks in the queue, retries and those in work included
	Delayed     int64         `json:"delayed"`      // tasks that are not due yet
	Dead        int64         `json:"dead"`         // dead letters of all groups
	Held        int64         `json:"held"`         // tasks that wait until others of their key are done
	Keys        int64         `json:"keys"`         // keys with held tasks
	LongestLine int64         `json:"longest_line"` // held tasks of the key with most
	LongestKey  string        `json:"longest_key,omitempty"`
	Published   int64         `json:"published"` // tasks and retries ever added to the stream
	Retried     int64         `json:"retried"`   // since the server started, as are the next ones
	Buried      int64         `json:"buried"`    // tasks that became dead letters
	Expired     int64         `json:"expired"`   // tasks that no worker was given in time
	Cancelled   int64         `json:"cancelled"`
	Paused      bool          `json:"paused"`        // nothing is handed out
	Waiting     int64         `json:"waiting"`       // workers' connections that wait for a task
	OldestAge   time.Duration `json:"oldest_age_ns"` // of the oldest task in the queue
	Groups      []GroupStats  `json:"groups"`
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
	status := blocking.FieldsOf(reply)
	s.addStream(status, "")
	names := []string{}
	for _, g := range status.Maps("groups") {
		names = append(names, g.Text("name"))
	}
	known := len(names) > 0
	if !known {
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
		dead := blocking.Int(replies[2*n])
		s.Dead += dead
		if known {
			s.group(name).Dead += dead
		}
		s.addStream(blocking.FieldsOf(replies[2*n+1]), name)
	}
	return nil
}

// addStream adds what TASK.STATS answered for a stream: for a retry stream, the group is
// that whose retries it has.
func (s *Stats) addStream(m blocking.Fields, group string) {
	s.Length += m.Int("length")
	s.Delayed += m.Int("delayed")
	s.Held += m.Int("held")
	s.Keys += m.Int("keys")
	if n := m.Int("longest_line"); n > s.LongestLine {
		s.LongestLine, s.LongestKey = n, m.Text("longest_key")
	}
	s.Published += m.Int("published")
	s.Retried += m.Int("retried")
	s.Buried += m.Int("dead")
	s.Expired += m.Int("expired")
	s.Cancelled += m.Int("cancelled")
	s.Paused = s.Paused || m.Bool("paused")
	s.OldestAge = max(s.OldestAge, m.Millis("oldest_age_ms"))
	if group == "" { // who waits on several streams is counted on the first
		s.Waiting += m.Int("waiting")
	}
	for _, g := range m.Maps("groups") {
		to := s.group(g.Text("name"))
		to.Ready += g.Int("ready")
		to.Pending += g.Int("pending")
		to.OldestPending = max(to.OldestPending, g.Millis("oldest_pending_ms"))
		if group != "" {
			continue
		}
		to.Consumers += g.Int("consumers")
		to.Waiting += g.Int("waiting")
		to.Lease = max(to.Lease, g.Millis("lease_ms"))
		to.Wait.add(g.Map("wait_ms"))
		to.Run.add(g.Map("run_ms"))
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
func (q *Quantiles) add(m blocking.Fields) {
	q.Count += m.Int("count")
	q.P50 = max(q.P50, m.Millis("p50"))
	q.P99 = max(q.P99, m.Millis("p99"))
	q.Max = max(q.Max, m.Millis("max"))
}
