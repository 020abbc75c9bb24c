package taskqueue

import (
	"bytes"

	"holdfast/modules/internal/dispatch"
	"holdfast/redismodule"
)

// A task whose newest entry is not its first is found by its id in the hash
// {stream}:tasks: the field is the task's id, the value is where the task is now, an
// entry's id or that of a delayed task. The hash is a hint: whoever looks there looks at
// the entry too. The fast path of TASK.ACK does not know of the hash, and its Handler only of
// tasks that were held, whose fields it removes checkEvery at a time; so fields stay behind
// when tasks are done. While the hash has more than twice as many fields as the stream has
// tasks, checkEvery new fields have some others checked. The hash of an empty stream is deleted.

const tasksKey = "tasks"

const (
	indexSpare = 64 // fields that an index may have too many
	checkEvery = 16 // new fields, or tasks that are over
	checkMost  = 64 // fields that are checked then
)

// remember says where a task is now that has left its first entry.
func (s *state) remember(ctx *redismodule.Ctx, stream string, task, at []byte) {
	if s.gathering != "" && stream == s.gathering {
		s.moved = append(s.moved, task, at)
		return
	}
	one := [...][]byte{task, at}
	s.rememberAll(ctx, stream, one[:])
}

// gather runs fn and has what it remembers of the stream written at once behind it. What fn
// calls remember with must last until then.
func (s *state) gather(ctx *redismodule.Ctx, stream string, fn func()) {
	s.gathering = stream
	fn()
	s.gathering = ""
	s.rememberAll(ctx, stream, s.moved)
	clear(s.moved)
	s.moved = s.moved[:0]
}

// rememberAll writes tasks' ids and where they are, in turn.
func (s *state) rememberAll(ctx *redismodule.Ctx, stream string, moved [][]byte) {
	key, ok := s.sideKey(stream, tasksKey)
	if !ok || len(moved) == 0 {
		return // without a key a task is found by its entry's id alone
	}
	name := bytes.Clone(key)
	added, n := len(moved)/2, 0
	w := ctx.Write(redismodule.Text(name))
	// Only a call makes the hash: in a cluster, that is refused where the key is elsewhere.
	if put := added == 1 && w.Type == redismodule.TypeHash; put {
		w.HashPut(redismodule.Text(moved[0]), moved[1], -1)
		n = w.Len()
		w.Close()
	} else {
		w.Close()
		cmd := ctx.Cmd("HSET").Bytes(name)
		for _, word := range moved {
			cmd.Bytes(word)
		}
		if cmd.Do("") != nil {
			return
		}
		n = lengthOf(ctx, name)
	}
	if times := n/checkEvery - (n-added)/checkEvery; times > 0 {
		s.checkIndex(ctx, stream, name, n, times*checkMost)
	}
}

// forgetDone removes the fields of tasks that are over.
func (s *state) forgetDone(ctx *redismodule.Ctx, q *dispatch.Queue) {
	if key, ok := s.sideKey(q.Stream, tasksKey); ok {
		cmd := ctx.Cmd("HDEL").Bytes(key)
		for _, task := range q.Done {
			cmd.Bytes(task)
		}
		_ = cmd.Do("")
	}
	clear(q.Done)
	q.Done = q.Done[:0]
}

// checkIndex checks so many of the n fields of an index, if it has too many, and removes
// those of tasks that are gone.
func (s *state) checkIndex(ctx *redismodule.Ctx, stream string, name []byte, n, check int) {
	if n <= 2*(s.length(ctx, stream)+int(s.heldIn(ctx, stream)+s.delayedIn(ctx, stream)))+indexSpare {
		return
	}
	r := ctx.Cmd("HRANDFIELD").Bytes(name).Int(int64(check)).Str("WITHVALUES").Call("")
	defer r.Free()
	if failure(r) != nil {
		return
	}
	p := read(r.Raw())
	var gone [][]byte
	for range max(p.Array(), 0) / 2 {
		other, where := p.Bytes(), p.Bytes()
		if !s.isThere(ctx, stream, where) {
			gone = append(gone, other)
		}
	}
	if len(gone) == 0 {
		return
	}
	cmd := ctx.Cmd("HDEL").Bytes(name)
	for _, other := range gone {
		cmd.Bytes(other)
	}
	_ = cmd.Do("")
}

// lengthOf returns the number of elements of a key.
func lengthOf(ctx *redismodule.Ctx, key []byte) int {
	k := ctx.Look(redismodule.Text(key))
	defer k.Close()
	return k.Len()
}

// isThere tells whether the stream has an entry, a delayed or a held task of that id.
func (s *state) isThere(ctx *redismodule.Ctx, stream string, id []byte) bool {
	if due, is := dispatch.DueOf(id); is {
		key, ok := s.sideKey(stream, delayedKey)
		if !ok {
			return false
		}
		member, err := findMember(ctx, bytes.Clone(key), due, id)
		return err == nil && member != nil
	}
	if h, is := dispatch.HeldOf(id); is {
		_, member := s.findHeld(ctx, stream, h)
		return member != nil
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

// entryPrefix in front of an id says that it is an entry's.
const entryPrefix = "entry:"

// placesOf returns where in the stream a task is: the ids of its entries or of a delayed
// task. name is the task's id or one of these ids. There are two places when one of several
// groups has retried the task and others have not. An id can name one task as its own and
// another as its entry's, because streams give their ids independently; it then names none.
// A name that begins with entryPrefix is an entry's id and nothing else. What is returned may be gone.
func (s *state) placesOf(ctx *redismodule.Ctx, stream string, name []byte) (places [][]byte) {
	name, exact := bytes.CutPrefix(name, []byte(entryPrefix))
	if full, err := fullID(redismodule.Text(name)); err == nil {
		name = view(full)
	}
	if exact {
		if _, ok := dispatch.ParseID(name); ok && s.source.read(ctx, stream, text(name)) {
			places = append(places, bytes.Clone(name))
		}
		return places
	}
	newest := s.newest(ctx, stream, name)
	if newest != nil && !s.isOf(ctx, stream, newest, name) {
		newest = nil // the index was out of date
	}
	if !isEntry(name) {
		places = append(places, name)
	} else if _, ok := dispatch.ParseID(name); ok && s.source.read(ctx, stream, text(name)) {
		if newest != nil && !bytes.Equal(s.source.taskID(text(name)), name) {
			return nil
		}
		places = append(places, bytes.Clone(name))
	}
	if newest != nil {
		places = append(places, newest)
	}
	return places
}

// isEntry reports whether an id is neither that of a delayed task nor that of a held one.
func isEntry(id []byte) bool {
	_, delayed := dispatch.DueOf(id)
	_, held := dispatch.HeldOf(id)
	return !delayed && !held
}

// isOf reports whether there is an entry or a delayed task of that id, and it is the task's.
func (s *state) isOf(ctx *redismodule.Ctx, stream string, id, task []byte) bool {
	if !isEntry(id) {
		return s.isThere(ctx, stream, id)
	}
	_, ok := dispatch.ParseID(id)
	return ok && s.source.read(ctx, stream, text(id)) && bytes.Equal(s.source.task, task)
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
	for _, kind := range [...]string{delayedKey, heldKey} {
		if key, _ = s.sideKey(stream, kind); ctx.Exists(redismodule.Text(key)) {
			return
		}
	}
	key, _ = s.sideKey(stream, tasksKey)
	_ = ctx.Cmd("UNLINK").Bytes(key).Do("")
}
