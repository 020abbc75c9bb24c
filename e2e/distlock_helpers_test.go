package e2e

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"holdfast/holdfasttest"
	"holdfast/internal/redisserver"
)

// lockPatience bounds every wait of the lock tests. It decides nothing: a test
// that needs it has failed.
const lockPatience = 30 * time.Second

// locks is a server with distlock alone, and a bare connection to it.
type locks struct {
	*holdfasttest.Instance
	*cacheConn
}

func lockServer(t testing.TB, options ...holdfasttest.Option) *locks {
	t.Helper()
	s := holdfasttest.Server(t, append([]holdfasttest.Option{
		onlyDistlock(t), holdfasttest.WithArgs("--repl-diskless-sync-delay", "0"),
	}, options...)...)
	return &locks{s, dialCache(t, s.Addr)}
}

func onlyDistlock(t testing.TB, args ...string) holdfasttest.Option {
	t.Helper()
	all, err := redisserver.Modules()
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(all, func(path string) bool { return filepath.Base(path) == "distlock.so" })
	return holdfasttest.WithModules(strings.Join(append([]string{all[i]}, args...), " "))
}

// redial connects again, after a restart.
func (l *locks) redial() { l.cacheConn = dialCache(l.t, l.Addr) }

func (l *locks) another() *cacheConn { return dialCache(l.t, l.Addr) }

// number is a number of an INFO section, 0 where it is not mentioned.
func (l *locks) number(section, field string) int64 {
	l.t.Helper()
	text, _ := strconv.Unquote(l.do("INFO %", section))
	for _, line := range strings.Split(text, "\r\n") {
		if v, ok := strings.CutPrefix(line, field+":"); ok {
			n, _ := strconv.ParseInt(v, 10, 64)
			return n
		}
	}
	return 0
}

// info is a number of INFO distlock.
func (l *locks) info(field string) int64 {
	l.t.Helper()
	return l.number("distlock", "distlock_"+field)
}

// until waits for something to become what it must.
func (l *locks) until(what string, want int64, get func() int64) {
	l.t.Helper()
	for end := time.Now().Add(lockPatience); ; time.Sleep(time.Millisecond) {
		got := get()
		if got == want {
			return
		}
		if time.Now().After(end) {
			l.t.Fatalf("%s: %d, want %d, even after %v", what, got, want, lockPatience)
		}
	}
}

// waiting waits until so many stand in all the queues.
func (l *locks) waiting(n int64) {
	l.t.Helper()
	l.until("waiting", n, func() int64 { return l.info("waiting") })
}

// lockWaiter is a connection that waits, and its number.
type lockWaiter struct {
	*cacheConn
	id string
}

// park makes a new connection wait with this command, which must not be answered at once.
func (l *locks) park(line string, args ...any) lockWaiter {
	l.t.Helper()
	c := l.another()
	return l.parkOn(c, line, args...)
}

func (l *locks) parkOn(c *cacheConn, line string, args ...any) lockWaiter {
	l.t.Helper()
	w, waits := l.ask(c, line, args...)
	if !waits {
		l.t.Fatalf("%s %v was answered at once", line, args)
	}
	return w
}

// ask sends a command, and tells whether it waits once the server has it.
func (l *locks) ask(c *cacheConn, line string, args ...any) (w lockWaiter, waits bool) {
	l.t.Helper()
	w = lockWaiter{c, c.do("CLIENT ID")}
	c.send(line, args...)
	name, _, _ := strings.Cut(strings.ToLower(line), " ")
	await(l.t, "the server to have the command", func() bool {
		client := l.do("CLIENT LIST ID %", w.id)
		waits = strings.Contains(client, " flags=b ")
		return waits || strings.Contains(client, " cmd="+name)
	})
	return w, waits
}

// owners are the lock's holders as the keyspace has them: the owner behind the
// numbers of a string, or the fields of a hash.
func (l *locks) owners(name string) string {
	l.t.Helper()
	if l.do("TYPE %", name) != "string" {
		return l.do("HKEYS %", name)
	}
	text, _ := strconv.Unquote(l.do("GET %", name))
	words := strings.SplitN(text, " ", 4)
	return fmt.Sprintf("[%q]", words[len(words)-1])
}

// inBothForms runs a test with locks that are strings, and with such as have a
// META text and are hashes: the test puts form behind each LOCK.ACQUIRE.
func inBothForms(t *testing.T, test func(t *testing.T, form string)) {
	for name, form := range map[string]string{"string": "", "hash": " META m"} {
		t.Run(name, func(t *testing.T) { test(t, form) })
	}
}

// nothingLeft checks that no waiter, handle or timer is left over: the server
// would refuse to unload the module.
func (l *locks) nothingLeft() {
	l.t.Helper()
	l.waiting(0)
	l.until("blocked clients", 0, func() int64 { return l.number("clients", "blocked_clients") })
	l.unload()
}

// unload unloads the module; a timer that is armed fires within a moment.
func (l *locks) unload() {
	l.t.Helper()
	var got string
	for end := time.Now().Add(lockPatience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if got = l.do("MODULE UNLOAD distlock"); got == "OK" {
			return
		}
		if !strings.Contains(got, "timer") {
			break
		}
	}
	l.t.Fatalf("MODULE UNLOAD: %s", got)
}

// pipeline sends commands at once, and reads as many replies.
func (c *cacheConn) pipelined(lines ...string) (replies []string) {
	c.t.Helper()
	for _, line := range lines {
		c.send(line)
	}
	for range lines {
		replies = append(replies, c.read())
	}
	return replies
}
