package e2e

import (
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"holdfast/docs"
	"holdfast/holdfasttest"
)

// edge is how an integer argument of a command is tried. In its lines # is the number, K
// a key of its own, and $ what the line before was answered last: a token or an id. A
// line that begins with WAIT is sent on a connection of its own, which stays open.
type edge struct{ argument, lines string }

var edges = []edge{
	{"CACHE.EXTEND token", "CACHE.LOCK K 60000 60000 WITHTOKEN;CACHE.EXTEND K # 1000"},
	{"CACHE.EXTEND lease-ms", "CACHE.LOCK K 60000 9000000000000 WITHTOKEN;CACHE.EXTEND K $ #"},
	{"CACHE.FAIL token", "CACHE.FAIL K # message"},
	{"CACHE.FAIL backoff-ms", "CACHE.LOCK K 60000 60000 WITHTOKEN;CACHE.FAIL K $ message BACKOFF #"},
	{"CACHE.FETCH lease-ms", "CACHE.FETCH K # 60000"},
	{"CACHE.FETCH load-ms", "CACHE.FETCH K 60000 #"},
	{"CACHE.FETCH block-ms", "CACHE.LOCK K 60000 60000;WAIT CACHE.FETCH K 60000 60000 BLOCK #"},
	{"CACHE.FETCH refresh-ms", "CACHE.SET K v 60000;CACHE.FETCH K 60000 60000 REFRESH #"},
	{"CACHE.LOADS n", "CACHE.LOADS COUNT #"},
	{"CACHE.LOCK lease-ms", "CACHE.LOCK K # 60000"},
	{"CACHE.LOCK load-ms", "CACHE.LOCK K 60000 #"},
	{"CACHE.SET ttl-ms", "CACHE.SET K v #"},
	{"CACHE.SET token", "CACHE.LOCK K 60000 60000;CACHE.SET K v 60000 TOKEN #"},
	{"CACHE.SETNIL ttl-ms", "CACHE.SETNIL K #"},
	{"CACHE.SETNIL token", "CACHE.LOCK K 60000 60000;CACHE.SETNIL K 60000 TOKEN #"},
	{"CACHE.UNLOCK token", "CACHE.LOCK K 60000 60000;CACHE.UNLOCK K #"},
	{"LOCK.ACQUIRE ttl-ms", "LOCK.ACQUIRE K owner #"},
	{"LOCK.ACQUIRE n", "LOCK.ACQUIRE K owner 60000 LIMIT #"},
	{"LOCK.ACQUIRE block-ms", "LOCK.ACQUIRE K owner 60000;WAIT LOCK.ACQUIRE K other 60000 BLOCK #"},
	{"LOCK.EXTEND ttl-ms", "LOCK.ACQUIRE K owner 60000;LOCK.EXTEND K owner #"},
	{"LOCK.EXTEND token", "LOCK.ACQUIRE K owner 60000;LOCK.EXTEND K owner 60000 TOKEN #"},
	{"LOCK.RELEASE token", "LOCK.ACQUIRE K owner 60000;LOCK.RELEASE K owner TOKEN #"},
	{"LOCK.FENCE token", "LOCK.FENCE K #"},
	{"LOCK.LIST n", "LOCK.LIST COUNT #"},
	{"TASK.CONSUME count", "TASK.PUBLISH K payload;TASK.CONSUME g c K #"},
	{"TASK.CONSUME block_ms", "WAIT TASK.CONSUME g c K 1 #"},
	{"TASK.CONSUME lease_ms", "TASK.PUBLISH K payload;TASK.CONSUME g c K;XGROUP CREATE K g2 0;WAIT TASK.CONSUME g other K 1 0 LEASE #"},
	{"TASK.CONSUME lease_ms", "WAIT TASK.CONSUME g c K 1 0 LEASE #"},
	{"TASK.CONSUME deliveries", "TASK.PUBLISH K payload;TASK.CONSUME g c K 1 1 LEASE 60000 MAXDELIVERIES # DEAD {K}dead"},
	{"TASK.CONSUME streams", "TASK.PUBLISH K payload;TASK.CONSUME g c K 1 1 ALSO # {K}other"},
	{"TASK.KEYS limit", "TASK.KEYS K LIMIT #"},
	{"TASK.KEYS share", "TASK.KEYS K SHARE #"},
	{"TASK.KEYS n", "TASK.KEYS K RATE # PER 1000"},
	{"TASK.KEYS per_ms", "TASK.KEYS K RATE 1 PER #"},
	{"TASK.KEYS count", "TASK.PUBLISH K payload;TASK.KEYS K COUNT #"},
	{"TASK.LIST count", "TASK.PUBLISH K payload;TASK.CONSUME g c K;TASK.LIST COUNT # MATCH K"},
	{"TASK.PENDING count", "TASK.PUBLISH K payload;TASK.CONSUME g c K;TASK.PENDING K g COUNT #"},
	{"TASK.NACK ms", "TASK.PUBLISH K payload;TASK.CONSUME g c K;TASK.NACK K g c $ DELAY #"},
	{"TASK.NACK base_ms", "TASK.PUBLISH K payload 3;TASK.CONSUME g c K;TASK.NACK K g c $ BACKOFF # 9000000000000"},
	{"TASK.NACK max_ms", "TASK.PUBLISH K payload 3;TASK.CONSUME g c K;TASK.NACK K g c $ BACKOFF 1000 #"},
	{"TASK.NACK retries", "TASK.PUBLISH K payload;TASK.CONSUME g c K;TASK.NACK K g c $ MAXRETRIES # DEAD {K}dead"},
	{"TASK.PUBLISH retry_count", "TASK.PUBLISH K payload #"},
	{"TASK.PUBLISH ms", "TASK.PUBLISH K payload 0 DELAY #"},
	{"TASK.PUBLISH unix_ms", "TASK.PUBLISH K payload 0 AT #"},
	{"TASK.PUBLISH ttl_ms", "TASK.PUBLISH K payload 0 UNIQUE id #"},
	{"TASK.PUBLISH expire_ms", "TASK.PUBLISH K payload 0 EXPIRE #"},
	{"TASK.PUBLISH limit", "TASK.PUBLISH K payload 0 LIMIT #"},
	{"TASK.PUBLISH weight", "TASK.PUBLISH K payload 0 KEY key WEIGHT #"},
	{"TASK.PUBLISH count", "TASK.PUBLISH K payload 0 HEADERS # name value"},
	{"TASK.REDRIVE ids", "TASK.PUBLISH K payload;TASK.REDRIVE K IDS # 1-1"},
	{"TASK.REDRIVE count", "TASK.PUBLISH K payload;TASK.REDRIVE K COUNT #"},
	{"TASK.RETRY retry_count", "TASK.RETRY K 1-1 payload # {K}retry {K}dead 3"},
	{"TASK.RETRY max_retries", "TASK.RETRY K 1-1 payload 1 {K}retry {K}dead #"},
	{"TASK.RETRY ms", "TASK.RETRY K 1-1 payload 1 {K}retry {K}dead 3 DELAY #"},
	{"TASK.RETRY base_ms", "TASK.RETRY K 1-1 payload 1 {K}retry {K}dead 3 BACKOFF # 9000000000000"},
	{"TASK.RETRY max_ms", "TASK.RETRY K 1-1 payload 1 {K}retry {K}dead 3 BACKOFF 1000 #"},
}

