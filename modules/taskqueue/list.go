package taskqueue

import (
	"strconv"

	"holdfast/modules/internal/dispatch"
	"holdfast/modules/internal/resp"
	"holdfast/modules/syntax"
	"holdfast/redismodule"
)

// listMost bounds COUNT of the commands that list.
const listMost = 10_000

// list is TASK.LIST [MATCH glob] [CURSOR c] [COUNT n] [WITHSTATS].
func list(ctx *redismodule.Ctx, args []redismodule.Arg) error {
	s := &tasks
	var glob []byte
	cursor, count, withStats := int64(0), int64(10), false
	o := syntax.NewOptions(args[1:])
	for o.Next() {
		var err error
		switch {
		case o.Is("MATCH") && glob == nil:
			glob = o.Value().Bytes()
		case o.Is("CURSOR"):
			cursor, err = syntax.Int(o.Value(), 0, catalogPlaces-1)
		case o.Is("COUNT"):
			count, err = syntax.Int(o.Value(), 1, 1<<62)
		case o.Is("WITHSTATS") && !withStats:
			withStats = true
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
	s.search.again(ctx, s)
	db, began := ctx.DB(), ctx.Monotonic()
	count = min(count, listMost)
	ctx.ReplyArray(2)
	// The cursor comes first and is known last.
	var found []*listed
	var all []streamStatus
	at := s.catalog.next(int(cursor))
	for looked := 0; at < catalogPlaces && int64(len(found)) < count; at = s.catalog.next(at + 1) {
		if looked++; looked%16 == 0 && ctx.Monotonic()-began > slice/2 {
			break
		}
		place := s.catalog.places[at]
		for i := len(place) - 1; i >= 0; i-- {
			k := place[i]
			if k.DB != db || glob != nil && !syntax.Matches(glob, view(k.Stream)) || !ctx.KeyAllowed(view(k.Stream), redismodule.KeyAccess) {
				continue
			}
			if !isStreamAt(ctx, k.Stream) {
				if s.cluster { // in a transaction the stream may be there: see sweep
					s.catalog.owed = len(s.catalog.places)
					s.rearm(ctx)
				} else {
					s.unlist(ctx, k.Key)
				}
				continue
			}
			found = append(found, k)
			if withStats {
				all = append(all, s.streamStatus(ctx, k))
			}
		}
	}
	ctx.ReplyString(strconv.Itoa(at % catalogPlaces))
	ctx.ReplyArray(len(found))
	for i, k := range found {
		if withStats {
			all[i].reply(ctx, k.Stream)
		} else {
			ctx.ReplyString(k.Stream)
		}
	}
	return nil
}

// isStreamAt reports whether a key is a stream.
func isStreamAt(ctx *redismodule.Ctx, stream string) bool {
	return ctx.TypeOf(redismodule.Text(view(stream))) == redismodule.TypeStream
}

// streamStatus is what TASK.LIST tells of a stream. Ready and in work are summed up over its
// groups.
type streamStatus struct {
	length, ready, inWork, delayed, oldest int64
	paused                                 bool
	waiting                                int
	in, out                                int64 // per minute
	flows                                  bool
	held                                   heldStatus
}

func (s *state) streamStatus(ctx *redismodule.Ctx, k *listed) (t streamStatus) {
	stream := k.Stream
	added := int64(0)
	added, t.length, t.oldest = s.streamInfo(ctx, stream)
	t.in, t.out, t.flows = k.perMinute(ctx.Now(), added, t.length)
	t.delayed = s.delayedIn(ctx, stream)
	t.held = s.heldStatus(ctx, stream)
	t.paused = s.paused(ctx, stream)
	q := s.table.Find(k.DB, view(stream))
	if q != nil {
		t.waiting = q.Waiting()
	}
	r := ctx.Cmd("XINFO").Str("GROUPS").Str(stream).Call("")
	defer r.Free()
	if failure(r) != nil {
		return t
	}
	p := read(r.Raw())
	groups := p.Array()
	if groups == 0 {
		t.ready = t.length
	}
	for range groups {
		g := readGroup(&p)
		lag := s.lag(ctx, stream, g)
		free := int64(0)
		if believed := groupOf(q, g.name); believed == nil || believed.Available {
			free = s.availableIn(ctx, stream, g.name)
		}
		t.ready += min(lag, t.length) + free
		t.inWork += g.pending - free
	}
	return t
}

// groupOf is what is known of a group, nil if nothing is.
func groupOf(q *dispatch.Queue, group string) *dispatch.Group {
	if q == nil {
		return nil
	}
	return q.Group(view(group))
}

func (t streamStatus) reply(ctx *redismodule.Ctx, stream string) {
	ctx.ReplyMap(10 + heldFields)
	ctx.ReplyString("stream")
	ctx.ReplyString(stream)
	replyInts(ctx, named{"length", t.length}, named{"ready", t.ready}, named{"in_work", t.inWork}, named{"delayed", t.delayed})
	ctx.ReplyString("paused")
	ctx.ReplyBool(t.paused)
	replyInts(ctx, named{"waiting", int64(t.waiting)}, named{"oldest_age_ms", t.oldest})
	for _, f := range []named{{"in_per_minute", t.in}, {"out_per_minute", t.out}} {
		if ctx.ReplyString(f.name); t.flows {
			ctx.ReplyInt(f.value)
		} else {
			ctx.ReplyNull()
		}
	}
	t.held.reply(ctx)
}

// named is a field of a reply.
type named struct {
	name  string
	value int64
}

func replyInts(ctx *redismodule.Ctx, fields ...named) {
	for _, f := range fields {
		ctx.ReplyString(f.name)
		ctx.ReplyInt(f.value)
	}
}

// streamInfo returns how many entries were ever added to a stream, how many it holds, and
// how many ms ago the oldest was added.
func (s *state) streamInfo(ctx *redismodule.Ctx, stream string) (added, length, oldest int64) {
	r := ctx.Cmd("XINFO").Str("STREAM").Str(stream).Call("")
	defer r.Free()
	if failure(r) != nil {
		return 0, 0, 0
	}
	p := read(r.Raw())
	for range p.Array() / 2 {
		switch text(p.Bytes()) {
		case "length":
			length, _ = p.Int()
		case "entries-added":
			added, _ = p.Int()
		case "recorded-first-entry-id":
			if id, ok := dispatch.ParseID(p.Bytes()); ok && length > 0 {
				oldest = max(ctx.Now()-int64(min(id.Ms, latest)), 0)
			}
		default:
			p.Skip()
		}
	}
	return added, length, oldest
}

// delayedIn is the number of a stream's delayed tasks.
func (s *state) delayedIn(ctx *redismodule.Ctx, stream string) int64 {
	return s.sizeOf(ctx, stream, delayedKey)
}

// sizeOf is the number of members of one of a stream's sorted sets.
func (s *state) sizeOf(ctx *redismodule.Ctx, stream, kind string) int64 {
	key, ok := s.sideKey(stream, kind)
	if !ok {
		return 0
	}
	k := ctx.Look(redismodule.Text(key))
	defer k.Close()
	if k.Type != redismodule.TypeZSet {
		return 0
	}
	return int64(k.Len())
}

// availableIn is how many tasks lie with the module's own consumer of a group.
func (s *state) availableIn(ctx *redismodule.Ctx, stream, group string) (n int64) {
	s.consumers(ctx, stream, group, func(name string, pending int64) {
		if name == available {
			n = pending
		}
	})
	return n
}

// groupInfo is a line of XINFO GROUPS. The names are views into the reply.
type groupInfo struct {
	name, last         string
	consumers, pending int64
	lag                int64 // -1 where the server does not know
}

func readGroup(p *resp.Reader) groupInfo {
	g := groupInfo{lag: -1}
	for range p.Array() / 2 {
		switch text(p.Bytes()) {
		case "name":
			g.name = text(p.Bytes())
		case "consumers":
			g.consumers, _ = p.Int()
		case "pending":
			g.pending, _ = p.Int()
		case "last-delivered-id":
			g.last = text(p.Bytes())
		case "lag":
			if n, ok := p.Int(); ok {
				g.lag = n
			}
		default:
			p.Skip()
		}
	}
	return g
}

// lag is how many entries of the stream the group has not read.
func (s *state) lag(ctx *redismodule.Ctx, stream string, g groupInfo) int64 {
	if g.lag >= 0 {
		return g.lag
	}
	return s.countAfter(ctx, stream, g.last)
}
