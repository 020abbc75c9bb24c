package dashboard

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/queue"
)

const (
	fresh        = 900 * time.Millisecond  // how long an answer holds for other visitors
	costly       = 5 * time.Second         // the same of an answer that looked at many tasks
	answerWithin = 1500 * time.Millisecond // the silence after which the last figures are shown instead
	answerMost   = 10 * time.Second        // how long the server may take where there are no last figures, or for what is costly
	memoryMost   = 256                     // answers kept
)

// memory keeps what the server last answered, so that many people who look at one page cost the
// server no more than one, and so that the last figures can be shown while the server is silent.
type memory struct {
	mu    sync.Mutex
	all   map[string]*answer
	acted atomic.Int64 // how often answers became out of date at once, because of an act
}

type answer struct {
	used time.Time // under the lock of memory

	mu    sync.Mutex
	value any
	at    time.Time // of the value; zero without one
	err   error     // of the last try
	tried time.Time
	acted int64         // of memory, at the last try
	comes chan struct{} // closed when the answer that is loaded in the background is there
}

// entry returns the answer of a key. The answer that was used least recently makes place.
func (m *memory) entry(key string) *answer {
	m.mu.Lock()
	defer m.mu.Unlock()
	a := m.all[key]
	if a == nil {
		if m.all == nil {
			m.all = map[string]*answer{}
		}
		if len(m.all) >= memoryMost {
			oldest := ""
			for k, other := range m.all {
				if oldest == "" || other.used.Before(m.all[oldest].used) {
					oldest = k
				}
			}
			delete(m.all, oldest)
		}
		a = &answer{}
		m.all[key] = a
	}
	a.used = time.Now()
	return a
}

// forget has every answer asked for again: an act has changed what it says.
func (m *memory) forget() { m.acted.Add(1) }

// ask returns what load answers, or answered within the time given.
func ask[T any](v *visit, key string, within time.Duration, load func(context.Context) (T, error)) (T, error) {
	return askFor(v, key, func(T) time.Duration { return within }, load)
}

// askFor returns what load answers, or what it answered before, if within says that this still
// holds. While the server is silent the last answer is returned, and the visit knows since when.
func askFor[T any](v *visit, key string, within func(T) time.Duration, load func(context.Context) (T, error)) (T, error) {
	a := v.memory.entry(key)
	a.mu.Lock()
	defer a.mu.Unlock()
	value, there := a.value.(T)
	holds := fresh
	if there && a.err == nil {
		holds = max(holds, within(value))
	}
	acted := v.memory.acted.Load()
	silent := !v.Lost.IsZero() && there // one wait for a silent server is enough
	if !silent && (acted != a.acted || time.Since(a.tried) >= holds) {
		patience := answerWithin
		if !there || holds >= costly {
			patience = answerMost
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(v.r.Context()), patience)
		answer, err := load(ctx)
		cancel()
		a.err, a.tried, a.acted = err, time.Now(), acted
		if err == nil {
			a.value, a.at = answer, a.tried
			value, there = answer, true
		}
	}
	if there {
		v.from(key, a.at)
	}
	switch {
	case a.err == nil:
		return value, nil
	case there && !answered(a.err):
		if v.Lost.IsZero() || a.at.Before(v.Lost) {
			v.Lost = a.at
		}
		return value, nil
	}
	return value, a.err
}

// patient is how long a page waits for what is loaded in the background.
const patient = 50 * time.Millisecond

// askSoon is ask for what takes long and may be shown later: the answer is loaded in the
// background, and the last one returned meanwhile. If there is none yet, it is waited for so long.
func askSoon[T any](v *visit, key string, wait time.Duration, within func(T) time.Duration, load func(context.Context) (T, error)) (value T, there bool, err error) {
	a := v.memory.entry(key)
	a.mu.Lock()
	value, there = a.value.(T)
	holds := fresh
	if there && a.err == nil {
		holds = max(holds, within(value))
	}
	acted := v.memory.acted.Load()
	if a.comes == nil && (acted != a.acted || time.Since(a.tried) >= holds) {
		a.comes = make(chan struct{})
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), answerMost)
			defer cancel()
			answer, err := load(ctx)
			a.mu.Lock()
			defer a.mu.Unlock()
			a.err, a.tried, a.acted = err, time.Now(), acted
			if err == nil {
				a.value, a.at = answer, a.tried
			}
			close(a.comes)
			a.comes = nil
		}()
	}
	comes := a.comes
	a.mu.Unlock()
	if comes != nil && !there {
		select {
		case <-comes:
		case <-time.After(wait):
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if value, there = a.value.(T); there {
		v.from(key, a.at)
	}
	return value, there, a.err
}

// from notes when an answer is from.
func (v *visit) from(key string, at time.Time) {
	kind, _, _ := strings.Cut(key, " ")
	if v.of == nil {
		v.of = map[string]time.Time{}
	}
	v.of[kind] = at
}

// Of is when the answer of a kind is from, which is when its ages and leases were as they say.
func (v *visit) Of(kind string) time.Time {
	if at, there := v.of[kind]; there {
		return at
	}
	return v.Now
}

// answered reports whether an error is what the server said, and not its silence.
func answered(err error) bool {
	var said redis.Error
	return errors.As(err, &said) || errors.Is(err, queue.ErrNotFound)
}

// terms remembers how long leases are, because a server tells only what is left of them.
type terms struct {
	mu  sync.Mutex
	all map[string]time.Duration
}

// usual are lengths that people give leases.
var usual = []time.Duration{
	time.Second, 2 * time.Second, 3 * time.Second, 5 * time.Second, 10 * time.Second, 15 * time.Second, 20 * time.Second, 30 * time.Second, 45 * time.Second,
	time.Minute, 90 * time.Second, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 6 * time.Hour, 12 * time.Hour, 24 * time.Hour,
}

// of is the whole of a lease of which some is left: the shortest usual one that was never exceeded.
func (t *terms) of(key string, left time.Duration) time.Duration {
	whole := left
	for _, u := range usual {
		if u >= left {
			whole = u
			break
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.all == nil || len(t.all) > 10_000 {
		t.all = map[string]time.Duration{}
	}
	whole = max(whole, t.all[key])
	t.all[key] = whole
	return whole
}