// numbers are the edges of ranges, and words that are no integers to the server. What is
// nearly the greatest duration is still one, until a second has gone by.
func numbers() []string {
	now := time.Now().UnixMilli()
	all := []string{"", "00", "+1", " 1", "1.0", "1e3", "x", "9223372036854775808", "-9223372036854775809"}
	for _, n := range []int64{
		0, 1, -1, 2, 1000, math.MaxInt16, math.MaxInt32, math.MaxInt32 + 1, math.MaxUint32, math.MaxUint32 + 1,
		1 << 40, 1<<40 + 1, 1<<53 - 1, 1 << 53, 1 << 62, now, math.MaxInt64 - now - 500, math.MaxInt64 - now + 60_000, math.MaxInt64 - 1, math.MaxInt64, math.MinInt64,
	} {
		all = append(all, strconv.FormatInt(n, 10))
	}
	return all
}

var (
	answered = regexp.MustCompile(`delayed-[0-9a-z-]+|\d+-\d+|\d{16}`)
	negative = regexp.MustCompile(`"([a-z_]*_ms)" "?-[3-9]|"([a-z_]*_ms)" "?-\d\d`)
	refusals = []string{"-ERR value is not an integer or out of range", "-ERR invalid expire time in '", "-ERR syntax error", "-QUEUEFULL ", "-ERR wrong number of arguments", "-ERR a fencing token is a positive integer"}
)

