package e2e

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"holdfast/holdfasttest"
)

// modelTask is what a task should be.
type modelTask struct {
	id, entry string // entry is where it is now: an entry's id or that of a delayed task
	where     string // ready, pending, delayed, dead, gone
	owner     string
	payload   string
	tries     int // since it was published or redriven
	history   int
	unique    string
	undone    bool
}

// lifeModel is a queue s with one group g and the dead stream dead, as it should be.
type lifeModel struct {
	q     *tasks
	t     *rapid.T
	all   []*modelTask
	ready []*modelTask // in their order
	holds map[string]*modelTask
	n     int
}

func (m *lifeModel) in(where ...string) (some []*modelTask) {
	for _, t := range m.all {
		if slices.Contains(where, t.where) {
			some = append(some, t)
		}
	}
	return some
}

func (m *lifeModel) pick(where ...string) *modelTask {
	some := m.in(where...)
	if len(some) == 0 {
		m.t.Skip()
	}
	return rapid.SampledFrom(some).Draw(m.t, "task")
}

// name is a name of the task: its own id, or its entry's, with or without saying so. A dead
// task's id may also be the id of another's entry in the dead stream, and then names neither.
func (m *lifeModel) name(k *modelTask) string {
	if k.where == "gone" {
		return k.id
	}
	names := []string{k.id, k.entry}
	if k.where != "delayed" {
		names = append(names, "entry:"+k.entry)
	}
	name := rapid.SampledFrom(names).Draw(m.t, "name")
	for _, o := range m.in("dead") {
		if k.where == "dead" && o != k && (o.id == name || o.entry == name) {
			m.want(0, "TASK.CANCEL dead %", name)
			m.want(0, "TASK.REDRIVE dead IDS 1 %", name)
			return "entry:" + k.entry
		}
	}
	return name
}

func (m *lifeModel) want(want any, line string, args ...any) {
	m.t.Helper()
	got, err := m.q.try(line, args...)
	if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		m.t.Fatalf("%s %v: %v %v, want %v", line, args, got, err, want)
	}
}

// moves puts a task somewhere else.
func (m *lifeModel) moves(k *modelTask, where, entry string) {
	m.ready = slices.DeleteFunc(m.ready, func(o *modelTask) bool { return o == k })
	if k.where, k.owner = where, ""; entry != "" {
		k.entry = entry
	}
	if where == "ready" {
		m.ready = append(m.ready, k)
	}
	if k.undone && (where == "dead" || where == "gone") {
		m.free(k)
	}
}

func (m *lifeModel) free(k *modelTask) {
	if m.holds[k.unique] == k {
		delete(m.holds, k.unique)
	}
	k.unique, k.undone = "", false
}

func (m *lifeModel) publish(t *rapid.T) {
	m.n++
	k := &modelTask{payload: fmt.Sprint("p", m.n), where: "ready"}
	line := "TASK.PUBLISH s " + k.payload + " WITHSTATUS"
	if rapid.Bool().Draw(t, "delayed") {
		line += " DELAY 3600000"
		k.where = "delayed"
	}
	if rapid.Bool().Draw(t, "unique") {
		k.unique = rapid.SampledFrom([]string{"a", "b"}).Draw(t, "id")
		line += " UNIQUE " + k.unique + " 3600000"
		if k.undone = rapid.Bool().Draw(t, "until done"); k.undone {
			line += " UNTIL DONE"
		}
	}
	got := m.q.do(line).([]any)
	if by := m.holds[k.unique]; k.unique != "" && by != nil {
		if got[0] != "DUPLICATE" || got[1] != by.id {
			t.Fatalf("%s: %v, %s has it", line, got, by.id)
		}
		return
	}
	if got[0] != "NEW" {
		t.Fatalf("%s: %v", line, got)
	}
	k.id = got[1].(string)
	if m.all = append(m.all, k); k.unique != "" {
		m.holds[k.unique] = k
	}
	m.moves(k, k.where, k.id)
}

func (m *lifeModel) consume(t *rapid.T) {
	owner := rapid.SampledFrom([]string{"c1", "c2"}).Draw(t, "consumer")
	got := tasksIn(m.q.do("TASK.CONSUME g % s", owner))
	if len(m.ready) == 0 {
		if len(got) != 0 {
			t.Fatalf("%q out of nothing", got)
		}
		return
	}
	k := m.ready[0]
	if len(got) != 1 || got[0].id != k.entry {
		t.Fatalf("%+v, want %+v", got, k)
	}
	m.same(k, got[0])
	m.moves(k, "pending", "")
	k.owner = owner
}

// same checks an entry.
func (m *lifeModel) same(k *modelTask, g gotTask) {
	task := g.field("task_id")
	if g.payload() != k.payload || g.field("retry_count") != fmt.Sprint(k.tries) || len(historyOf(m.q.t, g)) != min(k.history, 10) ||
		(task == "") != (k.entry == k.id) || task != "" && task != k.id {
		m.t.Fatalf("%q, want %+v", g.fields, k)
	}
}

