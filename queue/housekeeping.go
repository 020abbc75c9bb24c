package queue

import (
	"context"
	"strconv"
	"strings"
	"time"

	"holdfast/internal/blocking"
)

var (
	// lookEvery is how often a worker looks whether its group has retries of its own, and
	// tidyEvery how often for consumers of workers that are gone.
	lookEvery = 5 * time.Second
	tidyEvery = time.Minute

	// goneAfter is how long a worker's consumer without tasks must have been silent to be
	// taken for gone. A worker that lives speaks every few seconds.
	goneAfter = 10 * time.Minute
)

// lookAround keeps the stream up to date with what others do in it, until it is closed.
func (st *stream) lookAround() {
	look, tidy := time.NewTicker(lookEvery), time.NewTicker(tidyEvery)
	defer look.Stop()
	defer tidy.Stop()
	ctx, cancel := context.WithCancel(st.w.hard)
	defer cancel()
	go func() {
		<-st.over
		cancel()
	}()
	st.lookForRetries(ctx)
	st.tidy(ctx)
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
			st.lookForRetries(ctx)
		case <-tidy.C:
			st.tidy(ctx)
		}
	}
}

// lookForRetries has the retry streams of the worker's group read where there are some, or
// where there will be because there are other groups.
func (st *stream) lookForRetries(ctx context.Context) {
	for _, p := range st.parts {
		if p.name != p.main {
			continue
		}
		several, err := hasSeveralGroups(ctx, p.q.conns, p.main)
		replies, errs := p.q.conns.SendAll(ctx, [][]any{{"EXISTS", p.retry}, {"EXISTS", delayedSet(p.retry)}})
		if err != nil || errs[0] != nil || errs[1] != nil {
			continue // as it was
		}
		on := several || blocking.Int(replies[0])+blocking.Int(replies[1]) > 0
		st.w.mu.Lock()
		st.retries(p).on = on
		st.w.mu.Unlock()
	}
}

// tidy forgets the consumers of workers that vanished without tasks, or whose tasks others
// have taken over.
func (st *stream) tidy(ctx context.Context) {
	gone := max(goneAfter, 2*st.w.o.Lease)
	for _, p := range st.active() {
		list, err := consumersOf(ctx, p.q.conns, p.name, st.w.o.Group)
		if err != nil {
			continue // no group yet, or no right to ask
		}
		for _, c := range list {
			if c.Pending == 0 && c.Idle >= gone && isWorkersConsumer(c.Name) {
				_, _ = st.conns().Send(ctx, "TASK.FORGET", p.name, st.w.o.Group, c.Name)
			}
		}
	}
}

// isWorkersConsumer tells whether a consumer's name is one that a worker of this package
// takes: host:pid:random:number, or the same with :rest.
func isWorkersConsumer(name string) bool {
	words := strings.Split(strings.TrimSuffix(name, ":rest"), ":")
	if len(words) < 4 {
		return false
	}
	_, pid := strconv.Atoi(words[len(words)-3])
	_, number := strconv.Atoi(words[len(words)-1])
	return pid == nil && number == nil && len(words[len(words)-2]) == 10
}
