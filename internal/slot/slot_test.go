package slot

import "testing"

// The CRC-16 of "123456789" is 31c3 by its definition, and a cluster says that the slot of "foo"
// is 12182.
func TestSlotsAreThoseOfACluster(t *testing.T) {
	for name, want := range map[string]int{"123456789": 0x31c3 % Count, "foo": 12182, "a{foo}b{c}": 12182, "": 0} {
		if got := Of([]byte(name)); got != want {
			t.Errorf("slot of %q: %d, want %d", name, got, want)
		}
	}
	if !Same([]byte("{}a"), []byte("{}a")) || Same([]byte("{}a"), []byte("{}b")) {
		t.Error("a tag of nothing chooses a slot")
	}
}
