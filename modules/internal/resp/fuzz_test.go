package resp_test

import (
	"bytes"
	"fmt"
	"testing"

	"holdfast/modules/internal/resp"
)

// Whatever values a server writes, one after another, each is skipped whole.
func FuzzSkip(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6})
	f.Add([]byte("*\x02$\x03abc"))
	f.Fuzz(func(t *testing.T, plan []byte) {
		var values [][]byte
		for len(plan) > 0 && len(values) < 20 {
			var v []byte
			v, plan = written(plan, 0)
			values = append(values, v)
		}
		r := resp.Read(bytes.Join(values, nil))
		for _, want := range values {
			if got := r.Skip(); !bytes.Equal(got, want) {
				t.Fatalf("%q is skipped as %q", want, got)
			}
		}
		if r.More() {
			t.Errorf("%q is left", r.Rest())
		}
	})
}

// written is a reply as a server writes it, made from the first bytes of a plan.
func written(plan []byte, depth int) (value, rest []byte) {
	if len(plan) == 0 {
		return []byte("$-1\r\n"), nil
	}
	kind, rest := plan[0]%6, plan[1:]
	n := int(plan[0] / 6 % 5)
	switch kind {
	case 0:
		return fmt.Appendf(nil, ":%d\r\n", int(plan[0])-100), rest
	case 1:
		return []byte("+status\r\n"), rest
	case 2:
		return []byte("-ERR no\r\n"), rest
	case 3:
		return []byte("*-1\r\n"), rest
	case 4:
		n = min(n, len(rest))
		return fmt.Appendf(nil, "$%d\r\n%s\r\n", n, rest[:n]), rest[n:]
	}
	if depth == 10 {
		n = 0
	}
	value = fmt.Appendf(nil, "*%d\r\n", n)
	for range n {
		var inner []byte
		inner, rest = written(rest, depth+1)
		value = append(value, inner...)
	}
	return value, rest
}
