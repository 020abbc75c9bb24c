package blocking

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// Stream is a connection on which the server speaks unasked too (RESP3 pushes), so
// that what it says is read in the order in which it was said. One goroutine reads;
// writers take turns by themselves.
type Stream struct {
	conn *Conn
	raw  net.Conn
	r    *bufio.Reader
}

// hello bounds the first words on a stream.
const hello = 5 * time.Second

// Stream connects to a node, and sends first, to which the server must agree.
func (p *Pool) Stream(ctx context.Context, node *redis.Options, first ...any) (*Stream, error) {
	c := newConn(p, node)
	c.slot = false // it is one for a node, and not in the way of others
	s, err := c.stream(ctx, first)
	if err != nil {
		c.Close()
	}
	return s, err
}

func (c *Conn) stream(ctx context.Context, first []any) (*Stream, error) {
	// The client says who it is, with all the options it has; then it is silent.
	if _, err := c.Do(ctx, hello, nil, "PING"); err != nil {
		return nil, err
	}
	c.mu.Lock()
	s := &Stream{conn: c, raw: c.raw, r: bufio.NewReader(c.raw)}
	c.mu.Unlock()
	if err := s.raw.SetDeadline(time.Now().Add(hello)); err != nil {
		return nil, err
	}
	for _, command := range [][]any{{"HELLO", 3}, first} {
		if err := s.Write(hello, command); err != nil {
			return nil, err
		}
		for {
			reply, push, err := s.Read()
			if err != nil {
				return nil, err
			}
			if said, failed := reply.(ServerError); failed {
				return nil, said
			}
			if !push {
				break
			}
		}
	}
	return s, s.raw.SetDeadline(time.Time{})
}

// Close ends the stream; Read returns then.
func (s *Stream) Close() { s.conn.Close() }

// Write sends commands, one behind the other. If that fails the stream is of no use
// any more.
func (s *Stream) Write(within time.Duration, commands ...[]any) error {
	if err := s.raw.SetWriteDeadline(time.Now().Add(within)); err != nil {
		return err
	}
	_, err := s.raw.Write(encode(commands...))
	return err
}

// ServerError is an error that the server answered.
type ServerError string

func (e ServerError) Error() string { return string(e) }

// RedisError makes it one of go-redis's.
func (e ServerError) RedisError() {}

// Read is the next thing the server says: a reply, or a push. It is nil, an int64, a
// string, a ServerError, or a []any of these; a map is its keys and values in turn.
func (s *Stream) Read() (value any, push bool, err error) {
	kind, err := s.r.Peek(1)
	if err != nil {
		return nil, false, err
	}
	value, err = s.value()
	return value, kind[0] == '>', err
}

func (s *Stream) value() (any, error) {
	line, err := s.r.ReadSlice('\n')
	if err != nil {
		return nil, err
	}
	line = bytes.TrimRight(line, "\r\n")
	if len(line) == 0 {
		return nil, errors.New("the server answered an empty line")
	}
	text := string(line[1:])
	switch line[0] {
	case '+', ',', '(':
		return text, nil
	case '-':
		return ServerError(text), nil
	case '_':
		return nil, nil
	case '#':
		return text == "t", nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("the server answered %q", line)
	}
	switch line[0] {
	case ':':
		return n, nil
	case '$', '=', '!':
		if n < 0 {
			return nil, nil
		}
		b := make([]byte, n+2)
		if _, err := io.ReadFull(s.r, b); err != nil {
			return nil, err
		}
		if b = b[:n]; line[0] == '!' {
			return ServerError(b), nil
		}
		return string(b), nil
	case '*', '~', '>':
		return s.values(n)
	case '%':
		return s.values(2 * n)
	}
	return nil, fmt.Errorf("the server answered %q", line)
}

func (s *Stream) values(n int64) (any, error) {
	if n < 0 {
		return nil, nil
	}
	all := make([]any, 0, min(n, 1024))
	for range n {
		v, err := s.value()
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, nil
}
