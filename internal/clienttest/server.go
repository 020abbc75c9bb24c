// Package clienttest is what the tests of the Go clients share: a server that is
// asked beside the client under test, the check that no goroutine is left, and
// clusters and primaries on the move.
package clienttest

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/holdfasttest"
)

// Server is a server and what is asked of it beside the client that is tested.
type Server struct {
	*holdfasttest.Instance
	*redis.Client
	T        *testing.T
	Patience time.Duration // bounds every wait. It decides nothing: a test that needs it has failed
}

// Start starts a server, and checks at the end that no goroutine is left.
func Start(t *testing.T, patience time.Duration, options ...holdfasttest.Option) *Server {
	t.Helper()
	WatchGoroutines(t)
	s := holdfasttest.Server(t, options...)
	return &Server{s, s.Client(), t, patience}
}

// Context ends with the test, or with its patience.
func Context(t *testing.T, patience time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// Until waits for something to become so.
func Until(t *testing.T, patience time.Duration, what string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !so(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not even after %v: %s", patience, what)
		}
	}
}

// Context ends with the test, or with its patience.
func (s *Server) Context() context.Context { return Context(s.T, s.Patience) }

// Until waits for something to become so.
func (s *Server) Until(what string, so func() bool) {
	s.T.Helper()
	Until(s.T, s.Patience, what, so)
}

// Calls is how often the server ran a command.
func (s *Server) Calls(command string) int { return s.stat(command, "calls=") }

// Refused is how often the server refused to run a command: MISCONF, OOM and the like.
func (s *Server) Refused(command string) int { return s.stat(command, "rejected_calls=") }

// stat is one field of a command's line in INFO commandstats.
func (s *Server) stat(command, field string) (n int) {
	s.T.Helper()
	for line := range strings.SplitSeq(s.Info(s.Context(), "commandstats").Val(), "\r\n") {
		if rest, ok := strings.CutPrefix(line, "cmdstat_"+command+":"); ok {
			for part := range strings.SplitSeq(rest, ",") {
				if value, ok := strings.CutPrefix(part, field); ok {
					n, _ = strconv.Atoi(value)
				}
			}
		}
	}
	return n
}

// KillClients closes the connections of whose lines in CLIENT LIST all of these are a
// part, and tells how many.
func (s *Server) KillClients(parts ...string) (n int) {
	s.T.Helper()
lines:
	for line := range strings.SplitSeq(s.ClientList(s.Context()).Val(), "\n") {
		for _, part := range parts {
			if !strings.Contains(line, part) {
				continue lines
			}
		}
		var id int64
		if _, err := fmt.Sscanf(line, "id=%d ", &id); err == nil {
			n += int(s.ClientKillByFilter(s.Context(), "ID", strconv.FormatInt(id, 10)).Val())
		}
	}
	return n
}
