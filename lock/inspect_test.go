package lock_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"holdfast/holdfasttest"
	"holdfast/lock"
)

func TestAnInspectorTellsWhoHoldsAndWhoWaits(t *testing.T) {
	ctx, s := t.Context(), holdfasttest.Server(t)
	rdb := s.Client()
	i := lock.Inspect(rdb)
	for _, args := range [][]any{
		{"LOCK.ACQUIRE", "report", "ann", 60000, "META", "web-1"},
		{"SET", "old", "theirs", "NX", "PX", 60000},
	} {
		if err := rdb.Do(ctx, args...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	waits := make(chan error, 1)
	go func() { waits <- rdb.Do(ctx, "LOCK.ACQUIRE", "report", "bob", 60000, "BLOCK", 30000).Err() }()
	info, err := i.Info(ctx, "report")
	for err == nil && len(info.Waiters) == 0 {
		info, err = i.Info(ctx, "report")
	}
	if err != nil {
		t.Fatal(err)
	}
	if h := info.Holders[0]; h.Owner != "ann" || h.Meta != "web-1" || h.Token == 0 || h.Left <= 0 || info.Waiters[0].Owner != "bob" {
		t.Fatalf("%+v", info)
	}
	foreign, err := i.Info(ctx, "old")
	if err != nil || !foreign.Holders[0].Foreign || foreign.Holders[0].Owner != "theirs" {
		t.Fatalf("%+v, %v", foreign, err)
	}
	free, err := i.Info(ctx, "free")
	if err != nil || free.Holding != 0 || free.Name != "free" {
		t.Fatalf("%+v, %v", free, err)
	}
	page, err := i.List(ctx, lock.ListOptions{Match: "rep*"})
	if err != nil || len(page.Locks) != 1 || page.Locks[0].Waiting != 1 || page.Locks[0].Holders[0].Owner != "ann" {
		t.Fatalf("%+v, %v", page, err)
	}
	if page, err := i.List(ctx, lock.ListOptions{Owner: "carol"}); err != nil || len(page.Locks) != 0 {
		t.Fatalf("%+v, %v", page, err)
	}
	if n, err := i.Break(ctx, "report", ""); err != nil || n != 1 {
		t.Fatal(n, err)
	}
	if err := <-waits; err != nil {
		t.Fatal(err)
	}
}

func TestAnObserverSeesEachHolder(t *testing.T) {
	s := holdfasttest.Server(t, holdfasttest.WithArgs("--notify-keyspace-events", "KA"))
	rdb := s.Client()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	enough := errors.New("enough")
	var seen []string
	err := lock.Inspect(rdb).Observe(ctx, "report", func(i lock.Info) error {
		switch len(seen) {
		case 0:
			seen = append(seen, "free")
			return rdb.Do(ctx, "LOCK.ACQUIRE", "report", "ann", 60000).Err()
		case 1:
			seen = append(seen, i.Holders[0].Owner)
			return rdb.Do(ctx, "LOCK.RELEASE", "report", "ann").Err()
		}
		if len(i.Holders) != 0 {
			t.Errorf("%+v", i)
		}
		return enough
	})
	if !errors.Is(err, enough) || len(seen) != 2 || seen[1] != "ann" {
		t.Fatal(seen, err)
	}
}

func TestAListGoesOverAllPrimariesOfACluster(t *testing.T) {
	ctx, c := t.Context(), holdfasttest.Cluster(t, 3, 0)
	rdb := c.Client()
	want := map[string]bool{}
	for _, name := range []string{"a", "b", "c", "d", "e", "f", "g"} {
		want[name] = true
		if err := rdb.Do(ctx, "LOCK.ACQUIRE", name, "me", 60000).Err(); err != nil {
			t.Fatal(err)
		}
	}
	i := lock.Inspect(rdb)
	for cursor := ""; ; {
		page, err := i.List(ctx, lock.ListOptions{Cursor: cursor})
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range page.Locks {
			delete(want, l.Name)
		}
		if cursor = page.Cursor; cursor == "" {
			break
		}
	}
	if len(want) > 0 {
		t.Fatalf("not listed: %v", want)
	}
}
