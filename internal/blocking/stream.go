package blocking

import (
	"context"
	"net"
	"time"

	"github.com/redis/go-redis/v9"
)

// Stream is a connection on which the server also sends what nobody asked for at that
// moment (RESP3 pushes). Everything is read in the order in which it was sent. One
// goroutine reads; writers take turns.
type Stream struct {
	conn *Conn
	raw  net.Conn
}

// hello bounds the first commands on a stream.
const hello = 5 * time.Second

// Stream connects to a node and sends a first command, which the server must accept.
func (p *Pool) Stream(ctx context.Context, node *redis.Options, first ...any) (*Stream, error) {
	c := newConn(p, nil, node) // without a slot: there is one stream for a node
	s, err := c.stream(ctx, first)
	if err != nil {
		c.Close()
	}
	return s, err
}

func (c *Conn) stream(ctx context.Context, first []any) (*Stream, error) {
	for _, command := range [][]any{{"HELLO", 3}, first} {
		if _, err := c.do(ctx, hello, nil, command, false); err != nil {
			return nil, err
		}
	}
	raw, err := c.allow(0)
	return &Stream{conn: c, raw: raw}, err
}

// Close ends the stream; Read returns then.
func (s *Stream) Close() { s.conn.Close() }

// Write sends commands, one behind the other. After an error the stream must be
// closed.
func (s *Stream) Write(within time.Duration, commands ...[]any) error {
	if err := s.raw.SetWriteDeadline(time.Now().Add(within)); err != nil {
		return err
	}
	var b []byte
	for _, args := range commands {
		b = appendCommand(b, args)
	}
	_, err := s.raw.Write(b)
	return err
}

// Read returns what the server sends next, a reply or a push: nil, an int64, a
// string, a ServerError, or a []any of these.
func (s *Stream) Read() (value any, push bool, err error) {
	kind, err := s.conn.r.Peek(1)
	if err != nil {
		return nil, false, err
	}
	push = kind[0] == '>'
	value, err = readValue(s.conn.r)
	return value, push, err
}
