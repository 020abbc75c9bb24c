package taskqueue

import (
	"bytes"
	"unsafe"

	"holdfast/internal/dispatch"
	"holdfast/redismodule"
)

// available is the consumer with whom tasks lie that anyone may take: those of
// a forgotten consumer, and those handed to a connection that was gone. It is
// an ordinary consumer of the group, so what lies there survives the server.
const available = ownPrefix + "available"

// ownPrefix begins the names of consumers that are the module's own.
const ownPrefix = "taskqueue:"

// Kinds of side keys, see dispatch.AppendSideKey.
const (
	delayedKey = "delayed" // sorted set of the delayed tasks
	pausedKey  = "paused"  // string, there while the queue is paused
	uniqueKey  = "unique:" // string for each unique id: the id of its task
)

// state is all the module keeps in memory. It can be lost at any time: tasks,
// their leases and delays live in the streams and sorted sets alone.
type state struct {
	table  *dispatch.Table
	stats  stats
	soles  soles
	passes passes
	// Forgotten consumers whose tasks are not all available yet.
	leavers map[leaver]bool
	search  search
	serial  int64 // the last one given to a delayed task
	dbs     int
	// In a cluster a node may not touch a stream just now: right after a start,
	// in a partition, and for ever when the slot has moved.
	cluster bool

	// Scratch, reused by every callback; nothing in it outlives one.
	claim  claim
	haul   haul
	side   []byte
	member []byte
	fields [][]byte
	source source
	ended  source // an entry that all groups are done with

	uniques uniques
}

var tasks state

// Words that stand in the calls of every task.
var words struct{ star, payload, timestamp, retries, zero, one, group, count, streams, fresh redismodule.Arg }

func load(ctx *redismodule.Ctx) error {
	words.star, words.zero, words.one = redismodule.Intern("*"), redismodule.Intern("0"), redismodule.Intern("1")
	words.payload, words.timestamp, words.retries = redismodule.Intern("payload"), redismodule.Intern("timestamp"), redismodule.Intern("retry_count")
	words.group, words.count, words.streams, words.fresh = redismodule.Intern("GROUP"), redismodule.Intern("COUNT"), redismodule.Intern("STREAMS"), redismodule.Intern(">")
	tasks = state{table: dispatch.NewTable(), soles: soles{}, passes: passes{}, leavers: map[leaver]bool{}, uniques: uniques{}, dbs: databases(ctx), cluster: ctx.Flags()&redismodule.FlagCluster != 0}
	tasks.search.start(ctx, &tasks)
	return nil
}

func databases(ctx *redismodule.Ctx) int {
	r := ctx.Cmd("CONFIG").Str("GET").Str("databases").Call("")
	defer r.Free()
	if v := r.Raw(); len(v) > 0 && v[0] == '*' {
		p := read(v)
		if p.Array() == 2 {
			p.Skip()
			if n, ok := p.Int(); ok {
				return int(n)
			}
		}
	}
	return 16
}

// queue is what is known of a stream. The first time anything is, its delayed
// tasks are looked for: the background search may not have come to them yet.
func (s *state) queue(ctx *redismodule.Ctx, stream string) *dispatch.Queue {
	db := ctx.DB()
	if q := s.table.Find(db, view(stream)); q != nil {
		return q
	}
	q := s.table.Queue(db, view(stream))
	s.findDelayed(ctx, q)
	return q
}

func (s *state) group(ctx *redismodule.Ctx, stream, group string) *dispatch.Group {
	return s.table.Group(s.queue(ctx, stream), view(group))
}

// rearm sets the module's timer for the next thing to do, and stops it when there
// is none: a module with a timer cannot be unloaded.
func (s *state) rearm(ctx *redismodule.Ctx) {
	at, ok := s.table.NextLook()
	if s.search.running() || s.table.Haunted() || len(s.leavers) > 0 {
		at, ok = 0, true
	}
	switch set := ctx.TimerAt(); {
	case ok && (set == 0 || at < set):
		ctx.SetTimer(at)
	case !ok && set != 0:
		ctx.StopTimer()
	}
}

// A callback works for so many microseconds and then lets others go on.
const slice = 1000

func timer(ctx *redismodule.Ctx) {
	s := &tasks
	began := ctx.Monotonic()
	for _, h := range s.table.Ghosts() {
		s.release(ctx, h)
	}
	for ctx.Monotonic()-began < slice {
		q := s.table.Look(ctx.Now())
		if q == nil {
			break
		}
		s.look(ctx, q)
	}
	s.seeOff(ctx)
	s.search.run(ctx, s, began)
	s.rearm(ctx)
}

