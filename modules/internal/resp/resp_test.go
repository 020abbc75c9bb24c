package resp_test

import (
	"testing"

	"holdfast/modules/internal/resp"
)

func TestARepliesPartsAreReadInTurn(t *testing.T) {
	r := resp.Read([]byte("*2\r\n$3\r\na\r\n" + "\r\n*3\r\n:-42\r\n$-1\r\n$2\r\n-7\r\n+OK\r\n"))
	// The string in the middle holds a line break, as payloads may.
	if n := r.Array(); n != 2 {
		t.Fatalf("an array of %d, want 2", n)
	}
	if s := r.Bytes(); string(s) != "a\r\n" {
		t.Fatalf("%q", s)
	}
	if n := r.Array(); n != 3 {
		t.Fatalf("an array of %d, want 3", n)
	}
	if n, ok := r.Int(); n != -42 || !ok {
		t.Fatal(n, ok)
	}
	if s := r.Bytes(); s != nil {
		t.Fatalf("nil was read as %q", s)
	}
	if n, ok := r.Int(); n != -7 || !ok {
		t.Fatal(n, ok)
	}
	if s := r.Bytes(); string(s) != "OK" || r.More() {
		t.Fatalf("%q, more %v", s, r.More())
	}
}

func TestSkippingGoesPastAllThatIsInside(t *testing.T) {
	r := resp.Read([]byte("*2\r\n*1\r\n$1\r\nx\r\n*-1\r\n:1\r\n"))
	if s := r.Skip(); string(s) != "*2\r\n*1\r\n$1\r\nx\r\n*-1\r\n" {
		t.Fatalf("%q", s)
	}
	if n, _ := r.Int(); n != 1 {
		t.Fatal(n)
	}
}

func TestReadingDoesNotAllocate(t *testing.T) {
	b := []byte("*2\r\n$5\r\nhello\r\n*2\r\n:1\r\n:2\r\n")
	if n := testing.AllocsPerRun(100, func() {
		r := resp.Read(b)
		r.Array()
		r.Bytes()
		r.Skip()
	}); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}
