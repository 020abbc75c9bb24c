package blocking

import (
	"context"
	"net"
	"strings"
	"time"
)

// maxRedirects bounds how often a command is redirected: nodes that disagree for a
// moment may send it back and forth. After that the caller asks again.
const maxRedirects = 3

// send sends a command, and again to each node that the cluster redirects it to. A
// redirected command was not carried out. send does not rely on the client's slot
// map: a slot may take minutes to move, and all that time its old node redirects
// (ASK) commands whose key is not there any more.
func (c *Conn) send(ctx context.Context, within time.Duration, args []any, sent bool) (reply any, err error) {
	if sent {
		reply, err = c.resume()
	} else {
		reply, err = c.exchange(ctx, within, args)
	}
	for range maxRedirects {
		addr, asking, ok := redirection(err)
		if !ok {
			break
		}
		if !asking {
			c.pool.reload(ctx)
		}
		if err := c.move(addr); err != nil {
			return nil, err
		}
		if asking {
			reply, err = c.exchange(ctx, within, []any{"ASKING"}, args)
		} else {
			reply, err = c.exchange(ctx, within, args)
		}
	}
	return reply, err
}

// resume reads the reply to a command that was sent before.
func (c *Conn) resume() (any, error) {
	c.mu.Lock()
	ended := c.ended || c.raw == nil
	c.mu.Unlock()
	if ended {
		return nil, net.ErrClosed
	}
	return c.reply()
}

// redirection is where a cluster says that a key is: asking if the node there does
// not own the slot yet.
func redirection(err error) (addr string, asking, ok bool) {
	refusal, ok := err.(ServerError) // as exchange returns it
	if !ok {
		return "", false, false
	}
	parts := strings.Fields(string(refusal))
	if len(parts) != 3 || parts[0] != "MOVED" && parts[0] != "ASK" {
		return "", false, false
	}
	return parts[2], parts[0] == "ASK", true
}

// move has the connection lead to another node from here on. A node that does not
// know its own host leaves the host out.
func (c *Conn) move(addr string) error {
	colon := strings.LastIndexByte(addr, ':')
	if colon < 0 {
		return errReply
	}
	host, port := strings.Trim(addr[:colon], "[]"), addr[colon+1:]
	if host == "" {
		host, _, _ = net.SplitHostPort(c.addr)
	}
	c.mu.Lock()
	if c.ended {
		c.mu.Unlock()
		return net.ErrClosed
	}
	raw, client := c.raw, c.client
	c.raw, c.client, c.ready, c.peek = nil, nil, false, peeker{}
	c.addr, c.late = net.JoinHostPort(host, port), time.Time{}
	c.mu.Unlock()
	if raw != nil {
		_ = raw.Close()
	}
	if client != nil {
		_ = client.Close()
	}
	return nil
}
