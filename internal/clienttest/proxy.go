package clienttest

import (
	"net"
	"sync"
	"testing"
)

// Proxy stands between clients and a server, and can keep back what they say, as a
// network does that breaks without a word: connections stay open.
type Proxy struct {
	Addr string

	mu     sync.Mutex
	thawed sync.Cond
	frozen bool
	closed bool
	conns  []net.Conn
}

// NewProxy starts a proxy before a server, for the length of a test.
func NewProxy(t *testing.T, to string) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{Addr: l.Addr().String()}
	p.thawed.L = &p.mu
	var all sync.WaitGroup
	all.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", to)
			if err != nil || !p.keep(client, server) {
				_ = client.Close()
				continue
			}
			all.Go(func() { p.forward(server, client) })
			all.Go(func() { p.forward(client, server) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		p.set(func() { p.closed = true })
		for _, c := range p.conns {
			_ = c.Close()
		}
		all.Wait()
	})
	return p
}

// Freeze has the proxy keep back all that is said, until Thaw.
func (p *Proxy) Freeze() { p.set(func() { p.frozen = true }) }

// Thaw ends a Freeze.
func (p *Proxy) Thaw() { p.set(func() { p.frozen = false }) }

func (p *Proxy) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
	p.thawed.Broadcast()
}

func (p *Proxy) keep(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns = append(p.conns, conns...)
	return !p.closed
}

// forward ends with either side: half a connection is closed as a whole.
func (p *Proxy) forward(to, from net.Conn) {
	defer func() { _ = to.Close() }()
	buf := make([]byte, 4096)
	for {
		n, err := from.Read(buf)
		p.mu.Lock()
		for p.frozen && !p.closed {
			p.thawed.Wait()
		}
		p.mu.Unlock()
		if _, werr := to.Write(buf[:n]); werr != nil || err != nil {
			return
		}
	}
}
