package doctor

import (
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/internal/shell"
	"holdfast/queue"
)

const (
	overdueBy   = 10 * time.Second // a delayed task should be handed out within milliseconds
	deadMost    = 1000             // dead letters that nobody looks after
	stuckBehind = time.Minute      // how old a task may be before the lack of a worker matters
)

func (e *examination) queues(most int) error {
	for cursor := ""; ; {
		page, err := e.inspect.Overviews(e.ctx, "", cursor)
		if redis.HasErrorPrefix(err, "unknown command") { // modulesLoaded says so
			return nil
		}
		if err != nil {
			return err
		}
		for _, q := range page.Queues {
			if e.report.Queues >= most {
				e.found(Finding{ID: "queues", Severity: Warning, What: fmt.Sprintf("There are more than %d queues; the others were not looked into.", most), Why: "A bound keeps this examination short.", Cure: "holdfast doctor --queues N"})
				return nil
			}
			e.report.Queues++
			if err := e.queue(&q); err != nil {
				return err
			}
		}
		if cursor = page.Cursor; cursor == "" {
			return nil
		}
	}
}

// queue looks at one queue. Most queues are well at a glance, and nothing more is asked of them.
func (e *examination) queue(q *queue.Overview) error {
	found := func(f Finding) {
		f.Queue = q.Stream
		e.found(f)
	}
	if q.Dead >= deadMost {
		found(Finding{
			ID: "dead-letters", Severity: Warning, What: fmt.Sprintf("%s has %d dead letters.", q.Stream, q.Dead),
			Why: "They are work that was not done, and they keep memory.", Cure: shell.Command("queue peek", []string{"--dead", "--group-by=error"}, q.Stream),
		})
	}
	if q.Delayed > 0 {
		if err := e.delayed(q.Stream, found); err != nil {
			return err
		}
	}
	waits := q.Ready > 0 && q.OldestAge > stuckBehind
	switch {
	case q.Paused && q.Length > 0:
		found(Finding{
			ID: "paused", Severity: Warning, What: fmt.Sprintf("%s is paused, and %d tasks wait.", q.Stream, q.Length),
			Why: "Nothing is handed out until somebody resumes it.", Cure: shell.Command("queue resume", nil, q.Stream),
		})
	case q.Groups == 0 && waits:
		found(Finding{
			ID: "no-worker", Severity: Critical, What: fmt.Sprintf("%s has %d tasks, and nobody ever worked on it.", q.Stream, q.Length),
			Why: "They wait for ever.", Cure: "start its worker, or: " + shell.Command("queue work", nil, q.Stream) + " -- command",
		})
	case waits || q.InWork > 0:
		return e.groups(q.Stream, found)
	}
	return nil
}

// groups looks at the groups of a queue that has tasks in work, or tasks that have waited for long.
func (e *examination) groups(stream string, found func(Finding)) error {
	s, err := e.inspect.Stats(e.ctx, stream)
	if err != nil {
		return err
	}
	for _, g := range s.Groups {
		if err := e.group(stream, &s, &g, found); err != nil {
			return err
		}
	}
	return nil
}

func (e *examination) group(stream string, s *queue.Stats, g *queue.GroupStats, found func(Finding)) error {
	consumers, err := e.inspect.Consumers(e.ctx, stream, g.Name)
	if err != nil {
		return err
	}
	of := []string{"--group=" + g.Name}
	alive, orphaned := false, false
	for _, c := range consumers {
		gone := c.Idle > max(e.gone, 3*g.Lease)
		alive = alive || !gone
		if gone && c.Pending > 0 {
			orphaned = true
			found(Finding{
				ID: "consumer-gone", Severity: Critical, What: fmt.Sprintf("%d tasks of %s lie with %s, which has not spoken for %s.", c.Pending, stream, c.Name, c.Idle.Round(time.Second)),
				Why: "It is dead, and no other consumer of its group takes over what it had: nobody consumes with LEASE.", Cure: shell.Command("queue forget", of, stream, c.Name),
			})
		}
	}
	if g.Ready > 0 && g.Waiting == 0 && !alive && s.OldestAge > stuckBehind {
		id, what := "no-worker", fmt.Sprintf("%s has %d tasks for the group %s, and no worker.", stream, g.Ready, g.Name)
		cure := "start its worker, or: " + shell.Command("queue work", of, stream) + " -- command"
		if len(consumers) == 0 && len(s.Groups) > 1 {
			id, what = "group-unread", fmt.Sprintf("Nobody reads %s for the group %s, and it keeps all %d entries.", stream, g.Name, s.Length)
			cure = "redis-cli XGROUP DESTROY " + shell.Quote(stream) + " " + shell.Quote(g.Name) + ", if it is not needed any more"
		}
		found(Finding{ID: id, Severity: Critical, What: what, Why: "They wait until somebody works on them.", Cure: cure})
	}
	if !orphaned && g.Pending > 0 && g.Lease == 0 && g.OldestPending > e.gone {
		found(Finding{
			ID: "no-lease", Severity: Warning, What: fmt.Sprintf("Tasks of %s have been in work for %s in the group %s, whose consumers ask for no LEASE.", stream, g.OldestPending.Round(time.Second), g.Name),
			Why: "A task whose consumer died, or whose reply was lost, is never given to another.", Cure: "have the consumers send TASK.CONSUME … LEASE ms (holdfast docs task.consume)",
		})
	}
	return nil
}

// delayed looks at the first task of the delayed.
func (e *examination) delayed(stream string, found func(Finding)) error {
	page, err := e.inspect.List(e.ctx, stream, queue.ListOptions{State: queue.Delayed, Limit: 1})
	if err != nil || len(page.Tasks) == 0 {
		return err
	}
	if late := time.Since(page.Tasks[0].Due); late > overdueBy {
		found(Finding{
			ID: "overdue", Severity: Critical, What: fmt.Sprintf("A delayed task of %s is %s overdue.", stream, late.Round(time.Second)),
			Why: "The server's timer does not reach it: writes are refused or paused, or the module is not loaded.", Cure: "redis-cli INFO persistence; redis-cli INFO replication",
		})
	}
	return nil
}
