package blocking

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// Conn is one connection to a server, used by one goroutine at a time. go-redis
// makes and authenticates it, with all the options of the caller's client. Commands
// pass the hooks of that client, so tracing and metrics see them, and are then sent
// here: a pool's timeouts and retries are wrong for a command that waits.
//
// A connection is made by its first command. It does not reconnect: once it is
// broken, all its commands fail.
type Conn struct {
	// Late, if set, has Do return as soon as ctx ends. A reply that arrives after that
	// goes to Late, in the background.
	Late func(reply any)

	// Keep, if set, is asked when ctx ends before anything of the reply has arrived. If
	// it says yes the connection goes on to wait, and Resume may be called by another
	// goroutine.
	Keep func() bool

	pool  *Pool
	hooks *redis.Conn // runs the caller's hooks around send
	base  *redis.Options
	addr  string
	slot  bool      // it holds one of the pool's slots
	used  time.Time // when it was put into the pool
	peek  peeker

	client *redis.Client // made the connection
	r      *bufio.Reader
	out    []byte    // reused by commands
	late   time.Time // the deadline that is set on raw

	mu    sync.Mutex
	raw   net.Conn           // nil before the connection is made and after its end
	ready bool               // authenticated: only commands of ours are sent
	dial  context.CancelFunc // ends a dial
	ended bool               // nothing may be sent any more
	state state              // of the reply
}

// Do sends a command and waits for its reply until ctx ends or, unless within is 0,
// until within (or a quarter more) is over. In a cluster it follows redirects.
//
// When either ends, last is sent behind the command, and the server sees the
// connection end. If the command still waits, the server takes its wait back; if it
// was carried out, last undoes it. Both arrive in this order, so nothing is left that
// a command of the modules granted. (Redis's own commands, BLPOP say, may take
// something and lose it.)
//
// Until the server has closed the connection, for [CloseTimeout] at most, a reply may
// still arrive. Do waits for that and returns the reply beside ctx's error; with Late
// set it returns at once.
//
// After an error the connection must be closed.
func (c *Conn) Do(ctx context.Context, within time.Duration, last []any, args ...any) (any, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	cmd := &call{redis.NewCmd(ctx, args...), c, within, last, false}
	_ = c.hooks.Process(ctx, cmd) // the command has its error
	return cmd.Val(), cmd.Err()
}

// Resume waits for the reply to the command of an earlier Do or Resume whose context
// ended and which Keep kept. The arguments are those of Do, for a redirect.
func (c *Conn) Resume(ctx context.Context, within time.Duration, last []any, args ...any) (any, error) {
	cmd := &call{redis.NewCmd(ctx, args...), c, within, last, true}
	_ = c.hooks.Process(ctx, cmd)
	return cmd.Val(), cmd.Err()
}

// Cancel ends a wait that was kept, as Do does when its context ends.
func (c *Conn) Cancel(last []any) {
	c.Waiting()
	c.callOff(last)
}

// call is a command on its way through the hooks to its connection.
type call struct {
	*redis.Cmd
	conn   *Conn
	within time.Duration
	last   []any
	sent   bool // before
}

// NoRetry keeps a hook or client from sending the command twice.
func (*call) NoRetry() bool { return true }

// sender is the innermost hook: it sends a call over the call's own connection
// instead of the client's pool.
type sender struct{}

func (sender) DialHook(next redis.DialHook) redis.DialHook { return next }

func (sender) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		own, ok := cmd.(*call)
		if !ok {
			return next(ctx, cmd)
		}
		reply, err := own.conn.do(ctx, own.within, own.last, own.Args(), own.sent)
		own.SetVal(reply)
		return err
	}
}

func (sender) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// do is Do behind the hooks.
func (c *Conn) do(ctx context.Context, within time.Duration, last []any, args []any, sent bool) (reply any, err error) {
	if ctx.Done() == nil {
		reply, err = c.send(ctx, within, args, sent)
	} else {
		interrupted := make(chan struct{})
		stop := context.AfterFunc(ctx, func() { defer close(interrupted); c.interrupt() })
		reply, err = c.send(ctx, within, args, sent)
		if !stop() {
			<-interrupted
			// A connection that broke is not kept: only one whose wait was interrupted.
			if errors.Is(err, os.ErrDeadlineExceeded) && c.keep() {
				return nil, ctx.Err()
			}
			err = ctx.Err()
		}
	}
	if err == nil || Refused(err) {
		return reply, err
	}
	late := c.callOff(last)
	if c.Late == nil && late != nil {
		if value, ok := <-late; ok {
			reply = value
		}
	}
	return reply, err
}

