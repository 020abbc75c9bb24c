package taskqueue

import (
	"bytes"
	"unsafe"

	"holdfast/modules/internal/dispatch"
	"holdfast/modules/internal/keyed"
	"holdfast/redismodule"
)

// everywhere stands for all databases.
const everywhere = -1

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

// sideKinds are the side keys whose data is believed like the stream's own.
var sideKinds = [...]string{delayedKey, pausedKey, undoneKey, expiringKey, ruleKey, heldKey}

// state is all the module keeps in memory. It can be lost at any time: tasks,
// their leases and delays live in the streams and sorted sets alone.
type state struct {
	table  *dispatch.Table
	stats  stats
	passes passes
	search search
	// Groups with forgotten consumers whose tasks are not all available yet.
	leaving map[*dispatch.Group]bool
	catalog catalog
	acks    uint64 // acknowledgements, for samples
	serial  int64  // the last one given to a delayed task
	dbs     int
	// In a cluster a node may not touch a stream just now: right after a start,
	// in a partition, and for ever when the slot has moved.
	cluster bool

	// Scratch, reused by every callback; nothing in it outlives one.
	claim  claim
	taken  taken
	side   []byte
	member []byte
	fields [][]byte
	// The unix time in seconds, and its text.
	second     int64
	secondText []byte
	// What a call of letIn works with, and how big the member of a held task was last.
	letting  *letting // nil while it is in use
	heldSize int
	source   source
	ended    source // an entry that all groups are done with

	gathering string   // the stream of which moved is to be remembered
	moved     [][]byte // tasks' ids and where they are, in turn

	uniques uniques
	loans   []*keyed.Loan // by the places that C has for them
}

var tasks state

// Words that stand in the calls of every task.
var words struct {
	star, payload, timestamp, retries, zero, one, group, count, streams, fresh redismodule.Arg
	task, key, weight                                                          redismodule.Arg
}

func load(ctx *redismodule.Ctx) error {
	words.star, words.zero, words.one = redismodule.Intern("*"), redismodule.Intern("0"), redismodule.Intern("1")
	words.payload, words.timestamp, words.retries = redismodule.Intern("payload"), redismodule.Intern("timestamp"), redismodule.Intern("retry_count")
	words.group, words.count, words.streams, words.fresh = redismodule.Intern("GROUP"), redismodule.Intern("COUNT"), redismodule.Intern("STREAMS"), redismodule.Intern(">")
	words.task, words.key, words.weight = redismodule.Intern(lifeTask), redismodule.Intern(lifeKey), redismodule.Intern(lifeWeight)
	tasks = state{
		table: dispatch.NewTable(), passes: passes{}, leaving: map[*dispatch.Group]bool{}, uniques: uniques{}, catalog: newCatalog(),
		dbs: databases(ctx), cluster: ctx.Flags()&redismodule.FlagCluster != 0,
	}
	ctx.Shared()[unlisted] = ctx.Monotonic() // no other than before this load
	tasks.table.Forgotten, tasks.table.Dropped = tasks.forgotten, tasks.dropped
	tasks.search.start(ctx, &tasks, everywhere)
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

// rearm sets the module's timer for the next thing to do, and stops it when there
// is none: a module with a timer cannot be unloaded.
func (s *state) rearm(ctx *redismodule.Ctx) {
	at, ok := s.table.NextLook()
	if s.search.running() || s.table.Unseen() != nil || len(s.leaving) > 0 || s.catalog.owed > 0 && ctx.Flags()&redismodule.FlagPrimary != 0 {
		at, ok = 0, true
	}
	switch set := ctx.TimerAt(); {
	case ok && (set == 0 || at < set):
		ctx.SetTimer(at)
	case !ok && set != 0:
		ctx.StopTimer()
	}
}

// A callback works for so many microseconds and then lets others go on. Searching and forgetting
// have a share of their own, or they would never end beside steady work.
const (
	slice       = 1000
	searchSlice = slice / 4
)

func timer(ctx *redismodule.Ctx) {
	s := &tasks
	began := ctx.Monotonic()
	s.giveBack(ctx, began)
	for ctx.Monotonic()-began < slice {
		q := s.table.Look(ctx.Now())
		if q == nil {
			break
		}
		s.look(ctx, q)
	}
	s.forgetOn(ctx, max(began, ctx.Monotonic()-slice+searchSlice))
	s.catalog.sweep(ctx, began)
	s.search.run(ctx, s, max(slice-(ctx.Monotonic()-began), searchSlice))
	s.rearm(ctx)
}

// look does for a queue all that may be due.
func (s *state) look(ctx *redismodule.Ctx, q *dispatch.Queue) {
	ctx.SelectDB(q.DB)
	if s.cluster {
		if !ctx.Serves(view(q.Stream)) {
			s.lookElsewhere(ctx, q)
			return
		}
		s.lookAgain(ctx, q)
	}
	s.learn(ctx, q)
	s.moveDue(ctx, q)
	if at := q.DueAt(dispatch.Expiring); at != 0 && at <= ctx.Now() {
		s.expireDue(ctx, q)
		s.findDelayed(ctx, q)
	}
	s.lookKeys(ctx, q)
	if len(q.WaitedIn()) > 0 && s.paused(ctx, q.Stream) {
		s.lookLater(ctx, q)
		if at := q.NextDue(); at != 0 {
			s.table.LookAt(q, at)
		}
		return
	}
	if len(q.WaitedIn()) > 0 && (s.length(ctx, q.Stream) > 0 || q.Keys.Held() > 0) {
		if s.serve(ctx, q, burst) {
			s.table.LookAt(q, ctx.Now())
		}
		for i := len(q.WaitedIn()) - 1; i >= 0; i-- {
			if g := q.WaitedIn()[i]; g.Shortest() > 0 && g.Leases.Due(g.Shortest()) <= ctx.Now() {
				s.walk(ctx, g, nil, 0)
			}
		}
	} else {
		// Nothing is pending in a stream that holds nothing.
		for _, g := range q.WaitedIn() {
			g.Leases.Step(ctx.Now())
			g.Leases.Done()
		}
	}
	s.table.Looked(q)
}

// lookElsewhere ends the waits in a stream that another node serves now. Cluster clients
// ask again when they are told TRYAGAIN, and are led there. Delayed tasks that are still here
// are looked at again before long.
func (s *state) lookElsewhere(ctx *redismodule.Ctx, q *dispatch.Queue) {
	for len(q.WaitedIn()) > 0 {
		s.tell(ctx, q.WaitedIn()[0], redismodule.Error("TRYAGAIN the stream's slot moves to another node"))
	}
	s.findDelayed(ctx, q)
	s.table.Looked(q)
}

// lookAgain has a queue in which somebody waits looked at before long in a cluster: no
// event tells that its slot has moved.
func (s *state) lookAgain(ctx *redismodule.Ctx, q *dispatch.Queue) {
	if s.cluster && len(q.WaitedIn()) > 0 {
		s.table.LookAt(q, ctx.Now()+1000)
	}
}

// queue is the view of a stream, of which all is believed that can be.
func (s *state) queue(ctx *redismodule.Ctx, stream string) *dispatch.Queue {
	q := s.table.Queue(ctx.DB(), view(stream))
	s.learn(ctx, q)
	return q
}

func (s *state) group(ctx *redismodule.Ctx, stream, group string) *dispatch.Group {
	return s.table.Group(s.queue(ctx, stream), view(group))
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
