package e2e

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/holdfasttest"
	"holdfast/internal/clienttest"
)

const (
	fireLease   = 1500 * time.Millisecond
	fireWorkers = 8
)

// At least once under fire: workers and the server are killed at random with kill -9,
// workers are stopped until their leases have run out and then go on, and connections break
// in all ways. The append-only file is written before each reply. Whatever happens, every
// task is acknowledged, once; and whoever gets one again gets it because a lease ran out.
func TestNoTaskIsLostUnderFire(t *testing.T) {
	tasksUnderFire(t, seeded(t), 100_000)
}

func tasksUnderFire(t *testing.T, seed uint64, n int) tally {
	chance := rand.New(rand.NewPCG(seed, 1))

	s := taskServer(t, holdfasttest.WithDir(t.TempDir()), holdfasttest.WithArgs("--appendonly", "yes", "--appendfsync", "always"))
	h := &history{tasks: map[string]*life{}}
	stop := make(chan struct{})
	var world sync.WaitGroup
	p := clienttest.NewProxy(t, s.Addr)
	addrs := [2]string{s.Addr, p.Addr}
	workers := make([]*worker, fireWorkers)
	for i := range workers {
		workers[i] = startWorker(t, addrs[i%2], fmt.Sprint("w", i, ".", 0), h)
	}
	var kills, crashes, stops, breaks int
	did := func(format string, args ...any) { h.happened(fmt.Sprintf(format, args...)) }
	world.Go(func() { // the fire
		for generation := 1; ; generation++ {
			select {
			case <-stop:
				return
			case <-time.After(time.Duration(100+chance.IntN(300)) * time.Millisecond):
			}
			i := chance.IntN(len(workers))
			switch {
			case generation%6 == 0:
				s.Kill()
				did("the server is killed")
				s.Restart()
				did("the server is back")
				crashes++
			case generation%3 == 0:
				w := workers[i]
				w.signal(syscall.SIGSTOP)
				did("%s is stopped", w.name)
				world.Go(func() {
					time.Sleep(fireLease * 3 / 2) // past its leases
					did("%s goes on", w.name)
					w.signal(syscall.SIGCONT)
				})
				stops++
			case generation%5 == 0:
				way := chance.IntN(4)
				did("the network breaks, way %d", way)
				switch way {
				case 0:
					p.Cut()
				case 1:
					p.HalfOpen()
				case 2:
					p.Forget()
				case 3:
					p.CutReplies([]string{"TASK.CONSUME", "TASK.ACK"}[chance.IntN(2)], 1)
				}
				breaks++
			default:
				workers[i].kill()
				did("%s is dead", workers[i].name)
				workers[i] = startWorker(t, addrs[i%2], fmt.Sprint("w", i, ".", generation), h)
				kills++
			}
		}
	})

	publishUnderFire(t, s.Addr, n)
	q := tasksOn(t, s)
	last, since := int64(-1), time.Now()
	for {
		v, err := q.try("EVAL % 1 s", tasksLeft)
		if left, ok := v.(int64); err == nil && ok {
			if left == 0 {
				break
			}
			if left != last {
				last, since = left, time.Now()
			}
		}
		if time.Since(since) > time.Minute {
			t.Errorf("%d tasks are stuck", last)
			for _, line := range []string{"TIME", "XRANGE s - + COUNT 5", "XPENDING s g - + 5", "XINFO GROUPS s", "ZRANGE {s}:delayed 0 5 WITHSCORES", "TASK.STATS s", "INFO taskqueue"} {
				answer, err := q.try(line)
				t.Log(line, answer, err)
			}
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	close(stop)
	world.Wait()
	for _, w := range workers {
		w.kill()
	}
	again, unseen := h.check(t, n)
	t.Logf("%d workers and %d servers were killed, %d workers stopped, connections broken %d times; %d deliveries were second ones, each by a lease; %d acknowledgements had no reply", kills, crashes, stops, breaks, again, unseen)
	if kills == 0 || crashes == 0 || stops == 0 {
		t.Error("nothing was killed: the test shows nothing")
	}
	return tally{3 * n, kills + crashes + stops + breaks, n}
}

// tasksLeft counts the tasks of a queue in one step: between two, one may fall due or be given
// back, and be counted in neither place.
const tasksLeft = "return redis.call('XLEN', KEYS[1]) + redis.call('ZCARD', '{' .. KEYS[1] .. '}:delayed')"

// publishUnderFire publishes tasks 0 to n-1, each until it is told that it did:
// the unique id makes a second try harmless.
func publishUnderFire(t *testing.T, addr string, n int) {
	c := redis.NewClient(&redis.Options{Addr: addr, MaxRetries: -1, DisableIdentity: true})
	defer c.Close()
	ctx := context.Background()
	for from := 0; from < n; {
		to := min(from+50, n)
		pipe := c.Pipeline()
		for i := from; i < to; i++ {
			pipe.Do(ctx, "TASK.PUBLISH", "s", i, "UNIQUE", i, 3600_000)
		}
		if _, err := pipe.Exec(ctx); err == nil {
			from = to
		} else {
			time.Sleep(10 * time.Millisecond) // the server is down
		}
	}
}

// worker is a process of its own, so that it can be killed.
type worker struct {
	name string
	cmd  *exec.Cmd
	read sync.WaitGroup
}

func startWorker(t *testing.T, addr, name string, h *history) *worker {
	w := &worker{name: name, cmd: exec.Command(os.Args[0], "-test.run", "^TestWorkerProcess$")}
	w.cmd.Env = append(os.Environ(), "HOLDFAST_WORKER="+addr+" "+name)
	out, err := w.cmd.StdoutPipe()
	if err == nil {
		err = w.cmd.Start()
	}
	if err != nil {
		t.Error(err)
		return w
	}
	w.read.Go(func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			h.note(name, lines.Text())
		}
	})
	return w
}

