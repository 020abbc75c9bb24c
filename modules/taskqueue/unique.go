package taskqueue

import (
	"bytes"
	"strconv"
	"strings"

	"holdfast/modules/internal/dispatch"
	"holdfast/redismodule"
)

// A unique id is a string key {stream}:unique:id whose value is the id of the task
// that has it; it expires by itself. Tasks that hold theirs until they are done
// are also in the sorted set {stream}:undone, with the score of their bound (unix
// ms): while it is there, an acknowledgement looks what it ends.

const undoneKey = "undone"

// uniqueName is the key of a unique id, a copy.
func (s *state) uniqueName(stream string, unique []byte) ([]byte, error) {
	if _, err := s.needSideKey(stream, undoneKey); err != nil {
		return nil, err
	}
	key, _ := dispatch.AppendUniqueKey(nil, view(stream), unique)
	return key, nil
}

// holderOf is the id of the task that has a unique id, nil when it is free.
func holderOf(ctx *redismodule.Ctx, key []byte) ([]byte, error) {
	k := ctx.Look(redismodule.Text(key))
	defer k.Close()
	switch k.Type {
	case redismodule.TypeNone:
		return nil, nil
	case redismodule.TypeString:
		id, _ := k.String(nil)
		return id, nil
	}
	return nil, redismodule.ErrWrongType
}

// removed tells whether a task was deliberately removed, with its stream or from the
// delayed tasks, so that its unique id is nobody's any more. What was acknowledged
// was not removed.
func (s *state) removed(ctx *redismodule.Ctx, stream string, key, task []byte) bool {
	due, delayed := dispatch.DueOf(task)
	there := s.isThere(ctx, stream, task)
	switch {
	case there && !isEntry(task): // the end of the stream does not concern it
		return false
	case s.uniques.lost(ctx.DB(), stream, key, task):
		return true
	case there:
		return false
	}
	if at := s.newest(ctx, stream, task); at != nil && s.isThere(ctx, stream, at) {
		return false
	}
	if delayed && due > ctx.Now() {
		return true
	}
	last, ok := lastOf(ctx, stream)
	if !ok {
		return true
	}
	at, is := dispatch.ParseID(task)
	return is && last.Compare(at) < 0 // it is another stream of that name
}

// lastOf is the id that the stream gave last; ok is false when there is no stream.
func lastOf(ctx *redismodule.Ctx, stream string) (id dispatch.ID, ok bool) {
	r := ctx.Cmd("XINFO").Str("STREAM").Str(stream).Call("")
	defer r.Free()
	if failure(r) != nil {
		return id, false
	}
	p := read(r.Raw())
	for range p.Array() / 2 {
		if text(p.Bytes()) == "last-generated-id" {
			return dispatch.ParseID(p.Bytes())
		}
		p.Skip()
	}
	return id, false
}

// hold gives a unique id to a task.
func (s *state) hold(ctx *redismodule.Ctx, stream string, key, task []byte, ttl int64, undone bool) error {
	if err := ctx.Cmd("SET").Bytes(key).Bytes(task).Str("PX").Int(ttl).Do(""); err != nil {
		return err
	}
	s.uniques.held(ctx, stream, key, task)
	if !undone {
		return nil
	}
	set, _ := s.sideKey(stream, undoneKey)
	bound := ctx.Now() + ttl
	if err := ctx.Cmd("ZADD").Bytes(set).Int(bound).Bytes(task).Do(""); err != nil {
		return err
	}
	if q := s.table.Find(ctx.DB(), view(stream)); q != nil {
		q.Holding = true
	}
	s.shutPasses(ctx, stream) // acknowledgements look what they end from now on
	return nil
}