func (m *lifeModel) settle(t *rapid.T) {
	k := m.pick("pending")
	other := map[string]string{"c1": "c2", "c2": "c1"}[k.owner]
	switch way := rapid.SampledFrom([]string{"ack", "fenced", "others", "retry", "later", "snooze", "bury"}).Draw(t, "way"); way {
	case "ack":
		m.want(1, "TASK.ACK s g %", k.entry)
		m.moves(k, "gone", "")
	case "fenced":
		m.want(1, "TASK.ACK s g 1-1 % CONSUMER %", k.entry, k.owner)
		m.moves(k, "gone", "")
	case "others":
		m.want(0, "TASK.ACK s g % CONSUMER %", k.entry, other)
		m.want(0, "TASK.EXTEND s g % %", other, k.entry)
		m.want("<nil>", "TASK.NACK s g % %", other, k.entry)
		m.want(1, "TASK.EXTEND s g % %", k.owner, k.entry)
	case "bury":
		got := m.q.do("TASK.NACK s g % % MAXRETRIES 0 DEAD dead REASON r", k.owner, k.entry).([]any)
		k.history++
		m.moves(k, "dead", got[1].(string))
	default:
		line, where := "TASK.NACK s g % %", "ready"
		if way == "snooze" {
			line += " NOCOUNT"
		} else {
			k.tries++
			k.history++
		}
		if way == "later" {
			line, where = line+" DELAY 3600000", "delayed"
		}
		m.moves(k, where, m.q.do(line, k.owner, k.entry).([]any)[1].(string))
	}
}

func (m *lifeModel) cancel(t *rapid.T) {
	k := m.pick("ready", "pending", "delayed", "dead", "gone")
	stream := "s"
	if k.where == "dead" {
		stream = "dead"
	}
	name := m.name(k)
	if k.where == "gone" {
		m.want(0, "TASK.CANCEL s %", name)
		return
	}
	owner := k.owner
	m.want(1, "TASK.CANCEL % % %", stream, name, name)
	m.want(0, "TASK.CANCEL % %", stream, name)
	if owner != "" {
		m.want(0, "TASK.EXTEND s g % %", owner, k.entry)
		m.want(0, "TASK.ACK s g % CONSUMER %", k.entry, owner)
	}
	if k.where != "dead" {
		m.free(k)
	}
	m.moves(k, "gone", "")
}

func (m *lifeModel) redrive(t *rapid.T) {
	k := m.pick("dead")
	if rapid.Bool().Draw(t, "repaired") {
		k.payload += "!"
		m.want(1, "TASK.REDRIVE dead IDS 1 % PAYLOAD %", m.name(k), k.payload)
	} else {
		m.want(1, "TASK.REDRIVE dead IDS 2 % 1-1", m.name(k))
	}
	k.tries = 0
	m.moves(k, "ready", m.q.do("HGET {s}:tasks %", k.id).(string))
}

// check compares all there is.
func (m *lifeModel) check(*rapid.T) {
	m.want(len(m.in("ready", "pending")), "XLEN s")
	m.want(len(m.in("delayed")), "ZCARD {s}:delayed")
	m.want(len(m.in("dead")), "XLEN dead")
	for _, u := range []string{"a", "b"} {
		want := "<nil>"
		if k := m.holds[u]; k != nil {
			want = k.id
		}
		m.want(want, "GET {s}:unique:"+u)
	}
	for _, k := range m.in("ready", "pending", "delayed", "dead") {
		if k.id == k.entry {
			continue
		}
		stream := "s"
		if k.where == "dead" {
			stream = "dead"
		}
		m.want(k.entry, "HGET % %", sideKey(stream, "tasks"), k.id)
		if k.where != "delayed" {
			m.same(k, m.q.found(stream, k.id))
		}
	}
}

// Whatever happens to tasks in whatever order, each is found by its id and its entry's,
// tells what happened to it, and answers as a task in its state does; a unique id is
// held exactly as long as it should be; and a server without the modules that
// replicates all of it has the same, as has the append-only file.
func TestEveryTaskIsWhatItShouldBeWhateverHappens(t *testing.T) {
	s := taskServer(t, holdfasttest.WithDir(t.TempDir()), holdfasttest.WithArgs("--appendonly", "yes"))
	replica := holdfasttest.Server(t, holdfasttest.WithModules())
	q, r := tasksOn(t, s), tasksOn(t, replica)
	replicate(t, q, r)
	rapid.Check(t, func(t *rapid.T) {
		q.do("FLUSHALL")
		q.do("XGROUP CREATE s g 0 MKSTREAM")
		q.do("XGROUP CREATE dead u 0 MKSTREAM")
		m := &lifeModel{q: q, t: t, holds: map[string]*modelTask{}}
		t.Repeat(map[string]func(*rapid.T){
			"publish": func(t *rapid.T) { m.t = t; m.publish(t) },
			"consume": func(t *rapid.T) { m.t = t; m.consume(t) },
			"settle":  func(t *rapid.T) { m.t = t; m.settle(t) },
			"again":   func(t *rapid.T) { m.t = t; m.settle(t) },
			"cancel":  func(t *rapid.T) { m.t = t; m.cancel(t) },
			"redrive": func(t *rapid.T) { m.t = t; m.redrive(t) },
			"":        func(t *rapid.T) { m.t = t; m.check(t) },
		})
	})
	q.Wait(q.ctx, 1, taskWait)
	digest := q.do("DEBUG DIGEST")
	if digest != r.do("DEBUG DIGEST") {
		t.Error("the replica differs")
	}
	q.do("DEBUG LOADAOF")
	if digest != q.do("DEBUG DIGEST") {
		t.Error("the append-only file differs")
	}
}
