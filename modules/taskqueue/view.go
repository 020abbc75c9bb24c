package taskqueue

import (
	"slices"

	"holdfast/modules/internal/dispatch"
	"holdfast/redismodule"
)

// A dispatch.Queue holds all that the module believes of a stream: whether tasks are
// available, whether it has one group, when its first delayed task is due, what may go
// by the fast paths. The stream can change without the module: by native commands, under
// another name, with its slot. So the module watches the stream and its side keys, and any
// event that it does not know to be harmless ends all beliefs at once. They are learned
// anew at the next use of the stream, or from the timer at once.

// learn looks at a stream of which nothing is believed.
func (s *state) learn(ctx *redismodule.Ctx, q *dispatch.Queue) {
	if q.Trusted {
		return
	}
	q.Trusted = true
	if q.Watches == nil {
		q.Watches = make([]uint64, 0, 1+len(sideKinds))
		q.Watches = append(q.Watches, uint64(ctx.Watch(q.DB, view(q.Stream))))
		for _, kind := range sideKinds {
			if key, ok := s.sideKey(q.Stream, kind); ok {
				q.Watches = append(q.Watches, uint64(ctx.Watch(q.DB, key)))
			}
		}
	}
	s.findDelayed(ctx, q)
	if key, ok := s.sideKey(q.Stream, undoneKey); ok {
		q.Holding = ctx.Exists(redismodule.Text(key))
	}
	s.learnKeys(ctx, q)
	switch ctx.TypeOf(redismodule.Text(view(q.Stream))) {
	case redismodule.TypeStream:
		s.catalog.add(q.Key)
		q.Listed = true
		s.tellDestroyed(ctx, q)
	case redismodule.TypeNone:
		s.table.Vanished(q)
		s.unlist(ctx, q.Key)
	default:
		s.table.Vanished(q)
		s.unlist(ctx, q.Key)
		for len(q.WaitedIn()) > 0 {
			s.tell(ctx, q.WaitedIn()[0], redismodule.ErrWrongType)
		}
	}
}

// tell ends the waits in a group with an error. They are not ended in slices: what one
// costs is the server's reply to its client.
func (s *state) tell(ctx *redismodule.Ctx, g *dispatch.Group, err error) {
	for w := waiterOf(g.Front()); w != nil; w = waiterOf(g.Front()) {
		w.err = err
		s.leave(w)
		w.blocked.Wake()
	}
}

// tellDestroyed tells the consumers of a group that somebody destroyed it, as readers of
// the native command are told. If the group has been made again since, they go on waiting.
func (s *state) tellDestroyed(ctx *redismodule.Ctx, q *dispatch.Queue) {
	var destroyed []*dispatch.Group
	q.Groups(func(g *dispatch.Group) {
		if g.Destroyed {
			g.Destroyed, g.Counters = false, dispatch.Counters{}
			destroyed = append(destroyed, g)
		}
	})
	if len(destroyed) == 0 {
		return
	}
	there := map[string]bool{}
	r := ctx.Cmd("XINFO").Str("GROUPS").Str(q.Stream).Call("")
	defer r.Free()
	if failure(r) == nil {
		p := read(r.Raw())
		for range p.Array() {
			for range p.Array() / 2 {
				if text(p.Bytes()) == "name" {
					there[text(p.Bytes())] = true
				} else {
					p.Skip()
				}
			}
		}
	}
	for _, g := range destroyed {
		if !there[g.Name] {
			s.tell(ctx, g, redismodule.Error("NOGROUP the consumer group '"+g.Name+"' this client waited in was destroyed"))
		}
	}
}

// distrust ends all that is believed of a stream. Whoever waits there waits on.
func (s *state) distrust(ctx *redismodule.Ctx, q *dispatch.Queue) {
	s.table.Distrust(q, ctx.Now())
	s.rearm(ctx)
}

// forgotten hears of a group whose beliefs end.
func (s *state) forgotten(g *dispatch.Group) {
	s.passes.shut(g)
	delete(s.leaving, g)
}

