package blocking

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"testing"
)

// Whatever a server, or what stands in its place, sends: it is a reply or an error, it costs
// no more memory than it has bytes, and nothing panics.
func FuzzReply(f *testing.F) {
	for _, reply := range []string{
		"+OK\r\n", "-ERR no\r\n", ":5\r\n", "$5\r\nhello\r\n", "$-1\r\n", "*2\r\n:1\r\n$1\r\na\r\n", "*-1\r\n", "%1\r\n+a\r\n#t\r\n", "_\r\n",
		",1.5\r\n", "(123456789012345678901\r\n", "=7\r\ntxt:abc\r\n", "!3\r\nERR\r\n", "~1\r\n:1\r\n", ">2\r\n+invalidate\r\n*0\r\n",
		"$9223372036854775807\r\n", "$9223372036854775806\r\nx", "$1099511627776\r\nx\r\n", "=1\r\nx\r\n", "*9223372036854775807\r\n", "%9223372036854775807\r\n",
		"%1\r\n*0\r\n:1\r\n", "%1\r\n%0\r\n:1\r\n", strings.Repeat("*1\r\n", 1000),
	} {
		f.Add([]byte(reply))
	}
	f.Fuzz(func(t *testing.T, reply []byte) {
		r := bufio.NewReaderSize(strings.NewReader(string(reply)), 64)
		for {
			if _, err := readValue(r); err != nil {
				return
			}
		}
	})
}

// What is sent is what a server reads.
func FuzzCommand(f *testing.F) {
	f.Add("SET", []byte("k\r\n"), int64(-5))
	f.Fuzz(func(t *testing.T, word string, text []byte, n int64) {
		b := appendCommand(nil, []any{word, text, n, int(n)})
		got, err := readValue(bufio.NewReaderSize(strings.NewReader(string(b)), 16))
		want := []any{word, string(text), fmt.Sprint(n), fmt.Sprint(int(n))}
		if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%q is read as %q, %v", want, got, err)
		}
	})
}

// A text that never comes takes no memory.
func TestALengthThatCannotBeIsNoReply(t *testing.T) {
	for _, reply := range []string{"$9223372036854775807\r\n", "$9223372036854775806\r\nx", "=4611686018427387904\r\nx", "$1099511627776\r\nx"} {
		if v, err := readValue(bufio.NewReader(strings.NewReader(reply))); err == nil || err == io.EOF {
			t.Errorf("%q: %v, %v", reply, v, err)
		}
	}
}
