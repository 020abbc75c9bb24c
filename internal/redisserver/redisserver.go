// Package redisserver runs redis-server and valkey-server as child processes:
// for the tool's serve command and for tests.
package redisserver

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// ModuleNames are the modules there are, as their files and they themselves are
// called.
var ModuleNames = []string{"cachelock", "taskqueue", "distlock"}

// Config says what to start. The zero value is redis-server from PATH without
// modules, on a free port of 127.0.0.1, in a new temporary folder that goes
// with it, keeping nothing on disk.
type Config struct {
	// Args follow the settings made here and win over them, e.g.
	// "--appendonly", "yes".
	Args []string
	// Binary is the server program. Defaults to redis-server.
	Binary string
	// Dir is the working folder. Defaults to a temporary one, which Stop removes.
	Dir string
	// File is a configuration file, whose settings those made here win over.
	File string
	// Log receives what the server logs, besides Process.Log.
	Log io.Writer
	// Modules are absolute paths of modules, each with its arguments behind it.
	Modules []string
	// Port defaults to a free one.
	Port int
	// Strict has a misuse of package redismodule by a module panic, for tests.
	Strict bool
	// TLS has the port take connections over TLS alone. Args name the certificates.
	TLS bool
	// Wrapper is a command to run the server under, e.g. a chroot.
	Wrapper []string
}

// Process is a running server.
type Process struct {
	Addr string
	Dir  string
	Port int

	cfg     Config
	ownDir  bool
	cmd     *exec.Cmd
	done    chan struct{} // closed when the process has ended
	waitErr error

	mu   sync.Mutex
	log  bytes.Buffer
	grew chan struct{} // closed, and replaced, when the log grows
}

// Start starts a server and returns when it accepts connections. The error
// carries what the server logged.
func Start(ctx context.Context, cfg Config) (*Process, error) {
	if cfg.Binary == "" {
		cfg.Binary = "redis-server"
	}
	p := &Process{cfg: cfg, Dir: cfg.Dir}
	if p.Dir == "" {
		dir, err := os.MkdirTemp("", "holdfast-")
		if err != nil {
			return nil, err
		}
		p.Dir, p.ownDir = dir, true
	}
	// A free port may be taken between the look and the start: then look again.
	for try := 0; ; try++ {
		port := cfg.Port
		if port == 0 {
			var err error
			if port, err = freePort(); err != nil {
				return nil, err
			}
		}
		p.Port, p.Addr = port, net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		err := p.start(ctx)
		if err == nil {
			return p, nil
		}
		if cfg.Port != 0 || try == 4 || !strings.Contains(p.Log(), "ddress already in use") {
			p.remove()
			return nil, err
		}
	}
}

func (p *Process) start(ctx context.Context) error {
	args := append([]string{}, p.cfg.Wrapper...)
	args = append(args, p.cfg.Binary)
	if p.cfg.File != "" {
		args = append(args, p.cfg.File)
	}
	port := "--port"
	if p.cfg.TLS {
		args, port = append(args, "--port", "0"), "--tls-port"
	}
	args = append(args, port, strconv.Itoa(p.Port), "--bind", "127.0.0.1", "--dir", p.Dir, "--save", "")
	for _, m := range p.cfg.Modules {
		path, options, _ := strings.Cut(m, ".so ")
		args = append(args, "--loadmodule", strings.TrimSuffix(path, ".so")+".so")
		args = append(args, strings.Fields(options)...)
	}
	args = append(args, p.cfg.Args...)
	cmd := exec.Command(args[0], args[1:]...)
	if p.cfg.Strict {
		cmd.Env = append(os.Environ(), "HOLDFAST_STRICT=1")
	}
	leash(cmd)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	cmd.Stderr = cmd.Stdout
	if err := startPinned(cmd); err != nil {
		return fmt.Errorf("start %s: %w (Debian's package is redis-server)", p.cfg.Binary, err)
	}
	p.mu.Lock()
	p.cmd, p.done = cmd, make(chan struct{})
	p.log.Reset()
	p.mu.Unlock()
	ready := make(chan struct{})
	go p.follow(cmd, out, ready, p.done)
	select {
	case <-ready:
		return nil
	case <-p.done:
		return fmt.Errorf("%s ended before it was ready (%s):\n%s", p.cfg.Binary, cmd.ProcessState, p.Log())
	case <-ctx.Done():
		p.Kill()
		return fmt.Errorf("%s was not ready in time: %w\n%s", p.cfg.Binary, ctx.Err(), p.Log())
	}
}

// startPinned starts the command on a thread that lives as long as we do: the
// parent-death signal goes by threads, and Go's come and go.
func startPinned(cmd *exec.Cmd) error {
	starter.Do(func() {
		starts = make(chan func())
		go func() {
			runtime.LockOSThread()
			for f := range starts {
				f()
			}
		}()
	})
	result := make(chan error)
	starts <- func() { result <- cmd.Start() }
	return <-result
}

var (
	starter sync.Once
	starts  chan func()
)

