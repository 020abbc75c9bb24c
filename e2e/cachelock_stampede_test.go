package e2e

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"holdfast/holdfasttest"
)

func TestAnyNumberOfCallersThatMissTogetherCauseOneLoad(t *testing.T) {
	for _, n := range []int{100, 1_000, 10_000} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			if n == 10_000 && testing.Short() {
				t.Skip("ten thousand connections take half a gigabyte of server memory")
			}
			c := cacheServer(t, holdfasttest.WithArgs("--maxclients", fmt.Sprint(n+100)))
			callers := make([]*cacheConn, n)
			for i := range callers {
				callers[i] = c.another()
			}
			for _, caller := range callers {
				caller.send("CACHE.FETCH page 60000 60000 BLOCK 0")
			}
			c.until("waiting", n-1)
			if loads := c.info("loads"); loads != 1 {
				t.Fatalf("%d callers, %d loads", n, loads)
			}
			value := strings.Repeat("v", 1024)
			var loader *cacheConn
			var token string
			// The first to arrive was among the first sent. A look in vain may be the machine's.
			for i := 0; loader == nil; i++ {
				caller := callers[i%min(n, 300)]
				_ = caller.SetReadDeadline(time.Now().Add(time.Millisecond))
				if _, err := caller.r.Peek(1); err == nil {
					loader, token = caller, caller.isToLoad(caller.read())
				} else if i > 30_000 {
					t.Fatal("none of the first callers was told to load")
				}
			}
			loader.wants("OK", "CACHE.SET page % 60000 TOKEN %", value, token)
			want := `["HIT" "` + value + `" nil]`
			for i, caller := range callers {
				if caller == loader {
					continue
				}
				if got := caller.read(); got != want {
					t.Fatalf("caller %d: %.60s", i, got)
				}
			}
			c.nobodyWaits()
			if loads, avoided := c.info("loads"), c.info("loads_avoided"); loads != 1 || avoided != n-1 {
				t.Errorf("%d loads and %d avoided, want 1 and %d", loads, avoided, n-1)
			}
		})
	}
}

// cacheRound is one stampede with one thing that goes wrong in it.
type cacheRound struct {
	*cache
	rng     *rand.Rand
	key     string
	waiting int // callers that were not answered yet
	parked  []*cacheConn
	loader  *cacheConn
	token   string
	answers chan cacheHeard
}

type cacheHeard struct {
	who   *cacheConn
	reply string
}

