package transcript

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

// Player plays steps on a server, each terminal on its own connection.
type Player struct {
	addr      string
	terminals map[string]*terminal
	known     names
}

// NewPlayer plays on the server at addr.
func NewPlayer(addr string) *Player {
	return &Player{addr: addr, terminals: map[string]*terminal{}, known: names{}}
}

// Close closes the connections.
func (p *Player) Close() {
	for _, t := range p.terminals {
		_ = t.conn.Close()
	}
}

// Play plays one step and returns the command as it was sent and the reply as
// it came. It waits for the reply as long as ctx allows; for a step that shall
// be waiting, until the server holds the client.
func (p *Player) Play(ctx context.Context, s Step) (command, reply string, err error) {
	t, err := p.terminal(ctx, s.Terminal)
	if err != nil {
		return "", "", err
	}
	stop := context.AfterFunc(ctx, func() { _ = t.conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	if s.Command != "" {
		command = p.known.replace(s.Command)
		if err := t.send(command); err != nil {
			return command, "", err
		}
	}
	if s.Reply == waiting {
		return command, waiting, p.held(ctx, t)
	}
	reply, err = t.receive()
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("no reply in time: %w", context.Cause(ctx))
	}
	p.known.learn(s.Reply, reply)
	return command, reply, err
}

// Check tells whether a reply is what the step says.
func (p *Player) Check(s Step, got string) bool {
	return s.Reply == "" || match(p.known.replace(s.Reply), got)
}

func (p *Player) terminal(ctx context.Context, name string) (*terminal, error) {
	if t := p.terminals[name]; t != nil {
		return t, nil
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", p.addr)
	if err != nil {
		return nil, err
	}
	t := &terminal{conn: conn, r: bufio.NewReader(conn)}
	p.terminals[name] = t
	if err := t.send("CLIENT ID"); err != nil {
		return nil, err
	}
	id, err := t.receive()
	t.id = strings.TrimPrefix(id, "(integer) ")
	return t, err
}

// held returns when the server has blocked the terminal's client.
func (p *Player) held(ctx context.Context, t *terminal) error {
	observer, err := p.terminal(ctx, "observer")
	if err != nil {
		return err
	}
	for {
		if err := observer.send("CLIENT LIST ID " + t.id); err != nil {
			return err
		}
		list, err := observer.receive()
		if err != nil {
			return err
		}
		if strings.Contains(list, " flags=b ") {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.New("the command did not block")
		case <-time.After(time.Millisecond):
		}
	}
}

// terminal is a connection that speaks RESP2.
type terminal struct {
	conn net.Conn
	r    *bufio.Reader
	id   string
}

func (t *terminal) send(line string) error {
	args, err := Split(line)
	if err != nil {
		return fmt.Errorf("%s: %w", line, err)
	}
	b := []byte("*" + strconv.Itoa(len(args)) + "\r\n")
	for _, a := range args {
		b = append(b, "$"+strconv.Itoa(len(a))+"\r\n"+a+"\r\n"...)
	}
	_, err = t.conn.Write(b)
	return err
}

func (t *terminal) receive() (string, error) { return reply(t.r, "") }