// follow copies the log, tells when the server is ready, and waits for its end.
func (p *Process) follow(cmd *exec.Cmd, out io.Reader, ready, done chan struct{}) {
	lines := bufio.NewReader(out)
	isReady := false
	for {
		line, err := lines.ReadString('\n')
		p.mu.Lock()
		p.log.WriteString(line)
		if p.grew != nil {
			close(p.grew)
			p.grew = nil
		}
		p.mu.Unlock()
		if p.cfg.Log != nil {
			_, _ = io.WriteString(p.cfg.Log, line)
		}
		if !isReady && (strings.Contains(line, "eady to accept connections") || strings.Contains(line, "Sentinel ID is ")) {
			isReady = true
			close(ready)
		}
		if err != nil {
			break
		}
	}
	p.waitErr = cmd.Wait()
	close(done)
}

// Log is what the server logged since it was last started.
func (p *Process) Log() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// AwaitLog waits until the log has a text and tells whether it came in time and
// before the server's end.
func (p *Process) AwaitLog(ctx context.Context, text string) bool {
	for {
		p.mu.Lock()
		found := bytes.Contains(p.log.Bytes(), []byte(text))
		if p.grew == nil {
			p.grew = make(chan struct{})
		}
		grew := p.grew
		p.mu.Unlock()
		if found {
			return true
		}
		select {
		case <-grew:
		case <-p.done:
			return strings.Contains(p.Log(), text)
		case <-ctx.Done():
			return false
		}
	}
}

// PID is the process's number.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the server has ended, for whatever reason.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err is how the server ended, once Done is closed: nil for an orderly end.
func (p *Process) Err() error {
	select {
	case <-p.done:
		return p.waitErr
	default:
		return nil
	}
}

// Kill ends the server as kill -9 does and waits for its end. Its folder stays.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// Restart starts the server again, in the same folder and on the same port,
// after Kill or a shutdown.
func (p *Process) Restart(ctx context.Context) error {
	select {
	case <-p.done:
	default:
		return errors.New("redisserver: restart of a running server")
	}
	return p.start(ctx)
}

// Stop ends the server in an orderly way, by force when it takes more than ten
// seconds, and removes its temporary folder.
func (p *Process) Stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(10 * time.Second):
		p.Kill()
	}
	p.remove()
}

func (p *Process) remove() {
	if p.ownDir {
		_ = os.RemoveAll(p.Dir)
	}
}

// busOffset is how far above its port a node of a cluster has its other one.
const busOffset = 10000

// freePort is a port that is free, and so is the one that a cluster adds to it.
func freePort() (int, error) {
	for try := 0; ; try++ {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return 0, err
		}
		defer l.Close() // not before the end: the next must be another
		port := l.Addr().(*net.TCPAddr).Port
		bus, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port+busOffset)))
		if err == nil {
			return port, bus.Close()
		}
		if try == 20 {
			return 0, err
		}
	}
}

// Modules are the absolute paths of the built modules: in $HOLDFAST_MODULES,
// beside the running program or where make install puts them from there, in the
// build folder of the source tree around the working folder, or of the one that
// this was compiled from, or where a package puts them. The error is ErrNoModules.
func Modules() ([]string, error) {
	var tried []string
	for _, dir := range moduleDirs() {
		if paths := modulesIn(dir); paths != nil {
			return paths, nil
		}
		tried = append(tried, dir)
	}
	return nil, fmt.Errorf("%w together in %s (make build makes them)", ErrNoModules, strings.Join(tried, " or "))
}

// ErrNoModules says that the built modules were not found.
var ErrNoModules = errors.New("no cachelock.so, taskqueue.so, distlock.so and libholdfast.so")

func moduleDirs() (dirs []string) {
	if dir := os.Getenv("HOLDFAST_MODULES"); dir != "" {
		return []string{dir}
	}
	if exe, err := os.Executable(); err == nil {
		dirs = append(dirs, filepath.Dir(exe), filepath.Join(filepath.Dir(exe), "..", "lib", "holdfast"))
	}
	if dir, err := os.Getwd(); err == nil {
		for ; ; dir = filepath.Dir(dir) {
			if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
				dirs = append(dirs, filepath.Join(dir, "build"))
			}
			if dir == filepath.Dir(dir) {
				break
			}
		}
	}
	// For the tests of those who use a source tree beside theirs.
	if _, file, _, ok := runtime.Caller(0); ok && filepath.IsAbs(file) {
		dirs = append(dirs, filepath.Join(filepath.Dir(file), "..", "..", "build"))
	}
	return append(dirs, "/usr/lib/holdfast", "/usr/local/lib/holdfast")
}

func modulesIn(dir string) (paths []string) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil
	}
	for _, name := range append([]string{"libholdfast"}, ModuleNames...) {
		path := filepath.Join(abs, name+".so")
		if _, err := os.Stat(path); err != nil {
			return nil
		}
		if name != "libholdfast" {
			paths = append(paths, path)
		}
	}
	return paths
}
