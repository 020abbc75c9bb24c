package e2e

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/docs"
	"holdfast/holdfasttest"
)

// Whatever is sent, plainly, in MULTI, from scripts and functions, in RESP2 and RESP3, each
// command gets an error or a reply, the server lives, a replica that has no modules ends
// with the same data, and so does a restart from the append-only file after kill -9.
func TestMalformedCommandsAreAnsweredAndHarmNothing(t *testing.T) {
	total := 100_000
	if testing.Short() {
		total = 5_000
	}
	sendGarbage(t, seeded(t), total)
}

func sendGarbage(t *testing.T, seed uint64, total int) tally {
	s := holdfasttest.Server(t, holdfasttest.WithArgs("--appendonly", "yes", "--appendfsync", "always",
		"--auto-aof-rewrite-percentage", "0", "--hz", "100"))
	replica := holdfasttest.Server(t, holdfasttest.WithModules(), holdfasttest.WithArgs("--replicaof", "127.0.0.1 "+strconv.Itoa(s.Port)))
	c, rc := s.Client(), replica.Client()
	awaitLink(t, rc)
	g := newGarbage(t, c)
	for _, line := range []string{"SET string v", "HSET hash f v", "LPUSH list v", "SADD set v", "ZADD zset 1 v", "XADD stream 1-1 f v"} {
		args := []any{}
		for _, f := range strings.Fields(line) {
			args = append(args, f)
		}
		if err := c.Do(ctx, args...).Err(); err != nil {
			t.Fatal(err)
		}
	}

	const library = "#!lua name=any\nredis.register_function('any', function(keys, args) return redis.pcall(unpack(args)) end)"
	if err := c.Do(ctx, "FUNCTION", "LOAD", library).Err(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 4)
	for w := range 4 {
		go func() { done <- g.worker(s.Addr, w%2 == 1, rand.New(rand.NewPCG(seed, uint64(w))), total/4) }()
	}
	// Meanwhile snapshots are taken, and whoever waits is sent on.
	stop := make(chan struct{})
	go func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			unblockAll(c)
			switch i % 200 {
			case 50:
				c.Do(ctx, "BGSAVE", "SCHEDULE")
			case 150:
				c.Do(ctx, "BGREWRITEAOF")
			}
		}
	}()
	for range 4 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	close(stop)
	if t.Failed() {
		return tally{}
	}
	unblockAll(c)
	awaitSaved(t, c)
	persistAll(t, c)
	digest := awaitSameDigest(t, c, rc)
	if err := c.Do(ctx, "DEBUG", "RELOAD").Err(); err != nil {
		t.Fatal(err)
	}
	if got := c.Do(ctx, "DEBUG", "DIGEST").Val(); got != digest {
		digest = awaitSameDigest(t, c, rc) // a delayed task came due meanwhile
	}
	s.Kill()
	s.Restart()
	if got := c.Do(ctx, "DEBUG", "DIGEST").Val(); got != digest {
		t.Errorf("digest after kill -9 and restart %v, before %v", got, digest)
	}
	return tally{operations: total, kills: 1, histories: 1}
}

var ctx = context.Background()

// garbage makes commands of the modules that are right now and then.
type garbage struct {
	commands []string
	words    []string
}

func newGarbage(t *testing.T, c *redis.Client) *garbage {
	g := &garbage{words: []string{"", "\x00\xff", "a b", strings.Repeat("x", 300), "*", "{tag}k", "{", "}{",
		"0", "1", "2", "3", "5", "100000", "-1", "00", "+1", "1.5", "9223372036854775807", "9223372036854775808",
		"-9223372036854775808", "1e3", "nan", "0-0", "1-1", "99999999999999-1", "$", ">",
		"string", "hash", "list", "set", "zset", "stream", "lock", "queue", "queue2", "{q}1", "{q}2", "none", "nil",
		"owner", "owner2", "group", "consumer", "block"}}
	g.words = append(g.words, options(t)...)
	for _, m := range []string{"cachelock", "taskqueue", "distlock"} {
		names, err := c.Do(ctx, "COMMAND", "LIST", "FILTERBY", "MODULE", m).StringSlice()
		if err != nil || len(names) == 0 {
			t.Fatal(m, names, err)
		}
		g.commands = append(g.commands, names...)
	}
	return g
}