// dropped hears of a stream that is not known any more.
func (s *state) dropped(q *dispatch.Queue) {
	for _, id := range q.Watches {
		redismodule.Unwatch(redismodule.WatchID(id))
	}
	q.Watches = nil
}

// keyEvent hears what others did to a stream that the module knows, or to a side key.
func keyEvent(ctx *redismodule.Ctx, event string, key []byte) {
	s := &tasks
	s.uniques.heard(ctx, event, key)
	if q := s.table.Find(ctx.DB(), key); q != nil {
		s.streamEvent(ctx, q, event)
	}
	for _, kind := range sideKinds {
		if stream, ok := dispatch.StreamOf(key, kind); ok {
			s.distrust(ctx, s.table.Queue(ctx.DB(), stream))
		}
	}
}

// harmless are the events that cannot make a belief wrong.
var harmless = []string{"xadd", "xdel", "xtrim", "xgroup-createconsumer", "xgroup-delconsumer", "expire", "persist"}

// streamEvent distrusts the stream at any event that is not harmless.
func (s *state) streamEvent(ctx *redismodule.Ctx, q *dispatch.Queue, event string) {
	switch {
	case event == "xadd":
		q.AddedSome()
		s.keysChanged(ctx, q, ctx.Now())
		if q.Keys != nil && q.Keys.Rule().Most > 0 {
			q.Keys.Unsure() // the entry may have a key
		}
		if len(q.WaitedIn()) > 0 {
			s.table.LookAt(q, ctx.Now())
			s.rearm(ctx)
		}
	case slices.Contains(harmless, event):
		s.keysChanged(ctx, q, ctx.Now()+auditEvery)
	case event == "xgroup-destroy":
		// The event does not name the group.
		q.Groups(func(g *dispatch.Group) { g.Destroyed = true })
		s.distrust(ctx, q)
	default:
		s.distrust(ctx, q)
	}
}

// keysChanged has the keys of a stream looked at, because others changed its entries.
func (s *state) keysChanged(ctx *redismodule.Ctx, q *dispatch.Queue, at int64) {
	if q.Keys.Empty() {
		return
	}
	if due := q.DueAt(dispatch.Keyed); due == 0 || at < due {
		s.table.SetDue(q, dispatch.Keyed, at)
		s.rearm(ctx)
	}
}

// distrustAll is for whenever a database, or everywhere, may hold other data than before.
func (s *state) distrustAll(ctx *redismodule.Ctx, db int, replaced bool) {
	s.table.DistrustAll(db, ctx.Now(), replaced)
	if replaced {
		s.catalog.clear(db)
		ctx.Shared()[unlisted]++
	}
	s.rearm(ctx)
}

func flushDB(ctx *redismodule.Ctx, db int) { tasks.distrustAll(ctx, db, true) }

func swapDB(ctx *redismodule.Ctx, a, b int) {
	for _, db := range []int{a, b} {
		tasks.distrustAll(ctx, db, true)
		tasks.search.start(ctx, &tasks, db)
	}
}

func loaded(ctx *redismodule.Ctx) {
	tasks.distrustAll(ctx, everywhere, false)
	tasks.search.start(ctx, &tasks, everywhere)
}

// slotsMoved has the waiters of streams that went sent on, and finds the delayed tasks of
// those that came.
func slotsMoved(ctx *redismodule.Ctx, here bool) {
	tasks.distrustAll(ctx, everywhere, false)
	if here {
		tasks.search.start(ctx, &tasks, everywhere)
	}
}

// roleChanged: a replica believes nothing of any stream. The leases bring back what was handed out and
// not seen; who waited is gone. In a cluster, a node that is promoted does not serve its slots yet when it
// hears of this, and would be refused if it looked now.
func roleChanged(ctx *redismodule.Ctx, primary bool) {
	s := &tasks
	s.table.ForgetUnseen()
	s.search.stop()
	s.distrustAll(ctx, everywhere, false)
	if !primary {
		s.table.ForgetAll()
	}
	s.search.plan(s, everywhere)
	s.rearm(ctx)
}
