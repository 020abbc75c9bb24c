package transcript

import (
	"bufio"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestSessionsAreReadFromMarkdown(t *testing.T) {
	text := strings.Join([]string{
		"# Title", "```sh", "> not a session", "# not a heading", "```", "## One", "```console", "> GET a",
		`"x"`, "ben> BLPOP q 0", "(waiting)", "```", "prose", "```console", "> PUSH q \"1 2\"", "(integer) 1", "", "ben>",
		"1) \"q\"", "2) \"1 2\"", "```", "## Two", "```console", "> PING", "PONG", "```",
	}, "\n")
	want := []Section{
		{"One", []Step{
			{"", "GET a", `"x"`, 8}, {"ben", "BLPOP q 0", "(waiting)", 10},
			{"", `PUSH q "1 2"`, "(integer) 1", 15}, {"ben", "", "1) \"q\"\n2) \"1 2\"", 18},
		}},
		{"Two", []Step{{"", "PING", "PONG", 24}}},
	}
	if got := Parse(text); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestWhatIsQuotedSplitsIntoTheSameBytes(t *testing.T) {
	for seed := range uint64(1000) {
		r := rand.New(rand.NewPCG(seed, 0))
		var line, want []string
		for range 1 + r.IntN(5) {
			arg := make([]byte, r.IntN(10))
			for i := range arg {
				arg[i] = byte(r.IntN(256))
			}
			line, want = append(line, quote(arg)), append(want, string(arg))
		}
		got, err := Split(strings.Join(line, "  "))
		if err != nil || !slices.Equal(got, want) {
			t.Fatalf("seed %d: %q, %v, want %q", seed, got, err, want)
		}
	}
}

func TestALineIsSplitAsRedisCLIDoes(t *testing.T) {
	for line, want := range map[string][]string{
		"":                      nil,
		" a  b ":                {"a", "b"},
		`set 'it\'s' "a\"b"`:    {"set", "it's", `a"b`},
		`'\n' "\n" "\x41\x4" x`: {`\n`, "\n", "Ax4", "x"},
		`a"b c"`:                {"ab c"},
		`"a"b`:                  nil,
		`"open`:                 nil,
		`"end\`:                 nil,
	} {
		got, err := Split(line)
		if bad := want == nil && line != ""; bad != (err != nil) || !bad && !slices.Equal(got, want) {
			t.Errorf("%s: %q, %v, want %q", line, got, err, want)
		}
	}
}

func TestARepliesTextIsRedisCLIs(t *testing.T) {
	for wire, want := range map[string]string{
		"+OK\r\n":                            "OK",
		"-ERR no\r\n":                        "(error) ERR no",
		":-3\r\n":                            "(integer) -3",
		"$-1\r\n":                            "(nil)",
		"*-1\r\n":                            "(nil)",
		"*0\r\n":                             "(empty array)",
		"$4\r\na\r\nb\r\n":                   `"a\r\nb"`,
		"*2\r\n*2\r\n:1\r\n:2\r\n$0\r\n\r\n": "1) 1) (integer) 1\n   2) (integer) 2\n2) \"\"",
	} {
		got, err := reply(bufio.NewReader(strings.NewReader(wire)), "")
		if err != nil || got != want {
			t.Errorf("%q: %q, %v, want %q", wire, got, err, want)
		}
	}
	for _, wire := range []string{"", "\r\n", "?\r\n", "$x\r\n", "$3\r\nab", "*2\r\n:1\r\n"} {
		if text, err := reply(bufio.NewReader(strings.NewReader(wire)), ""); err == nil {
			t.Errorf("%q is read as %q", wire, text)
		}
	}
}

func TestAnIdStandsForTheOneTheServerGave(t *testing.T) {
	n := names{}
	n.learn(`"1700000000000-0"`, `"1800000000001-5"`)
	n.learn(`"1700000000000-0"`, `"1900000000000-0"`) // known by then
	written := "1) \"1700000000000-0\"\n2) \"1700000000\"\n3) …"
	if want := n.replace(written); !match(want, "1) \"1800000000001-5\"\n2) \"1812345678\"\n3) \"any\"") {
		t.Errorf("%s does not match", want)
	}
	for _, other := range []string{"1) \"1700000000000-0\"\n2) \"1812345678\"\n3) x", "1) \"1800000000001-5\"\n2) \"12\"\n3) x"} {
		if match(n.replace(written), other) {
			t.Errorf("%s matches", other)
		}
	}
	if got := n.replace("TASK.ACK tasks workers 1700000000000-0 5"); got != "TASK.ACK tasks workers 1800000000001-5 5" {
		t.Error(got)
	}
}