// keep reports whether the connection goes on to wait after an interrupt.
func (c *Conn) keep() bool {
	c.mu.Lock()
	may := c.raw != nil && c.ready && c.state == pending
	c.mu.Unlock()
	if !may || c.Keep == nil || !c.Keep() {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended, c.late = false, time.Time{}
	return c.raw.SetDeadline(time.Time{}) == nil
}

// state is what has arrived of the reply to the command that was sent last.
type state int

const (
	noReply state = iota // none is expected, or all of it is read
	pending              // nothing has arrived
	partial              // it is being read
)

// exchange sends commands to one node and returns the reply to the last of them.
func (c *Conn) exchange(ctx context.Context, within time.Duration, commands ...[]any) (any, error) {
	if err := c.connect(ctx, within); err != nil {
		return nil, err
	}
	c.out = c.out[:0]
	for _, args := range commands {
		c.out = appendCommand(c.out, args)
	}
	raw, err := c.allow(within)
	if err != nil {
		return nil, err
	}
	if _, err := raw.Write(c.out); err != nil {
		return nil, err
	}
	if cap(c.out) > maxKept {
		c.out = nil
	}
	for range commands[1:] {
		if _, err = c.read(); err != nil {
			return nil, err
		}
	}
	return c.reply()
}

// reply reads the reply to the last command, and makes a refusal an error.
func (c *Conn) reply() (any, error) {
	reply, err := c.read()
	if refusal, ok := reply.(ServerError); ok && err == nil {
		return nil, refusal
	}
	return reply, err
}

// read reads a reply. It drops pushes, for which nobody asked. Once the reply has
// begun to arrive an interrupt does not cut it off.
func (c *Conn) read() (any, error) {
	for {
		kind, err := c.r.Peek(1)
		if err != nil {
			return nil, err
		}
		push := kind[0] == '>'
		if !push {
			c.mu.Lock()
			c.state = partial
			c.mu.Unlock()
		}
		value, err := readValue(c.r)
		if push && err == nil {
			continue
		}
		c.mu.Lock()
		c.state = noReply
		c.mu.Unlock()
		return value, err
	}
}

// maxKept is the size up to which a connection keeps its buffer for the next command.
const maxKept = 64 << 10

// allow sets when the reply to the next command is late. Setting a deadline is expensive, and
// commands that do not wait follow each other: a deadline that is good enough stays.
func (c *Conn) allow(within time.Duration) (net.Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended || c.raw == nil {
		return nil, net.ErrClosed
	}
	c.state = pending
	most := within + within/4
	switch left := time.Until(c.late); {
	case within == 0 && c.late.IsZero(), within > 0 && left >= within && left <= most:
		return c.raw, nil
	case within == 0:
		c.late = time.Time{}
	default:
		c.late = time.Now().Add(most)
	}
	return c.raw, c.raw.SetDeadline(c.late)
}

// Waiting says that the next command may wait for long: the connection gives its
// slot to another.
func (c *Conn) Waiting() {
	if c.slot {
		c.slot = false
		<-c.pool.slots
	}
}

// Put returns a connection that is in order to the pool.
func (c *Conn) Put() {
	slot := c.slot
	c.slot = false // once it is in the pool the connection is another goroutine's
	if !c.pool.put(c) {
		c.shut()
	}
	if slot {
		<-c.pool.slots
	}
}

// Close closes the connection at once. It may be called while another goroutine is
// in Watch.
func (c *Conn) Close() {
	c.Waiting()
	c.shut()
}

func (c *Conn) shut() {
	c.mu.Lock()
	raw, client := c.raw, c.client
	c.ended, c.raw, c.client = true, nil, nil
	c.mu.Unlock()
	if raw != nil {
		_ = raw.Close()
	}
	if client != nil {
		_ = client.Close()
	}
}

// Watch returns when the connection is closed, by the server or by Close. Nothing
// may be sent any more.
func (c *Conn) Watch() {
	c.mu.Lock()
	raw := c.raw
	c.mu.Unlock()
	if raw == nil || raw.SetReadDeadline(time.Time{}) != nil {
		return
	}
	buf := make([]byte, 512) // for pushes, which nobody asked for
	for {
		if _, err := raw.Read(buf); err != nil {
			return
		}
	}
}

// interrupt ends the command that is under way.
func (c *Conn) interrupt() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	switch {
	case c.raw != nil && c.ready && c.state == partial:
		_ = c.raw.SetDeadline(time.Now().Add(CloseTimeout))
	case c.raw != nil && c.ready:
		_ = c.raw.SetDeadline(time.Unix(1, 0))
	case c.raw != nil: // go-redis sets deadlines of its own
		_ = c.raw.Close()
	case c.dial != nil:
		c.dial()
	}
}

// CloseTimeout bounds how long a connection may take to end after its command was called
// off, in the background.
const CloseTimeout = 2 * time.Second

// callOff sends a last command and ends the connection, in the background. The
// reply that was still to come, if it comes, goes to Late or is sent to the channel,
// which is nil if there is no connection. Everything that the server sends is read:
// closing on unread data would reset the connection, and the server might not read
// the last command.
func (c *Conn) callOff(last []any) <-chan any {
	c.mu.Lock()
	raw, client, ready := c.raw, c.client, c.ready
	c.ended, c.raw, c.client = true, nil, nil
	c.mu.Unlock()
	end := func() {
		if raw != nil {
			_ = raw.Close()
		}
		if client != nil {
			_ = client.Close()
		}
	}
	if raw == nil || !ready {
		end()
		return nil
	}
	late := make(chan any, 1)
	c.pool.spawn(func() {
		defer close(late)
		defer end()
		_ = raw.SetDeadline(time.Now().Add(CloseTimeout))
		if len(last) > 0 {
			if _, err := raw.Write(appendCommand(nil, last)); err != nil {
				return
			}
		}
		if half, ok := raw.(interface{ CloseWrite() error }); !ok || half.CloseWrite() != nil {
			return
		}
		if c.state == pending {
			reply, err := c.read()
			if _, refused := reply.(ServerError); err == nil && !refused {
				if c.Late != nil {
					c.Late(reply)
				} else {
					late <- reply
				}
			}
		}
		_, _ = io.Copy(io.Discard, c.r)
	})
	return late
}

// errConnect is the error of a connection that could not be made.
var errConnect = errors.New("no connection")
