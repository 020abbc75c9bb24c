package taskqueue

import (
	"bytes"

	"holdfast/internal/dispatch"
	"holdfast/redismodule"
)

// A task whose newest entry is not its first is found by its id in the hash
// {stream}:tasks: the field is the task's id, the value where it is now, an entry's
// id or that of a delayed task. The hash is a hint: who looks there looks at the entry
// too. The usual acknowledgement knows nothing of it, so fields stay behind when such
// tasks are done. Each new field has checkMost others checked, which keeps the hash at
// about twice the tasks that are alive, and a stream that is empty has its hash
// deleted.

const tasksKey = "tasks"

// checkMost is how many fields are checked for each that is set.
const checkMost = 2

// remember says where a task is now that has left its first entry.
func (s *state) remember(ctx *redismodule.Ctx, stream string, task, at []byte) {
	key, ok := s.sideKey(stream, tasksKey)
	if !ok {
		return // it is found by its entry's id alone
	}
	name := bytes.Clone(key)
	r := ctx.Cmd("HSET").Bytes(name).Bytes(task).Bytes(at).Call("")
	p := read(r.Raw())
	added, _ := p.Int()
	failed := failure(r) != nil
	r.Free()
	if failed || added == 0 {
		return
	}
	r = ctx.Cmd("HRANDFIELD").Bytes(name).Int(checkMost).Str("WITHVALUES").Call("")
	defer r.Free()
	if failure(r) != nil {
		return
	}
	p = read(r.Raw())
	for range max(p.Array(), 0) / 2 {
		other, where := p.Bytes(), p.Bytes()
		if !s.isThere(ctx, stream, where) {
			_ = ctx.Cmd("HDEL").Bytes(name).Bytes(other).Do("")
		}
	}
}

// isThere tells whether the stream holds an entry or a delayed task of that id.
func (s *state) isThere(ctx *redismodule.Ctx, stream string, id []byte) bool {
	if due, is := dispatch.DueOf(id); is {
		key, ok := s.sideKey(stream, delayedKey)
		if !ok {
			return false
		}
		member, err := findMember(ctx, bytes.Clone(key), due, id)
		return err == nil && member != nil
	}
	at, ok := dispatch.ParseID(id)
	if !ok {
		return false
	}
	k := ctx.Look(redismodule.Text(view(stream)))
	defer k.Close()
	return k.Type == redismodule.TypeStream && k.HasEntry(at.Ms, at.Seq)
}

// newest is where a task is that has left its first entry, nil when that is not
// known.
func (s *state) newest(ctx *redismodule.Ctx, stream string, task []byte) []byte {
	key, ok := s.sideKey(stream, tasksKey)
	if !ok || !ctx.Exists(redismodule.Text(key)) {
		return nil
	}
	r := ctx.Cmd("HGET").Bytes(key).Bytes(task).Call("")
	defer r.Free()
	if failure(r) != nil {
		return nil
	}
	p := read(r.Raw())
	return bytes.Clone(p.Bytes())
}

// leftFrom forgets where a task was that has left the stream from the entry.
func (s *state) leftFrom(ctx *redismodule.Ctx, stream string, task, entry []byte) {
	if task == nil || !bytes.Equal(s.newest(ctx, stream, task), entry) {
		return
	}
	if key, ok := s.sideKey(stream, tasksKey); ok {
		_ = ctx.Cmd("HDEL").Bytes(key).Bytes(task).Do("")
	}
}

// tidy deletes the index of a stream that holds nothing and has nothing delayed.
func (s *state) tidy(ctx *redismodule.Ctx, stream string) {
	key, ok := s.sideKey(stream, tasksKey)
	if !ok || !ctx.Exists(redismodule.Text(key)) || s.length(ctx, stream) > 0 {
		return
	}
	if key, _ = s.sideKey(stream, delayedKey); ctx.Exists(redismodule.Text(key)) {
		return
	}
	key, _ = s.sideKey(stream, tasksKey)
	_ = ctx.Cmd("UNLINK").Bytes(key).Do("")
}
