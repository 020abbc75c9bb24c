package taskqueue

import (
	"math"
	"slices"

	"holdfast/modules/internal/dispatch"
	"holdfast/redismodule"
)

// ack is TASK.ACK stream group id [id …] [CONSUMER name].
func ack(ctx *redismodule.Ctx, args []redismodule.Arg) error {
	s := &tasks
	stream, group, ids := args[1], args[2], args[3:]
	var owner redismodule.Arg
	fenced := false
	if n := len(ids); n >= 3 && ids[n-2].Is("CONSUMER") {
		owner, fenced, ids = ids[n-1], true, ids[:n-2]
	}
	ids, err := fullIDs(ids)
	if err != nil {
		return err
	}
	if fenced {
		if ids = s.pendingAmong(ctx, stream, group, ids, owner); len(ids) == 0 {
			return replyCount(ctx, stream, 0)
		}
	}
	s.running(ctx, stream, group, ids)
	cmd := ctx.Cmd("XACK").Arg(stream).Arg(group)
	for _, id := range ids {
		cmd.Arg(id)
	}
	r := cmd.Call("")
	if err := failure(r); err != nil {
		r.Free()
		return err
	}
	p := read(r.Raw())
	n, _ := p.Int()
	if n > 0 {
		s.acked(ctx, text(stream.Bytes()), text(group.Bytes()), n)
		s.settled(ctx, stream, group, int(n), true, ids...)
		s.feed(ctx, text(stream.Bytes()))
		if len(args) == 4 {
			s.openAck(ctx, text(stream.Bytes()), text(group.Bytes()))
		}
	}
	ctx.ReplyLast(r)
	return nil
}

// replyCount answers n, or WRONGTYPE when the key holds another type than a stream.
func replyCount(ctx *redismodule.Ctx, stream redismodule.Arg, n int64) error {
	if err := isStream(ctx, stream); err != nil {
		return err
	}
	ctx.ReplyInt(n)
	return nil
}

func (s *state) acked(ctx *redismodule.Ctx, stream, group string, n int64) {
	s.stats.acked += n
	if q := s.table.Find(ctx.DB(), view(stream)); q != nil {
		if g := q.Group(view(group)); g != nil {
			g.Counters.Acked += n
		}
	}
}

// settled deletes those of the entries that every group of the stream is done with, and
// frees the unique ids they hold. acked says how many of the ids the caller has just
// acknowledged. A group still needs an entry that it has not read or has pending; an
// entry stays when that cannot be found out. over says that the tasks do not go on elsewhere.
func (s *state) settled(ctx *redismodule.Ctx, stream, group redismodule.Arg, acked int, over bool, ids ...redismodule.Arg) {
	name := text(stream.Bytes())
	holding := s.holding(ctx, name)
	keys := s.keyed(ctx, name)
	if keepAcked && !holding && keys == nil {
		return
	}
	q := s.group(ctx, name, text(group.Bytes())).Queue
	// With one group, what was pending and is acknowledged is done. Else ask.
	if all := acked == len(ids); !all || !q.Exclusive {
		groups := ctx.Cmd("XINFO").Str("GROUPS").Arg(stream).Call("")
		defer groups.Free()
		if failure(groups) != nil {
			return
		}
		p := read(groups.Raw())
		q.Exclusive = p.Array() == 1
		if !q.Exclusive || !all {
			ids = s.doneWith(ctx, stream, ids, groups)
		}
	}
	if holding {
		for _, id := range ids {
			s.done(ctx, name, text(id.Bytes()))
		}
	}
	if !keepAcked {
		deleteEntries(ctx, stream, ids)
	}
	s.gone(ctx, keys, over && !keepAcked, ids...)
}

// deleteEntries deletes entries of a stream.
func deleteEntries(ctx *redismodule.Ctx, stream redismodule.Arg, ids []redismodule.Arg) {
	if len(ids) >= cutFrom {
		ids = cutOff(ctx, stream, ids)
	}
	if len(ids) == 0 {
		return
	}
	cmd := ctx.Cmd("XDEL").Arg(stream)
	for _, id := range ids {
		cmd.Arg(id)
	}
	_ = cmd.Do("")
}

// cutFrom is the number of ids from which it pays to look whether the stream begins with
// them.
const cutFrom = 4

// cutOff deletes those of the ids with which the stream begins, and returns the others.
// Tasks are mostly done in order. XDEL reads a block of the stream up to the entry that
// it deletes, where XTRIM drops whole blocks.
func cutOff(ctx *redismodule.Ctx, stream redismodule.Arg, ids []redismodule.Arg) (others []redismodule.Arg) {
	sorted := make([]dispatch.ID, len(ids))
	for i, a := range ids {
		sorted[i], _ = dispatch.ParseID(a.Bytes())
	}
	slices.SortFunc(sorted, dispatch.ID.Compare)
	k := ctx.Look(stream)
	n := redismodule.Head(k, sorted)
	k.Close()
	if n < cutFrom || sorted[n-1].Seq == math.MaxUint64 {
		return ids
	}
	end := sorted[n-1]
	end.Seq++
	var scratch [48]byte
	if ctx.Cmd("XTRIM").Arg(stream).Str("MINID").Bytes(end.Append(scratch[:0])).Do("") != nil {
		return ids
	}
	for _, a := range ids {
		if id, _ := dispatch.ParseID(a.Bytes()); id.Compare(end) >= 0 {
			others = append(others, a)
		}
	}
	return others
}

// doneWith returns those of the ids that all groups have read and none has pending. info
// is the reply of XINFO GROUPS.
func (s *state) doneWith(ctx *redismodule.Ctx, stream redismodule.Arg, ids []redismodule.Arg, info redismodule.Reply) []redismodule.Arg {
	p := read(info.Raw())
	for range p.Array() {
		var group, last []byte
		for range p.Array() / 2 {
			switch text(p.Bytes()) {
			case "name":
				group = p.Bytes()
			case "last-delivered-id":
				last = p.Bytes()
			default:
				p.Skip()
			}
		}
		upTo, ok := dispatch.ParseID(last)
		pending := map[dispatch.ID]bool{}
		for _, a := range s.pendingAmong(ctx, stream, redismodule.Text(group), ids) {
			id, _ := dispatch.ParseID(a.Bytes())
			pending[id] = true
		}
		ids = slices.DeleteFunc(slices.Clone(ids), func(a redismodule.Arg) bool {
			id, _ := dispatch.ParseID(a.Bytes())
			return !ok || upTo.Compare(id) < 0 || pending[id]
		})
	}
	return ids
}

// ackOwn acknowledges one task that the caller found pending, and deletes its entry when
// no other group needs it.
func (s *state) ackOwn(ctx *redismodule.Ctx, stream, group, id string) error {
	r := ctx.Cmd("XACK").Str(stream).Str(group).Str(id).Call("")
	defer r.Free()
	if err := failure(r); err != nil {
		return err
	}
	p := read(r.Raw())
	if n, _ := p.Int(); n != 1 {
		return redismodule.Error("ERR task " + id + " was to be acknowledged and is not pending")
	}
	s.settled(ctx, redismodule.Text(view(stream)), redismodule.Text(view(group)), 1, false, redismodule.Text(view(id)))
	return nil
}
