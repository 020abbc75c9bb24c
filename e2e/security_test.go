package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"holdfast/docs"
	"holdfast/holdfasttest"
)

// touching has each command with each of its options. Words of k and a digit are keys that
// COMMAND GETKEYS tells of; those of o and a digit are keys behind an option, which no key
// spec can declare and the command checks by itself. $ is the last id or token answered.
var touching = []struct{ before, line string }{
	{"CACHE.SET k1 v 60000", "CACHE.DEL k1 k2 k3"},
	{"CACHE.LOCK k1 60000 60000 WITHTOKEN", "CACHE.EXTEND k1 $ 1000"},
	{"CACHE.LOCK k1 60000 60000 WITHTOKEN", "CACHE.FAIL k1 $ down BACKOFF 10"},
	{"", "CACHE.FETCH k1 1000 1000 BLOCK 1 REFRESH 5"},
	{"CACHE.SET k1 v 60000", "CACHE.GET k1"},
	{"", "CACHE.INFO k1"},
	{"", "CACHE.LOADS COUNT 5"},
	{"", "CACHE.LOCK k1 1000 1000 WITHTOKEN"},
	{"CACHE.LOCK k1 60000 60000 WITHTOKEN", "CACHE.SET k1 v 1000 TOKEN $"},
	{"CACHE.LOCK k1 60000 60000 WITHTOKEN", "CACHE.SETNIL k1 1000 TOKEN $"},
	{"CACHE.LOCK k1 60000 60000 WITHTOKEN", "CACHE.UNLOCK k1 $"},

	{"", "LOCK.ACQUIRE k1 me 60000 SHARED BLOCK 1 SESSION META m WITHTOKEN AGAIN ALSO o1 o2"},
	{"", "LOCK.ACQUIRE k1 me 60000 LIMIT 3"},
	{"LOCK.ACQUIRE k1 me 60000", "LOCK.BREAK k1"},
	{"LOCK.ACQUIRE k1 me 60000 WITHTOKEN ALSO o1", "LOCK.EXTEND k1 me 60000 TOKEN $ ALSO o1"},
	{"", "LOCK.FENCE k1 7"},
	{"LOCK.ACQUIRE k1 me 60000", "LOCK.INFO k1"},
	{"", "LOCK.LIST MATCH * CURSOR 0 COUNT 10 OWNER me WITHINFO"},
	{"LOCK.ACQUIRE k1 me 60000 WITHTOKEN ALSO o1", "LOCK.RELEASE k1 me TOKEN $ ALSO o1"},

	{"TASK.PUBLISH k1 p;TASK.CONSUME g c k1", "TASK.ACK k1 g $ CONSUMER c"},
	{"TASK.PUBLISH k1 p DELAY 60000", "TASK.CANCEL k1 $"},
	{"TASK.PUBLISH o2 p;TASK.CONSUME g d o2", "TASK.CONSUME g c k1 5 1 LEASE 1 MAXDELIVERIES 1 DEAD o1 RESUME ALSO 1 o2"},
	{"TASK.PUBLISH k1 p;TASK.CONSUME g c k1", "TASK.EXTEND k1 g c $"},
	{"TASK.PUBLISH k1 p;TASK.CONSUME g c k1", "TASK.FORGET k1 g c"},
	{"TASK.PUBLISH k1 p KEY a", "TASK.KEYS k1 LIMIT 1 RATE 5 PER 1000 ALL ORDERED"},
	{"", "TASK.KEYS k1 SHARE 3"},
	{"TASK.KEYS k1 LIMIT 2", "TASK.KEYS k1 NONE"},
	{"TASK.KEYS k1 LIMIT 2", "TASK.KEYS k1 COUNT 5"},
	{"", "TASK.LIST MATCH * CURSOR 0 COUNT 10 WITHSTATS"},
	{"", "TASK.MPUBLISH k1 a b"},
	{"TASK.PUBLISH k1 p;TASK.CONSUME g c k1", "TASK.NACK k1 g c $ DELAY 1000 REASON why NOCOUNT TO o1"},
	{"TASK.PUBLISH k1 p;TASK.CONSUME g c k1", "TASK.NACK k1 g c $ BACKOFF 10 20 MAXRETRIES 0 DEAD o1"},
	{"", "TASK.PAUSE k1"},
	{"TASK.PUBLISH k1 p;TASK.CONSUME g c k1", "TASK.PENDING k1 g CONSUMER c CURSOR 0 COUNT 5"},
	{"", "TASK.PUBLISH k1 p 0 DELAY 60000 UNIQUE u 60000 UNTIL DONE EXPIRE 1000 LIMIT 9 HEADERS 1 a b WITHSTATUS"},
	{"", "TASK.PUBLISH k1 p 0 AT 4000000000000"},
	{"TASK.KEYS k1 LIMIT 1", "TASK.PUBLISH k1 p KEY a WEIGHT 2"},
	{"XADD k1 * payload p retry_count 0", "TASK.REDRIVE k1 IDS 1 $ TO o1 PAYLOAD q"},
	{"XADD k1 * payload p retry_count 0", "TASK.REDRIVE k1 COUNT 5 TO o1"},
	{"", "TASK.RESUME k1"},
	{"TASK.PUBLISH k1 p;TASK.CONSUME g c k1", "TASK.RETRY k1 $ p 0 k2 k3 3 GROUP g CONSUMER c DELAY 60000 REASON r WITHID"},
	{"", "TASK.RETRY k1 1-1 p 3 k2 k3 3 BACKOFF 10 20"},
	{"TASK.PUBLISH k1 p", "TASK.STATS k1"},
}

