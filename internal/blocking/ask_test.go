package blocking_test

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/holdfasttest"
	"holdfast/internal/blocking"
)

func TestEveryPrimaryIsAskedAndTheFirstErrorTold(t *testing.T) {
	c := holdfasttest.Cluster(t, 3, 0, holdfasttest.WithModules())
	rdb, ctx := c.Client(), t.Context()
	nodes, err := blocking.Primaries(ctx, rdb)
	if err != nil {
		t.Fatal(err)
	}
	var addrs []string
	for i, node := range nodes {
		addrs = append(addrs, node.Addr)
		if _, err := node.Send(ctx, "CLIENT", "SETNAME", "n"); err != nil {
			t.Error(err)
		}
		if _, err := node.Send(ctx, "CONFIG", "SET", "maxclients", 1000+i); err != nil {
			t.Error(err)
		}
	}
	if all := c.Addrs(); len(addrs) != len(all) || !slices.IsSorted(addrs) {
		t.Errorf("%q of %q", addrs, all)
	}
	replies, err := blocking.SendEverywhere(ctx, rdb, "CONFIG", "GET", "maxclients")
	if err != nil || len(replies) != 3 {
		t.Fatal(replies, err)
	}
	for i, reply := range replies { // in the order of the addresses
		if got, want := blocking.FieldsOf(reply).Text("maxclients"), []string{"1000", "1001", "1002"}[i]; got != want {
			t.Errorf("%q instead of %q", got, want)
		}
	}
	if _, err := blocking.SendEverywhere(ctx, rdb, "NONSENSE"); !redis.HasErrorPrefix(err, "unknown command") {
		t.Error(err)
	}
}

func TestAMapIsReadAlikeInBothProtocols(t *testing.T) {
	b := start(t)
	script := `redis.setresp(3); return {map={n=7, yes=true, text='t', ms=1500, inner={map={x=1}}, list={{map={k='a'}}, {map={k='b'}}}}}`
	for _, protocol := range []int{2, 3} {
		rdb := redis.NewClient(&redis.Options{Addr: b.Addr, Protocol: protocol})
		defer rdb.Close()
		reply, err := rdb.Eval(b.context(), script, nil).Result()
		if err != nil {
			t.Fatal(err)
		}
		f := blocking.FieldsOf(reply)
		var list []string
		for _, one := range f.Maps("list") {
			list = append(list, one.Text("k"))
		}
		got := []any{f.Int("n"), f.Bool("yes"), f.Text("text"), f.Millis("ms"), f.Map("inner").Int("x"), list, f.Has("n"), f.Has("none"), f.Int("text"), f.Text("n")}
		want := []any{int64(7), true, "t", 1500 * time.Millisecond, int64(1), []string{"a", "b"}, true, false, int64(0), ""}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("in RESP%d %v, want %v", protocol, got, want)
		}
	}
	if f := blocking.FieldsOf(nil); f != nil || f.Text("x") != "" || f.Map("x") != nil || len(f.Maps("x")) != 0 {
		t.Errorf("nothing is read as %v", f)
	}
}
