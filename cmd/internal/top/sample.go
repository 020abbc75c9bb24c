package top

import (
	"cmp"
	"context"
	"fmt"
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
	err    error
	queues []queue.Overview
	locks  []lock.Info
	loads  []cache.Load
}

// look takes a sample.
func look(ctx context.Context, rdb redis.UniversalClient) sample {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	s := sample{at: time.Now()}
	s.err = s.fill(ctx, rdb)
	return s
}

func (s *sample) fill(ctx context.Context, rdb redis.UniversalClient) error {
	queues, locks := queue.Inspect(rdb), lock.Inspect(rdb)
	for cursor := ""; ; {
		page, err := queues.Overviews(ctx, "", cursor)
		if err != nil {
			return err
		}
		s.queues = append(s.queues, page.Queues...)
		if cursor = page.Cursor; cursor == "" || len(s.queues) >= most {
			break
		}
	}
	s.queues = slices.CompactFunc(s.queues, func(a, b queue.Overview) bool { return a.Stream == b.Stream })
	for o := (lock.ListOptions{}); ; {
		page, err := locks.List(ctx, o)
		if err != nil {
			return err
		}
		s.locks = append(s.locks, page.Locks...)
		if o.Cursor = page.Cursor; o.Cursor == "" || len(s.locks) >= most {
			break
		}
	}
	var err error
	s.loads, err = cache.Inspect(rdb).Loads(ctx, most)
	return err
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
			all = append(all, queueRow(q))
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

func queueRow(q queue.Overview) row {
	in, out, eta := "-", "-", "-"
	etaKey := 0.0
	if q.InPerMinute >= 0 {
		in, out = perSecond(q.InPerMinute), perSecond(q.OutPerMinute)
		switch {
		case q.Ready == 0:
		case q.OutPerMinute > q.InPerMinute:
			d := time.Duration(float64(q.Ready) / float64(q.OutPerMinute-q.InPerMinute) * float64(time.Minute))
			eta, etaKey = cli.Duration(d), float64(d)
		default:
			eta, etaKey = "never", 1e18
		}
	}
	name := cli.Printable(q.Stream)
	if q.Paused {
		name += " ‖"
	}
	return row{q.Stream, []string{name, cli.Number(q.Ready), cli.Number(q.InWork), cli.Number(q.Delayed + q.Held), cli.Number(q.Dead), in, out, cli.Duration(q.OldestAge), eta},
		[]float64{0, float64(q.Ready), float64(q.InWork), float64(q.Delayed + q.Held), float64(q.Dead), float64(q.InPerMinute), float64(q.OutPerMinute), float64(q.OldestAge), etaKey}}
}

func perSecond(perMinute int64) string {
	if perMinute < 600 {
		return fmt.Sprintf("%.1f", float64(perMinute)/60)
	}
	return cli.Number(perMinute / 60)
}

func lockRow(l lock.Info) row {
	owner, left, leftKey := "", "-", 0.0
	if len(l.Holders) > 0 {
		h := l.Holders[0]
		owner, leftKey = cli.Printable(h.Owner), float64(h.Left)
		if left = "for ever"; h.Left >= 0 {
			left = cli.Duration(h.Left)
		}
	}
	hold := fmt.Sprint(l.Holding)
	if l.Limit > 1 {
		hold = fmt.Sprintf("%d/%d", l.Holding, l.Limit)
	}
	return row{l.Name, []string{cli.Printable(l.Name), l.Mode, hold, cli.Number(int64(l.Waiting)), left, owner},
		[]float64{0, 0, float64(l.Holding), float64(l.Waiting), leftKey, 0}}
}
