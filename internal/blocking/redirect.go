package blocking

import (
	"context"
	"net"
	"strings"

	"github.com/redis/go-redis/v9"
)

// maxRedirects bounds how often a command is sent on: nodes that disagree for a
// moment may send it back and forth. What is left is the caller's to ask again.
const maxRedirects = 3

// send sends a command, and sends it on to where the cluster says that its slot
// is. A redirected command was not carried out. It does not wait for the client's
// picture of the cluster to be right: a slot may take minutes to move, and all that
// time its old node sends those on (ASK) who want what is not there any more.
func (c *Conn) send(ctx context.Context, args []any) (any, error) {
	reply, err := send(ctx, c.client, args...)
	for range maxRedirects {
		addr, asking := redis.IsAskError(err)
		if !asking {
			var moved bool
			if addr, moved = redis.IsMovedError(err); !moved {
				break
			}
			c.pool.reload(ctx)
		}
		if err := c.move(addr); err != nil {
			return nil, err
		}
		if asking {
			reply, err = ask(ctx, c.client, args)
		} else {
			reply, err = send(ctx, c.client, args...)
		}
	}
	return reply, err
}

// ask sends a command to a node that does not have its slot yet.
func ask(ctx context.Context, rdb *redis.Client, args []any) (any, error) {
	cmd := command{redis.NewCmd(ctx, args...)}
	pipe := rdb.Pipeline()
	_ = pipe.Process(ctx, redis.NewCmd(ctx, "ASKING"))
	_ = pipe.Process(ctx, cmd)
	_, _ = pipe.Exec(ctx)
	return cmd.result()
}

// move lets the connection lead to another node from here on. A node that does not
// know its own host leaves it out.
func (c *Conn) move(addr string) error {
	if strings.HasPrefix(addr, ":") {
		host, _, _ := net.SplitHostPort(c.addr)
		addr = net.JoinHostPort(host, addr[1:])
	}
	c.mu.Lock()
	left, raw := c.left, c.raw
	c.raw = nil
	c.mu.Unlock()
	if left {
		return net.ErrClosed
	}
	if raw != nil {
		_ = raw.Close()
	}
	_ = c.client.Close()
	c.open(addr)
	return nil
}
