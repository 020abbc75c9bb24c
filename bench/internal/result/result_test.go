package result

import (
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestMedianAndSpread(t *testing.T) {
	for _, c := range []struct {
		in   []float64
		want Stat
	}{
		{[]float64{3}, Stat{3, [2]float64{3, 3}, 1}},
		{[]float64{9, 1, 4}, Stat{4, [2]float64{1, 9}, 3}},
		{[]float64{4, 1, 2, 9}, Stat{3, [2]float64{1, 9}, 4}},
	} {
		if got := Median(c.in...); got != c.want {
			t.Errorf("Median(%v) is %+v, want %+v", c.in, got, c.want)
		}
	}
}

func TestQuantile(t *testing.T) {
	v := make([]float64, 1000)
	for i := range v {
		v[999-i] = float64(i)
	}
	for q, want := range map[float64]float64{0: 0, 0.5: 500, 0.99: 990, 0.999: 999, 1: 999} {
		if got := Quantile(v, q); got != want {
			t.Errorf("Quantile %g is %g, want %g", q, got, want)
		}
	}
}

func TestRatiosAreTakenPairByPair(t *testing.T) {
	ours, peer := Beside("x", []float64{1, 20, 3}, []float64{2, 10, 3})
	if ours.Value != 3 || peer.Value != 3 || peer.Ratio != (Stat{1, [2]float64{0.5, 2}, 3}) {
		t.Errorf("ours %+v, theirs %+v", ours, peer)
	}
	if _, peer := Beside("x", []float64{0}, []float64{0}); peer.Ratio.Value != 1 {
		t.Errorf("0 beside 0 is %g", peer.Ratio.Value)
	}
}

func figure(name, unit string, goal *Goal, ours, theirs []float64) Figure {
	f := Figure{Group: "g", Name: name, Unit: unit}
	if theirs != nil {
		f.Stat, f.Peer = Beside("peer", ours, theirs)
	} else {
		f.Stat = Median(ours...)
	}
	f.Set(goal)
	return f
}

func TestGoalsAreAboutTheRatioWhereThereIsOne(t *testing.T) {
	if f := figure("f", "ms", AtMost(1), []float64{5}, []float64{10}); !*f.Met {
		t.Error("a half is not at most 1")
	}
	if f := figure("f", "ms", AtMost(1), []float64{5}, nil); *f.Met {
		t.Error("5 is at most 1")
	}
	if f := figure("f", "per s", AtLeast(2), []float64{5}, nil); !*f.Met || !f.More() {
		t.Error("5 is not at least 2, or less of it is better")
	}
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	run := Run{Date: "2026-01-02", Machine: Machine{CPU: "c", Cores: 2}, Complete: true, Groups: []Group{{Name: "g", Seconds: 3, Error: "broke"}},
		Figures: []Figure{figure("a", "ms", AtMost(0.98), []float64{1, 2}, []float64{3, 4}), figure("b", "per s", AtLeast(12_000), []float64{1}, nil)}}
	path := filepath.Join(t.TempDir(), "x", "2026-01-02.json")
	if err := run.Write(path); err != nil {
		t.Fatal(err)
	}
	got, err := Read(path)
	if err != nil || !reflect.DeepEqual(got, run) {
		t.Errorf("%v; read\n%+v\nwrote\n%+v", err, got, run)
	}
	if all, err := Newest(filepath.Dir(path)); err != nil || len(all) != 1 || all[0] != path {
		t.Error(all, err)
	}
}

func TestOnlyWhatMovedMoreThanTheNoiseIsTold(t *testing.T) {
	before := Run{Figures: []Figure{
		figure("steady", "ms", nil, []float64{10, 11, 12}, nil),
		figure("slower", "ms", AtMost(13), []float64{10, 11, 12}, nil),
		figure("faster", "per s", nil, []float64{10, 11, 12}, nil),
		figure("a little", "ms", nil, []float64{100, 100, 100}, nil),
		figure("once", "ms", nil, []float64{10}, nil),
		figure("gone", "ms", nil, []float64{10}, nil),
	}}
	after := Run{Figures: []Figure{
		figure("steady", "ms", nil, []float64{11.5, 13, 14}, nil), // the old median is out, but the new one's 13 …
		figure("slower", "ms", AtMost(13), []float64{20, 21, 22}, nil),
		figure("faster", "per s", nil, []float64{20, 21, 22}, nil),
		figure("a little", "ms", nil, []float64{104, 104, 104}, nil),
		figure("once", "ms", nil, []float64{12}, nil),
	}}
	after.Figures[0] = figure("steady", "ms", nil, []float64{10.5, 13, 14}, nil) // … is beyond 12, and 11 within
	moves, gone := Compare(before, after)
	if len(moves) != 2 || moves[0].New.Name != "slower" || !moves[0].Worse || moves[1].New.Name != "faster" || moves[1].Worse {
		t.Errorf("moved: %v", moves)
	}
	if !strings.HasSuffix(moves[0].String(), "misses its goal now") {
		t.Errorf("%s", moves[0])
	}
	if len(gone) != 1 || gone[0] != "g: gone" {
		t.Errorf("gone: %v", gone)
	}
}

func TestNumbersAreShort(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 0.98: "0.98", 0.9: "0.9", 0.0123: "0.012", 1.3: "1.3", 5: "5", 12.34: "12.3", 123.4: "123", 1000: "1,000", 9999: "9,999", 123456: "123,000", 1e6: "1,000,000", -0.25: "-0.25", 0.0001: "0"} {
		if got := Number(v); got != want {
			t.Errorf("Number(%g) is %q, want %q", v, got, want)
		}
	}
}

