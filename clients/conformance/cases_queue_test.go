package conformance

import (
	"encoding/hex"
	"strconv"
	"strings"
)

func contains(s, part string) bool { return strings.Contains(s, part) }

func hexOf(s string) string { return hex.EncodeToString([]byte(s)) }

// dead is how many dead letters a queue has.
func (w *world) dead(queue string) int64 {
	return w.rdb.XLen(w.ctx(), "{"+queue+"}:dead").Val()
}

func (w *world) pending(queue string) int64 {
	p, err := w.rdb.XPending(w.ctx(), queue, "workers").Result()
	if err != nil {
		return -1
	}
	return p.Count
}

func queuePromises() []promise {
	return []promise{
		{"a published task is handled and gone", false, func(w *world) {
			a, q := w.process(), w.name("q")
			work := a.begin("work", args{"queue": q})
			id := a.do("publish", args{"queue": q, "payload": "00ff0d0a"})["id"]
			if t := a.event(work, "task", 1); t.Task != id || t.Payload != "00ff0d0a" {
				w.Fatalf("%+v", t)
			}
			w.eventually("it is gone", func() bool { return w.rdb.XLen(w.ctx(), q).Val() == 0 })
			a.stop(work)
			a.answer(work)
		}},
		{"each task has one worker", false, func(w *world) {
			a, b, q := w.process(), w.process(), w.name("q")
			x, y := a.begin("work", args{"queue": q}), b.begin("work", args{"queue": q})
			for i := range 40 {
				a.do("publish", args{"queue": q, "payload": hexOf(strconv.Itoa(i))})
			}
			w.eventually("all are done", func() bool { return w.rdb.XLen(w.ctx(), q).Val() == 0 })
			if n := a.count(x, "task") + b.count(y, "task"); n != 40 {
				w.Fatalf("%d of 40", n)
			}
		}},
		{"no more are worked on at once than the worker has room for", false, func(w *world) {
			a, q := w.process(), w.name("q")
			work := a.begin("work", args{"queue": q, "concurrency": 2, "script": args{"x": []string{"hang"}}})
			for range 3 {
				a.do("publish", args{"queue": q, "payload": hexOf("x")})
			}
			a.event(work, "task", 2)
			w.eventually("one waits", func() bool { return w.pending(q) == 2 })
		}},
		{"a task that fails is tried again under its name, and knows why", false, func(w *world) {
			a, q := w.process(), w.name("q")
			work := a.begin("work", args{"queue": q, "backoff": 5, "maxBackoff": 20, "script": args{"x": []string{"error:first", "error:second"}}})
			id := a.do("publish", args{"queue": q, "payload": hexOf("x"), "headers": map[string]string{"trace": "7"}})["id"]
			for try := range 3 {
				t := a.event(work, "task", try+1)
				if t.Task != id || t.Tries != try || t.Headers["trace"] != "7" {
					w.Fatalf("%+v, published as %v", t, id)
				}
			}
			a.event(work, "done", 1)
		}},
		{"a task that fails too often is a dead letter with its reason", false, func(w *world) {
			a, q := w.process(), w.name("q")
			a.begin("work", args{"queue": q, "backoff": 5, "maxBackoff": 5, "maxRetries": 1, "script": args{"x": []string{"error:a", "error:boom"}}})
			a.do("publish", args{"queue": q, "payload": hexOf("x")})
			w.eventually("it is dead", func() bool { return w.dead(q) == 1 })
			letter := w.rdb.XRange(w.ctx(), "{"+q+"}:dead", "-", "+").Val()[0]
			if reason, _ := letter.Values["reason"].(string); !contains(reason, "boom") {
				w.Fatalf("%+v", letter)
			}
		}},
		{"a task that is buried is not tried again", false, func(w *world) {
			a, q := w.process(), w.name("q")
			work := a.begin("work", args{"queue": q, "script": args{"x": []string{"bury:never"}}})
			a.do("publish", args{"queue": q, "payload": hexOf("x")})
			w.eventually("it is dead", func() bool { return w.dead(q) == 1 })
			if a.count(work, "task") != 1 {
				w.Fatal("tried again")
			}
		}},
		{"a snooze is no failure", false, func(w *world) {
			a, q := w.process(), w.name("q")
			work := a.begin("work", args{"queue": q, "maxRetries": 0, "script": args{"x": []string{"snooze:20"}}})
			a.do("publish", args{"queue": q, "payload": hexOf("x")})
			if t := a.event(work, "task", 2); t.Tries != 0 {
				w.Fatalf("%+v", t)
			}
		}},
		{"a delayed task comes in its time", false, func(w *world) {
			a, q := w.process(), w.name("q")
			work := a.begin("work", args{"queue": q})
			id := a.do("publish", args{"queue": q, "payload": hexOf("later"), "delay": 1500})["id"]
			a.do("publish", args{"queue": q, "payload": hexOf("now")})
			if t := a.event(work, "task", 1); t.Payload != hexOf("now") {
				w.Fatalf("%+v", t)
			}
			if t := a.event(work, "task", 2); t.Task != id {
				w.Fatalf("%+v, published as %v", t, id)
			}
		}},
		{"a unique task is published once", false, func(w *world) {
			a, q := w.process(), w.name("q")
			one := a.do("publish", args{"queue": q, "payload": hexOf("x"), "unique": "u"})
			two := a.do("publish", args{"queue": q, "payload": hexOf("x"), "unique": "u"})
			if one["id"] != two["id"] || w.rdb.XLen(w.ctx(), q).Val() != 1 {
				w.Fatal(one, two)
			}
		}},
		{"a full queue refuses", false, func(w *world) {
			a, q := w.process(), w.name("q")
			a.do("publish", args{"queue": q, "payload": hexOf("x"), "limit": 1})
			l := a.answer(a.begin("publish", args{"queue": q, "payload": hexOf("y"), "limit": 1}))
			if l.Error == "" || w.rdb.XLen(w.ctx(), q).Val() != 1 {
				w.Fatalf("%+v", l)
			}
		}},
		{"a task is kept beyond its lease while it is worked on", false, func(w *world) {
			a, b, q := w.process(), w.process(), w.name("q")
			x := a.begin("work", args{"queue": q, "lease": 1000, "takes": 3000})
			a.do("publish", args{"queue": q, "payload": hexOf("x")})
			a.event(x, "task", 1)
			y := b.begin("work", args{"queue": q, "lease": 1000})
			a.event(x, "done", 1)
			if b.count(y, "task") != 0 {
				w.Fatal("two had it")
			}
		}},
		{"a worker that stops finishes what it has, and what it has not goes to others", false, func(w *world) {
			a, b, q := w.process(), w.process(), w.name("q")
			x := a.begin("work", args{"queue": q, "concurrency": 1, "takes": 300})
			for range 3 {
				a.do("publish", args{"queue": q, "payload": hexOf("x")})
			}
			a.event(x, "task", 1)
			a.stop(x)
			if l := a.answer(x); l.Error != "" || a.count(x, "done") != 1 {
				w.Fatalf("%+v, %d done", l, a.count(x, "done"))
			}
			b.begin("work", args{"queue": q})
			w.eventually("all are done", func() bool { return w.rdb.XLen(w.ctx(), q).Val() == 0 })
		}},
		{"a worker that waits stops at once", false, func(w *world) {
			a, q := w.process(), w.name("q")
			x := a.begin("work", args{"queue": q})
			w.eventually("it waits", func() bool { return w.pending(q) == 0 })
			a.stop(x)
			a.answer(x)
		}},
		{"the tasks of a worker that is killed are worked on by others", true, func(w *world) {
			dies, b, q := w.process(), w.process(), w.name("q")
			x := dies.begin("work", args{"queue": q, "lease": 1000, "takes": 60000})
			dies.do("publish", args{"queue": q, "payload": hexOf("x")})
			dies.event(x, "task", 1)
			dies.Kill()
			y := b.begin("work", args{"queue": q, "lease": 1000})
			b.event(y, "done", 1)
		}},
		{"a task whose hand-out was lost on the way is handled once", true, func(w *world) {
			a, q := w.process(), w.name("q")
			x := a.begin("work", args{"queue": q, "lease": 2000})
			w.eventually("it waits", func() bool { return w.pending(q) == 0 })
			w.proxy.CutReplies("TASK.CONSUME", 1)
			must(w.T, w.rdb.Do(w.ctx(), "TASK.PUBLISH", q, "x").Err())
			must(w.T, w.rdb.Do(w.ctx(), "TASK.PUBLISH", q, "y").Err())
			w.eventually("both are done", func() bool { return w.rdb.XLen(w.ctx(), q).Val() == 0 })
			if n := a.count(x, "task"); n != 2 {
				w.Fatalf("%d of 2", n)
			}
		}},
		{"a lost acknowledgement is made up for", true, func(w *world) {
			a, q := w.process(), w.name("q")
			w.proxy.CutReplies("TASK.ACK", 1)
			x := a.begin("work", args{"queue": q, "lease": 60000})
			a.do("publish", args{"queue": q, "payload": hexOf("x")})
			w.eventually("it is gone", func() bool { return w.rdb.XLen(w.ctx(), q).Val() == 0 })
			// The connection that broke may be the one that this goes over: only a unique one is sent again.
			a.do("publish", args{"queue": q, "payload": hexOf("y"), "unique": "y"})
			a.event(x, "done", 2)
			if a.count(x, "task") != 2 {
				w.Fatal("handled twice")
			}
		}},
		{"a lost reply of a unique publication adds nothing twice", true, func(w *world) {
			a, q := w.process(), w.name("q")
			w.proxy.CutReplies("TASK.PUBLISH", 1)
			a.do("publish", args{"queue": q, "payload": hexOf("x"), "unique": "u"})
			if n := w.rdb.XLen(w.ctx(), q).Val(); n != 1 {
				w.Fatal(n)
			}
		}},
		{"a worker goes on after the server restarted", true, func(w *world) {
			a, q := w.process(), w.name("q")
			x := a.begin("work", args{"queue": q})
			w.eventually("it waits", func() bool { return w.pending(q) == 0 })
			w.proxy.Refuse()
			w.proxy.Accept()
			must(w.T, w.rdb.Do(w.ctx(), "TASK.PUBLISH", q, "x").Err())
			a.event(x, "done", 1)
		}},
		{"a handler is told when its task is lost", true, func(w *world) {
			a, q := w.process(), w.name("q")
			x := a.begin("work", args{"queue": q, "lease": 1500, "script": args{"x": []string{"hang"}}})
			a.do("publish", args{"queue": q, "payload": hexOf("x")})
			a.event(x, "task", 1)
			w.proxy.Freeze()
			a.await("the loss", func(l line) bool { return l.Event == "lost" })
			w.proxy.Thaw()
		}},
	}
}