// Whatever becomes of the loader, what is promised happens, and when the round
// is over nobody is left waiting.
func TestWhateverBecomesOfTheLoaderNobodyIsLeftOver(t *testing.T) {
	rounds := 200
	if testing.Short() {
		rounds = 40
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	fates := []struct {
		name string
		do   func(*cacheRound)
	}{
		{"the load succeeds", (*cacheRound).succeeds},
		{"the loader is killed", (*cacheRound).isKilled},
		{"the loader and its successor are killed", (*cacheRound).isKilledTwice},
		{"the loader is late", (*cacheRound).isLate},
		{"the load fails", (*cacheRound).fails},
		{"the loader lets go", (*cacheRound).letsGo},
		{"the key is invalidated during the load", (*cacheRound).isInvalidated},
		{"somebody sets the key during the load", (*cacheRound).isOverwritten},
		{"callers leave during the load", (*cacheRound).callersLeave},
		{"the server is restarted during the load", (*cacheRound).isRestarted},
	}
	c := cacheServer(t)
	for i := range rounds {
		fate := fates[i%len(fates)]
		r := &cacheRound{cache: c, rng: rng, key: fmt.Sprint("page:", i)}
		r.begin(3 + rng.IntN(18))
		fate.do(r)
		c.nobodyWaits()
		if info := c.do("CACHE.INFO %", r.key); strings.Contains(info, `"age_ms"`) {
			t.Errorf("a lease is left: %s", info)
		}
		for _, conn := range append(r.parked, r.loader) {
			_ = conn.Close()
		}
		if t.Failed() {
			t.Fatalf("in round %d: %s", i, fate.name)
		}
	}
	c.unload() // the server refuses where a waiter or the timer is left over
}

// begin has callers miss together: one loads, the others wait.
func (r *cacheRound) begin(callers int) {
	r.loader = r.another()
	r.token = r.loader.loads("CACHE.FETCH % 60000 60000", r.key)
	r.waiting = callers - 1
	r.answers = make(chan cacheHeard, r.waiting)
	for range r.waiting {
		conn := r.another().send("CACHE.FETCH % 60000 60000 BLOCK 0", r.key)
		r.parked = append(r.parked, conn)
		go func() {
			reply, err := conn.tryRead()
			if err != nil {
				reply = "connection lost"
			}
			r.answers <- cacheHeard{conn, reply}
		}()
	}
	r.until("waiting", r.waiting)
}

// next is the next answer that one of the waiting hears.
func (r *cacheRound) next() cacheHeard {
	r.cacheConn.t.Helper()
	select {
	case h := <-r.answers:
		r.waiting--
		return h
	case <-time.After(patience):
		r.cacheConn.t.Fatalf("%d callers are left waiting", r.waiting)
		panic("unreachable")
	}
}

// successor is the one waiter that is told to load, and its token.
func (r *cacheRound) successor() (*cacheConn, string) {
	r.cacheConn.t.Helper()
	h := r.next()
	return h.who, h.who.isToLoad(h.reply)
}

// allHear checks what the rest is told.
func (r *cacheRound) allHear(want string) {
	r.cacheConn.t.Helper()
	for r.waiting > 0 {
		if h := r.next(); h.reply != want {
			r.cacheConn.t.Errorf("heard %s, want %s", h.reply, want)
		}
	}
}

// runsOut lets the time of the one who loads run out soon.
func (r *cacheRound) runsOut(token string) {
	r.wants("1", "CACHE.EXTEND % % %", r.key, token, 1+r.rng.IntN(20))
}

// loadsWell is the good end: who loads stores, and the rest hears the value.
func (r *cacheRound) loadsWell(who *cacheConn, token string) {
	r.cacheConn.t.Helper()
	who.wants("OK", "CACHE.SET % v 60000 TOKEN %", r.key, token)
	r.allHear(`["HIT" "v" nil]`)
}

func (r *cacheRound) succeeds() { r.loadsWell(r.loader, r.token) }

func (r *cacheRound) isKilled() {
	r.runsOut(r.token)
	_ = r.loader.Close()
	r.loadsWell(r.successor())
}

func (r *cacheRound) isKilledTwice() {
	r.runsOut(r.token)
	_ = r.loader.Close()
	who, token := r.successor()
	r.runsOut(token)
	_ = who.Close()
	r.loadsWell(r.successor())
}

func (r *cacheRound) isLate() {
	r.runsOut(r.token)
	who, token := r.successor()
	r.loader.wants("nil", "CACHE.SET % late 60000 TOKEN %", r.key, r.token)
	r.loadsWell(who, token)
	r.loader.wants("nil", "CACHE.SET % late 60000 TOKEN %", r.key, r.token)
	r.wants(`"v"`, "CACHE.GET %", r.key)
}

func (r *cacheRound) fails() {
	r.wants(fmt.Sprint(r.waiting), "CACHE.FAIL % % down", r.key, r.token)
	r.allHear("-LOADFAILED down")
}

func (r *cacheRound) letsGo() {
	r.wants("1", "CACHE.UNLOCK % %", r.key, r.token)
	r.loadsWell(r.successor())
}

func (r *cacheRound) isInvalidated() {
	r.wants("0", "CACHE.DEL %", r.key)
	who, token := r.successor()
	r.loader.wants("nil", "CACHE.SET % old 60000 TOKEN %", r.key, r.token)
	r.loadsWell(who, token)
}

func (r *cacheRound) isOverwritten() {
	r.wants("OK", "SET % theirs", r.key)
	r.allHear(`["HIT" "theirs" nil]`)
	r.loader.wants("nil", "CACHE.SET % old 60000 TOKEN %", r.key, r.token)
}

// callersLeave takes some away in the middle; the others are served.
func (r *cacheRound) callersLeave() {
	for _, conn := range r.parked[:len(r.parked)/2] {
		_ = conn.Close()
	}
	r.until("waiting", len(r.parked)-len(r.parked)/2)
	for range len(r.parked) / 2 {
		if h := r.next(); h.reply != "connection lost" {
			r.cacheConn.t.Errorf("heard %s after it had left", h.reply)
		}
	}
	r.succeeds()
}

// isRestarted loses leases and waiters with the server: a token from before
// stores nothing, and the next caller loads.
func (r *cacheRound) isRestarted() {
	r.Kill()
	r.allHear("connection lost")
	r.Restart()
	r.cache.cacheConn = dialCache(r.cacheConn.t, r.Addr)
	r.wants("nil", "CACHE.SET % old 60000 TOKEN %", r.key, r.token)
	r.wants("OK", "CACHE.SET % v 60000 TOKEN %", r.key, r.loads("CACHE.FETCH % 60000 60000", r.key))
}
