package dashboard

import (
	"encoding/json"
	"strings"
	"testing"
)

// A payload is shown as a tree exactly if it is JSON of a depth that people can read.
func FuzzTree(f *testing.F) {
	for _, payload := range []string{`{"a":[1,2.50,{"b":null}],"c":"d"}`, "text", "1 2", "[", strings.Repeat("[", 60) + strings.Repeat("]", 60), `{"a":1}x`} {
		f.Add([]byte(payload))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		if _, ok := treeOf(payload); ok && !json.Valid(payload) {
			t.Errorf("%q is no JSON", payload)
		}
	})
}