// look does for a queue all that may be due.
func (s *state) look(ctx *redismodule.Ctx, q *dispatch.Queue) {
	ctx.SelectDB(q.DB)
	if s.cluster {
		if !ctx.Serves(view(q.Stream)) {
			s.sendOn(ctx, q)
			if q.DelayedAt() != 0 {
				s.table.LookAt(q, ctx.Now()+500)
			} else {
				s.table.Looked(q)
			}
			return
		}
		s.lookAgain(ctx, q)
	}
	s.moveDue(ctx, q)
	if len(q.Crowd()) > 0 && s.paused(ctx, q.Stream) {
		s.lookLater(ctx, q)
		if at := q.DelayedAt(); at != 0 {
			s.table.LookAt(q, at)
		}
		return
	}
	if len(q.Crowd()) > 0 && s.length(ctx, q.Stream) > 0 {
		if s.serve(ctx, q, burst) {
			s.table.LookAt(q, ctx.Now())
		}
		for i := len(q.Crowd()) - 1; i >= 0; i-- {
			if g := q.Crowd()[i]; g.Shortest() > 0 && g.Horizon.Due(g.Shortest()) <= ctx.Now() {
				s.walk(ctx, g, nil, 0)
			}
		}
	} else {
		// Nothing is pending in a stream that holds nothing.
		for _, g := range q.Crowd() {
			g.Horizon.Walk(ctx.Now())
			g.Horizon.Done()
		}
	}
	s.table.Looked(q)
}

// lookAgain has a queue in which somebody waits looked at before long in a cluster:
// that its slot has moved, nobody says.
func (s *state) lookAgain(ctx *redismodule.Ctx, q *dispatch.Queue) {
	if s.cluster && len(q.Crowd()) > 0 {
		s.table.LookAt(q, ctx.Now()+1000)
	}
}

// length is the number of entries of a stream, 0 when it is not there.
func (s *state) length(ctx *redismodule.Ctx, stream string) int {
	k := ctx.Look(redismodule.Text(view(stream)))
	defer k.Close()
	if k.Type != redismodule.TypeStream {
		return 0
	}
	return k.Len()
}

// keyEvent hears of streams somebody waits in, and of those with one group. A
// stream that goes takes nobody's place in the queue with it.
func keyEvent(ctx *redismodule.Ctx, event string, key []byte) {
	s := &tasks
	s.uniques.heard(ctx, event, key)
	q := s.table.Find(ctx.DB(), key)
	if q != nil {
		q.Stir()
	}
	switch event {
	case "xgroup-create", "rename_to", "move_to", "copy_to", "restore":
		s.soles.remove(ctx, ctx.DB(), text(key))
	case "xadd", "xsetid", "xgroup-setid":
	default:
		return // it adds nothing
	}
	if q != nil && len(q.Crowd()) > 0 {
		s.table.LookAt(q, ctx.Now())
		s.rearm(ctx)
	}
}

// doubt is for whenever a database may hold other data than before. What is due is
// looked for on the primary alone.
func doubt(ctx *redismodule.Ctx, db int) {
	clear(tasks.leavers) // their marks are found again
	tasks.soles.doubt(ctx, db)
	tasks.passes.shutAll()
	tasks.table.Doubt(db, ctx.Now())
	if ctx.Flags()&redismodule.FlagPrimary != 0 {
		tasks.search.start(ctx, &tasks)
	}
}

func flushDB(ctx *redismodule.Ctx, db int) { doubt(ctx, db) }

func swapDB(ctx *redismodule.Ctx, a, b int) {
	doubt(ctx, a)
	doubt(ctx, b)
}

func loaded(ctx *redismodule.Ctx) { doubt(ctx, -1) }

func roleChanged(ctx *redismodule.Ctx, primary bool) {
	tasks.table.Ghosts() // what a replica may not do; the leases bring them back
	tasks.search.stop()
	doubt(ctx, -1)
	if !primary {
		ctx.StopTimer()
	}
}

// sideKey is the name of one of the stream's side keys, in scratch that the
// next call overwrites. ok is false when none could share the stream's slot.
func (s *state) sideKey(stream, kind string) (key []byte, ok bool) {
	s.side, ok = dispatch.AppendSideKey(s.side[:0], view(stream), kind)
	return s.side, ok
}

// needSideKey is sideKey for commands that cannot do without.
func (s *state) needSideKey(stream, kind string) ([]byte, error) {
	key, ok := s.sideKey(stream, kind)
	if !ok {
		return nil, redismodule.Error("ERR no key can share the cluster slot of this stream's name; rename it: without '}', or with a hash tag such as {name}")
	}
	return key, nil
}

// text and view cross between bytes and strings in place: names come as bytes
// from the server and as strings from the table. They are as short-lived as
// what they look at.
func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
func view(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

// failure is the error a call ended with, nil when it did not.
func failure(r redismodule.Reply) error { return failed(r.Raw()) }

// failed is failure for a reply that has been read.
func failed(raw []byte) error {
	switch {
	case raw == nil:
		return redismodule.Error("ERR the server refused to touch a key of this command; in a cluster all its keys must share a slot")
	case raw[0] == '-':
		return redismodule.Error(bytes.TrimRight(raw[1:], "\r\n"))
	}
	return nil
}