// Each number that a command takes is either refused in the server's own words, or it
// works: nothing that was asked for very late happens at once, nothing is told to be due
// in the past, and no timer goes round in circles.
func TestEveryNumberIsRefusedOrWorksAtTheEdgesOfItsRange(t *testing.T) {
	s := holdfasttest.Server(t)
	c := dialCache(t, s.Addr)
	c.wants("OK", "CONFIG SET distlock.max-ttl-ms 1099511627776 cachelock.max-ttl-ms 1099511627776")
	waiting := 0
	for i, e := range edges {
		accepted, refused := 0, 0
		for j, number := range numbers() {
			key := fmt.Sprintf("k%d.%d", i, j)
			reply, waits := e.try(t, c, s, key, number)
			switch {
			case waits:
				accepted++
				waiting++
			case !strings.HasPrefix(reply, "-"):
				accepted++
			case slices.ContainsFunc(refusals, func(r string) bool { return strings.HasPrefix(reply, r) }):
				refused++
			default:
				t.Errorf("%s = %q: %s", e.argument, number, reply)
			}
		}
		if accepted == 0 || refused == 0 {
			t.Errorf("of all numbers for %s %d were accepted and %d refused", e.argument, accepted, refused)
		}
	}
	time.Sleep(time.Second) // a time that was nearly too far away is so now
	for i := range edges {
		for j := range numbers() { // have the module look at each stream again
			c.do("XGROUP CREATE % later 0", fmt.Sprintf("k%d.%d", i, j))
		}
	}
	before := c.cpu()
	time.Sleep(time.Second)
	if used := c.cpu() - before; used > 0.3 {
		t.Errorf("an idle server used %.2f s in a second", used)
	}
	for i := range edges {
		for j := range numbers() {
			key := fmt.Sprintf("k%d.%d", i, j)
			for _, line := range []string{"CACHE.INFO", "LOCK.INFO", "TASK.STATS"} {
				if reply := c.do(line+" %", key); negative.MatchString(reply) {
					t.Errorf("after %s = %q: %s %s", edges[i].argument, numbers()[j], line, reply)
				}
			}
		}
	}
	if _, now, _ := strings.Cut(c.do("INFO clients"), "blocked_clients:"); !strings.HasPrefix(now, fmt.Sprint(waiting, `\r`)) {
		t.Errorf("%d clients should wait, and these do: %.10s", waiting, now)
	}
}

// try sends the lines of an argument and returns the last reply, or whether the client of
// the last line waits for a long time.
func (e edge) try(t *testing.T, c *cacheConn, s *holdfasttest.Instance, key, number string) (reply string, waits bool) {
	t.Helper()
	last := ""
	for _, line := range strings.Split(e.lines, ";") {
		words := strings.Fields(line)
		for i, w := range words {
			switch {
			case w == "#":
				words[i] = number
			case w == "$":
				words[i] = last
			default:
				words[i] = strings.ReplaceAll(strings.ReplaceAll(w, "{K}", "{"+key+"}"), "K", key)
				if strings.ToUpper(w) == w && w != "K" && !strings.Contains(w, "{K}") {
					words[i] = w // a word of the command with a K in it
				}
			}
		}
		if words[0] != "WAIT" {
			reply = c.do(strings.Repeat("% ", len(words)), anys(words)...)
			if found := answered.FindAllString(reply, -1); len(found) > 0 {
				last = found[0]
			}
			continue
		}
		w := dialCache(t, s.Addr)
		id := w.do("CLIENT ID")
		w.send(strings.Repeat("% ", len(words)-1), anys(words[1:])...)
		await(t, "the client to wait or to be answered", func() bool {
			info := c.do("CLIENT LIST ID %", id)
			waits = strings.Contains(info, " flags=b ")
			return waits || strings.Contains(info, "cmd="+strings.ToLower(words[1]))
		})
		n, err := strconv.ParseInt(number, 10, 64)
		if waits && (err != nil || n == 0 || n > 2000 || strings.HasPrefix(e.lines, "WAIT") && strings.Contains(e.lines, " 0 LEASE")) {
			continue
		}
		waits = false
		reply = w.read()
		_ = w.Close()
	}
	return reply, waits
}

func anys(words []string) []any {
	all := make([]any, len(words))
	for i, w := range words {
		all[i] = w
	}
	return all
}

// cpu is the processor time that the server has used, in seconds.
func (c *cacheConn) cpu() (total float64) {
	for _, field := range []string{"used_cpu_user:", "used_cpu_sys:"} {
		_, after, _ := strings.Cut(c.do("INFO cpu"), field)
		number, _, _ := strings.Cut(after, `\r`)
		n, _ := strconv.ParseFloat(number, 64)
		total += n
	}
	return total
}

// Whoever adds a number to a command adds it to the table above.
func TestEveryNumberOfEveryCommandIsTriedAtItsEdges(t *testing.T) {
	text, err := docs.Commands.ReadFile("commands/commands.json")
	if err != nil {
		t.Fatal(err)
	}
	type argument struct {
		Name, Type string
		Arguments  []argument
	}
	var commands map[string]argument
	if err := json.Unmarshal(text, &commands); err != nil {
		t.Fatal(err)
	}
	documented := map[string]bool{}
	var walk func(command string, a argument)
	walk = func(command string, a argument) {
		if a.Type == "integer" || a.Type == "unix-time" {
			documented[command+" "+a.Name] = true
		}
		for _, inner := range a.Arguments {
			walk(command, inner)
		}
	}
	for name, c := range commands {
		walk(name, c)
	}
	tried := map[string]bool{}
	for _, e := range edges {
		tried[e.argument] = true
		if !documented[e.argument] {
			t.Errorf("the table has %s, which is no number of a command", e.argument)
		}
	}
	for name := range documented {
		if !tried[name] {
			t.Errorf("%s is tried at no edge: add it to the table", name)
		}
	}
}
