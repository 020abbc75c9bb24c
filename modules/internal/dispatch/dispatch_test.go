package dispatch_test

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"holdfast/modules/internal/dispatch"
)

type waiter struct {
	dispatch.Waiter
	name   string
	lease  int64
	groups []string
}

func join(t *dispatch.Table, name string, lease int64, groups ...*dispatch.Group) *waiter {
	w := &waiter{name: name, lease: lease}
	w.Owner = w
	t.Join(&w.Waiter, lease, groups...)
	return w
}

func name(w *dispatch.Waiter) string {
	if w == nil {
		return "nobody"
	}
	return w.Owner.(*waiter).name
}

func want(t *testing.T, what string, got *dispatch.Waiter, name_ string) {
	t.Helper()
	if name(got) != name_ {
		t.Fatalf("%s: %s, want %s", what, name(got), name_)
	}
}

// Each interleaving here is one in which a simpler queue gives the wrong answer.
func TestWhoIsServedNext(t *testing.T) {
	group := func(table *dispatch.Table, stream string) *dispatch.Group {
		return table.Group(table.Queue(0, []byte(stream)), []byte("g"))
	}
	t.Run("a new task goes to the longest waiting, whatever its lease", func(t *testing.T) {
		table := dispatch.NewTable()
		g := group(table, "s")
		join(table, "a", 500, g)
		join(table, "b", 0, g)
		want(t, "front", g.Front(), "a")
	})
	t.Run("only who would find nothing joins a crowd unasked", func(t *testing.T) {
		for _, c := range []struct {
			what  string
			lease int64
			since func(*dispatch.Table, *dispatch.Group)
			vain  bool
		}{
			{"nothing", 0, func(*dispatch.Table, *dispatch.Group) {}, true},
			{"nothing, and a lease that cannot have run out", 501, func(*dispatch.Table, *dispatch.Group) {}, true},
			{"nothing, and a lease that may have run out", 500, func(*dispatch.Table, *dispatch.Group) {}, false},
			{"something stirred", 0, func(_ *dispatch.Table, g *dispatch.Group) { g.Queue.AddedSome() }, false},
			{"tasks were added", 0, func(_ *dispatch.Table, g *dispatch.Group) { g.Queue.Added(2) }, false},
			{"some of them are left", 0, func(_ *dispatch.Table, g *dispatch.Group) { g.Queue.Added(2); g.Took(1, 1) }, false},
			{"all of them were taken", 0, func(_ *dispatch.Table, g *dispatch.Group) { g.Queue.Added(2); g.Took(1, 1); g.Took(1, 1) }, true},
			{"fewer were found than asked for", 0, func(_ *dispatch.Table, g *dispatch.Group) { g.Queue.AddedSome(); g.Took(1, 2) }, true},
			{"more were found than known of", 0, func(_ *dispatch.Table, g *dispatch.Group) { g.Queue.Added(1); g.Took(2, 2) }, false},
			{"who knows what stirred, and one was taken", 0, func(_ *dispatch.Table, g *dispatch.Group) { g.Queue.AddedSome(); g.Took(1, 1); g.Queue.Added(1) }, false},
			{"a task was made available", 0, func(_ *dispatch.Table, g *dispatch.Group) { g.Available = true }, false},
			{"other data", 0, func(t *dispatch.Table, _ *dispatch.Group) { t.DistrustAll(0, 1500, false) }, false},
		} {
			table := dispatch.NewTable()
			g := group(table, "s")
			g.Queue.Trusted = true
			g.Took(0, 1)
			g.Available = false
			g.Leases.Step(1000)
			g.Leases.Done()
			if g.Empty(0, 1500) {
				t.Errorf("where nobody waits nobody watches")
			}
			join(table, "a", 0, g)
			c.since(table, g)
			if got := g.Empty(c.lease, 1500); got != c.vain {
				t.Errorf("%s: in vain %v, want %v", c.what, got, c.vain)
			}
		}
	})
	t.Run("a task that ran out passes by those who would not take it over yet", func(t *testing.T) {
		table := dispatch.NewTable()
		g := group(table, "s")
		join(table, "none", 0, g)
		join(table, "hour", 3600_000, g)
		join(table, "second", 1000, g)
		join(table, "half", 500, g)
		want(t, "idle 499", g.FrontFor(499), "nobody")
		want(t, "idle 500", g.FrontFor(500), "half")
		want(t, "idle 1000", g.FrontFor(1000), "second")
		want(t, "idle 3600000", g.FrontFor(3600_000), "hour")
	})
	t.Run("whoever waits in two streams is served once", func(t *testing.T) {
		table := dispatch.NewTable()
		g1, g2 := group(table, "s1"), group(table, "s2")
		both := join(table, "both", 0, g1, g2)
		join(table, "second", 0, g2)
		want(t, "s2", g2.Front(), "both")
		if !table.Leave(&both.Waiter) {
			t.Fatal("the waiter was not waiting")
		}
		want(t, "s1 after", g1.Front(), "nobody")
		want(t, "s2 after", g2.Front(), "second")
		if table.Leave(&both.Waiter) {
			t.Fatal("a grant and a timeout both took the same waiter out")
		}
	})
	t.Run("each group has a queue of its own", func(t *testing.T) {
		table := dispatch.NewTable()
		a := table.Group(table.Queue(0, []byte("s")), []byte("a"))
		b := table.Group(table.Queue(0, []byte("s")), []byte("b"))
		join(table, "in a", 0, a)
		join(table, "in b", 0, b)
		want(t, "a", a.Front(), "in a")
		want(t, "b", b.Front(), "in b")
		if n := len(table.Find(0, []byte("s")).WaitedIn()); n != 2 {
			t.Fatalf("%d groups with waiters, want 2", n)
		}
		if table.Find(1, []byte("s")) != nil {
			t.Fatal("the stream of that name in another database has a queue")
		}
	})
	t.Run("after a load no stream is believed to be the same, and the waiters stay", func(t *testing.T) {
		table := dispatch.NewTable()
		g := group(table, "s")
		g.Available = false
		g.Leases.Step(1000)
		g.Leases.Done()
		join(table, "a", 500, g)
		table.SetDue(g.Queue, dispatch.Delayed, 9000)
		table.DistrustAll(-1, 2000, false)
		if at, ok := table.NextLook(); !ok || at > 2000 {
			t.Fatalf("next look at %d (%v), want by 2000", at, ok)
		}
		if g.Leases.Due(500) > 2000 || !g.Available || g.Queue.DueAt(dispatch.Delayed) != 0 {
			t.Fatal("what was known of the old data is still believed")
		}
		want(t, "front", g.Front(), "a")
	})
	t.Run("one foreign change ends all that was believed, of that stream alone", func(t *testing.T) {
		table := dispatch.NewTable()
		ended := map[string]bool{}
		table.Forgotten = func(g *dispatch.Group) { ended[g.Queue.Stream] = g.Fast[0] == 7 }
		believed := func(stream string) *dispatch.Group {
			g := group(table, stream)
			g.Queue.Trusted, g.Queue.Exclusive, g.Queue.Scheduled = true, true, 3
			g.Available, g.Leaving, g.Fast = false, []string{"gone"}, [2]uint64{7, 8}
			g.Leases.Step(1000)
			g.Leases.Done()
			join(table, "in "+stream, 500, g)
			table.SetDue(g.Queue, dispatch.Delayed, 9000)
			return g
		}
		g, other := believed("s"), believed("other")
		before := *other
		table.Distrust(g.Queue, 2000)
		q := g.Queue
		if q.Trusted || q.Exclusive || q.Scheduled != 0 || q.DueAt(dispatch.Delayed) != 0 || !g.Available || g.Leaving != nil ||
			g.Fast != [2]uint64{} || g.Leases != (dispatch.Walk{}) || g.Empty(0, 2000) {
			t.Errorf("still believed: %+v %+v", q, g)
		}
		if !ended["s"] || ended["other"] {
			t.Errorf("ended: %v, want s alone, told before its passes were forgotten", ended)
		}
		want(t, "front", g.Front(), "in s")
		if at, ok := table.NextLook(); !ok || at > 2000 {
			t.Errorf("next look at %d (%v), want by 2000", at, ok)
		}
		if other.Available || other.Fast != before.Fast || !other.Queue.Trusted || other.Queue.DueAt(dispatch.Delayed) != 9000 {
			t.Error("another stream is distrusted too")
		}
	})
	t.Run("what nobody waits in is forgotten in the end", func(t *testing.T) {
		table := dispatch.NewTable()
		kept := group(table, "kept")
		join(table, "a", 0, kept)
		for i := range 10_000 {
			group(table, fmt.Sprint("once-", i)).Queue.Trusted = true
		}
		n := 0
		table.Each(func(*dispatch.Queue) { n++ })
		if n > 5000 {
			t.Fatalf("%d queues are remembered", n)
		}
		if table.Find(0, []byte("kept")) == nil {
			t.Fatal("a queue with a waiter was forgotten")
		}
	})
}

