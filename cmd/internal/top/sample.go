package top

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/cache"
	"holdfast/cmd/internal/cli"
	"holdfast/lock"
	"holdfast/queue"
)

// most is how many rows of a kind are kept.
const most = 500

// sample is what was seen at one time.
type sample struct {
	at     time.Time
	errs   [3]error // by view: the rows of that table are those of the sample before
	queues []queue.Overview
	locks  []lock.Info
	whole  bool // all locks are there, not only those that were found so far
	loads  []cache.Load
	past   *sample // of some seconds ago, to see how fast queues empty; without a past of its own
}

// look takes a sample. The parts of it fail each for itself.
func (w *walk) look(ctx context.Context, rdb redis.UniversalClient) sample {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	s := sample{at: time.Now()}
	s.errs[queues] = s.addQueues(ctx, rdb)
	s.loads, s.errs[loads] = cache.Inspect(rdb).Loads(ctx, most)
	s.locks, s.errs[locks] = w.step(ctx, lock.Inspect(rdb))
	s.whole = w.whole
	return s
}

// pastAge is how old the past of a sample is.
const pastAge = 15 * time.Second

// after completes a sample: by its past, and by the parts of the one before that could not be had again.
func (s sample) after(before sample) sample {
	if s.past = before.past; s.past == nil || s.at.Sub(s.past.at) > pastAge {
		now := before
		now.past = nil
		s.past = &now
	}
	if s.errs[queues] != nil {
		s.queues = before.queues
	}
	if s.errs[locks] != nil {
		s.locks, s.whole = before.locks, before.whole
	}
	if s.errs[loads] != nil {
		s.loads = before.loads
	}
	if s.errs[queues] != nil && s.errs[locks] != nil && s.errs[loads] != nil {
		s.at = before.at
	}
	return s
}

func (s *sample) addQueues(ctx context.Context, rdb redis.UniversalClient) error {
	inspect := queue.Inspect(rdb)
	for cursor := ""; ; {
		page, err := inspect.Overviews(ctx, "", cursor)
		if err != nil {
			return err
		}
		s.queues = append(s.queues, page.Queues...)
		if cursor = page.Cursor; cursor == "" || len(s.queues) >= most {
			break
		}
	}
	slices.SortFunc(s.queues, func(a, b queue.Overview) int { return strings.Compare(a.Stream, b.Stream) })
	s.queues = slices.CompactFunc(s.queues, func(a, b queue.Overview) bool { return a.Stream == b.Stream })
	return nil
}

// view is one of the three tables.
type view int

const (
	queues view = iota
	locks
	loads
)

// row is a line of a table: its name, its cells, and what sorts it in each column.
type row struct {
	name  string
	cells []string
	keys  []float64
}

// columns are the heads of each table. The first is the name.
var columns = map[view][]string{
	queues: {"QUEUE", "READY", "IN WORK", "DELAYED", "DEAD", "IN/S", "OUT/S", "OLDEST", "ETA"},
	locks:  {"LOCK", "MODE", "HOLD", "WAIT", "LEFT", "OWNER"},
	loads:  {"KEY", "SINCE", "LEFT", "WAIT"},
}

// rows are those of a table, sorted by a column, the greatest first; by name in the first.
func (s *sample) rows(v view, by int, filter string) []row {
	var all []row
	switch v {
	case queues:
		for _, q := range s.queues {
			all = append(all, s.queueRow(q))
		}
	case locks:
		for _, l := range s.locks {
			all = append(all, lockRow(l))
		}
	case loads:
		for _, l := range s.loads {
			all = append(all, row{l.Key, []string{cli.Printable(l.Key), cli.Duration(l.Age), cli.Duration(l.Lease), cli.Number(l.Waiters)}, []float64{0, float64(l.Age), float64(l.Lease), float64(l.Waiters)}})
		}
	}
	all = slices.DeleteFunc(all, func(r row) bool {
		return filter != "" && !strings.Contains(strings.ToLower(strings.Join(r.cells, " ")), strings.ToLower(filter))
	})
	slices.SortStableFunc(all, func(a, b row) int {
		if by == 0 {
			return strings.Compare(a.name, b.name)
		}
		return cmp.Or(cmp.Compare(b.keys[by], a.keys[by]), strings.Compare(a.name, b.name))
	})
	return all
}

// empties is how long a queue takes to become empty if it goes on as in the last seconds: 0 when it is empty or
// nothing is known yet, and forEver where it does not become shorter.
func (s *sample) empties(q *queue.Overview) time.Duration {
	if s.past == nil || q.Ready == 0 {
		return 0
	}
	n := slices.IndexFunc(s.past.queues, func(p queue.Overview) bool { return p.Stream == q.Stream })
	if n < 0 || s.at == s.past.at {
		return 0
	}
	done := s.past.queues[n].Ready - q.Ready
	if done <= 0 {
		return forEver
	}
	return time.Duration(float64(q.Ready) / float64(done) * float64(s.at.Sub(s.past.at)))
}

const forEver = time.Duration(math.MaxInt64)

func (s *sample) queueRow(q queue.Overview) row {
	in, out, eta := "-", "-", "-"
	if q.InPerMinute >= 0 {
		in, out = perSecond(q.InPerMinute), perSecond(q.OutPerMinute)
	}
	left := s.empties(&q)
	switch {
	case left == forEver:
		eta = "never"
	case left > 0:
		eta = cli.Duration(left)
	}
	name := cli.Printable(q.Stream)
	if q.Paused {
		name += " ‖"
	}
	return row{q.Stream, []string{name, cli.Number(q.Ready), cli.Number(q.InWork), cli.Number(q.Delayed + q.Held), cli.Number(q.Dead), in, out, cli.Duration(q.OldestAge), eta},
		[]float64{0, float64(q.Ready), float64(q.InWork), float64(q.Delayed + q.Held), float64(q.Dead), float64(q.InPerMinute), float64(q.OutPerMinute), float64(q.OldestAge), float64(left)}}
}

func perSecond(perMinute int64) string {
	if perMinute < 600 {
		return fmt.Sprintf("%.1f", float64(perMinute)/60)
	}
	return cli.Number(perMinute / 60)
}

func lockRow(l lock.Info) row {
	owner, rest, leftKey := "", "-", 0.0
	if len(l.Holders) > 0 {
		h := l.Holders[0]
		owner, leftKey = cli.Printable(h.Owner), float64(h.Left)
		rest = left(h.Left)
	}
	hold := fmt.Sprint(l.Holding)
	if l.Limit > 1 {
		hold = fmt.Sprintf("%d/%d", l.Holding, l.Limit)
	}
	return row{l.Name, []string{cli.Printable(l.Name), l.Mode, hold, cli.Number(int64(l.Waiting)), rest, owner},
		[]float64{0, 0, float64(l.Holding), float64(l.Waiting), leftKey, 0}}
}

// left is the rest of a lease.
func left(d time.Duration) string {
	if d < 0 {
		return "for ever"
	}
	return cli.Duration(d)
}