// keysIn are the words of a line that are keys: those declared, and those behind options.
func keysIn(line string) (declared, optional []string) {
	for _, w := range strings.Fields(line) {
		if len(w) == 2 && w[1] >= '0' && w[1] <= '9' {
			switch w[0] {
			case 'k':
				declared = append(declared, w)
			case 'o':
				optional = append(optional, w)
			}
		}
	}
	return declared, optional
}

// A user may run a command exactly if its key patterns allow all the keys that the command
// is given, and a command changes no other key than these and what belongs to a stream.
func TestACommandTouchesTheKeysThatItWasGivenAndTheUserMayUse(t *testing.T) {
	s := holdfasttest.Server(t)
	admin := dialCache(t, s.Addr)
	events := dialCache(t, s.Addr)
	events.do("PSUBSCRIBE __keyspace@0__:*")
	admin.wants("OK", "CONFIG SET notify-keyspace-events KEA")
	for _, c := range touching {
		declared, optional := keysIn(c.line)
		if len(declared) > 0 {
			want := `["` + strings.Join(declared, `" "`) + `"]`
			admin.wants(want, "COMMAND GETKEYS "+c.line)
		}
		keys := append(declared, optional...)
		for missing := -1; missing < len(keys); missing++ {
			admin.wants("OK", "FLUSHALL")
			line := c.line
			for _, before := range strings.Split(c.before, ";") {
				if before != "" {
					found := answered.FindAllString(admin.do(before), -1)
					if len(found) > 0 {
						line = strings.Replace(c.line, "$", found[len(found)-1], 1)
					}
				}
			}
			rules := "ACL SETUSER worker reset on >secret +@all"
			for i, k := range keys {
				if i != missing {
					rules += " ~" + k
				}
			}
			admin.wants("OK", rules)
			worker := dialCache(t, s.Addr)
			worker.wants("OK", "AUTH worker secret")
			before := admin.do("DEBUG DIGEST")
			admin.do("PUBLISH __keyspace@0__:begin begin")
			reply := worker.do(line)
			_ = worker.Close()
			admin.do("PUBLISH __keyspace@0__:end end")
			if missing >= 0 {
				if !strings.HasPrefix(reply, "-NOPERM") {
					t.Errorf("%s without %s: %s", line, keys[missing], reply)
				}
				if after := admin.do("DEBUG DIGEST"); after != before {
					t.Errorf("%s without %s changed something", line, keys[missing])
				}
			} else if strings.HasPrefix(reply, "-") {
				t.Errorf("%s: %s", line, reply)
			}
			for _, key := range events.keysBetween() {
				if !slices.ContainsFunc(keys, func(k string) bool { return key == k || strings.HasPrefix(key, "{"+k+"}:") }) {
					t.Errorf("%s touched %s", line, key)
				}
			}
		}
	}
}

// keysBetween are the keys of the events between two markers.
func (c *cacheConn) keysBetween() (keys []string) {
	c.t.Helper()
	for inside := false; ; {
		_, key, _ := strings.Cut(c.read(), "__keyspace@0__:*\" \"__keyspace@0__:")
		key, event, _ := strings.Cut(key, `" "`)
		switch {
		case key == "begin":
			inside = true
		case key == "end":
			return keys
		case inside && !strings.HasPrefix(event, "expire"):
			keys = append(keys, key)
		}
	}
}

// Whoever adds an option adds it to the table above.
func TestEveryOptionOfEveryCommandIsTriedForItsKeys(t *testing.T) {
	text, err := docs.Commands.ReadFile("commands/commands.json")
	if err != nil {
		t.Fatal(err)
	}
	type argument struct {
		Token     string
		Arguments []argument
	}
	var commands map[string]argument
	if err := json.Unmarshal(text, &commands); err != nil {
		t.Fatal(err)
	}
	for name, command := range commands {
		lines := ""
		for _, c := range touching {
			if strings.HasPrefix(c.line, name+" ") {
				lines += c.line + " "
			}
		}
		var walk func(a argument)
		walk = func(a argument) {
			if !strings.Contains(lines, " "+a.Token) {
				t.Errorf("%s %s is not tried", name, a.Token)
			}
			for _, inner := range a.Arguments {
				walk(inner)
			}
		}
		walk(command)
	}
}

