package e2e

import (
	"fmt"
	"strings"
	"testing"

	"holdfast/holdfasttest"
)

// A consumer may hold more than one command has time for. It is forgotten all the
// same, beside the server's other work, and whatever happens meanwhile.
func TestAConsumerThatHoldsVeryManyIsForgottenInSlices(t *testing.T) {
	const n, each = 10_000, 1000
	payloads := make([]any, each)
	for i := range payloads {
		payloads[i] = "task"
	}
	for _, meanwhile := range []string{"nothing", "kill -9", "DEBUG RELOAD", "TASK.FORGET s g gone"} {
		t.Run(meanwhile, func(t *testing.T) {
			s := taskServer(t, holdfasttest.WithDir(t.TempDir()), holdfasttest.WithArgs("--appendonly", "yes", "--appendfsync", "always"))
			q := tasksOn(t, s)
			for range n / each {
				q.Do(q.ctx, append([]any{"TASK.MPUBLISH", "s"}, payloads...)...)
			}
			for range n / each {
				q.Do(q.ctx, "TASK.CONSUME", "g", "gone", "s", each)
			}
			if got := stillPending(q, "gone"); got != n {
				t.Fatalf("%d are pending, want %d", got, n)
			}
			pipe := q.TxPipeline()
			count := pipe.Do(q.ctx, "TASK.FORGET", "s", "g", "gone")
			left := pipe.Do(q.ctx, "XPENDING", "s", "g", "-", "+", 1, "gone")
			if _, err := pipe.Exec(q.ctx); err != nil {
				t.Fatal(err)
			}
			if got, _ := count.Int64(); got != n {
				t.Errorf("%d tasks are said to be available, want %d", got, n)
			}
			if got, _ := left.Slice(); len(got) != 1 {
				t.Error("the command moved them all by itself: the server stood still meanwhile")
			}
			switch meanwhile {
			case "nothing":
			case "kill -9":
				s.Kill()
				s.Restart()
			default:
				q.do(meanwhile)
			}
			got := 0
			for got < n {
				k := len(tasksIn(q.do("TASK.CONSUME g other s % %", n, taskWait.Milliseconds())))
				if k == 0 {
					t.Fatalf("only %d of %d tasks came to the other", got, n)
				}
				got += k
			}
			q.until(1, func() int64 { return int64(len(q.do("XINFO CONSUMERS s g").([]any)) - 1) })
			if all := fmt.Sprint(q.do("XINFO CONSUMERS s g")); strings.Contains(all, "gone") {
				t.Errorf("the forgotten consumer is still there: %s", all)
			}
			if g := q.group("s", "g"); g["consumers"] != 1 || g["pending"] != n || g["ready"] != 0 {
				t.Errorf("%v, want one consumer with all tasks", g)
			}
		})
	}
}
