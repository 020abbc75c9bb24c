package clienttest

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"holdfast/holdfasttest"
)

// RefuseWrites makes a server fail to save, as on a full disk: it answers MISCONF to
// all that writes until AllowWrites.
func RefuseWrites(t testing.TB, s *holdfasttest.Instance) {
	t.Helper()
	rdb, ctx := s.Client(), context.Background()
	must(t, rdb.ConfigSet(ctx, "save", "3600 1").Err())
	must(t, os.MkdirAll(filepath.Join(s.Dir, "dump.rdb", "in-the-way"), 0o700))
	save(t, s, "err")
}

// AllowWrites ends what RefuseWrites began.
func AllowWrites(t testing.TB, s *holdfasttest.Instance) {
	t.Helper()
	must(t, os.RemoveAll(filepath.Join(s.Dir, "dump.rdb")))
	save(t, s, "ok")
}

// save saves and waits until the server knows how that ended.
func save(t testing.TB, s *holdfasttest.Instance, status string) {
	t.Helper()
	rdb, ctx := s.Client(), context.Background()
	must(t, rdb.BgSave(ctx).Err())
	for end := time.Now().Add(30 * time.Second); rdb.InfoMap(ctx, "persistence").Item("Persistence", "rdb_last_bgsave_status") != status; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("saving does not end as %s", status)
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
