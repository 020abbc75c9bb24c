package e2e

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"holdfast/holdfasttest"
	"holdfast/internal/redisserver"
)

// The usual commands are answered on fast paths, where the handlers in Go are not asked.
// Whatever is sent, in whatever order, with and without the fast paths the replies are
// the same, so are the keys afterwards, and so is a replica that has no modules.
func TestTheFastPathsAnswerAsTheHandlersDo(t *testing.T) {
	fast, slow := newSide(t, ""), newSide(t, " no-fast-path")
	most := 150
	if testing.Short() {
		most = 40
	}
	rapid.Check(t, func(t *rapid.T) {
		for _, s := range []*side{fast, slow} {
			s.begin()
		}
		var story []string
		var draws storyteller
		for range rapid.IntRange(1, most).Draw(t, "commands") {
			line := draws.command(t)
			story = append(story, line)
			a, b := fast.send(line), slow.send(line)
			if line == "EXEC" { // two streams may have got the same id in it, or two locks the same token, on one side
				a, b = unnamed(a), unnamed(b)
				fast.forgetNames()
				slow.forgetNames()
				if x, y := fast.keys(), slow.keys(); x != y && unnamed(x) == unnamed(y) {
					if x, y := unnamed(fast.end()), unnamed(slow.end()); x != y {
						t.Fatalf("afterwards    %s\nby the handlers %s\nafter\n%s", x, y, strings.Join(story, "\n"))
					}
					fast.begin()
					slow.begin()
					story = nil
				}
			}
			time.Sleep(time.Millisecond) // what follows has other ids, also in another stream
			if a != b {
				t.Fatalf("%s\nis answered   %s\nby the handler %s\nafter\n%s", line, a, b, strings.Join(story, "\n"))
			}
		}
		if a, b := fast.end(), slow.end(); a != b {
			t.Fatalf("afterwards    %s\nby the handlers %s\nafter\n%s", a, b, strings.Join(story, "\n"))
		}
	})
}

// side is one of two servers to be compared, its replica without modules, and what a
// story is told with: ids and tokens have names in the order of their appearance,
// because they differ from server to server.
type side struct {
	t       testing.TB
	conn    *cacheConn
	control *cacheConn // sees what goes on, also while conn is in a transaction
	replica *cacheConn
	addr    string
	names   map[string]string // by id or token
	ids     []string
	tokens  []string // of loads, which are random
	fences  []string // of locks, which grow with the clock
	parked  map[string]*cacheConn
	parkIDs map[string]string
}

func newSide(t *testing.T, argument string) *side {
	paths, err := redisserver.Modules()
	if err != nil {
		t.Fatal(err)
	}
	for i := range paths {
		paths[i] += argument
	}
	s := holdfasttest.Server(t, holdfasttest.WithModules(paths...))
	r := holdfasttest.Server(t, holdfasttest.WithModules(), holdfasttest.WithArgs("--replicaof", "127.0.0.1 "+fmt.Sprint(s.Port)))
	awaitLink(t, r.Client())
	return &side{t: t, conn: dialCache(t, s.Addr), control: dialCache(t, s.Addr), replica: dialCache(t, r.Addr), addr: s.Addr}
}

func (s *side) begin() {
	s.conn.do("DISCARD")
	s.conn.do("SELECT 0")
	s.conn.do("FLUSHALL")
	s.names, s.ids, s.tokens, s.fences = map[string]string{}, nil, nil, nil
	s.parked, s.parkIDs = map[string]*cacheConn{}, map[string]string{}
}

// unnamed is what was told with one name for all ids and tokens of locks.
func unnamed(told string) string { return aName.ReplaceAllString(told, "$1") }

// forgetNames forgets the names of ids and of tokens of locks.
func (s *side) forgetNames() {
	for _, it := range append(s.ids, s.fences...) {
		delete(s.names, it)
	}
	s.ids, s.fences = nil, nil
}

var (
	aName = regexp.MustCompile(`\b(id|fence)\d+\b`)

	anID     = regexp.MustCompile(`\bdelayed-[0-9a-z-]+|\b1[789]\d{11}-\d+|\b\d{16}\b`)
	aTime    = regexp.MustCompile(`\b1[789]\d{8}(\d{3})?\b`)
	duration = regexp.MustCompile(`(_ms"|"idle"|"inactive") ("?-?\d+"?|\["count" [^]]*])`)
)

// tell is a reply with names for what differs from server to server.
func (s *side) tell(reply string) string {
	reply = anID.ReplaceAllStringFunc(reply, func(id string) string {
		name := s.names[id]
		if name == "" {
			switch n, _ := strconv.ParseInt(id, 10, 64); {
			case strings.Contains(id, "-"):
				name = fmt.Sprint("id", len(s.ids))
				s.ids = append(s.ids, id)
			case time.Since(time.UnixMicro(n)).Abs() < time.Hour:
				name = fmt.Sprint("fence", len(s.fences))
				s.fences = append(s.fences, id)
			default:
				name = fmt.Sprint("token", len(s.tokens))
				s.tokens = append(s.tokens, id)
			}
			s.names[id] = name
		}
		return name
	})
	return duration.ReplaceAllString(aTime.ReplaceAllString(reply, "time"), "$1 #")
}

