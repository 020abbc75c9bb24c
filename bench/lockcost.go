package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

func init() {
	experiments = append(experiments,
		experiment{"7 locks: uncontended", uncontendedPairs},
		experiment{"7 locks: a million held", millionLocks},
		experiment{"7 locks: grants at expiry", grantsAtExpiry},
		experiment{"7 locks: waiters", waiterMemory})
}

// infoNumber is a number of an INFO section.
func (s *Server) infoNumber(section, field string) float64 {
	_, after, found := strings.Cut("\r\n"+s.Info(context.Background(), section).Val(), "\r\n"+field+":")
	if !found {
		fail(fmt.Errorf("INFO %s has no %s", section, field))
	}
	n, _ := strconv.ParseFloat(strings.Split(after, "\r\n")[0], 64)
	return n
}

// uncontendedPairs: take a free lock and give it back, beside SET NX PX and the
// script that deletes only one's own.
func uncontendedPairs(b *Bench) error {
	s, err := holdfast()
	if err != nil {
		return err
	}
	defer s.Close()
	sha := s.ScriptLoad(context.Background(), `if redis.call('GET',KEYS[1])==ARGV[1] then return redis.call('DEL',KEYS[1]) end return 0`).Val()
	names := make([]string, 10_000)
	for i := range names {
		names[i] = "lock:" + strconv.Itoa(i)
	}
	for _, c := range []struct {
		depth int
		goal  float64
	}{{1, 1}, {50, 1.5}} {
		n, depth := b.size(400_000), c.depth
		if depth == 1 {
			n /= 10
		}
		pairs := func(take, give func(name string) []string) func() float64 {
			return func() float64 {
				took := s.load(2*n, depth, func(i int) []string {
					name := names[i/2%len(names)]
					if depth > 1 { // a batch of acquires, then one of releases
						name = names[(i/(2*depth)*depth+i%depth)%len(names)]
						if i/depth%2 == 0 {
							return take(name)
						}
						return give(name)
					}
					if i%2 == 0 {
						return take(name)
					}
					return give(name)
				})
				return float64(n) / took.Seconds()
			}
		}
		b.Compare(fmt.Sprintf("acquire and release, pipeline of %d", depth), "per s", "SET NX PX and EVALSHA", []Goal{AtLeast(c.goal)},
			pairs(func(name string) []string { return []string{"LOCK.ACQUIRE", name, owner, "600000"} },
				func(name string) []string { return []string{"LOCK.RELEASE", name, owner} }),
			pairs(func(name string) []string { return []string{"SET", name, owner, "NX", "PX", "600000"} },
				func(name string) []string { return []string{"EVALSHA", sha, "1", name, owner} }))
	}
	return nil
}

// millionLocks: what an acquire costs among a million held locks, beside the
// same among a thousand and as many other keys as make a million. In a small
// keyspace everything is cheaper, because it fits the processor's caches; what
// SET NX PX costs in both says how much.
func millionLocks(b *Bench) error {
	type costs struct{ acquire, set func() float64 }
	keys := b.size(1_000_000)
	cost := func(held, keys int) (costs, func(), error) {
		s, err := holdfast()
		if err != nil {
			return costs{}, nil, err
		}
		s.load(held, 100, func(i int) []string { return []string{"LOCK.ACQUIRE", "held:" + strconv.Itoa(i), owner, "86400000"} })
		s.load(keys-held, 100, func(i int) []string { return []string{"SET", "key:" + strconv.Itoa(i), owner, "PX", "86400000"} })
		if got := s.infoNumber("distlock", "distlock_held"); got != float64(held) {
			return costs{}, nil, fmt.Errorf("%g locks held, want %d", got, held)
		}
		n := b.size(200_000)
		// A batch takes a hundred free names, the next gives them back.
		cpu := func(stat string, take, give func(name string) []string) func() float64 {
			return func() float64 {
				s.resetStats()
				s.load(n, 100, func(i int) []string {
					name := "free:" + strconv.Itoa(i/200%1000*100+i%100)
					if i/100%2 == 0 {
						return take(name)
					}
					return give(name)
				})
				return s.cpuPerCall(stat)
			}
		}
		return costs{
			cpu("lock.acquire", func(name string) []string { return []string{"LOCK.ACQUIRE", name, owner, "600000"} },
				func(name string) []string { return []string{"LOCK.RELEASE", name, owner} }),
			cpu("set", func(name string) []string { return []string{"SET", name, owner, "NX", "PX", "600000"} },
				func(name string) []string { return []string{"DEL", name} }),
		}, s.Close, nil
	}
	million, stop, err := cost(keys, keys)
	if err != nil {
		return err
	}
	defer stop()
	thousand, stop, err := cost(1000, keys)
	if err != nil {
		return err
	}
	defer stop()
	small, stop, err := cost(1000, 1000)
	if err != nil {
		return err
	}
	defer stop()
	name := fmt.Sprintf("LOCK.ACQUIRE with %d held", keys)
	b.Compare(name, "µs of server CPU", "1000 held and other keys", []Goal{AtMost(1.3)}, million.acquire, thousand.acquire)
	b.Compare(name, "µs of server CPU", "1000 held and no other keys", nil, million.acquire, small.acquire)
	b.Compare("SET NX PX there", "µs of server CPU", "1000 held and no other keys", nil, million.set, small.set)
	return nil
}