func (w *worker) kill() {
	_ = w.cmd.Process.Kill()
	w.read.Wait()
	_ = w.cmd.Wait()
}

// signal stops the worker where it is, or has it go on; it may be dead by then.
func (w *worker) signal(s syscall.Signal) { _ = w.cmd.Process.Signal(s) }

// TestWorkerProcess is the worker: it consumes, gives every tenth task back
// once, and acknowledges the others, telling its parent of each step before and
// after it.
func TestWorkerProcess(t *testing.T) {
	addr, name, ok := strings.Cut(os.Getenv("HOLDFAST_WORKER"), " ")
	if !ok {
		t.Skip("this is the worker of TestNoTaskIsLostUnderFire")
	}
	c := redis.NewClient(&redis.Options{Addr: addr, MaxRetries: -1, ReadTimeout: 5 * time.Second, DisableIdentity: true})
	ctx := context.Background()
	say := func(what string, task gotTask, result any, sent int64) {
		fmt.Printf("%s %s %s %v %d %d\n", what, task.payload(), task.id, result, sent, time.Now().UnixMicro())
	}
	for os.Getppid() != 1 {
		sent := time.Now().UnixMicro()
		v, err := c.Do(ctx, "TASK.CONSUME", "g", name, "s", 20, 2000, "LEASE", fireLease.Milliseconds()).Result()
		if err != nil && err != redis.Nil {
			time.Sleep(20 * time.Millisecond) // the server is down
			continue
		}
		got := tasksIn(v)
		for _, task := range got {
			say("got", task, 0, sent)
		}
		sent = time.Now().UnixMicro()
		pipe := c.Pipeline()
		for _, task := range got {
			sum := fnv.New32()
			fmt.Fprint(sum, task.payload())
			if sum.Sum32()%10 == 0 && task.field("retry_count") == "0" {
				pipe.Do(ctx, "TASK.NACK", "s", "g", name, task.id, "BACKOFF", 10, 100)
			} else {
				say("try", task, 0, sent)
				pipe.Do(ctx, "TASK.ACK", "s", "g", task.id, "CONSUMER", name)
			}
		}
		done, _ := pipe.Exec(ctx)
		for i, d := range done {
			if d := d.(*redis.Cmd); d.Err() == nil && d.Args()[0] == "TASK.ACK" {
				n, _ := d.Int()
				say("ack", got[i], n, sent)
			}
		}
	}
}