// send sends a line of the story. Its words $id3 and $token3 stand for the fourth id or
// token from the end that this side has seen: those of loads would be older or newer than one of a
// lock by chance. A line that begins with PARK is sent on a
// connection of its own, which waits.
func (s *side) send(line string) string {
	words := strings.Fields(line)
	for i, w := range words {
		switch {
		case strings.HasPrefix(w, "$id"):
			words[i] = fromEnd(s.ids, w[3:], "1-1")
		case strings.HasPrefix(w, "$token"):
			tokens := s.tokens
			if strings.HasPrefix(words[0], "LOCK.") {
				tokens = s.fences
			}
			words[i] = fromEnd(tokens, w[6:], "1")
		}
	}
	if words[0] == "PARK" {
		return s.park(words[1:])
	}
	return s.tell(s.conn.do(strings.Repeat("% ", len(words)), anys(words)...))
}

func fromEnd(all []string, index, none string) string {
	n := 0
	_, _ = fmt.Sscan(index, &n)
	if n >= len(all) {
		return none
	}
	return all[len(all)-1-n]
}

// park has a client of its own wait, one for each command in a story. It returns when the
// server has blocked the client or answered it.
func (s *side) park(words []string) string {
	if s.parked[words[0]] != nil {
		return ""
	}
	c := dialCache(s.t, s.addr)
	s.parked[words[0]], s.parkIDs[words[0]] = c, c.do("CLIENT ID")
	c.send(strings.Repeat("% ", len(words)), anys(words)...)
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if info := s.control.do("CLIENT LIST ID %", s.parkIDs[words[0]]); strings.Contains(info, "cmd="+strings.ToLower(words[0])) {
			return ""
		}
	}
	s.t.Fatalf("%v is not heard of", words)
	return ""
}

// end ends the waits and is all there is: what they heard, and the keys.
func (s *side) end() string {
	s.conn.do("DISCARD")
	var b strings.Builder
	for _, command := range []string{"LOCK.ACQUIRE", "CACHE.FETCH", "TASK.CONSUME"} {
		if c := s.parked[command]; c != nil {
			s.control.do("CLIENT UNBLOCK %", s.parkIDs[command])
			fmt.Fprintln(&b, command, "heard", s.tell(c.read()))
			_ = c.Close()
		}
	}
	b.WriteString(s.keys())
	var own, replica string
	for end := time.Now().Add(patience); time.Now().Before(end); {
		own, replica = s.conn.do("DEBUG DIGEST"), s.replica.do("DEBUG DIGEST")
		if own == replica {
			return b.String()
		}
	}
	return fmt.Sprintf("%sthe digest is %s, and of the replica %s", b.String(), own, replica)
}

// keys is what there is in the databases of the stories.
func (s *side) keys() string {
	var b strings.Builder
	for db := range 2 {
		s.control.do("SELECT %", db)
		fmt.Fprintln(&b, s.tell(s.control.do("EVAL % 0", everything)))
	}
	s.control.do("SELECT 0")
	return b.String()
}

// everything tells each key with its type, its content, and whether it expires.
const everything = `
local out, keys = {}, redis.call('KEYS', '*')
table.sort(keys)
for _, k in ipairs(keys) do
	local t = redis.call('TYPE', k).ok
	local row = {k, t, redis.call('PTTL', k) > 0 and 'expires' or 'stays'}
	if t == 'string' then row[4] = redis.call('GET', k)
	elseif t == 'hash' then row[4] = redis.call('HGETALL', k)
	elseif t == 'zset' then row[4] = redis.call('ZRANGE', k, 0, -1)
	elseif t == 'list' then row[4] = redis.call('LRANGE', k, 0, -1)
	elseif t == 'stream' then
		row[4] = redis.call('XRANGE', k, '-', '+')
		for _, g in ipairs(redis.call('XINFO', 'GROUPS', k)) do
			row[#row + 1] = {g[2], 'last', g[8]}
			for _, p in ipairs(redis.call('XPENDING', k, g[2], '-', '+', 1000)) do
				row[#row + 1] = {p[1], p[2], p[4]}
			end
		end
	end
	out[#out + 1] = row
end
return out`

