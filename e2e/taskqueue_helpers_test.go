package e2e

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"holdfast/holdfasttest"
	"holdfast/internal/redisserver"
)

// taskWait bounds every wait of the task queue's tests. It decides nothing: a test
// that needs it has failed.
const taskWait = time.Minute

// tasks is a client of a server with the task queue.
type tasks struct {
	*redis.Client
	t   testing.TB
	ctx context.Context
}

// taskServer starts a server with the task queue alone.
func taskServer(t testing.TB, options ...holdfasttest.Option) *holdfasttest.Instance {
	t.Helper()
	return holdfasttest.Server(t, append([]holdfasttest.Option{onlyTaskqueue(t)}, options...)...)
}

func onlyTaskqueue(t testing.TB) holdfasttest.Option {
	all, err := redisserver.Modules()
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(all, func(path string) bool { return filepath.Base(path) == "taskqueue.so" })
	return holdfasttest.WithModules(all[i])
}

func tasksOn(t testing.TB, s *holdfasttest.Instance) *tasks {
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	return &tasks{s.Client(), t, ctx}
}

// db is the same client in another database.
func (q *tasks) db(n int) *tasks {
	o := *q.Options()
	o.DB = n
	c := redis.NewClient(&o)
	q.t.Cleanup(func() { _ = c.Close() })
	return &tasks{c, q.t, q.ctx}
}

// do runs a command written as one line, with % for arguments that are not words.
func (q *tasks) do(line string, args ...any) any {
	q.t.Helper()
	v, err := q.try(line, args...)
	if err != nil {
		q.t.Fatalf("%s: %v", line, err)
	}
	return v
}

func (q *tasks) try(line string, args ...any) (any, error) {
	return replyOf(q.Do(q.ctx, taskLine(line, args...)...))
}

// replyOf is what a command was answered; nil is no error.
func replyOf(cmd *redis.Cmd) (any, error) {
	v, err := cmd.Result()
	if err == redis.Nil {
		return nil, nil
	}
	return v, err
}

func taskLine(line string, args ...any) (all []any) {
	for _, w := range strings.Fields(line) {
		if w == "%" {
			all, args = append(all, args[0]), args[1:]
		} else {
			all = append(all, w)
		}
	}
	return all
}

// fails runs a command that must be refused with an error that begins so.
func (q *tasks) fails(want, line string, args ...any) {
	q.t.Helper()
	if v, err := q.try(line, args...); err == nil || !strings.HasPrefix(err.Error(), want) {
		q.t.Errorf("%s: answered %v %v, want the error %q", line, v, err, want)
	}
}

func (q *tasks) wants(want any, line string, args ...any) {
	q.t.Helper()
	if diff := cmp.Diff(want, q.do(line, args...)); diff != "" {
		q.t.Errorf("%s (-want +got):\n%s", line, diff)
	}
}

// gotTask is one task as it was received.
type gotTask struct {
	stream, id string
	fields     []string
}

func (t gotTask) payload() string { return t.field("payload") }

func (t gotTask) field(name string) string {
	for i := 0; i+1 < len(t.fields); i += 2 {
		if t.fields[i] == name {
			return t.fields[i+1]
		}
	}
	return ""
}

// tasksIn takes a reply of TASK.CONSUME apart.
func tasksIn(v any) (all []gotTask) {
	streams, _ := v.([]any)
	for _, s := range streams {
		pair := s.([]any)
		for _, e := range pair[1].([]any) {
			entry := e.([]any)
			t := gotTask{stream: pair[0].(string), id: entry[0].(string)}
			for _, f := range entry[1].([]any) {
				t.fields = append(t.fields, f.(string))
			}
			all = append(all, t)
		}
	}
	return all
}

func taskPayloads(v any) string {
	var all []string
	for _, t := range tasksIn(v) {
		all = append(all, t.payload())
	}
	return strings.Join(all, " ")
}

// one consumes exactly one task.
func (q *tasks) one(line string, args ...any) gotTask {
	q.t.Helper()
	got := tasksIn(q.do(line, args...))
	if len(got) != 1 {
		q.t.Fatalf("%s: %d tasks, want 1", line, len(got))
	}
	return got[0]
}

// publish publishes each payload and answers the ids.
func (q *tasks) publish(stream string, payloads ...string) (ids []string) {
	q.t.Helper()
	for _, p := range payloads {
		ids = append(ids, q.do("TASK.PUBLISH % %", stream, p).(string))
	}
	return ids
}

type taskAnswer struct {
	who string
	v   any
	err error
}

// waits starts consumers, one after another, each standing in the queue (or
// answered already) before the next comes. The answers arrive with the
// consumers' names.
func (q *tasks) waits(line string, names ...string) chan taskAnswer {
	q.t.Helper()
	answers := make(chan taskAnswer, len(names))
	for _, name := range names {
		c := q.Conn()
		id, err := c.ClientID(q.ctx).Result()
		if err != nil {
			q.t.Fatal(err)
		}
		var answered atomic.Bool
		go func() {
			defer func() { _ = c.Close() }()
			v, err := replyOf(c.Do(q.ctx, taskLine(strings.ReplaceAll(line, "NAME", name))...))
			answers <- taskAnswer{name, v, err}
			answered.Store(true)
		}()
		await(q.t, "the consumer to wait", func() bool {
			return answered.Load() || strings.Contains(fmt.Sprint(q.do("CLIENT LIST ID %", id)), " flags=b ")
		})
	}
	return answers
}

