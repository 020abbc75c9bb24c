package main

import (
	"bufio"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"
)

// load sends n commands over one connection, depth at a time, and answers how long that
// took. The command is made for each by its number. What it costs to put the commands
// together is nobody's, so that is done before.
func (s *Server) load(n, depth int, command func(i int) []string) time.Duration {
	return s.loadEach(n, 1, depth, func(_, i int) []string { return command(i) })
}

// loadEach is load over so many connections at once. The command is made by the number of the
// connection and its number there.
func (s *Server) loadEach(n, conns, depth int, command func(conn, i int) []string) time.Duration {
	var ready, all sync.WaitGroup
	begin := make(chan struct{})
	for c := range conns {
		mine := (n - c + conns - 1) / conns
		ready.Add(1)
		all.Go(func() {
			conn, err := net.Dial("tcp", s.Addr)
			must(err)
			defer conn.Close()
			in := bufio.NewReaderSize(conn, 1<<16)
			var wire []byte
			ends := make([]int, 0, mine/depth+1) // of the batches
			for i := 0; i < mine; i += depth {
				for k := i; k < min(i+depth, mine); k++ {
					wire = encode(wire, command(c, k))
				}
				ends = append(ends, len(wire))
			}
			ready.Done()
			<-begin
			sent := 0
			for b, end := range ends {
				_, err := conn.Write(wire[sent:end])
				must(err)
				sent = end
				for k := b * depth; k < min((b+1)*depth, mine); k++ {
					if err := skip(in); err != nil {
						fail(fmt.Errorf("%q: %w", command(c, k), err))
					}
				}
			}
		})
	}
	ready.Wait()
	began := time.Now()
	close(begin)
	all.Wait()
	return time.Since(began)
}

// repeat sends a command n times over one connection, each when the last was answered,
// and answers how long that took. What it costs to put together is nobody's.
func (s *Server) repeat(n int, words ...string) time.Duration {
	conn, err := net.Dial("tcp", s.Addr)
	must(err)
	defer conn.Close()
	in := bufio.NewReaderSize(conn, 1<<16)
	wire := encode(nil, words)
	began := time.Now()
	for range n {
		_, err := conn.Write(wire)
		must(err)
		must(skip(in))
	}
	return time.Since(began)
}

// skip reads one reply; an error reply is an error.
func skip(r *bufio.Reader) error {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return err
	}
	n := 0
	switch line[0] {
	case '-':
		return fmt.Errorf("%s", line)
	case '$', '*':
		n, _ = strconv.Atoi(string(line[1 : len(line)-2]))
	default:
		return nil
	}
	if line[0] == '$' {
		if n >= 0 {
			_, err = r.Discard(n + 2)
		}
		return err
	}
	for range max(n, 0) {
		if err := skip(r); err != nil {
			return err
		}
	}
	return nil
}

// encode appends a command as RESP has it.
func encode(buf []byte, words []string) []byte {
	buf = append(strconv.AppendInt(append(buf, '*'), int64(len(words)), 10), "\r\n"...)
	for _, w := range words {
		buf = append(strconv.AppendInt(append(buf, '$'), int64(len(w)), 10), "\r\n"...)
		buf = append(append(buf, w...), "\r\n"...)
	}
	return buf
}

// park has n clients send a command each that waits, and returns when all do. They
// should leave behind the server: who closes a connection keeps its port for a minute.
func (s *Server) park(n int, command func(i int) []string) (leave func()) {
	before := s.infoNumber("clients", "blocked_clients")
	conns := make([]net.Conn, n)
	for i := range conns {
		var err error
		if conns[i], err = net.Dial("tcp", s.Addr); err != nil {
			fail(err)
		}
		if _, err := conns[i].Write(encode(nil, command(i))); err != nil {
			fail(err)
		}
	}
	deadline := time.Now().Add(time.Minute)
	for s.infoNumber("clients", "blocked_clients") < before+float64(n) {
		if time.Now().After(deadline) {
			fail(fmt.Errorf("%g clients wait, want %d more than %g", s.infoNumber("clients", "blocked_clients"), n, before))
		}
		time.Sleep(10 * time.Millisecond)
	}
	return func() {
		for _, c := range conns {
			_ = c.Close()
		}
	}
}