func TestTablesHaveAColumnForEachPeerOfMany(t *testing.T) {
	a, b := figure("wait", "ms", nil, []float64{1}, []float64{2}), figure("wait", "ms", nil, []float64{1}, []float64{3})
	b.Peer.Name = "other"
	got := Markdown([]Figure{a, b, figure("loads", "", AtMost(1), []float64{2}, nil)})
	want := "| | ours | peer | other |\n|---|--:|--:|--:|\n| wait, ms | **1** | 2 | 3 |\n\n" +
		"| what | ours | goal |  |\n|---|--:|---|---|\n| loads | 2 | ≤ 1 | **missed** |\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestPagesAreFilledBetweenTheirMarks(t *testing.T) {
	page := "a\n<!-- bench: one -->\nold\n<!-- /bench -->\nb\n<!-- bench: two -->\nkept\n<!-- /bench -->\nc"
	want := "a\n<!-- bench: one -->\n\nnew\n\n<!-- /bench -->\nb\n<!-- bench: two -->\nkept\n<!-- /bench -->\nc"
	got := Fill(page, map[string]string{"one": "new\n"})
	if got != want || Fill(got, map[string]string{"one": "new\n"}) != want {
		t.Errorf("got\n%s", got)
	}
	if Fill("plain", nil) != "plain" {
		t.Error("a page without marks changed")
	}
}

// A group that is run again takes its own place, whether it had figures or failed.
func TestAGroupThatIsRunAgainTakesItsPlace(t *testing.T) {
	var run Run
	figures := func(group string, names ...string) (out []Figure) {
		for _, n := range names {
			out = append(out, Figure{Group: group, Name: n})
		}
		return out
	}
	run.Put(Group{Name: "a"}, figures("a", "1", "2"))
	run.Put(Group{Name: "b", Error: "it hung"}, figures("b", "3"))
	run.Put(Group{Name: "c"}, figures("c", "4"))
	if run.Complete {
		t.Error("complete, though b failed")
	}
	run.Put(Group{Name: "b", Again: "later"}, figures("b", "5", "6"))
	got := ""
	for _, f := range run.Figures {
		got += f.Group + f.Name + " "
	}
	if want := "a1 a2 b5 b6 c4 "; got != want || !run.Complete || len(run.Groups) != 3 || run.Groups[1].Again != "later" {
		t.Errorf("%s and %+v, complete %v, want %s", got, run.Groups, run.Complete, want)
	}
}