// templates are what may be sent. K is a key, S a stream, G a group, O an owner or
// consumer, I an id and T a token that were seen, N a small number.
var templates = strings.Split(strings.TrimSpace(`
LOCK.ACQUIRE K O 100000
LOCK.ACQUIRE K O 100000
LOCK.ACQUIRE K O 100000 WITHTOKEN
LOCK.ACQUIRE K O 100000 SHARED
LOCK.ACQUIRE K O 100000 LIMIT 2
LOCK.ACQUIRE K O 100000 META text
LOCK.ACQUIRE K O 100000 BLOCK 1
LOCK.EXTEND K O 200000
LOCK.RELEASE K O
LOCK.RELEASE K O
LOCK.INFO K
LOCK.BREAK K
LOCK.BREAK K O
LOCK.FENCE K T
CACHE.LOCK K 100000 100000
CACHE.LOCK K 100000 100000 WITHTOKEN
CACHE.GET K
CACHE.GET K
CACHE.FETCH K 100000 100000
CACHE.FETCH K 100000 100000
CACHE.FETCH K 100000 100000 BLOCK 1
CACHE.FETCH K 100000 100000 REFRESH 300000
CACHE.FETCH K 100000 100000 REFRESH 5
CACHE.SET K 123 200000
CACHE.SET K text 200000 TOKEN T
CACHE.SETNIL K 200000
CACHE.EXTEND K T 100000
CACHE.UNLOCK K T
CACHE.FAIL K T down
CACHE.FAIL K T down BACKOFF 100000
CACHE.DEL K
CACHE.INFO K
TASK.PUBLISH S payload
TASK.PUBLISH S payload
TASK.PUBLISH S payload
TASK.PUBLISH S payload N
TASK.PUBLISH S payload 0 HEADERS 1 name value
TASK.PUBLISH S payload 0 LIMIT 3
TASK.PUBLISH S payload 0 UNIQUE u 200000
TASK.PUBLISH S payload 0 DELAY 200000
TASK.MPUBLISH S a b c
TASK.CONSUME G O S
TASK.CONSUME G O S
TASK.CONSUME G O S N
TASK.CONSUME G O S N 1
TASK.CONSUME G O S 5 1 LEASE 200000
TASK.CONSUME G O S N 1 ALSO 1 {q}2
TASK.ACK S G I
TASK.ACK S G I
TASK.ACK S G I I
TASK.ACK S G I CONSUMER O
TASK.EXTEND S G O I
TASK.NACK S G O I
TASK.NACK S G O I DELAY 200000
TASK.NACK S G O I MAXRETRIES 0 DEAD {q}dead
TASK.RETRY S I payload 0 S {q}dead 2
TASK.RETRY S I payload 2 S {q}dead 2 GROUP G
TASK.REDRIVE {q}dead
TASK.CANCEL S I
TASK.KEYS S LIMIT 1
TASK.KEYS S NONE
TASK.KEYS S LIMIT 2
TASK.KEYS S LIMIT 4
TASK.PUBLISH S payload 0 KEY a
TASK.PUBLISH S payload KEY a
TASK.PUBLISH S payload KEY a
TASK.PUBLISH S payload KEY b
TASK.PUBLISH S payload 0 KEY a WEIGHT 2
TASK.PAUSE S
TASK.RESUME S
TASK.STATS S
TASK.FORGET S G O
PARK LOCK.ACQUIRE K waiter 100000 BLOCK 0
PARK CACHE.FETCH K 100000 100000 BLOCK 0
PARK TASK.CONSUME G waiter S N 0
DEL K
DEL S
SET K 7
HSET K f v
GET K
RENAME S S
RENAME K K
COPY S S REPLACE
XADD S * f v
XDEL S I
XACK S G I
XTRIM S MAXLEN 2
XGROUP CREATE S G 0 MKSTREAM
XGROUP CREATE S G $
XGROUP DESTROY S G
XGROUP SETID S G 0
XGROUP DELCONSUMER S G O
XREADGROUP GROUP G O STREAMS S >
ZADD {q}1:delayed 1 x
DEL {q}1:paused
SET {q}1:paused 1
PERSIST K
FLUSHDB
SWAPDB 0 1
SELECT 0
SELECT 1
MOVE S 1
MULTI
EXEC`), "\n")

// storyteller draws commands. In a transaction at most one adds an entry: two of them in
// different streams may have the same id on one server and different ones on the other.
type storyteller struct{ transaction, added bool }

var adds = regexp.MustCompile(`^(TASK\.(PUBLISH|MPUBLISH|NACK|RETRY|REDRIVE)|XADD)`)

func (s *storyteller) command(t *rapid.T) string {
	line := drawCommand(t)
	switch {
	case line == "MULTI":
		s.transaction, s.added = true, false
	case line == "EXEC":
		s.transaction = false
	case s.transaction && adds.MatchString(line):
		if s.added {
			return "PING"
		}
		s.added = true
	}
	return line
}

func drawCommand(t *rapid.T) string {
	words := strings.Fields(rapid.SampledFrom(templates).Draw(t, "template"))
	for i, w := range words {
		var from []string
		switch w {
		case "K":
			from = []string{"k1", "k2", "{q}1"}
		case "S":
			from = []string{"{q}1", "{q}1", "{q}2", "k1"}
		case "G":
			from = []string{"g1", "g1", "g2"}
		case "O":
			from = []string{"o1", "o2"}
		case "I":
			from = []string{"$id0", "$id1", "$id2", "$id3", "$id5", "5-5"}
		case "T":
			from = []string{"$token0", "$token1", "7"}
		case "N":
			from = []string{"1", "2", "3"}
		default:
			continue
		}
		words[i] = rapid.SampledFrom(from).Draw(t, w)
	}
	return strings.Join(words, " ")
}
