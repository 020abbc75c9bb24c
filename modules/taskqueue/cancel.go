package taskqueue

import (
	"bytes"

	"holdfast/modules/internal/dispatch"
	"holdfast/redismodule"
)

// cancel is TASK.CANCEL stream id [id …].
func cancel(ctx *redismodule.Ctx, args []redismodule.Arg) error {
	s := &tasks
	if err := isStream(ctx, args[1]); err != nil {
		return err
	}
	stream := text(args[1].Bytes())
	if key, ok := s.sideKey(stream, delayedKey); ok {
		if kind := ctx.TypeOf(redismodule.Text(key)); kind != redismodule.TypeNone && kind != redismodule.TypeZSet {
			return redismodule.ErrWrongType
		}
	}
	n, delayed := int64(0), false
	var entries []redismodule.Arg
	seen := make(map[string]bool, len(args)-2) // entries; a task may be named twice
	for _, a := range args[2:] {
		found := false
		for _, at := range s.placesOf(ctx, stream, a.Bytes()) {
			if due, is := dispatch.DueOf(at); is {
				was := s.cancelDelayed(ctx, stream, due, at)
				found, delayed = found || was, delayed || was
			} else if _, is := dispatch.HeldOf(at); is {
				found = s.cancelHeld(ctx, stream, at) || found
			} else if id := string(at); !seen[id] && s.cancelEntry(ctx, stream, at) {
				seen[id], found = true, true
				entries = append(entries, redismodule.Text(at))
			}
		}
		if found {
			n++
		}
	}
	s.withdraw(ctx, args[1], entries)
	s.gone(ctx, s.keyed(ctx, stream), false, entries...)
	if delayed {
		s.delayedRemoved(ctx, stream)
	}
	s.stats.cancelled += n
	s.counted(ctx.DB(), stream).cancelled += n
	ctx.ReplyInt(n)
	s.feed(ctx, stream)
	return nil
}

// cancelHeld removes a held task.
func (s *state) cancelHeld(ctx *redismodule.Ctx, stream string, id []byte) bool {
	fields, ok := s.takeHeld(ctx, stream, id)
	if !ok {
		return false
	}
	l, _ := readLife(fields)
	s.leftFrom(ctx, stream, l.task, id)
	if l.task == nil {
		l.task = id
	}
	s.free(ctx, stream, l, l.task)
	if l.expires > 0 {
		s.forgetExpiry(ctx, stream, id)
	}
	return true
}

// cancelDelayed removes a delayed task.
func (s *state) cancelDelayed(ctx *redismodule.Ctx, stream string, due int64, id []byte) bool {
	side, ok := s.sideKey(stream, delayedKey)
	if !ok {
		return false
	}
	key := bytes.Clone(side)
	member, err := findMember(ctx, key, due, id)
	if err != nil || member == nil || ctx.Cmd("ZREM").Bytes(key).Bytes(member).Do("") != nil {
		return false
	}
	_, fields, _ := dispatch.ParseDelayed(member, nil)
	l, _ := readLife(fields)
	s.leftFrom(ctx, stream, l.task, id)
	if l.task == nil {
		l.task = id
	}
	s.free(ctx, stream, l, l.task)
	return true
}

// cancelEntry frees what the task of an entry holds: its unique id, its place in the
// index, its expiry. withdraw removes the entries afterwards, all at once. An entry that
// taskqueue.keep-acked keeps after all groups were done is no task any more.
func (s *state) cancelEntry(ctx *redismodule.Ctx, stream string, id []byte) bool {
	if !s.source.read(ctx, stream, text(id)) {
		return false
	}
	if keepAcked && s.isDone(ctx, stream, id) {
		return false
	}
	e := &s.source
	s.leftFrom(ctx, stream, e.task, id)
	s.free(ctx, stream, e.life, e.taskID(text(id)))
	if e.life.expires > 0 {
		s.forgetExpiry(ctx, stream, id)
	}
	return true
}

// isDone reports whether all groups, of which there is at least one, are done with an entry.
func (s *state) isDone(ctx *redismodule.Ctx, stream string, id []byte) bool {
	name := redismodule.Text(view(stream))
	r := ctx.Cmd("XINFO").Str("GROUPS").Arg(name).Call("")
	defer r.Free()
	p := read(r.Raw())
	return failure(r) == nil && p.Array() > 0 && len(s.doneWith(ctx, name, []redismodule.Arg{redismodule.Text(id)}, r)) == 1
}

// withdraw takes entries from their owners in all groups and deletes them.
func (s *state) withdraw(ctx *redismodule.Ctx, stream redismodule.Arg, entries []redismodule.Arg) {
	if len(entries) == 0 {
		return
	}
	r := ctx.Cmd("XINFO").Str("GROUPS").Arg(stream).Call("")
	defer r.Free()
	p := read(r.Raw())
	for range max(p.Array(), 0) {
		for range p.Array() / 2 {
			if text(p.Bytes()) != "name" {
				p.Skip()
				continue
			}
			cmd := ctx.Cmd("XACK").Arg(stream).Bytes(p.Bytes())
			for _, id := range entries {
				cmd.Arg(id)
			}
			_ = cmd.Do("")
		}
	}
	deleteEntries(ctx, stream, entries)
}