// grantsAtExpiry: how long after a lease ended is the next in line told, seen
// from a client, whose clock began before the lease did. So it is a little more
// than the truth.
func grantsAtExpiry(b *Bench) error {
	s, err := holdfast()
	if err != nil {
		return err
	}
	defer s.Close()
	waiter := redis.NewClient(&redis.Options{Addr: s.Addr, MaxRetries: -1, ReadTimeout: -1, PoolSize: 1, DisableIdentity: true})
	defer waiter.Close()
	waiter.Ping(context.Background())
	const lease = 30 * time.Millisecond
	measure := func() (late []float64) {
		for range b.size(200) {
			began := time.Now()
			s.run(fmt.Sprintf("LOCK.ACQUIRE l a %d", lease.Milliseconds()))
			if err := waiter.Do(context.Background(), "LOCK.ACQUIRE", "l", "b", 60000, "BLOCK", 0).Err(); err != nil {
				fail(err)
			}
			late = append(late, ms(time.Since(began)-lease))
			s.run("LOCK.RELEASE l b")
		}
		slices.Sort(late)
		return late
	}
	for _, keys := range []int{0, 300_000} {
		s.load(keys, 100, func(i int) []string { return []string{"SET", "k" + strconv.Itoa(i), "v", "PX", "86400000"} })
		late := measure()
		at := func(q float64) Stat {
			v := late[int(q*float64(len(late)-1))]
			return Stat{v, late[0], late[len(late)-1]}
		}
		among := fmt.Sprintf("late, among %d keys with an expiry", keys)
		b.add(Row{Name: among + ", p50", Unit: "ms", Ours: at(0.5)}, []Goal{AtMost(2)})
		b.add(Row{Name: among + ", p99", Unit: "ms", Ours: at(0.99)}, nil)
	}
	return nil
}

// waiterMemory: what one who waits for a lock costs the server beyond what one
// who waits in BLPOP does. Each needs a connection, so the limit on open files
// bounds how many there can be here.
func waiterMemory(b *Bench) error {
	n := b.size(9000)
	resident := func(command func(i int) []string) func() float64 {
		return func() float64 {
			s, err := holdfast("--maxclients", "15000")
			if err != nil {
				fail(err)
			}
			defer s.Close()
			for i := range n / 10 {
				s.run(fmt.Sprintf("LOCK.ACQUIRE lock:%d holder 86400000", i))
			}
			before := rss(s.PID())
			conns := make([]net.Conn, n)
			for i := range conns {
				if conns[i], err = net.Dial("tcp", s.Addr); err != nil {
					fail(err)
				}
				defer conns[i].Close()
				var text strings.Builder
				words := command(i)
				fmt.Fprintf(&text, "*%d\r\n", len(words))
				for _, w := range words {
					fmt.Fprintf(&text, "$%d\r\n%s\r\n", len(w), w)
				}
				if _, err := conns[i].Write([]byte(text.String())); err != nil {
					fail(err)
				}
			}
			for s.infoNumber("clients", "blocked_clients") < float64(n) {
				time.Sleep(10 * time.Millisecond)
			}
			return (rss(s.PID()) - before) / float64(n)
		}
	}
	locks := resident(func(i int) []string {
		return []string{"LOCK.ACQUIRE", "lock:" + strconv.Itoa(i%(n/10)), "owner-" + strconv.Itoa(i), "60000", "BLOCK", "0"}
	})
	lists := resident(func(i int) []string { return []string{"BLPOP", "list:" + strconv.Itoa(i%(n/10)), "0"} })
	var x, y, more []float64
	for range b.contests() {
		x, y = append(x, locks()), append(y, lists())
		more = append(more, x[len(x)-1]-y[len(y)-1])
	}
	theirs, ratio := stat(y), stat([]float64{stat(x).Median / stat(y).Median})
	b.add(Row{Name: fmt.Sprintf("resident for each of %d waiters", n), Unit: "bytes", Ours: stat(x), Peer: "BLPOP", Theirs: &theirs, Ratio: &ratio}, nil)
	b.add(Row{Name: "of that, ours", Unit: "bytes", Ours: stat(more)}, []Goal{AtMost(1024)})
	return nil
}

// rss is a process's resident memory in bytes.
func rss(pid int) float64 {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		fail(err)
	}
	_, after, _ := strings.Cut(string(data), "Rss:")
	kb, _ := strconv.ParseFloat(strings.Fields(after)[0], 64)
	return kb * 1024
}
