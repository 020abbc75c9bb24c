package taskqueue

import (
	"bytes"
	"strconv"

	"holdfast/modules/internal/dispatch"
	"holdfast/redismodule"
)

// The fields of every entry, in this order, before all others.
var (
	fieldPayload   = []byte("payload")
	fieldTimestamp = []byte("timestamp") // unix seconds of the task's first publication
	fieldRetries   = []byte("retry_count")
)

// The fields that a task keeps from entry to entry, directly behind retry_count. An
// entry without task_id is its task's first: its own id is the task's. Most entries
// are, and have none of these fields.
const (
	lifeTask    = "task_id"
	lifeUnique  = "unique_id"         // it was published UNIQUE with this id
	lifeUndone  = "unique_until_done" // the same, UNTIL DONE
	lifeExpires = "expire_at"         // unix ms; only while nobody was given the task
	lifeKey     = "key"               // it was published with this KEY
	lifeWeight  = "key_weight"        // and this WEIGHT, unless that is 1
	lifeError   = "error"             // why the last try failed
	lifeHistory = "history"           // the last tries, see dispatch.AppendTry
)

// The fields that say why a dead task is dead and where it came from. They stand
// behind what the task keeps.
const (
	deadReason     = "reason"
	deadStream     = "origin_stream"
	deadGroup      = "origin_group"
	deadConsumer   = "origin_consumer"
	deadID         = "origin_id" // of its last entry
	deadFirst      = "first_timestamp"
	deadDeliveries = "deliveries"
	deadAt         = "failed_at" // unix seconds
)

func isLifeField(name []byte) bool {
	switch text(name) {
	case lifeTask, lifeUnique, lifeUndone, lifeExpires, lifeKey, lifeWeight, lifeError, lifeHistory:
		return true
	}
	return false
}

func isTaskField(name []byte) bool {
	switch text(name) {
	case "payload", "timestamp", "retry_count",
		deadReason, deadStream, deadGroup, deadConsumer, deadID, deadFirst, deadDeliveries, deadAt:
		return true
	}
	return false
}

// isOwnField tells whether a field is one that the module writes; no header may have
// its name.
func isOwnField(name []byte) bool { return isTaskField(name) || isLifeField(name) }

// life is what a task keeps from entry to entry.
type life struct {
	task    []byte // nil in the task's first entry
	unique  []byte
	undone  bool  // unique is held until the task is done
	expires int64 // 0: never
	key     []byte
	weight  int64 // 0: not said
	failure []byte
	history []byte
}

// firstFields is how many names and values stand before what a task keeps.
const firstFields = 6

// readLife reads what the task keeps, and returns where the fields behind it begin. Such a
// field counts only in the place where the module writes it: entries of the version
// before may have headers of these names.
func readLife(fields [][]byte) (l life, rest int) {
	if len(fields) < firstFields || !bytes.Equal(fields[4], fieldRetries) {
		return l, 0
	}
	for rest = firstFields; rest+1 < len(fields); rest += 2 {
		value := fields[rest+1]
		switch text(fields[rest]) {
		case lifeTask:
			l.task = value
		case lifeUnique:
			l.unique = value
		case lifeUndone:
			l.unique, l.undone = value, true
		case lifeExpires:
			l.expires, _ = redismodule.ParseInt(value)
		case lifeKey:
			l.key = value
		case lifeWeight:
			l.weight, _ = redismodule.ParseInt(value)
		case lifeError:
			if l.task == nil {
				return l, rest
			}
			l.failure = value
		case lifeHistory:
			if l.task == nil {
				return l, rest
			}
			l.history = value
		default:
			return l, rest
		}
	}
	return l, rest
}

