package clienttest

import (
	"bytes"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// Proxy stands between clients and a server and breaks connections in the ways in
// which networks do. What a method does to open connections it does not do to
// connections that are made later, unless the method says so.
type Proxy struct {
	Addr string

	to    string
	mu    sync.Mutex
	turn  sync.Cond // signals a change of frozen, refuse or closed
	links map[*link]struct{}
	work  sync.WaitGroup

	frozen, refuse, closed bool
	delay                  time.Duration
	lose                   map[string]*loss // by command, in upper case
}

// loss says how many replies to a command are lost, and how.
type loss struct {
	left int
	cut  bool // the connection breaks with the reply
}

// link is one connection through the proxy.
type link struct {
	p              *Proxy
	client, server net.Conn
	forgotten      bool  // both directions are discarded
	losing         *loss // of the reply that the server sends next
}

// NewProxy starts a proxy in front of a server, for the length of a test.
func NewProxy(t testing.TB, to string) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{Addr: l.Addr().String(), to: to, links: map[*link]struct{}{}, lose: map[string]*loss{}}
	p.turn.L = &p.mu
	p.work.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			p.work.Go(func() { p.connect(client) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		p.set(func() { p.closed = true })
		p.Cut()
		p.work.Wait()
	})
	return p
}

// Freeze holds back everything that is sent from now on, over new connections too,
// until Thaw delivers it. Connections are accepted and stay open.
func (p *Proxy) Freeze() { p.set(func() { p.frozen = true }) }

// Thaw ends a Freeze.
func (p *Proxy) Thaw() { p.set(func() { p.frozen = false }) }

// Delay delivers everything later by d in each direction, over new connections too;
// 0 ends the delay.
func (p *Proxy) Delay(d time.Duration) { p.set(func() { p.delay = d }) }

// Refuse closes all connections, and each new one at once, until Accept.
func (p *Proxy) Refuse() {
	p.set(func() { p.refuse = true })
	p.Cut()
}

// Accept ends a Refuse.
func (p *Proxy) Accept() { p.set(func() { p.refuse = false }) }

// Cut closes all open connections on both sides.
func (p *Proxy) Cut() {
	p.each(func(l *link) { _ = l.client.Close(); _ = l.server.Close() })
}

// Forget discards everything that is sent over the open connections, in both
// directions, as a NAT does with connections it has dropped. Both ends believe that
// their connection is open.
func (p *Proxy) Forget() { p.each(func(l *link) { l.forgotten = true }) }

// HalfOpen is Forget, but the server sees its side close. The client does not.
func (p *Proxy) HalfOpen() {
	p.each(func(l *link) { l.forgotten = true; _ = l.server.Close() })
}

// SwallowReplies discards the replies to the next n requests that contain a word,
// which is a command's name as a rule. The server carries the commands out, the
// connection stays open, and the client hears nothing.
func (p *Proxy) SwallowReplies(word string, n int) { p.loses(word, loss{left: n}) }

// CutReplies is SwallowReplies, but the connection breaks where the reply would come.
func (p *Proxy) CutReplies(word string, n int) { p.loses(word, loss{left: n, cut: true}) }

// Open counts the open connections.
func (p *Proxy) Open() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.links)
}

func (p *Proxy) loses(word string, l loss) {
	p.set(func() { p.lose[strings.ToUpper(word)] = &l })
}

func (p *Proxy) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
	p.turn.Broadcast()
}

func (p *Proxy) each(do func(*link)) {
	p.set(func() {
		for l := range p.links {
			do(l)
		}
	})
}

// connect forwards a connection in both directions until both have ended.
func (p *Proxy) connect(client net.Conn) {
	defer func() { _ = client.Close() }()
	server, err := net.Dial("tcp", p.to)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	l := &link{p: p, client: client, server: server}
	p.mu.Lock()
	ok := !p.refuse && !p.closed
	if ok {
		p.links[l] = struct{}{}
	}
	p.mu.Unlock()
	if !ok {
		return
	}
	var back sync.WaitGroup
	back.Go(func() { l.forward(client, server, l.reply) })
	l.forward(server, client, l.request)
	back.Wait()
	p.set(func() { delete(p.links, l) })
}

// forward delivers what one side sends, as far as deliver allows, and the end of it:
// a connection that was shut for sending still receives.
func (l *link) forward(to, from net.Conn, deliver func([]byte) (bool, bool)) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		arrived := time.Now()
		l.p.mu.Lock()
		for l.p.frozen && !l.p.closed {
			l.p.turn.Wait()
		}
		wait := time.Until(arrived.Add(l.p.delay))
		pass, cut := deliver(buf[:n])
		forgotten := l.forgotten && !l.p.closed
		l.p.mu.Unlock()
		if cut {
			_ = l.client.Close()
			_ = l.server.Close()
			return
		}
		if wait > 0 {
			time.Sleep(wait)
		}
		if pass && n > 0 {
			_, _ = to.Write(buf[:n])
		}
		if err == nil {
			continue
		}
		if !forgotten { // else the other end does not learn of it
			_ = to.(*net.TCPConn).CloseWrite()
		}
		return
	}
}

// request looks for words whose replies are to be lost. The caller has p.mu.
func (l *link) request(b []byte) (pass, cut bool) {
	if l.forgotten {
		return false, false
	}
	if len(l.p.lose) > 0 {
		upper := bytes.ToUpper(b)
		for word, loss := range l.p.lose {
			if loss.left > 0 && bytes.Contains(upper, []byte(word)) {
				loss.left--
				l.losing = loss
			}
		}
	}
	return true, false
}

// reply drops a reply that is to be lost. The caller has p.mu.
func (l *link) reply(b []byte) (pass, cut bool) {
	loss := l.losing
	if loss == nil || len(b) == 0 {
		return !l.forgotten, false
	}
	l.losing = nil
	return false, loss.cut
}