// waiting is the number of consumers that wait anywhere.
func (q *tasks) waiting() int64 { return q.info("taskqueue_waiting") }

func (q *tasks) info(field string) int64 {
	q.t.Helper()
	section := q.do("INFO taskqueue")
	for _, line := range strings.Split(fmt.Sprint(section), "\r\n") {
		if v, ok := strings.CutPrefix(line, field+":"); ok {
			var n int64
			fmt.Sscan(v, &n)
			return n
		}
	}
	q.t.Fatalf("INFO taskqueue has no %s:\n%v", field, section)
	return 0
}

// until waits for a number to become what it must.
func (q *tasks) until(want int64, get func() int64) {
	q.t.Helper()
	deadline := time.Now().Add(taskWait)
	for got := get(); got != want; got = get() {
		if time.Now().After(deadline) {
			q.t.Fatalf("%d, want %d, even after %v", got, want, taskWait)
		}
		time.Sleep(time.Millisecond)
	}
}

func nextOf[T any](t testing.TB, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(taskWait):
		t.Fatalf("nothing within %v", taskWait)
		panic("unreachable")
	}
}

// taskHanded checks that the answer to that name is a task with that payload. Answers to others
// stay in the channel: what the server tells two connections one after the other may arrive
// the other way round.
func taskHanded(t testing.TB, c chan taskAnswer, who, payload string) {
	t.Helper()
	var others []taskAnswer
	deadline := time.After(taskWait)
	for {
		select {
		case a := <-c:
			if a.who != who {
				others = append(others, a)
				continue
			}
			if a.err != nil || taskPayloads(a.v) != payload {
				t.Fatalf("%s was answered %v %v, want %q", who, a.v, a.err, payload)
			}
			for _, o := range others {
				c <- o
			}
			return
		case <-deadline:
			t.Fatalf("%s was not answered within %v, want %q; others were: %v", who, taskWait, payload, others)
		}
	}
}

func noAnswer(t testing.TB, c <-chan taskAnswer) {
	t.Helper()
	select {
	case a := <-c:
		t.Fatalf("%s was woken for nothing: %v %v", a.who, a.v, a.err)
	default:
	}
}

// waitsTogether starts consumers that come in no particular order.
func (q *tasks) waitsTogether(line string, names ...string) <-chan taskAnswer {
	q.t.Helper()
	answers := make(chan taskAnswer, len(names))
	before := q.waiting()
	o := *q.Options()
	o.PoolSize = len(names)
	c := redis.NewClient(&o)
	q.t.Cleanup(func() { _ = c.Close() })
	for _, name := range names {
		go func() {
			v, err := c.Do(q.ctx, taskLine(strings.ReplaceAll(line, "NAME", name))...).Result()
			answers <- taskAnswer{name, v, err}
		}()
	}
	q.until(before+int64(len(names)), q.waiting)
	return answers
}

// lastClient is the id of the client that sent the command last.
func (q *tasks) lastClient(cmd string) string {
	q.t.Helper()
	best := ""
	for _, line := range strings.Split(q.do("CLIENT LIST").(string), "\n") {
		if strings.Contains(line, "cmd="+cmd+" ") && strings.Contains(line, "flags=b") {
			id, _, _ := strings.Cut(strings.TrimPrefix(line, "id="), " ")
			if len(id) > len(best) || len(id) == len(best) && id > best {
				best = id
			}
		}
	}
	if best == "" {
		q.t.Fatalf("no client waits in %s", cmd)
	}
	return best
}

func (q *tasks) field(section, prefix string) (n int64) {
	for _, line := range strings.Split(fmt.Sprint(q.do("INFO "+section)), "\r\n") {
		if v, ok := strings.CutPrefix(line, prefix); ok {
			fmt.Sscan(v, &n)
		}
	}
	return n
}

// blocked is the number of clients that wait in any command.
func (q *tasks) blocked() int64 { return q.field("clients", "blocked_clients:") }

// calls is how often a command ran.
func (q *tasks) calls(name string) int64 {
	return q.field("commandstats", "cmdstat_"+name+":calls=")
}

// group is what TASK.STATS tells of a group, as far as it is numbers.
func (q *tasks) group(stream, group string) map[string]int64 {
	q.t.Helper()
	for _, g := range q.stats(stream)["groups"].([]any) {
		m := g.(map[any]any)
		if m["name"] == group {
			numbers := map[string]int64{}
			for k, v := range m {
				if n, ok := v.(int64); ok {
					numbers[k.(string)] = n
				}
			}
			return numbers
		}
	}
	q.t.Fatalf("%s has no group %s", stream, group)
	return nil
}

func (q *tasks) stats(stream string) map[string]any {
	q.t.Helper()
	all := map[string]any{}
	for k, v := range q.do("TASK.STATS %", stream).(map[any]any) {
		all[k.(string)] = v
	}
	return all
}