// However waiters come and go, in one stream or several, with and without a
// lease, everyone served is the one a plain list in order of arrival names; and
// the timer is never later than the first lease somebody waits for.
func TestTheLongestWaitingIsServedFirst(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		table := dispatch.NewTable()
		var list []*waiter // the model: all that wait, in order of arrival
		now := int64(1000)
		arrivals := 0
		streams := []string{"s1", "s2", "s3"}
		get := func(s string) *dispatch.Group { return table.Group(table.Queue(0, []byte(s)), []byte("g")) }
		first := func(s string, can func(*waiter) bool) string {
			for _, w := range list {
				if slices.Contains(w.groups, s) && can(w) {
					return w.name
				}
			}
			return "nobody"
		}
		t.Repeat(map[string]func(*rapid.T){
			"join": func(t *rapid.T) {
				in := rapid.SliceOfNDistinct(rapid.SampledFrom(streams), 1, 3, rapid.ID[string]).Draw(t, "streams")
				lease := rapid.SampledFrom([]int64{0, 0, 10, 50, 1000}).Draw(t, "lease")
				var groups []*dispatch.Group
				for _, s := range in {
					groups = append(groups, get(s))
				}
				arrivals++
				w := join(table, fmt.Sprint("w", arrivals), lease, groups...)
				w.groups = in
				list = append(list, w)
			},
			"serve": func(t *rapid.T) {
				s := rapid.SampledFrom(streams).Draw(t, "stream")
				w := get(s).Front()
				if got, want := name(w), first(s, func(*waiter) bool { return true }); got != want {
					t.Fatalf("%s is served in %s, want %s", got, s, want)
				}
				if w != nil {
					table.Leave(w)
					list = slices.DeleteFunc(list, func(o *waiter) bool { return &o.Waiter == w })
				}
			},
			"take over": func(t *rapid.T) {
				s := rapid.SampledFrom(streams).Draw(t, "stream")
				idle := rapid.Int64Range(0, 1200).Draw(t, "idle")
				w := get(s).FrontFor(idle)
				if got, want := name(w), first(s, func(w *waiter) bool { return w.lease > 0 && w.lease <= idle }); got != want {
					t.Fatalf("%s takes over in %s what is idle for %d, want %s", got, s, idle, want)
				}
			},
			"leave": func(t *rapid.T) {
				if len(list) == 0 {
					t.Skip("nobody waits")
				}
				i := rapid.IntRange(0, len(list)-1).Draw(t, "who")
				if !table.Leave(&list[i].Waiter) {
					t.Fatalf("%s was not waiting", list[i].name)
				}
				list = slices.Delete(list, i, i+1)
			},
			"look": func(t *rapid.T) {
				now += rapid.Int64Range(0, 40).Draw(t, "passes")
				for range streams {
					q := table.Look(now)
					if q == nil {
						break
					}
					q.Trusted = true
					for _, g := range q.WaitedIn() { // walked, and nothing was pending
						g.Leases.Step(now)
						g.Leases.Done()
					}
					table.Looked(q)
				}
			},
			"": func(t *rapid.T) {
				if table.Waiting() != len(list) {
					t.Fatalf("%d wait, want %d", table.Waiting(), len(list))
				}
				at, ok := table.NextLook()
				for _, w := range list {
					if w.lease == 0 {
						continue
					}
					for _, s := range w.groups {
						if due := get(s).Leases.Due(w.lease); !ok || at > due {
							t.Fatalf("%s waits in %s for a lease due at %d, the timer is set to %d (%v)", w.name, s, due, at, ok)
						}
					}
				}
			},
		})
	})
}

