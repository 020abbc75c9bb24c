package taskqueue

import (
	"holdfast/modules/internal/dispatch"
	"holdfast/modules/syntax"
	"holdfast/redismodule"
)

// aliveMs is for how long an owner that spoke counts as alive where no lease is known.
const aliveMs = 60_000

// pendingRow is a line of TASK.PENDING.
type pendingRow struct {
	id, task, owner string
	deliveries, age int64
}

// listPending is TASK.PENDING stream group [CONSUMER c] [CURSOR c] [COUNT n].
func listPending(ctx *redismodule.Ctx, args []redismodule.Arg) error {
	s := &tasks
	stream, group := text(args[1].Bytes()), text(args[2].Bytes())
	var owner []string
	from, count := "-", int64(10)
	o := syntax.NewOptions(args[3:])
	for o.Next() {
		var err error
		switch {
		case o.Is("CONSUMER") && owner == nil:
			owner = []string{text(o.Value().Bytes())}
		case o.Is("CURSOR"):
			after, ok := dispatch.ParseID(o.Value().Bytes())
			if !ok && o.Err() == nil {
				err = errID
			}
			if after != (dispatch.ID{}) {
				from = "(" + after.String()
			}
		case o.Is("COUNT"):
			count, err = syntax.Int(o.Value(), 1, 1<<62)
		default:
			o.Unknown()
		}
		if e := o.Err(); e != nil {
			return e
		}
		if err != nil {
			return err
		}
	}
	count = min(count, listMost)
	cmd := ctx.Cmd("XPENDING").Str(stream).Str(group).Str(from).Str("+").Int(count)
	for _, o := range owner {
		cmd.Str(o)
	}
	r := cmd.Call("")
	defer r.Free()
	if err := failure(r); err != nil {
		return err
	}
	p := read(r.Raw())
	found := p.Array()
	cursor := "0"
	if int64(found) == count {
		cursor = "" // the last id that is told
	}
	var rows []pendingRow
	for began := ctx.Monotonic(); len(rows) < found; {
		t := readPending(&p)
		row := pendingRow{id: string(t.id), owner: string(t.owner), deliveries: t.deliveries, age: t.idle}
		row.task = row.id // of an entry that is gone too
		if s.source.read(ctx, stream, row.id) {
			row.task = string(s.source.taskID(row.id))
		}
		rows = append(rows, row)
		if len(rows) < found && ctx.Monotonic()-began > slice {
			cursor = ""
			break
		}
	}
	if cursor == "" {
		cursor = rows[len(rows)-1].id
	}
	lease := int64(0)
	var g *dispatch.Group
	if q := s.table.Find(ctx.DB(), args[1].Bytes()); q != nil {
		if g = q.Group(args[2].Bytes()); g != nil {
			lease = g.Lease
		}
	}
	alive := s.alive(ctx, stream, group, g, lease, rows)
	ctx.ReplyArray(2)
	ctx.ReplyString(cursor)
	ctx.ReplyArray(len(rows))
	for _, row := range rows {
		ctx.ReplyMap(7)
		ctx.ReplyString("id")
		ctx.ReplyString(row.id)
		ctx.ReplyString("task_id")
		ctx.ReplyString(row.task)
		ctx.ReplyString("owner")
		ctx.ReplyString(row.owner)
		ctx.ReplyString("alive")
		ctx.ReplyBool(alive[row.owner])
		replyInts(ctx, named{"deliveries", row.deliveries}, named{"age_ms", row.age})
		if ctx.ReplyString("lease_left_ms"); lease > 0 {
			ctx.ReplyInt(max(lease-row.age, 0))
		} else {
			ctx.ReplyNull()
		}
	}
	return nil
}

// alive tells which owners wait for tasks, or have asked for some within their lease.
func (s *state) alive(ctx *redismodule.Ctx, stream, group string, g *dispatch.Group, lease int64, rows []pendingRow) map[string]bool {
	alive := map[string]bool{}
	for _, row := range rows {
		alive[row.owner] = false
	}
	if len(rows) == 0 {
		return alive
	}
	if lease == 0 {
		lease = aliveMs
	}
	r := ctx.Cmd("XINFO").Str("CONSUMERS").Str(stream).Str(group).Call("")
	defer r.Free()
	if failure(r) != nil {
		return alive
	}
	p := read(r.Raw())
	for range p.Array() {
		name, idle := "", int64(0)
		for range p.Array() / 2 {
			switch text(p.Bytes()) {
			case "name":
				name = text(p.Bytes())
			case "idle":
				idle, _ = p.Int()
			default:
				p.Skip()
			}
		}
		if _, is := alive[name]; is && !reserved(name) {
			alive[name] = idle <= lease
		}
	}
	if g != nil {
		g.Waiters(func(w *dispatch.Waiter) {
			if name := waiterOf(w).claim.consumer; !alive[name] {
				if _, is := alive[name]; is {
					alive[name] = true
				}
			}
		})
	}
	return alive
}
