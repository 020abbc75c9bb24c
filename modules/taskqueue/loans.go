package taskqueue

import (
	"holdfast/modules/internal/dispatch"
	"holdfast/modules/internal/keyed"
	"holdfast/redismodule"
)

// A key that has room lends it to C: TASK.PUBLISH with the option KEY alone then adds the entry
// without entering Go, as long as the room lasts and nothing happens to the stream. What C added
// and acknowledged stands in a log, which is read before Go is entered for anything else, so
// all other code finds the Keys as if Go had done it. Keys end their loans as soon as they
// hold a task back or are not sure; and C disregards a loan of a stream that others changed.

// lend lends the room of a key that was just given a task.
func (s *state) lend(q *dispatch.Queue, key []byte) {
	if q.Keys == nil || q.Watches == nil || !q.Keys.Lends(key) {
		return
	}
	id := redismodule.Pass("task.publish", q.DB, view(q.Stream), key)
	place, left := redismodule.OpenRoom(id, redismodule.WatchID(q.Watches[0]))
	if s.loans == nil {
		s.loans = make([]*keyed.Loan, redismodule.Rooms)
	}
	if was := s.loans[place]; was != nil {
		was.End()
	}
	s.loans[place] = q.Keys.Lend(key, left)
}

// catchUp tells the Keys what C added and acknowledged.
func catchUp(log []redismodule.KeyedChange) {
	s := &tasks
	for _, c := range log {
		id := keyed.ID{Ms: c.Ms, Seq: c.Seq}
		if c.Room >= 0 {
			s.loans[c.Room].Enter(id)
		} else if g := s.passes[c.Pass]; g != nil && g.Queue.Keys != nil {
			g.Queue.Keys.Leave(id)
		}
	}
}
