package dashboard

import (
	"context"
	"time"

	"holdfast/cache"
	"holdfast/internal/shell"
)

// prefixRow is what the keys of one prefix do.
type prefixRow struct {
	cache.PrefixStats
	HitRate string
}

type cacheData struct {
	Stats    map[string]int64
	Asked    int64 // hits and misses
	HitRate  string
	Prefixes []prefixRow
	SetUp    string // the command that has the server count by prefix
	Loads    []cache.Load
	Key      string
	Info     cache.Info
	Delete   *button
	Command  string
}

func cachePage(v *visit) (page, error) {
	out := page{name: "cache", Title: "Cache", Menu: Cache, Live: true}
	d := cacheData{Key: v.arg("key"), SetUp: `CONFIG SET cachelock.stats-prefixes "user: page:"`}
	whole := v.Area("cache")
	if !whole || d.Key != "" {
		if err := v.need(View, Target{Cache, d.Key}); err != nil {
			return page{}, err
		}
	}
	if whole {
		if err := v.counters(&d); err != nil {
			return out, err
		}
	}
	var err error
	if d.Key != "" {
		d.Info, err = ask(v, "cache-key "+d.Key, fresh, func(ctx context.Context) (cache.Info, error) { return v.caches.Info(ctx, d.Key) })
		d.Delete, d.Command = v.Button("delete", "key", d.Key), shell.Command("cache info", nil, d.Key)
	}
	out.Data = d
	return out, err
}

// counters fills in what the whole cache does.
func (v *visit) counters(d *cacheData) (err error) {
	if d.Stats, err = ask(v, "cache stats", fresh, v.caches.Stats); err != nil {
		return err
	}
	if d.Asked = d.Stats["hits"] + d.Stats["misses"]; d.Asked > 0 {
		d.HitRate = percent(d.Stats["hits"], d.Asked)
	}
	prefixes, err := ask(v, "cache prefixes", fresh, v.caches.Prefixes)
	if err != nil {
		return err
	}
	for _, p := range prefixes {
		r := prefixRow{PrefixStats: p}
		if asked := p.Hits + p.Misses; asked > 0 {
			r.HitRate = percent(p.Hits, asked)
		}
		d.Prefixes = append(d.Prefixes, r)
	}
	loads, err := ask(v, "loads", fresh, func(ctx context.Context) ([]cache.Load, error) { return v.caches.Loads(ctx, shownTasks) })
	for _, l := range loads {
		if v.May(View, Target{Cache, l.Key}) {
			d.Loads = append(d.Loads, l)
		}
	}
	return err
}

// Term is how long the lease of a load is.
func (v *visit) Term(key string, left time.Duration) time.Duration {
	return v.terms.of("load "+key, left)
}
