package taskqueue

import (
	"bytes"

	"holdfast/modules/internal/dispatch"
	"holdfast/modules/internal/keyed"
	"holdfast/redismodule"
)

// readKeys goes on reading what is in and held, for about so many microseconds.
func (s *state) readKeys(ctx *redismodule.Ctx, q *dispatch.Queue, share int64) {
	w := &q.Keys.Walk
	// Two steps are made however long they take: the keys of a small stream are known then.
	for began, step := ctx.Monotonic(), 0; !q.Keys.Known() && (step < 2 || ctx.Monotonic()-began < share); step++ {
		if !w.Entered {
			w.Entered = s.readEntries(ctx, q)
		} else {
			w.Held = s.readHeld(ctx, q)
		}
	}
}

// readEntries enters the next entries of the stream that have a key and that not all groups
// are done with. It returns true at the end of the stream.
func (s *state) readEntries(ctx *redismodule.Ctx, q *dispatch.Queue) (end bool) {
	from := []byte{'('}
	at := dispatch.ID(q.Keys.Walk.Entry)
	r := ctx.Cmd("XRANGE").Str(q.Stream).Bytes(at.Append(from)).Str("+").Str("COUNT").Int(keyedBatch).Call("")
	defer r.Free()
	if failure(r) != nil {
		return true
	}
	p := read(r.Raw())
	n := max(p.Array(), 0)
	var ids []redismodule.Arg
	var fields [][]byte // of its own: the caller may be about to add what the scratch holds
	keys := map[string][]byte{}
	for range n {
		p.Array()
		id := p.Bytes()
		fields = fields[:0]
		for range p.Array() {
			fields = append(fields, p.Bytes())
		}
		if l, _ := readLife(fields); l.key != nil {
			ids = append(ids, redismodule.Text(id))
			keys[text(id)] = l.key
		}
		at, _ = dispatch.ParseID(id)
	}
	for _, id := range s.undone(ctx, q.Stream, ids) {
		at, _ := dispatch.ParseID(id.Bytes())
		q.Keys.Enter(keys[text(id.Bytes())], keyed.ID(at))
	}
	q.Keys.Walk.Entry = keyed.ID(at)
	return n < keyedBatch
}

// undone returns those of the ids that some group has not read or has pending; all of them
// when the stream has no group.
func (s *state) undone(ctx *redismodule.Ctx, stream string, ids []redismodule.Arg) []redismodule.Arg {
	if len(ids) == 0 {
		return nil
	}
	name := redismodule.Text(view(stream))
	r := ctx.Cmd("XINFO").Str("GROUPS").Arg(name).Call("")
	defer r.Free()
	p := read(r.Raw())
	if failure(r) != nil || p.Array() == 0 {
		return ids
	}
	done := map[string]bool{}
	for _, id := range s.doneWith(ctx, name, ids, r) {
		done[text(id.Bytes())] = true
	}
	var left []redismodule.Arg
	for _, id := range ids {
		if !done[text(id.Bytes())] {
			left = append(left, id)
		}
	}
	return left
}

// readHeld counts the held tasks of the next keys. It returns true behind the last one.
func (s *state) readHeld(ctx *redismodule.Ctx, q *dispatch.Queue) (end bool) {
	for range lineBatch {
		if s.readLine(ctx, q) {
			return true
		}
	}
	return false
}

// readLine counts the held tasks of the next key. It returns true behind the last one. A
// member that the module did not write goes into the stream as a payload.
func (s *state) readLine(ctx *redismodule.Ctx, q *dispatch.Queue) (end bool) {
	name, ok := s.sideKey(q.Stream, heldKey)
	if !ok {
		return true
	}
	set := bytes.Clone(name)
	r := ctx.Cmd("ZRANGEBYLEX").Bytes(set).Bytes(dispatch.AfterHeld(nil, q.Keys.Walk.Key)).Str("+").Str("LIMIT").Str("0").Str("1").Call("")
	defer r.Free()
	p := read(r.Raw())
	if failure(r) != nil || p.Array() != 1 {
		return true
	}
	member := p.Bytes()
	h, fields, ok := dispatch.ParseHeld(member, nil)
	if !ok {
		if _, err := s.add(ctx, q.Stream, [][]byte{fieldPayload, member, fieldTimestamp, []byte("0"), fieldRetries, []byte("0")}); err == nil {
			q.Added(1)
		}
		return ctx.Cmd("ZREM").Bytes(set).Bytes(member).Do("") != nil
	}
	l, _ := readLife(fields)
	q.Keys.Recount(h.Key, countHeld(ctx, set, h.Key), max(l.weight, 1))
	q.Keys.Later(h.Key, h.Due)
	q.Keys.Walk.Key = bytes.Clone(h.Key)
	return false
}

// countHeld is the number of a key's members in a set of held tasks.
func countHeld(ctx *redismodule.Ctx, set, key []byte) int64 {
	from, to := dispatch.HeldRange(nil, key)
	r := ctx.Cmd("ZLEXCOUNT").Bytes(set).Bytes(from).Bytes(to).Call("")
	defer r.Free()
	p := read(r.Raw())
	n, _ := p.Int()
	return n
}

// audit looks for entries of keys that are full, and lets go of those that others have
// acknowledged or deleted.
func (s *state) audit(ctx *redismodule.Ctx, q *dispatch.Queue) {
	if q.Keys.Held() == 0 || ctx.Now() < q.Keys.Audited+auditEvery && q.Keys.Audit == 0 {
		return
	}
	var some []keyed.ID
	for began, more := ctx.Monotonic(), true; more; {
		if ctx.Monotonic()-began > slice/4 {
			return
		}
		for some = some[:0]; more && len(some) < auditStep; {
			if some, more = q.Keys.Full(q.Keys.Audit, some); more {
				q.Keys.Audit++
			}
		}
		for _, id := range s.lostOf(ctx, q.Stream, some) {
			q.Keys.Leave(id)
		}
	}
	q.Keys.Audit, q.Keys.Audited = 0, ctx.Now()
}

// lostOf returns those of the entries that are not in the stream, or that all groups are done
// with.
func (s *state) lostOf(ctx *redismodule.Ctx, stream string, entries []keyed.ID) (lost []keyed.ID) {
	here := make(map[keyed.ID]bool, len(entries))
	var ids []redismodule.Arg
	k := ctx.Look(redismodule.Text(view(stream)))
	for _, id := range entries {
		if k.HasEntry(id.Ms, id.Seq) {
			ids = append(ids, redismodule.Text(dispatch.ID(id).Append(nil)))
		}
	}
	k.Close()
	for _, a := range s.undone(ctx, stream, ids) {
		id, _ := dispatch.ParseID(a.Bytes())
		here[keyed.ID(id)] = true
	}
	for _, id := range entries {
		if !here[id] {
			lost = append(lost, id)
		}
	}
	return lost
}