// options are the words that stand before the optional arguments of the commands.
func options(t *testing.T) (words []string) {
	text, err := docs.Commands.ReadFile("commands/commands.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, found := range regexp.MustCompile(`"token": "([^"]+)"`).FindAllStringSubmatch(string(text), -1) {
		words = append(words, strings.Fields(found[1])...)
	}
	slices.Sort(words)
	if words = slices.Compact(words); len(words) < 30 {
		t.Fatal(words)
	}
	return words
}

func (g *garbage) command(r *rand.Rand) []string {
	cmd := []string{g.commands[r.IntN(len(g.commands))]}
	for n := r.IntN(11); n > 0; n-- {
		cmd = append(cmd, g.words[r.IntN(len(g.words))])
	}
	return cmd
}

// likely makes a command that tends to be accepted.
func (g *garbage) likely(r *rand.Rand) []string {
	key := []string{"lock", "queue", "{q}1", "{q}2", "none", "nil", "hash"}[r.IntN(7)]
	owner := []string{"owner", "owner2"}[r.IntN(2)]
	ms := []string{"1", "20", "100000"}[r.IntN(3)]
	templates := []string{
		"LOCK.ACQUIRE K O M", "LOCK.ACQUIRE K O M BLOCK 1", "LOCK.ACQUIRE K O M SHARED", "LOCK.ACQUIRE K O M LIMIT 2 SESSION WITHTOKEN",
		"LOCK.EXTEND K O M", "LOCK.RELEASE K O", "LOCK.INFO K", "LOCK.LIST", "LOCK.BREAK K", "LOCK.FENCE g 5",
		"CACHE.LOCK K M M", "CACHE.LOCK K M M WITHTOKEN", "CACHE.SET K v M", "CACHE.GET K", "CACHE.FETCH K M M BLOCK 1", "CACHE.FETCH K M M REFRESH 50",
		"CACHE.EXTEND K 1 M", "CACHE.UNLOCK K 1", "CACHE.FAIL K 1 no", "CACHE.SETNIL K M", "CACHE.DEL K", "CACHE.INFO K",
		"TASK.PUBLISH K p", "TASK.PUBLISH K p 1 DELAY 1", "TASK.PUBLISH K p 0 UNIQUE u M", "TASK.PUBLISH K p 0 HEADERS 1 a b", "TASK.PUBLISH K p 0 LIMIT 3",
		"TASK.MPUBLISH K a b c", "TASK.CONSUME group O K", "TASK.CONSUME group O K 2 1", "TASK.CONSUME group O K 2 1 LEASE 1",
		"TASK.CONSUME group O {q}1 5 1 LEASE 1 MAXDELIVERIES 2 DEAD {q}2", "TASK.ACK K group 1-1", "TASK.RETRY K 1-1 p 0 K K 3",
		"TASK.NACK K group O 1-1", "TASK.EXTEND K group O 1-1", "TASK.REDRIVE K", "TASK.CANCEL K delayed-1",
		"TASK.PUBLISH K p EXPIRE 1", "TASK.PUBLISH K p UNIQUE w M UNTIL DONE WITHSTATUS", "TASK.NACK K group O 1-1 NOCOUNT TO K", "TASK.REDRIVE K IDS 1 1-1 PAYLOAD r", "TASK.CANCEL K 1-1 2-2 1-1", "TASK.PAUSE K", "TASK.RESUME K",
		"TASK.PUBLISH K p KEY a WEIGHT 3", "TASK.PUBLISH K p 0 KEY a EXPIRE 1", "TASK.KEYS K LIMIT 1", "TASK.KEYS K SHARE 1 RATE 3 PER 1 ALL", "TASK.KEYS K ORDERED", "TASK.KEYS K NONE", "TASK.KEYS K", "TASK.CANCEL K held-1-a",
		"TASK.STATS K", "TASK.FORGET K group O",
		"DEL K", "SET K v", "HSET K f v", "RENAME K none", "XADD K * f v", "LPUSH K v", "FLUSHDB",
	}
	words := strings.Fields(templates[r.IntN(len(templates))])
	for i, w := range words {
		switch w {
		case "K":
			words[i] = key
		case "O":
			words[i] = owner
		case "M":
			words[i] = ms
		}
	}
	if r.IntN(4) == 0 { // spoil one word
		words[r.IntN(len(words))] = g.words[r.IntN(len(g.words))]
	}
	return words
}

// worker sends n commands and reads a reply for each. Some go in MULTI, some in scripts
// and functions.
func (g *garbage) worker(addr string, resp3 bool, r *rand.Rand, n int) error {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	in, out := bufio.NewReader(conn), bufio.NewWriter(conn)
	if resp3 {
		writeCommand(out, "HELLO", "3")
		_ = out.Flush()
		if err := skipReply(in); err != nil {
			return err
		}
	}
	const batch = 50
	for sent := 0; sent < n; sent += batch {
		replies := 0
		var last []string
		for range batch {
			last = g.command(r)
			if r.IntN(2) == 0 {
				last = g.likely(r)
			}
			replies++
			switch r.IntN(6) {
			case 0, 1:
				writeCommand(out, "MULTI")
				writeCommand(out, last...)
				writeCommand(out, "EXEC")
				replies += 2
			case 2:
				writeCommand(out, append([]string{"EVAL", "return redis.pcall(unpack(ARGV))", "0"}, last...)...)
			case 3:
				writeCommand(out, append([]string{"FCALL", "any", "0"}, last...)...)
			default:
				writeCommand(out, last...)
			}
		}
		if err := out.Flush(); err != nil {
			return err
		}
		_ = conn.SetReadDeadline(time.Now().Add(60 * time.Second))
		for range replies {
			if err := skipReply(in); err != nil {
				return fmt.Errorf("no reply in the batch that ends with %q: %w", last, err)
			}
		}
	}
	return nil
}

func writeCommand(w *bufio.Writer, args ...string) {
	fmt.Fprintf(w, "*%d\r\n", len(args))
	for _, a := range args {
		fmt.Fprintf(w, "$%d\r\n%s\r\n", len(a), a)
	}
}

// skipReply reads one whole reply.
func skipReply(r *bufio.Reader) error {
	line, err := r.ReadString('\n')
	if err != nil {
		return err
	}
	if len(line) < 3 || !strings.HasSuffix(line, "\r\n") {
		return fmt.Errorf("a broken reply line %q", line)
	}
	n, _ := strconv.Atoi(line[1 : len(line)-2])
	switch line[0] {
	case '+', '-', ':', '_', '#', ',', '(':
		return nil
	case '$', '=', '!':
		if n < 0 {
			return nil
		}
		body := make([]byte, n+2)
		for got := 0; got < len(body); {
			k, err := r.Read(body[got:])
			if err != nil {
				return err
			}
			got += k
		}
		if string(body[n:]) != "\r\n" {
			return fmt.Errorf("a bulk of %d bytes that does not end there", n)
		}
		return nil
	case '*', '~', '%':
		if line[0] == '%' {
			n *= 2
		}
		for range max(n, 0) {
			if err := skipReply(r); err != nil {
				return err
			}
		}
		return nil
	}
	return fmt.Errorf("no reply begins like %q", line)
}

// unblockAll ends the wait of every client that waits.
func unblockAll(c *redis.Client) {
	for line := range strings.Lines(c.ClientList(ctx).Val()) {
		if !strings.Contains(line, " flags=b ") {
			continue
		}
		id, _, _ := strings.Cut(strings.TrimPrefix(line, "id="), " ")
		c.Do(ctx, "CLIENT", "UNBLOCK", id, "ERROR")
	}
}

func awaitLink(t *testing.T, replica *redis.Client) {
	t.Helper()
	await(t, "the replica to be in step", func() bool {
		return strings.Contains(replica.Info(ctx, "replication").Val(), "master_link_status:up")
	})
}

// await asks until it is so, for half a minute at most.
func await(t testing.TB, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !so(); {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func awaitSaved(t *testing.T, c *redis.Client) {
	t.Helper()
	await(t, "saves to end", func() bool {
		info := c.Info(ctx, "persistence").Val()
		return strings.Contains(info, "rdb_bgsave_in_progress:0") && strings.Contains(info, "aof_rewrite_in_progress:0") &&
			strings.Contains(info, "aof_rewrite_scheduled:0")
	})
	info := c.Info(ctx, "persistence").Val()
	if !strings.Contains(info, "rdb_last_bgsave_status:ok") || !strings.Contains(info, "aof_last_bgrewrite_status:ok") {
		t.Errorf("a save failed:\n%s", info)
	}
}

// persistAll makes every key last, so that what follows sees no expiry. Those whose
// time is over already must be deleted first: DEBUG RELOAD leaves them out, and tells
// no replica.
func persistAll(t *testing.T, c *redis.Client) {
	t.Helper()
	for db := range 2 {
		conn := c.Conn()
		conn.Select(ctx, db)
		keys, err := conn.Keys(ctx, "*").Result()
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range keys {
			conn.Persist(ctx, k)
		}
		conn.Select(ctx, 0)
		_ = conn.Close()
	}
	await(t, "keys that expired to be deleted", func() bool {
		for line := range strings.Lines(c.Info(ctx, "keyspace").Val()) {
			if strings.HasPrefix(line, "db") && !strings.Contains(line, ",expires=0,") {
				return false
			}
		}
		return true
	})
}

func awaitSameDigest(t *testing.T, a, b *redis.Client) any {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; {
		digest := a.Do(ctx, "DEBUG", "DIGEST").Val()
		if digest != nil && b.Do(ctx, "DEBUG", "DIGEST").Val() == digest {
			return digest
		}
		if time.Now().After(deadline) {
			t.Fatalf("replica and primary differ:\n%s", differences(a, b))
		}
	}
}

// differences tells which keys are not the same on two servers.
func differences(a, b *redis.Client) string {
	var out strings.Builder
	for db := range 2 {
		ca, cb := a.Conn(), b.Conn()
		ca.Select(ctx, db)
		cb.Select(ctx, db)
		keys := map[string]bool{}
		for _, c := range []*redis.Conn{ca, cb} {
			for _, k := range c.Keys(ctx, "*").Val() {
				keys[k] = true
			}
		}
		for k := range keys {
			show := func(c *redis.Conn) string {
				value := fmt.Sprint(c.Type(ctx, k).Val(), " ", c.Do(ctx, "PEXPIRETIME", k).Val(), " ", c.Do(ctx, "DEBUG", "DIGEST-VALUE", k).Val())
				switch c.Type(ctx, k).Val() {
				case "hash":
					value += fmt.Sprint(c.HGetAll(ctx, k).Val())
				case "zset":
					value += fmt.Sprint(c.ZRangeWithScores(ctx, k, 0, -1).Val())
				case "stream":
					value += fmt.Sprint(c.XInfoStreamFull(ctx, k, 3).Val())
				}
				return value
			}
			if x, y := show(ca), show(cb); x != y {
				fmt.Fprintf(&out, "db %d %q\n  %.600s\n  %.600s\n", db, k, x, y)
			}
		}
		ca.Select(ctx, 0)
		cb.Select(ctx, 0)
		_, _ = ca.Close(), cb.Close()
	}
	return out.String()
}
