package keyed

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestEntriesAreFoundInAnyOrderAndEachKeyKnowsItsOwn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s entries
		keys := []*key{{name: "a"}, {name: "b"}, {name: "c"}}
		model := map[ID]*key{}
		last := ID{Ms: 5}
		add := func(id ID) {
			if _, is := s.find(id); is != (model[id] != nil) {
				t.Fatalf("%v is in: %v", id, is)
			} else if !is {
				model[id] = rapid.SampledFrom(keys).Draw(t, "key")
				s.add(model[id], id)
			}
		}
		remove := func(id ID) {
			i, ok := s.find(id)
			if !ok || s.remove(i) != model[id] {
				t.Fatalf("%v is not found, or of another key", id)
			}
			delete(model, id)
		}
		ids := func() []ID { return slices.SortedFunc(maps.Keys(model), ID.Compare) }
		t.Repeat(map[string]func(*rapid.T){
			"some enter": func(t *rapid.T) {
				for range rapid.IntRange(1, 40).Draw(t, "n") {
					last.Seq++
					add(last)
				}
			},
			"one enters late": func(t *rapid.T) {
				add(ID{Ms: rapid.Uint64Range(3, 5).Draw(t, "ms"), Seq: rapid.Uint64Range(0, 60).Draw(t, "seq")})
			},
			"the first leave": func(t *rapid.T) {
				all := ids()
				for _, id := range all[:min(len(all), rapid.IntRange(1, 60).Draw(t, "n"))] {
					remove(id)
				}
			},
			"any leaves": func(t *rapid.T) {
				if all := ids(); len(all) > 0 {
					remove(rapid.SampledFrom(all).Draw(t, "id"))
				}
			},
			"": func(t *rapid.T) {
				got, want := map[string][]ID{}, map[string][]ID{}
				for _, k := range keys {
					if of := s.of(k, nil); len(of) > 0 {
						slices.SortFunc(of, ID.Compare)
						got[k.name] = of
					}
				}
				for _, id := range ids() {
					want[model[id].name] = append(want[model[id].name], id)
				}
				if fmt.Sprint(got) != fmt.Sprint(want) || s.live != len(model) {
					t.Fatalf("%v are in, %d in all, want %v", got, s.live, want)
				}
				if gone := len(s.at) - s.live; gone > max(s.live, 64) {
					t.Fatalf("%d of %d places are of entries that have left", gone, len(s.at))
				}
			},
		})
	})
}
