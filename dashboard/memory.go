package dashboard

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
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
	answerWithin = 1500 * time.Millisecond // how long the server may be silent before the last figures are shown instead
	answerMost   = 10 * time.Second        // how long one answer may take while the server answers others
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
	for v.gone == nil {
		comes := fetch(v, a, within, load)
		if comes == nil {
			break
		}
		select {
		case <-comes:
		case <-time.After(fresh): // an answer may take long, or none may come
			v.feel()
		}
	}
	value, there, err := remembered[T](v, key, a)
	switch {
	case there && v.gone != nil:
		return value, nil
	case v.gone != nil:
		return value, v.gone
	case there && err != nil && !answered(err):
		v.lost(v.Of(kindOf(key)), err)
		return value, nil
	}
	return value, err
}

// patient is how long a page waits for what may be shown later.
const patient = 50 * time.Millisecond

// askSoon is ask for what takes long and may be shown later: the last answer is returned while the
// next one is loaded. If there is none yet, it is waited for so long.
func askSoon[T any](v *visit, key string, wait time.Duration, within func(T) time.Duration, load func(context.Context) (T, error)) (value T, there bool, err error) {
	a := v.memory.entry(key)
	comes := fetch(v, a, within, load)
	if value, there, err = remembered[T](v, key, a); there || comes == nil {
		return value, there, err
	}
	select {
	case <-comes:
	case <-time.After(wait):
	}
	return remembered[T](v, key, a)
}

// fetch has an answer that does not hold any more loaded in the background, once for all who ask. It
// returns a channel that is closed when the answer is there, or nil where nothing is to come.
func fetch[T any](v *visit, a *answer, within func(T) time.Duration, load func(context.Context) (T, error)) <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	value, there := a.value.(T)
	holds := fresh
	if there && a.err == nil {
		holds = max(holds, within(value))
	}
	acted := v.memory.acted.Load()
	if a.comes != nil || v.gone != nil || acted == a.acted && time.Since(a.tried) < holds {
		return a.comes
	}
	comes := make(chan struct{})
	a.comes = comes
	go func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(v.r.Context()), answerMost)
		defer cancel()
		var answer T
		var err error
		defer func() {
			if p := recover(); p != nil { // of Options.Redact; it must not end the program
				err = fmt.Errorf("panic: %v", p)
			}
			a.mu.Lock()
			defer a.mu.Unlock()
			a.err, a.tried, a.acted = err, time.Now(), acted
			if err == nil {
				a.value, a.at = answer, a.tried
			}
			a.comes = nil
			close(comes)
		}()
		answer, err = load(ctx)
	}()
	return comes
}

// remembered is the last answer, and the error of the last try.
func remembered[T any](v *visit, key string, a *answer) (value T, there bool, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if value, there = a.value.(T); there {
		v.from(key, a.at)
	}
	return value, there, a.err
}

// lost notes that the figures are from a time that is past, and why.
func (v *visit) lost(at time.Time, err error) {
	if v.Lost.IsZero() || at.Before(v.Lost) {
		v.Lost = at
	}
	if unready(err) {
		v.why = err.Error()
	}
}

// LostNote says that the figures are from a time that is past; "" if they are not.
func (v *visit) LostNote() string {
	switch at := v.Lost.Format("15:04:05"); {
	case v.Lost.IsZero():
		return ""
	case v.why != "":
		return fmt.Sprintf("The server says: %s. The figures are from %s.", v.why, at)
	default:
		return fmt.Sprintf("The server has not answered since %s. The figures are from then.", at)
	}
}

// from notes when an answer is from.
func (v *visit) from(key string, at time.Time) {
	if v.of == nil {
		v.of = map[string]time.Time{}
	}
	v.of[kindOf(key)] = at
}

func kindOf(key string) string {
	kind, _, _ := strings.Cut(key, " ")
	return kind
}

// Of is when the answer of a kind is from, which is when its ages and leases were as they say.
func (v *visit) Of(kind string) time.Time {
	if at, there := v.of[kind]; there {
		return at
	}
	return v.Now
}

// pulse knows whether the server answers. One short question at a time is under way, however many
// look, and while it is not answered nothing else is asked: a server that hangs costs neither
// goroutines nor connections.
type pulse struct {
	mu    sync.Mutex
	at    time.Time     // of the last answer
	sent  time.Time     // when the last question was
	err   error         // of that question
	comes chan struct{} // closed when the question under way is answered; nil when none is
}

var errSilent = fmt.Errorf("no answer within %v", answerWithin)

// feel asks, unless somebody did a moment ago. It returns when the last answer came, and why none
// comes now.
func (p *pulse) feel(ping func() error) (time.Time, error) {
	p.mu.Lock()
	if p.comes == nil && time.Since(p.sent) >= fresh {
		comes := make(chan struct{})
		p.comes, p.sent = comes, time.Now()
		go func() {
			err := ping()
			p.mu.Lock()
			defer p.mu.Unlock()
			if p.err = err; err == nil {
				p.at = time.Now()
			}
			p.comes = nil
			close(comes)
		}()
	}
	comes, left := p.comes, answerWithin-time.Since(p.sent)
	p.mu.Unlock()
	if comes != nil {
		select {
		case <-comes:
		case <-time.After(left):
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.comes != nil {
		return p.at, errSilent
	}
	return p.at, p.err
}

// feel notes whether the server answers.
func (v *visit) feel() {
	at, err := v.pulse.feel(v.ping)
	if err == nil || answered(err) {
		return
	}
	if v.gone = err; at.IsZero() {
		at = v.Now
	}
	v.lost(at, err)
}

func (b *board) ping() error {
	ctx, cancel := context.WithTimeout(context.Background(), answerMost)
	defer cancel()
	if c, ok := b.rdb.(*redis.ClusterClient); ok {
		return c.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error { return node.Ping(ctx).Err() })
	}
	return b.rdb.Ping(ctx).Err()
}

// unready reports whether an error says that a server lives and cannot serve yet.
func unready(err error) bool {
	return slices.ContainsFunc([]string{"LOADING", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN"}, func(word string) bool { return redis.HasErrorPrefix(err, word) })
}

// answered reports whether an error is what the server said to the question, and not its silence.
func answered(err error) bool {
	var said redis.Error
	return errors.As(err, &said) && !unready(err) || errors.Is(err, queue.ErrNotFound)
}

// silent reports whether an error says that no answer came.
func silent(err error) bool {
	var broken net.Error
	return errors.As(err, &broken) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, errSilent) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) || strings.Contains(err.Error(), "redis: ")
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