// compose begins the fields of an entry. They are scratch, as are the numbers in
// them.
func (s *state) compose(payload []byte, timestamp, retries int64, l life) [][]byte {
	b := strconv.AppendInt(s.member[:0], timestamp, 10)
	n := len(b)
	b = strconv.AppendInt(b, retries, 10)
	m := len(b)
	b = strconv.AppendInt(b, l.expires, 10)
	e := len(b)
	b = strconv.AppendInt(b, l.weight, 10)
	s.member = b
	f := append(s.fields[:0], fieldPayload, payload, fieldTimestamp, b[:n:n], fieldRetries, b[n:m:m])
	add := func(name string, value []byte) {
		if len(value) > 0 {
			f = append(f, view(name), value)
		}
	}
	add(lifeTask, l.task)
	if l.undone {
		add(lifeUndone, l.unique)
	} else {
		add(lifeUnique, l.unique)
	}
	if l.expires > 0 {
		add(lifeExpires, b[m:e:e])
	}
	if add(lifeKey, l.key); l.weight > 1 {
		add(lifeWeight, b[e:])
	}
	add(lifeError, l.failure)
	add(lifeHistory, l.history)
	s.fields = f
	return f
}

// task begins the fields of a task's first entry.
func (s *state) task(payload []byte, timestamp, retries int64) [][]byte {
	return s.compose(payload, timestamp, retries, life{})
}

// put adds a task to the stream, or to the delayed tasks when at is later than now, or to the
// held ones if its key has as many in as the stream's rule allows. It returns a copy of the id.
func (s *state) put(ctx *redismodule.Ctx, stream string, at int64, fields [][]byte) ([]byte, error) {
	// The fields are memory of the server, which the scratch must not outlive.
	defer func() { clear(fields); clear(s.fields) }()
	l, _ := readLife(fields)
	if at > ctx.Now() {
		id, err := s.schedule(ctx, stream, at, fields)
		if err == nil && l.task != nil {
			s.remember(ctx, stream, l.task, id)
		}
		return id, err
	}
	if l.key == nil {
		return s.add(ctx, stream, fields)
	}
	q := s.keyed(ctx, stream)
	if q == nil {
		return s.add(ctx, stream, fields)
	}
	if !s.admit(ctx, q, l.key) {
		return s.holdBack(ctx, q, l, fields, false, 0)
	}
	id, err := s.add(ctx, stream, fields)
	if err == nil {
		at, _ := dispatch.ParseID(id)
		s.entered(ctx, q, l.key, at)
	}
	return id, err
}

// putBack is put for a task that is tried again. In an ordered stream it comes before the
// others of its key, which wait until it was tried.
func (s *state) putBack(ctx *redismodule.Ctx, stream string, at int64, fields [][]byte) ([]byte, error) {
	l, _ := readLife(fields)
	if l.key != nil {
		if q := s.keyed(ctx, stream); q != nil && q.Keys.Rule().Ordered {
			if at <= ctx.Now() {
				at = 0
			}
			return s.holdBack(ctx, q, l, fields, true, at)
		}
	}
	return s.put(ctx, stream, at, fields)
}

// add adds an entry to the stream and returns a copy of its id.
func (s *state) add(ctx *redismodule.Ctx, stream string, fields [][]byte) ([]byte, error) {
	_, text, err := runAdd(addition(ctx, stream, fields))
	if err != nil {
		return nil, err
	}
	id := bytes.Clone(text)
	l, _ := readLife(fields)
	if l.task != nil {
		s.remember(ctx, stream, l.task, id)
	}
	if l.expires > 0 {
		s.expires(ctx, stream, id, l.expires)
	}
	return id, nil
}

// addition begins the XADD of an entry.
func addition(ctx *redismodule.Ctx, stream string, fields [][]byte) *redismodule.Cmd {
	cmd := ctx.Cmd("XADD").Str(stream).Arg(words.star)
	for i := 0; i+1 < len(fields); i += 2 {
		cmd.Arg(fieldName(fields[i])).Bytes(fields[i+1])
	}
	return cmd
}

// runAdd runs an XADD. id is the same as text, which is valid until the next call.
func runAdd(cmd *redismodule.Cmd) (id dispatch.ID, text []byte, err error) {
	if e, ok := cmd.AddEntry(); ok {
		return dispatch.ID{Ms: e.Ms, Seq: e.Seq}, e.ID, nil
	}
	r := cmd.Call("")
	defer r.Free()
	if err := failure(r); err != nil {
		return id, nil, err
	}
	p := read(r.Raw())
	text = bytes.Clone(p.Bytes())
	id, _ = dispatch.ParseID(text)
	return id, text, nil
}

