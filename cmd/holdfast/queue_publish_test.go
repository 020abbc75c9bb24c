package main

import (
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/redis/go-redis/v9"

	"holdfast/holdfasttest"
)

// inQueue are the payloads of a queue, in its order.
func inQueue(t *testing.T, rdb *redis.Client, stream string) (payloads []string) {
	t.Helper()
	entries, err := rdb.XRange(t.Context(), stream, "-", "+").Result()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		payloads = append(payloads, e.Values["payload"].(string))
	}
	return payloads
}

// publishUntil publishes all, and sends a signal in the midst of it.
func publishUntil(t *testing.T, s *holdfasttest.Instance, all string, with syscall.Signal, args ...string) *process {
	t.Helper()
	p := newTool(t, s.Addr, t.TempDir(), append([]string{"queue", "publish", "numbers"}, args...)...)
	out, in := io.Pipe()
	p.Stdin = out
	p.start()
	go func() {
		_, _ = io.WriteString(in, all)
		// Without an end: the tool waits for more when the signal comes.
	}()
	t.Cleanup(func() { in.Close() })
	rdb := s.Client()
	until(t, "some lines are published", func() bool { return rdb.XLen(t.Context(), "numbers").Val() > 2000 })
	p.signal(with)
	return p
}

// publishAll publishes all to the end.
func publishAll(t *testing.T, s *holdfasttest.Instance, all string, args ...string) {
	t.Helper()
	p := newTool(t, s.Addr, t.TempDir(), append([]string{"queue", "publish", "numbers"}, args...)...)
	p.Stdin = strings.NewReader(all)
	p.start()
	if code := p.wait(); code != 0 {
		t.Fatalf("exit code %d: %s", code, p.said())
	}
}

func TestAPublicationThatCtrlCEndedGoesOnWhereItSays(t *testing.T) {
	const n = 50_000
	s, all := holdfasttest.Server(t), lines(0, n)
	p := publishUntil(t, s, all, syscall.SIGINT)
	if code := p.wait(); code != 130 {
		t.Fatalf("exit code %d: %s", code, p.said())
	}
	next := regexp.MustCompile(`--from-line (\d+)`).FindStringSubmatch(p.said())
	if next == nil {
		t.Fatalf("it does not say how to go on: %s", p.said())
	}
	if there := len(inQueue(t, s.Client(), "numbers")); strconv.Itoa(there+1) != next[1] {
		t.Errorf("%d lines are there, and it says to go on with line %s", there, next[1])
	}
	publishAll(t, s, all, "--from-line", next[1])
	if got := inQueue(t, s.Client(), "numbers"); !slices.Equal(got, strings.Fields(all)) {
		t.Errorf("%d tasks of %d lines, or not in their order", len(got), n)
	}
}

func TestAPublicationThatWasKilledIsRepeatedWithoutDoubles(t *testing.T) {
	const n = 50_000
	s, all := holdfasttest.Server(t), lines(0, n)
	p := publishUntil(t, s, all, syscall.SIGKILL, "--unique-lines", "import-7")
	p.wait()
	publishAll(t, s, all, "--unique-lines", "import-7")
	if got := inQueue(t, s.Client(), "numbers"); !slices.Equal(got, strings.Fields(all)) {
		t.Errorf("%d tasks of %d lines, or not in their order", len(got), n)
	}
}

func TestLinesForWhichThereIsNoRoomAreNotSaidToBePublished(t *testing.T) {
	for _, args := range [][]string{nil, {"--unique-lines", "import-7"}} {
		s := holdfasttest.Server(t)
		p := newTool(t, s.Addr, t.TempDir(), append([]string{"queue", "publish", "numbers", "--limit", "1500"}, args...)...)
		p.Stdin = strings.NewReader(lines(0, 3000))
		p.start()
		code, said := p.wait(), p.said()
		if there := s.Client().XLen(t.Context(), "numbers").Val(); code != 1 || there != 1500 || !strings.Contains(said, "1,500 lines published") || !strings.Contains(said, "Try:   the same") {
			t.Errorf("%v: exit code %d, %d tasks: %s", args, code, there, said)
		}
	}
}