// holding tells whether tasks of the stream hold a unique id until they are done.
// Those whose bound is over are forgotten.
func (s *state) holding(ctx *redismodule.Ctx, stream string) bool {
	if q := s.table.Find(ctx.DB(), view(stream)); q != nil && q.Trusted && !q.Holding {
		return false
	}
	key, ok := s.sideKey(stream, undoneKey)
	if !ok || !ctx.Exists(redismodule.Text(key)) {
		return false
	}
	return ctx.Cmd("ZREMRANGEBYSCORE").Bytes(key).Str("-inf").Str(strconv.FormatInt(ctx.Now(), 10)).Do("") == nil && ctx.Exists(redismodule.Text(key))
}

// free gives up the unique id of a task, if the task has it still.
func (s *state) free(ctx *redismodule.Ctx, stream string, l life, task []byte) {
	if l.unique == nil {
		return
	}
	key, err := s.uniqueName(stream, l.unique)
	if err != nil {
		return
	}
	if who, err := holderOf(ctx, key); err == nil && bytes.Equal(who, task) {
		_ = ctx.Cmd("DEL").Bytes(key).Do("")
	}
	if set, ok := s.sideKey(stream, undoneKey); ok && l.undone {
		_ = ctx.Cmd("ZREM").Bytes(set).Bytes(task).Do("")
	}
}

// done frees the unique id of a task that every group is done with, unless the task
// goes on in another entry.
func (s *state) done(ctx *redismodule.Ctx, stream, entry string) {
	e := &s.ended
	if !e.read(ctx, stream, entry) || !e.undone {
		return
	}
	task := e.taskID(entry)
	at := s.newest(ctx, stream, task)
	if at != nil && string(at) != entry && s.isThere(ctx, stream, at) {
		return
	}
	s.free(ctx, stream, e.life, task)
}

// uniques are the streams that have unique ids, as far as this process knows, and
// when one of them was last removed: by DEL, RENAME or the like.
type uniques map[dispatch.Key]*removal

type removal struct {
	watch redismodule.WatchID
	at    int64 // unix ms; 0: never
	// since has the ids that were taken in the millisecond of the removal, behind it:
	// by time alone they cannot be told from those before.
	since map[string]string
}

// uniquesMost bounds how many streams are watched for their removal.
const uniquesMost = 1024

// held notes that a task took a unique id.
func (u uniques) held(ctx *redismodule.Ctx, stream string, key, task []byte) {
	k := dispatch.Key{DB: ctx.DB(), Stream: stream}
	r := u[k]
	if r == nil {
		for other, r := range u {
			if len(u) < uniquesMost {
				break
			}
			redismodule.Unwatch(r.watch)
			delete(u, other)
		}
		k.Stream = strings.Clone(stream)
		r = &removal{watch: ctx.Watch(k.DB, view(k.Stream))}
		u[k] = r
	}
	if r.at == ctx.Now() {
		if r.since == nil {
			r.since = map[string]string{}
		}
		r.since[string(key)] = string(task)
	}
}

// lost tells whether the stream was removed after a task took a unique id.
func (u uniques) lost(db int, stream string, key, task []byte) bool {
	r := u[dispatch.Key{DB: db, Stream: stream}]
	return r != nil && r.at > 0 && publishedAt(task) <= r.at && r.since[string(key)] != string(task)
}

// heard notes the end of a stream.
func (u uniques) heard(ctx *redismodule.Ctx, event string, key []byte) {
	if len(u) == 0 {
		return
	}
	r := u[dispatch.Key{DB: ctx.DB(), Stream: text(key)}]
	if r == nil {
		return
	}
	switch event {
	case "del", "rename_from", "rename_to", "move_from", "move_to", "copy_to", "restore":
		r.at, r.since = ctx.Now(), nil
	}
}

// publishedAt is the unix time in milliseconds in a task's id.
func publishedAt(task []byte) int64 {
	if h, held := dispatch.HeldOf(task); held {
		return h.Serial / 1000
	}
	if _, delayed := dispatch.DueOf(task); delayed {
		_, serial, _ := bytes.Cut(task[len("delayed-"):], []byte{'-'})
		us, _ := redismodule.ParseInt(serial)
		return us / 1000
	}
	id, _ := dispatch.ParseID(task)
	return int64(min(id.Ms, latest))
}