// Lists tell a user of the keys alone that it may read.
func TestNoListTellsOfAKeyThatTheUserMayNotRead(t *testing.T) {
	s := holdfasttest.Server(t)
	admin := dialCache(t, s.Addr)
	admin.wants("OK", "ACL SETUSER worker reset on >secret +@all ~mine*")
	for _, name := range []string{"mine", "hidden"} {
		admin.wants("1", "LOCK.ACQUIRE % someone 60000", name+":lock")
		admin.do("TASK.PUBLISH % payload", name+":queue")
		admin.loads("CACHE.FETCH % 60000 60000", name+":key")
		dialCache(t, s.Addr).send("LOCK.ACQUIRE % waiter 60000 BLOCK 0", name+":lock")
		dialCache(t, s.Addr).send("CACHE.FETCH % 1000 1000 BLOCK 0", name+":key")
	}
	// One waits for a lock that nobody holds any more, but for another.
	admin.wants("1", "LOCK.ACQUIRE hidden:first someone 60000")
	dialCache(t, s.Addr).send("LOCK.ACQUIRE hidden:first both 60000 BLOCK 0 ALSO hidden:second")
	await(t, "all to wait", func() bool { return strings.Contains(admin.do("INFO clients"), "blocked_clients:5") })
	worker := dialCache(t, s.Addr)
	worker.wants("OK", "AUTH worker secret")
	for _, line := range []string{
		"LOCK.LIST COUNT 1000", "LOCK.LIST COUNT 1000 WITHINFO", "LOCK.LIST COUNT 1000 OWNER someone", "LOCK.LIST OWNER both",
		"TASK.LIST COUNT 1000", "TASK.LIST COUNT 1000 WITHSTATS", "CACHE.LOADS",
	} {
		all, some := admin.do(line), worker.do(line)
		if !strings.Contains(all, "hidden:") {
			t.Errorf("%s hides keys from everybody: %s", line, all)
		}
		if strings.Contains(some, "hidden:") || strings.Contains(all, "mine:") != strings.Contains(some, "mine:") {
			t.Errorf("%s answers a user of mine* %s", line, some)
		}
	}
}

// A user without @dangerous may do everything but take locks away from their holders.
func TestWhatTakesLocksAwayIsDangerous(t *testing.T) {
	s := holdfasttest.Server(t)
	admin := dialCache(t, s.Addr)
	if strings.Contains(admin.do("INFO server"), "redis_version:7.0.") {
		t.Skip("Redis 7.0 puts no command of a module into a category")
	}
	admin.wants("OK", "ACL SETUSER worker reset on >secret ~* +@all -@dangerous")
	worker := dialCache(t, s.Addr)
	worker.wants("OK", "AUTH worker secret")
	for _, c := range touching {
		refused := strings.HasPrefix(worker.do(c.line), "-NOPERM")
		if refused != strings.HasPrefix(c.line, "LOCK.BREAK") {
			t.Errorf("without @dangerous %s is refused: %v", c.line, refused)
		}
	}
}

// Owners, payloads, values and passwords stand in no log and in no INFO, whatever was
// refused.
func TestNoLogTellsASecret(t *testing.T) {
	const secret = "hush-hush"
	s := holdfasttest.Server(t, holdfasttest.WithArgs("--loglevel", "debug", "--requirepass", secret+"-password"))
	c := dialCache(t, s.Addr)
	c.wants("OK", "AUTH %", secret+"-password")
	for _, t := range touching {
		for _, before := range strings.Split(t.before, ";") {
			if before != "" {
				c.do(before)
			}
		}
		words := strings.Fields(t.line)
		c.do(t.line)
		for i := 1; i < len(words); i++ { // each argument in turn is a secret, of the wrong form mostly
			spoilt := slices.Clone(words)
			spoilt[i] = fmt.Sprintf("%s-%d", secret, i)
			c.do(strings.Join(spoilt, " "))
		}
	}
	for _, line := range []string{
		"LOCK.ACQUIRE l % 1 META %", "CACHE.SET k % 1", "TASK.PUBLISH s % 0 DELAY 1 UNIQUE % 1 HEADERS 1 % %",
		"TASK.CONSUME g % s 5 5 LEASE 1", "TASK.CONSUME g % s 5 5 LEASE 1", "TASK.FORGET s g %",
	} {
		c.do(line, secret, secret, secret, secret)
	}
	info := c.do("INFO everything")
	_ = c.Close()
	if s.Stop(); strings.Contains(s.Log(), secret) || strings.Contains(info, secret) {
		t.Errorf("a secret is told:\n%s\n%s", grep(s.Log(), secret), grep(info, secret))
	}
}

// grep are the lines of a text that have a word.
func grep(text, word string) string {
	var lines []string
	for line := range strings.Lines(text) {
		if strings.Contains(line, word) {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}