// fieldName is the name of a field as an argument. The usual ones need no copy.
func fieldName(name []byte) redismodule.Arg {
	switch text(name) {
	case "payload":
		return words.payload
	case "timestamp":
		return words.timestamp
	case "retry_count":
		return words.retries
	case lifeTask:
		return words.task
	case lifeKey:
		return words.key
	case lifeWeight:
		return words.weight
	}
	return redismodule.Text(name)
}

// fallDue adds a delayed task to its stream and keeps id as the task's id. id is nil for a
// member that somebody added to the set by hand. A task that has expired ends here.
func (s *state) fallDue(ctx *redismodule.Ctx, q *dispatch.Queue, id []byte, fields [][]byte) error {
	l, _ := readLife(fields)
	if l.task == nil && id != nil {
		l.task = id
		fields = withTask(fields, id)
	}
	if l.expires > 0 && l.expires <= ctx.Now() {
		s.source.set(fields)
		s.expire(ctx, q, text(l.task))
		return nil
	}
	_, err := s.put(ctx, q.Stream, 0, fields)
	return err
}

// source is an entry that was read. It is a copy, so it outlives the server's reply and
// changes of the stream. Its memory is reused.
type source struct {
	raw    []byte
	fields [][]byte // names and values in turn
	life
	rest int // where the fields behind what the task keeps begin
}

// sourceMost is how much memory a source keeps for the next entry.
const sourceMost = 1 << 20

// read reads one entry and reports whether the stream holds it.
func (e *source) read(ctx *redismodule.Ctx, stream, id string) bool {
	e.set(nil)
	r := ctx.Cmd("XRANGE").Str(stream).Str(id).Str(id).Call("")
	defer r.Free()
	p := read(r.Raw())
	if failure(r) != nil || p.Array() != 1 {
		return false
	}
	e.parse(p.Rest())
	return true
}

// parse takes an entry as it stands in a reply and returns its id.
func (e *source) parse(entry []byte) (id []byte) {
	if cap(e.raw) > sourceMost {
		e.raw = nil
	}
	e.raw = append(e.raw[:0], entry...)
	fields := e.fields[:0]
	p := read(e.raw)
	p.Array()
	id = p.Bytes()
	for range p.Array() {
		fields = append(fields, p.Bytes())
	}
	e.set(fields)
	return id
}

func (e *source) set(fields [][]byte) {
	e.fields = append(e.fields[:0], fields...)
	e.life, e.rest = readLife(e.fields)
}

// taskID returns the id of the task. entry is the id of the entry that was read.
func (e *source) taskID(entry string) []byte {
	if e.task != nil {
		return e.task
	}
	return view(entry)
}

// moved returns what the task keeps in its next entry. It does not expire there.
func (e *source) moved(entry string) life {
	l := e.life
	l.task, l.expires = e.taskID(entry), 0
	return l
}

// tried is moved after a try that failed. reason may be empty.
func (e *source) tried(ctx *redismodule.Ctx, entry, consumer, reason string) life {
	l := e.moved(entry)
	l.failure = view(reason)
	l.history = dispatch.AppendTry(nil, l.history, ctx.Now(), entry, consumer, reason)
	return l
}

// field returns the value of a field, nil when there is none.
func (e *source) field(name []byte) []byte {
	for i := 0; i+1 < len(e.fields); i += 2 {
		if bytes.Equal(e.fields[i], name) {
			return e.fields[i+1]
		}
	}
	return nil
}

func (e *source) number(name []byte) (int64, bool) { return redismodule.ParseInt(e.field(name)) }

// timestamp returns when the task was first published, in unix seconds: now when the entry
// does not say or is gone.
func (e *source) timestamp(ctx *redismodule.Ctx) int64 {
	if t, ok := e.number(fieldTimestamp); ok {
		return t
	}
	return ctx.Now() / 1000
}

func (e *source) retries() int64 {
	n, _ := e.number(fieldRetries)
	return max(n, 0)
}

// headers returns the fields that the module did not write. Of an entry that another
// program added, these are all.
func (e *source) headers() (h [][]byte) {
	for i := 0; i+1 < len(e.fields); i += 2 {
		if !isTaskField(e.fields[i]) && (i < firstFields || i >= e.rest || !isLifeField(e.fields[i])) {
			h = append(h, e.fields[i], e.fields[i+1])
		}
	}
	return h
}
