package conformance

import "time"

func lockPromises() []promise {
	return []promise{
		{"a free lock is held at once and released", false, func(w *world) {
			c, name := w.process(), w.name("l")
			c.do("lock", args{"name": name, "hold": 1})
			if n := w.rdb.Exists(w.ctx(), name).Val(); n != 0 {
				w.Fatal("the lock is still there")
			}
		}},
		{"of two who want a lock one holds it at a time", false, func(w *world) {
			a, b, name := w.process(), w.process(), w.name("l")
			first := a.begin("lock", args{"name": name})
			a.event(first, "held", 1)
			second := b.begin("lock", args{"name": name, "hold": 1})
			w.eventually("one waits", func() bool { return w.waiting(name) == 1 })
			if b.count(second, "held") != 0 {
				w.Fatal("two hold it")
			}
			a.let(first)
			b.event(second, "held", 1)
			a.answer(first)
			b.answer(second)
		}},
		{"who came first is served first", false, func(w *world) {
			name := w.name("l")
			var all []*client
			var ids []int
			for i := range 4 { // a process each: one process may stand in line once for all its own
				c := w.process()
				all, ids = append(all, c), append(ids, c.begin("lock", args{"name": name, "wait": 60000}))
				if i == 0 {
					c.event(ids[0], "held", 1)
				} else {
					w.eventually("it waits", func() bool { return w.waiting(name) == i })
				}
			}
			for i := range all {
				all[i].event(ids[i], "held", 1)
				for later := i + 1; later < len(all); later++ {
					if all[later].count(ids[later], "held") != 0 {
						w.Fatal("overtaken")
					}
				}
				all[i].let(ids[i])
			}
		}},
		{"who waits not at all is told at once", false, func(w *world) {
			a, name := w.process(), w.name("l")
			first := a.begin("lock", args{"name": name})
			a.event(first, "held", 1)
			a.fails(a.begin("lock", args{"name": name, "wait": 0}), "NotHeld")
			a.let(first)
		}},
		{"a wait that is over says so and leaves the line", false, func(w *world) {
			a, name := w.process(), w.name("l")
			first := a.begin("lock", args{"name": name})
			a.event(first, "held", 1)
			a.fails(a.begin("lock", args{"name": name, "wait": 200}), "NotHeld")
			w.eventually("it leaves the line", func() bool { return w.waiting(name) == 0 })
			a.let(first)
		}},
		{"a lock is kept beyond its ttl while the work runs", false, func(w *world) {
			a, b, name := w.process(), w.process(), w.name("l")
			first := a.begin("lock", args{"name": name, "ttl": 1000, "hold": 3000})
			a.event(first, "held", 1)
			second := b.begin("lock", args{"name": name, "hold": 1})
			b.event(second, "held", 1)
			// Two processes speak over two pipes, so what was said first may be read last. A lock
			// handed over at its ttl would have been left two seconds later.
			began := time.Now()
			if a.event(first, "leaving", 1); time.Since(began) > 1500*time.Millisecond {
				w.Fatal("handed over before the holder left")
			}
			if l := a.answer(first); l.Error != "" {
				w.Fatal(l.Error)
			}
		}},
		{"tokens grow", false, func(w *world) {
			a, name := w.process(), w.name("l")
			var last float64
			for range 3 {
				token := a.do("lock", args{"name": name, "hold": 1})["token"].(float64)
				if token <= last {
					w.Fatalf("%v after %v", token, last)
				}
				last = token
			}
		}},
		{"a semaphore has as many places as it says", false, func(w *world) {
			a, name := w.process(), w.name("l")
			var in []int
			for range 3 {
				in = append(in, a.begin("lock", args{"name": name, "limit": 3}))
				a.event(in[len(in)-1], "held", 1)
			}
			a.fails(a.begin("lock", args{"name": name, "limit": 3, "wait": 0}), "NotHeld")
			for _, id := range in {
				a.let(id)
				a.answer(id)
			}
		}},
		{"shared holders do not shut each other out, and shut out an exclusive one", false, func(w *world) {
			a, name := w.process(), w.name("l")
			one, two := a.begin("lock", args{"name": name, "shared": true}), a.begin("lock", args{"name": name, "shared": true})
			a.event(one, "held", 1)
			a.event(two, "held", 1)
			a.fails(a.begin("lock", args{"name": name, "wait": 0}), "NotHeld")
			a.let(one)
			a.let(two)
		}},
		{"a lock that was taken away is lost", false, func(w *world) {
			a, name := w.process(), w.name("l")
			first := a.begin("lock", args{"name": name, "ttl": 900})
			a.event(first, "held", 1)
			must(w.T, w.rdb.Do(w.ctx(), "LOCK.BREAK", name).Err())
			a.event(first, "lost", 1)
			a.fails(first, "Lost")
		}},
		{"a waiting process that is killed takes nobody's turn", true, func(w *world) {
			a, dies, c, name := w.process(), w.process(), w.process(), w.name("l")
			first := a.begin("lock", args{"name": name})
			a.event(first, "held", 1)
			dies.begin("lock", args{"name": name})
			w.eventually("it waits", func() bool { return w.waiting(name) == 1 })
			next := c.begin("lock", args{"name": name, "hold": 1})
			w.eventually("both wait", func() bool { return w.waiting(name) == 2 })
			dies.Kill()
			w.eventually("one is left", func() bool { return w.waiting(name) == 1 })
			a.let(first)
			c.event(next, "held", 1)
		}},
		{"a holder that is killed holds the lock for its ttl at most", true, func(w *world) {
			dies, c, name := w.process(), w.process(), w.name("l")
			dies.event(dies.begin("lock", args{"name": name, "ttl": 1000}), "held", 1)
			dies.Kill()
			c.do("lock", args{"name": name, "hold": 1})
		}},
		{"a wait goes on after its connection was killed", true, func(w *world) {
			a, b, name := w.process(), w.process(), w.name("l")
			first := a.begin("lock", args{"name": name})
			a.event(first, "held", 1)
			second := b.begin("lock", args{"name": name, "hold": 1, "wait": 20000})
			w.eventually("it waits", func() bool { return w.waiting(name) == 1 })
			w.proxy.Cut()
			w.eventually("it waits again", func() bool { return w.waiting(name) == 1 })
			a.let(first)
			b.event(second, "held", 1)
		}},
		{"a lost reply of a grant leaves no lock behind", true, func(w *world) {
			a, name := w.process(), w.name("l")
			w.proxy.CutReplies("LOCK.ACQUIRE", 1)
			if l := a.answer(a.begin("lock", args{"name": name, "hold": 1, "ttl": 60000, "wait": 5000})); l.Error != "" {
				w.Fatalf("%s: %s", l.Error, l.Text)
			}
			if n := w.rdb.Exists(w.ctx(), name).Val(); n != 0 {
				w.Fatal("the lock is still there")
			}
		}},
		{"a lost reply of a release releases all the same", true, func(w *world) {
			a, name := w.process(), w.name("l")
			w.proxy.CutReplies("LOCK.RELEASE", 1)
			a.do("lock", args{"name": name, "hold": 1, "ttl": 60000})
			if n := w.rdb.Exists(w.ctx(), name).Val(); n != 0 {
				w.Fatal("the lock is still there")
			}
		}},
		{"a holder that is cut off is told before the next one has the lock", true, func(w *world) {
			a, name := w.process(), w.name("l")
			first := a.begin("lock", args{"name": name, "ttl": 1500})
			a.event(first, "held", 1)
			w.proxy.Freeze()
			a.event(first, "lost", 1)
			w.proxy.Thaw()
			a.fails(first, "Lost")
		}},
		{"a wait that is called off leaves the line", true, func(w *world) {
			a, name := w.process(), w.name("l")
			if !a.cancels {
				w.Skip("this client's waits end in their time alone")
			}
			first := a.begin("lock", args{"name": name})
			a.event(first, "held", 1)
			second := a.begin("lock", args{"name": name})
			w.eventually("it waits", func() bool { return w.waiting(name) == 1 })
			a.do("cancel", args{"target": second})
			w.eventually("nobody waits", func() bool { return w.waiting(name) == 0 })
			if l := a.answer(second); l.Error == "" {
				w.Fatal("no error")
			}
			a.let(first)
		}},
	}
}