// history is what the workers said, and what was done to them.
type history struct {
	mu     sync.Mutex
	tasks  map[string]*life // by payload
	events []happening
}

type life struct {
	got  []event
	ack  []event // with result 1
	trys int
	late int         // acknowledgements that were refused
	said []happening // all of it, by when its reply was there
}

// happening is what happened at a time, in microseconds of the machine's clock.
type happening struct {
	at   int64
	what string
}

func (h *history) happened(what string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, happening{time.Now().UnixMicro(), what})
}

// whole is all that happened to a task, and to the others between its first delivery and its
// end.
func (h *history) whole(l *life) string {
	all := slices.Clone(l.said)
	for _, e := range h.events {
		if len(l.got) > 0 && e.at > l.got[0].sent-5e6 {
			all = append(all, e)
		}
	}
	slices.SortStableFunc(all, func(a, b happening) int { return cmp.Compare(a.at, b.at) })
	var b strings.Builder
	last := int64(math.MinInt64)
	for _, e := range l.said {
		last = max(last, e.at)
	}
	for _, e := range all {
		if e.at <= last+5e6 {
			fmt.Fprintf(&b, "\n%s  %s", time.UnixMicro(e.at).Format("05.000000"), e.what)
		}
	}
	return b.String()
}

// event is a request's answer: when it was sent and when its reply was there.
type event struct {
	who, id        string
	sent, answered int64
}

func (h *history) note(who, line string) {
	var what, payload, id string
	var result int
	e := event{who: who}
	if n, _ := fmt.Sscan(line, &what, &payload, &id, &result, &e.sent, &e.answered); n != 6 {
		return // the testing package's own lines, or one cut by the kill
	}
	e.id = id
	h.mu.Lock()
	defer h.mu.Unlock()
	l := h.tasks[payload]
	if l == nil {
		l = &life{}
		h.tasks[payload] = l
	}
	l.said = append(l.said, happening{e.answered, fmt.Sprintf("%s: %s %s = %d, sent %v before", who, what, id, result, time.Duration(e.answered-e.sent)*time.Microsecond)})
	switch {
	case what == "got":
		l.got = append(l.got, e)
	case what == "try":
		l.trys++
	case what == "ack" && result == 1:
		l.ack = append(l.ack, e)
	case what == "ack":
		l.late++
	}
}

// check holds the history against the promise.
func (h *history) check(t *testing.T, n int) (again, unseen int) {
	for i := range n {
		l := h.tasks[fmt.Sprint(i)]
		if l == nil || len(l.got) == 0 {
			t.Errorf("task %d was never received", i)
			continue
		}
		wrong := func(format string, args ...any) {
			t.Helper()
			t.Errorf("task %d %s%s", i, fmt.Sprintf(format, args...), h.whole(l))
		}
		switch {
		case len(l.ack) > 1:
			wrong("was acknowledged more than once")
		case len(l.ack) == 0 && l.trys == l.late:
			wrong("is gone and nobody acknowledged it")
		case len(l.ack) == 0:
			unseen++ // the one who did never heard of it
		}
		for _, g := range l.got {
			for _, a := range l.ack {
				if g.sent > a.answered {
					wrong("was handed to %s after %s had acknowledged it", g.who, a.who)
				}
			}
			for _, before := range l.got {
				if before.id != g.id || before == g || before.answered > g.answered {
					continue
				}
				again++
				// A worker that was stopped hears late what it was handed first, so either may have
				// been the first. The server counts whole milliseconds.
				if max(g.answered-before.sent, before.answered-g.sent) < fireLease.Microseconds()-1000 {
					wrong("was handed to %s and %v later to %s: no lease can have run out", before.who,
						time.Duration(g.answered-before.sent)*time.Microsecond, g.who)
				}
			}
		}
	}
	return again, unseen
}
