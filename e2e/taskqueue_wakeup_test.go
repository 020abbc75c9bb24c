package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"

	"holdfast/holdfasttest"
)

// Whatever is done to two streams in which consumers wait, and whoever does it:
// a moment later nothing lies there that one of them could have.
func TestNobodyWaitsWhileThereIsSomethingToTake(t *testing.T) {
	seed := seeded(t)
	chance := rand.New(rand.NewPCG(seed, 2))
	s := taskServer(t, holdfasttest.WithArgs("--enable-debug-command", "yes"))
	q := tasksOn(t, s)
	one := q.db(1)
	ctx, stop := context.WithCancel(context.Background())
	var world sync.WaitGroup
	t.Cleanup(func() { stop(); world.Wait() })
	for i, options := range []string{"s 1 0", "s 2 0", "s 1 0 LEASE 3600000", "s 3 0 ALSO 1 t", "t 1 0", "t 2 0 ALSO 1 s LEASE 3600000"} {
		world.Go(func() { consumeForEver(ctx, s.Addr, fmt.Sprint("c", i), options) })
	}
	steps := [][]string{
		{"TASK.PUBLISH @s x"}, {"XADD @s * payload x"}, {"TASK.MPUBLISH @s 1 2 3 4 5 6 7"}, {"TASK.PUBLISH @s x DELAY 3"},
		{"MULTI", "XADD @s * payload x", "TASK.PUBLISH @s y", "TASK.CONSUME g outsider @s 1 0", "EXEC"},
		{"EVAL for_i=1,3_do_redis.call('XADD',KEYS[1],'*','payload',i)end 1 @s"},
		{"DEL @s", "XADD @s * payload x"}, {"DEL @s"}, {"FLUSHDB", "TASK.PUBLISH @s x"}, {"XGROUP DESTROY @s g", "TASK.PUBLISH @s x"},
		{"XADD o * payload x", "RENAME o @s"}, {"XADD o * payload x", "COPY o @s REPLACE"},
		{"XADD @s * payload x", "XGROUP SETID @s g 0"}, {"SWAPDB 0 1", "TASK.PUBLISH @s x", "SWAPDB 0 1"}, {"DEBUG RELOAD", "XADD @s * payload x"},
		{"TASK.PAUSE @s", "TASK.PUBLISH @s x", "XADD @s * payload x", "TASK.RESUME @s"},
		{"XADD dead * payload x origin_stream @s", "TASK.REDRIVE dead"}, {"TASK.RETRY @t 1-1 p 0 @s dead 3"}, {"TASK.RETRY @t 1-1 p 9 @t @s 3"},
		{"TASK.FORGET @s g c1"}, {"KILL", "TASK.PUBLISH @s x"}, {"MULTI", "TASK.PUBLISH @s x", "KILL", "EXEC"}, {"UNBLOCK", "XADD @s * payload x"},
		{"CLIENT PAUSE 5 WRITE", "TASK.PUBLISH @s x DELAY 1"}, {"SET @s text", "DEL @s", "TASK.PUBLISH @s x"},
		{"XADD @s * payload x", "XDEL @s 1-1", "XTRIM @s MAXLEN 1"},
	}
	for range 300 {
		step := steps[chance.IntN(len(steps))]
		names := []string{"s", "t"}
		if chance.IntN(2) == 0 {
			names = []string{"t", "s"}
		}
		doStep(q, step, strings.NewReplacer("@s", names[0], "@t", names[1]))
		if chance.IntN(8) == 0 { // from another database
			one.do("XADD % * payload moved", "m"+names[0])
			q.do("DEL %", "m"+names[0])
			one.do("MOVE % 0", "m"+names[0])
			_, _ = q.try("RENAME % %", "m"+names[0], names[0])
		}
		for _, stream := range names {
			q.until(0, func() int64 { return readyIn(q, stream) })
		}
		if t.Failed() {
			t.Fatalf("after %q in %s", step, names[0])
		}
	}
}

// consumeForEver takes tasks and acknowledges every other one.
func consumeForEver(ctx context.Context, addr, name, options string) {
	c := redis.NewClient(&redis.Options{Addr: addr, MaxRetries: -1, DisableIdentity: true})
	defer c.Close()
	for ctx.Err() == nil {
		v, _ := c.Do(ctx, taskLine("TASK.CONSUME g "+name+" "+options)...).Result()
		for i, task := range tasksIn(v) {
			if i%2 == 0 {
				_ = c.Do(ctx, "TASK.ACK", task.stream, "g", task.id).Err()
			}
		}
	}
}

// doStep does the lines one after another, in a transaction from MULTI to EXEC.
// KILL and UNBLOCK are of a client that waits.
func doStep(q *tasks, lines []string, names *strings.Replacer) {
	pipe := q.Pipeline()
	for _, line := range lines {
		switch line {
		case "MULTI":
			pipe = q.TxPipeline()
			continue
		case "EXEC":
			continue
		case "KILL", "UNBLOCK":
			args := []any{"CLIENT", "KILL", "ID"}
			if line == "UNBLOCK" {
				args = []any{"CLIENT", "UNBLOCK"}
			}
			for _, l := range strings.Split(q.do("CLIENT LIST").(string), "\n") {
				if strings.Contains(l, "flags=b") {
					id, _, _ := strings.Cut(strings.TrimPrefix(l, "id="), " ")
					pipe.Do(q.ctx, append(args, id)...)
					break
				}
			}
			continue
		}
		command, rest, _ := strings.Cut(line, " ")
		args := taskLine(names.Replace(rest))
		for i, a := range args {
			args[i] = strings.ReplaceAll(a.(string), "_", " ")
		}
		pipe.Do(q.ctx, append([]any{command}, args...)...)
	}
	_, _ = pipe.Exec(q.ctx) // some may fail: there is nothing to rename, nobody to kill
}

// readyIn is how many tasks of the stream the group g could take.
func readyIn(q *tasks, stream string) int64 {
	v, err := q.try("TASK.STATS %", stream)
	if err != nil {
		return 0
	}
	for _, g := range v.(map[any]any)["groups"].([]any) {
		if g := g.(map[any]any); g["name"] == "g" {
			return g["ready"].(int64)
		}
	}
	return 0
}
