package taskqueue

import (
	"math"
	"slices"

	"holdfast/internal/dispatch"
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
	for _, id := range ids {
		if _, ok := dispatch.ParseID(id.Bytes()); !ok {
			return errID
		}
	}
	if fenced {
		if ids = s.owned(ctx, stream, group, owner, ids); len(ids) == 0 {
			return replyCount(ctx, stream, 0)
		}
	}
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
		s.settled(ctx, stream, int(n), ids...)
		if len(args) == usualAck.Args {
			s.ackable(ctx, text(stream.Bytes()), text(group.Bytes()))
		}
	}
	ctx.ReplyLast(r)
	return nil
}

// owned is those of the ids that are pending for owner. A worker acknowledges
// what it took in a row, so one look at the row finds them all; what lies behind
// its end is looked for one by one.
func (s *state) owned(ctx *redismodule.Ctx, stream, group, owner redismodule.Arg, ids []redismodule.Arg) (mine []redismodule.Arg) {
	parsed := make([]dispatch.ID, len(ids))
	first, last := 0, 0 // the least and the greatest
	for i, a := range ids {
		parsed[i], _ = dispatch.ParseID(a.Bytes())
		if parsed[i].Compare(parsed[first]) < 0 {
			first = i
		}
		if parsed[i].Compare(parsed[last]) > 0 {
			last = i
		}
	}
	row := map[dispatch.ID]bool{}
	var end dispatch.ID
	if len(ids) > 1 {
		r := ctx.Cmd("XPENDING").Arg(stream).Arg(group).Arg(ids[first]).Arg(ids[last]).Int(int64(2 * len(ids))).Arg(owner).Call("")
		defer r.Free()
		if failure(r) != nil {
			return nil
		}
		p := read(r.Raw())
		n := p.Array()
		for range n {
			id, _ := dispatch.ParseID(readPending(&p).id)
			row[id], end = true, id
		}
		if n < 2*len(ids) {
			end = parsed[last]
		}
	}
	for i, a := range ids {
		ok := row[parsed[i]]
		if end.Compare(parsed[i]) < 0 {
			_, ok = s.pending(ctx, text(stream.Bytes()), text(group.Bytes()), text(a.Bytes()), text(owner.Bytes()))
		}
		if ok {
			mine = append(mine, a)
		}
	}
	return mine
}

const errID redismodule.Error = "ERR Invalid stream ID specified as stream command argument"

// replyCount answers n, or an error when the key holds no stream.
func replyCount(ctx *redismodule.Ctx, stream redismodule.Arg, n int64) error {
	k := ctx.Open(stream, redismodule.Read)
	defer k.Close()
	if k.Type != redismodule.TypeNone && k.Type != redismodule.TypeStream {
		return redismodule.ErrWrongType
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

// settled deletes entries that every group of the stream is done with. acked of
// the ids were just acknowledged. An entry is still needed by a group that has
// not read as far, or has it pending; when in doubt it stays.
func (s *state) settled(ctx *redismodule.Ctx, stream redismodule.Arg, acked int, ids ...redismodule.Arg) {
	if keepAcked {
		return
	}
	name := text(stream.Bytes())
	// The usual case: all were pending in the one group there is.
	if all := acked == len(ids); !all || !s.soles.has(ctx.DB(), name) {
		groups := ctx.Cmd("XINFO").Str("GROUPS").Arg(stream).Call("")
		defer groups.Free()
		if failure(groups) != nil {
			return
		}
		p := read(groups.Raw())
		sole := p.Array() == 1
		if sole {
			s.soles.add(ctx, ctx.DB(), name)
		}
		if !sole || !all {
			ids = slices.DeleteFunc(slices.Clone(ids), func(id redismodule.Arg) bool { return !s.doneWith(ctx, name, text(id.Bytes()), groups) })
		}
	}
	if len(ids) == 0 {
		return
	}
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

// cutFrom is for how many ids it is worth to look whether they begin the stream.
const cutFrom = 4

// cutOff deletes those of the ids with which the stream begins, and answers the others.
// Tasks are mostly done in their order, and XDEL reads the whole block of the stream up
// to an entry to delete it; XTRIM drops blocks.
func cutOff(ctx *redismodule.Ctx, stream redismodule.Arg, ids []redismodule.Arg) (others []redismodule.Arg) {
	sorted := make([]dispatch.ID, len(ids))
	for i, a := range ids {
		sorted[i], _ = dispatch.ParseID(a.Bytes())
	}
	slices.SortFunc(sorted, dispatch.ID.Compare)
	k := ctx.Open(stream, redismodule.Read|redismodule.NoTouch)
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

// doneWith tells whether every group listed in info, the reply of XINFO GROUPS,
// has read the entry and has it pending no more.
func (s *state) doneWith(ctx *redismodule.Ctx, stream, id string, info redismodule.Reply) bool {
	this, _ := dispatch.ParseID(view(id))
	p := read(info.Raw())
	for range p.Array() {
		var name, last []byte
		for range p.Array() / 2 {
			switch text(p.Bytes()) {
			case "name":
				name = p.Bytes()
			case "last-delivered-id":
				last = p.Bytes()
			default:
				p.Skip()
			}
		}
		upTo, ok := dispatch.ParseID(last)
		if !ok || upTo.Compare(this) < 0 {
			return false
		}
		if _, pending := s.pending(ctx, stream, text(name), id); pending {
			return false
		}
	}
	return true
}

// ackOwn acknowledges one task and deletes its entry when nobody needs it.
func (s *state) ackOwn(ctx *redismodule.Ctx, stream, group, id string) error {
	if err := ctx.Cmd("XACK").Str(stream).Str(group).Str(id).Do(""); err != nil {
		return err
	}
	s.settled(ctx, redismodule.Text(view(stream)), 1, redismodule.Text(view(id)))
	return nil
}
