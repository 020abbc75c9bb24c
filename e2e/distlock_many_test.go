package e2e

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// Fifty clients want two to five of twenty locks at once, ten thousand times, and
// some of their connections are killed while they wait. Nobody ever waits for
// ever, no lock has two holders, and of two who want a lock in common the one who
// asked first gets its locks first.
func TestManyWhoWantSeveralLocksGetThemInTheirOrder(t *testing.T) {
	const clients, rounds, names = 50, 200, 20
	l := lockServer(t)
	seed := seeded(t)
	control := l.another()
	var (
		order   sync.Mutex
		asked   [][]int  // by order of asking: the names
		tokens  []string // likewise, "" for who got none
		holders [names]atomic.Int64
		killed  atomic.Int64
	)
	var all sync.WaitGroup
	for i := range clients {
		all.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(i)))
			var c *lockConn
			var id string
			defer func() { c.close() }()
			for round := range rounds {
				if c == nil {
					c = dialLock(l.Addr)
					id, _ = c.exchange([]string{"CLIENT", "ID"})
				}
				want := r.Perm(names)[:2+r.IntN(4)]
				var locks []string
				for _, n := range want {
					locks = append(locks, fmt.Sprint("l:", n))
				}
				owner := fmt.Sprintf("c%d.%d", i, round)
				line := append([]string{"LOCK.ACQUIRE", locks[0], owner, "60000", "BLOCK", "30000", "SESSION", "WITHTOKEN", "ALSO"}, locks[1:]...)
				if r.IntN(2) == 0 {
					line = append(line[:6:6], line[7:]...) // without SESSION they are strings
				}

				// Whatever is sent after the answer to a PING that was sent after this
				// request comes to the server after it.
				order.Lock()
				me := len(asked)
				asked, tokens = append(asked, want), append(tokens, "")
				if err := c.write(line); err != nil {
					t.Error(err)
				}
				control.do("PING")
				if r.IntN(20) == 0 {
					control.do("CLIENT KILL ID %", id)
				}
				order.Unlock()

				token, err := c.answer()
				if err != nil { // killed, perhaps in the moment of its grant
					killed.Add(1)
					c.close()
					c = nil
					continue
				}
				if len(token) != 16 {
					t.Errorf("%v: %s", line, token)
					return
				}
				for _, n := range want {
					if !holders[n].CompareAndSwap(0, int64(me)+1) {
						t.Errorf("l:%d has two holders", n)
					}
				}
				order.Lock()
				tokens[me] = token
				order.Unlock()
				for _, n := range want {
					holders[n].Store(0)
				}
				// One that was killed already has its session ended, or its lock broken here.
				release := append([]string{"LOCK.RELEASE", locks[0], owner, "ALSO"}, locks[1:]...)
				if n, err := c.exchange(release); err != nil {
					killed.Add(1)
					c.close()
					c = nil
					order.Lock()
					control.do(strings.Join(release, " "))
					order.Unlock()
				} else if n != fmt.Sprint(len(locks)) {
					t.Errorf("%v: %s", release, n)
				}
			}
		})
	}
	all.Wait()
	for j := range asked {
		for i := max(0, j-clients); i < j; i++ {
			if tokens[i] != "" && tokens[j] != "" && tokens[j] < tokens[i] && slices.ContainsFunc(asked[i], func(n int) bool { return slices.Contains(asked[j], n) }) {
				t.Fatalf("seed %d: request %d for %v was served before %d for %v", seed, j, asked[j], i, asked[i])
			}
		}
	}
	t.Logf("%d requests, %d killed", len(asked), killed.Load())
	l.nothingLeft()
}
