package conformance

import "time"

func cachePromises() []promise {
	load := func(value string, more ...any) args {
		l := args{"value": value}
		for i := 0; i < len(more); i += 2 {
			l[more[i].(string)] = more[i+1]
		}
		return l
	}
	return []promise{
		{"a value is loaded once and then found", false, func(w *world) {
			a, key := w.process(), w.name("k")
			for range 2 {
				if v := a.do("fetch", args{"key": key, "ttl": 60000, "load": load("76ff00")})["value"]; v != "76ff00" {
					w.Fatal(v)
				}
			}
			if a.count(2, "loading")+a.count(3, "loading") != 1 {
				w.Fatal("loaded twice")
			}
			if got := w.rdb.Get(w.ctx(), key).Val(); got != "v\xff\x00" {
				w.Fatalf("%q", got)
			}
		}},
		{"of all who miss at once in two processes one loads", false, func(w *world) {
			a, b, key := w.process(), w.process(), w.name("k")
			first := a.begin("fetch", args{"key": key, "ttl": 60000, "load": load("31", "delay", 60000)})
			a.event(first, "loading", 1)
			var others []int
			for range 5 {
				others = append(others, b.begin("fetch", args{"key": key, "ttl": 60000, "load": load("32")}))
			}
			w.eventually("they wait", func() bool { return w.waitsForLoad(key) })
			a.let(first)
			for _, id := range others {
				if l := b.answer(id); l.OK["value"] != "31" || b.count(id, "loading") != 0 {
					w.Fatalf("%+v", l)
				}
			}
		}},
		{"an absence is remembered", false, func(w *world) {
			a, key := w.process(), w.name("k")
			for i := range 2 {
				l := a.answer(a.begin("fetch", args{"key": key, "ttl": 60000, "load": args{"absent": 60000}}))
				if l.Error != "" || l.OK["value"] != nil || a.count(l.ID, "loading") != 1-i {
					w.Fatalf("%+v", l)
				}
			}
		}},
		{"what is not to be stored is answered and not stored", false, func(w *world) {
			a, key := w.process(), w.name("k")
			if v := a.do("fetch", args{"key": key, "ttl": 60000, "load": load("31", "nostore", true)})["value"]; v != "31" {
				w.Fatal(v)
			}
			w.eventually("it is not kept", func() bool { return w.rdb.Exists(w.ctx(), key).Val() == 0 })
		}},
		{"an empty value is a value", false, func(w *world) {
			a, key := w.process(), w.name("k")
			for range 2 {
				if v := a.do("fetch", args{"key": key, "ttl": 60000, "load": load("")})["value"]; v != "" {
					w.Fatalf("%#v", v)
				}
			}
		}},
		{"a failed load is told to those who wait", false, func(w *world) {
			a, b, key := w.process(), w.process(), w.name("k")
			first := a.begin("fetch", args{"key": key, "ttl": 60000, "load": args{"error": "away", "delay": 60000}})
			a.event(first, "loading", 1)
			second := b.begin("fetch", args{"key": key, "ttl": 60000, "load": load("32")})
			w.eventually("it waits", func() bool { return w.waitsForLoad(key) })
			a.let(first)
			if l := a.answer(first); l.Error == "" {
				w.Fatal("no error")
			}
			l := b.answer(second)
			if l.Error != "LoadFailed" {
				w.Fatalf("%+v", l)
			}
		}},
		{"a load is kept alone beyond its lease", false, func(w *world) {
			a, b, key := w.process(), w.process(), w.name("k")
			first := a.begin("fetch", args{"key": key, "ttl": 60000, "lease": 1000, "load": load("31", "delay", 3000)})
			a.event(first, "loading", 1)
			second := b.begin("fetch", args{"key": key, "ttl": 60000, "load": load("32")})
			if l := b.answer(second); l.OK["value"] != "31" || b.count(second, "loading") != 0 {
				w.Fatalf("%+v", l)
			}
		}},
		{"a deleted value is loaded anew, and a load begun before is not stored", false, func(w *world) {
			a, key := w.process(), w.name("k")
			first := a.begin("fetch", args{"key": key, "ttl": 60000, "load": load("31", "delay", 60000)})
			a.event(first, "loading", 1)
			a.do("del", args{"keys": []string{key}})
			a.let(first)
			a.answer(first)
			if w.rdb.Exists(w.ctx(), key).Val() != 0 {
				w.Fatal("the old value was stored")
			}
			if v := a.do("fetch", args{"key": key, "ttl": 60000, "load": load("32")})["value"]; v != "32" {
				w.Fatal(v)
			}
		}},
		{"a value that is due is refreshed by one, and the others have the old one", false, func(w *world) {
			a, b, key := w.process(), w.process(), w.name("k")
			a.do("fetch", args{"key": key, "ttl": 60000, "load": load("31")})
			w.eventually("it is due", func() bool { return w.rdb.PTTL(w.ctx(), key).Val() < 59900*time.Millisecond })
			first := a.begin("fetch", args{"key": key, "ttl": 60000, "refresh": 59900, "load": load("32", "delay", 60000)})
			a.event(first, "loading", 1)
			if v := b.do("fetch", args{"key": key, "ttl": 60000, "refresh": 59900, "load": load("33")})["value"]; v != "31" {
				w.Fatal(v)
			}
			a.let(first)
			a.answer(first) // with the old value, where the client refreshes in the background
			w.eventually("the new one is stored", func() bool { return w.rdb.Get(w.ctx(), key).Val() == "2" })
		}},
		{"a loader that is killed is followed by one of those who wait", true, func(w *world) {
			dies, b, key := w.process(), w.process(), w.name("k")
			dies.event(dies.begin("fetch", args{"key": key, "ttl": 60000, "lease": 1000, "load": load("31", "delay", 60000)}), "loading", 1)
			second := b.begin("fetch", args{"key": key, "ttl": 60000, "load": load("32")})
			w.eventually("it waits", func() bool { return w.waitsForLoad(key) })
			dies.Kill()
			if l := b.answer(second); l.OK["value"] != "32" {
				w.Fatalf("%+v", l)
			}
		}},
		{"without a server values are loaded", true, func(w *world) {
			a, key := w.process(), w.name("k")
			w.proxy.Refuse()
			if v := a.do("fetch", args{"key": key, "ttl": 60000, "load": load("31")})["value"]; v != "31" {
				w.Fatal(v)
			}
			w.proxy.Accept()
		}},
		{"with a server that is silent values are loaded", true, func(w *world) {
			a, key := w.process(), w.name("k")
			w.proxy.Freeze()
			if v := a.do("fetch", args{"key": key, "ttl": 60000, "wait": 1000, "load": load("31")})["value"]; v != "31" {
				w.Fatal(v)
			}
			w.proxy.Thaw()
		}},
		{"a lost reply costs one more load at most", true, func(w *world) {
			a, key := w.process(), w.name("k")
			w.proxy.CutReplies("CACHE.FETCH", 1)
			began := time.Now()
			if v := a.do("fetch", args{"key": key, "ttl": 60000, "load": load("31")})["value"]; v != "31" {
				w.Fatal(v)
			}
			w.Logf("after %v", time.Since(began))
		}},
	}
}

// waitsForLoad tells whether somebody waits for the load of a key.
func (w *world) waitsForLoad(key string) bool {
	n := int64(0)
	switch info := w.rdb.Do(w.ctx(), "CACHE.INFO", key).Val().(type) {
	case map[any]any:
		n, _ = info["waiters"].(int64)
	case []any:
		for i := 0; i+1 < len(info); i += 2 {
			if info[i] == "waiters" {
				n, _ = info[i+1].(int64)
			}
		}
	}
	return n > 0
}
