package dashboard

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/queue"
)

const (
	fresh        = 900 * time.Millisecond  // how long what was seen is shown to others too
	costly       = 5 * time.Second         // the same of what looks at many tasks
	answerWithin = 1500 * time.Millisecond // after what silence the last figures are shown instead
	answerMost   = 10 * time.Second        // how long the server may take where there are none, or for what is costly
	memoryMost   = 256                     // answers kept
)

// memory keeps what the server last answered, so that many people who look at one page cost it
// no more than one, and so that the last figures can be shown while it is silent.
type memory struct {
	mu  sync.Mutex
	all map[string]*answer
}

type answer struct {
	mu    sync.Mutex
	value any
	at    time.Time // of the value; zero without one
	err   error     // of the last try
	tried time.Time
}

func (m *memory) entry(key string) *answer {
	m.mu.Lock()
	defer m.mu.Unlock()
	a := m.all[key]
	if a == nil {
		if len(m.all) >= memoryMost || m.all == nil {
			m.all = map[string]*answer{}
		}
		a = &answer{}
		m.all[key] = a
	}
	return a
}

// forget drops everything: an act has changed it.
func (m *memory) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.all = nil
}

// ask returns what load answers, or answered within the time given. While the server is silent it is
// what was answered last, and the visit knows since when.
func ask[T any](v *visit, key string, within time.Duration, load func(context.Context) (T, error)) (T, error) {
	a := v.memory.entry(key)
	a.mu.Lock()
	defer a.mu.Unlock()
	silent := !v.Lost.IsZero() && !a.at.IsZero() // one wait for a silent server is enough
	if time.Since(a.tried) >= within && !silent {
		patience := answerWithin
		if a.at.IsZero() || within >= costly {
			patience = answerMost
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(v.r.Context()), patience)
		value, err := load(ctx)
		cancel()
		a.err, a.tried = err, time.Now()
		if err == nil {
			a.value, a.at = value, a.tried
		}
	}
	value, there := a.value.(T)
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

// answered tells whether an error is what the server said, and not its silence.
func answered(err error) bool {
	var said redis.Error
	return errors.As(err, &said) || errors.Is(err, queue.ErrNotFound)
}

// terms remembers how long leases are: a server tells what is left of them.
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