// While the horizon says that no lease can have run out, none has: whatever is
// delivered, acknowledged or extended in the middle of a walk. And a walk that
// goes on finds every lease that ran out.
func TestNoLeaseRunsOutUnseen(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var h dispatch.Walk
		pending := map[dispatch.ID]int64{} // when each was delivered last
		var next uint64
		now := int64(1000)
		some := func(t *rapid.T) (dispatch.ID, bool) {
			if len(pending) == 0 {
				return dispatch.ID{}, false
			}
			return rapid.SampledFrom(sorted(pending)).Draw(t, "task"), true
		}
		step := func(lease int64) (took []dispatch.ID) {
			after, read := h.Step(now), 0
			for _, id := range sorted(pending) {
				if id.Compare(after) <= 0 {
					continue
				}
				if read++; read > 3 {
					return took
				}
				if now-pending[id] >= lease {
					took = append(took, id)
					pending[id] = now
					h.Passed(id)
				} else {
					h.Stays(id, pending[id])
				}
			}
			h.Done()
			return took
		}
		t.Repeat(map[string]func(*rapid.T){
			"deliver": func(*rapid.T) { next++; pending[dispatch.ID{Ms: next}] = now },
			"acknowledge": func(t *rapid.T) {
				if id, ok := some(t); ok {
					delete(pending, id)
				}
			},
			"extend": func(t *rapid.T) {
				if id, ok := some(t); ok {
					pending[id] = now
				}
			},
			"time passes": func(t *rapid.T) { now += rapid.Int64Range(1, 30).Draw(t, "ms") },
			"step":        func(t *rapid.T) { step(rapid.SampledFrom([]int64{10, 40}).Draw(t, "lease")) },
			"walk to the end": func(t *rapid.T) {
				const lease = 25
				out := map[dispatch.ID]bool{}
				for id, at := range pending {
					if now-at >= lease {
						out[id] = true
					}
				}
				for i := 0; h.Due(lease) <= now; i++ { // twice round at most: one walk may be under way
					if i > 2*len(pending)+4 {
						t.Fatalf("the walk does not end: %+v", h)
					}
					for _, id := range step(lease) {
						delete(out, id)
					}
				}
				if len(out) > 0 {
					t.Fatalf("ran out and was not found: %v", out)
				}
			},
			"": func(t *rapid.T) {
				for id, at := range pending {
					for _, lease := range []int64{1, 10, 40} {
						if at+lease <= now && h.Due(lease) > now {
							t.Fatalf("%v was delivered at %d, a lease of %d ran out, the horizon says %d", id, at, lease, h.Due(lease))
						}
					}
				}
			},
		})
	})
}

func sorted(m map[dispatch.ID]int64) []dispatch.ID {
	var ids []dispatch.ID
	for id := range m {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, dispatch.ID.Compare)
	return ids
}

// The table keeps what it found last at hand, and not longer than it knows of it.
func TestWhatIsForgottenIsNotFound(t *testing.T) {
	table := dispatch.NewTable()
	q := table.Queue(0, []byte("s"))
	g := table.Group(q, []byte("g"))
	if table.Find(0, []byte("s")) != q || q.Group([]byte("g")) != g {
		t.Fatal("a stream and a group are not found")
	}
	table.Vanished(q)
	if q.Group([]byte("g")) != nil {
		t.Error("a forgotten group is found")
	}
	table.ForgetAll()
	if table.Find(0, []byte("s")) != nil {
		t.Error("a forgotten stream is found")
	}
	if table.Find(1, []byte("s")) != nil || table.Queue(0, []byte("s")) == q {
		t.Error("a stream is taken for another")
	}
}
