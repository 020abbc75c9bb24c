package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"holdfast/cmd/internal/cli"

	"holdfast/internal/redisserver"
)

// startTimeout bounds how long a server may take to be ready. Loading a large
// data folder counts.
const startTimeout = 5 * time.Minute

// serveOptions are the flags of serve.
type serveOptions struct {
	dir    string
	log    bool
	port   int
	server string
	tour   bool
}

func newServe() *cobra.Command {
	var o serveOptions
	cmd := &cobra.Command{
		Use:   "serve [flags] [-- server-options…]",
		Short: "Start a server with the three modules, until Ctrl-C",
		Long: `Start redis-server, or valkey-server where that is what is installed, with the
three modules loaded, listening on 127.0.0.1. What follows "--" is handed to the
server as it is. Ctrl-C stops the server in an orderly way.`,
		Example: `  holdfast serve --tour
  holdfast serve --port 7000 --dir ./data
  holdfast serve -- --maxmemory 100mb --distlock.max-ttl-ms 60000`,
		Args: func(cmd *cobra.Command, args []string) error {
			if n := cmd.ArgsLenAtDash(); n > 0 || n < 0 && len(args) > 0 {
				return cli.Try(fmt.Errorf("unexpected argument %q", args[0]), "holdfast serve -- "+strings.Join(args, " "))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			return serve(ctx, cmd.OutOrStdout(), o, args)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.dir, "dir", "", "keep the data in this folder, in an append-only file (default: none is kept)")
	f.BoolVar(&o.log, "log", false, "show the server's log")
	f.IntVarP(&o.port, "port", "p", 0, "the port to listen on; 0 takes a free one")
	f.StringVar(&o.server, "server", "", "the server program (default: $HOLDFAST_SERVER, redis-server or valkey-server)")
	f.BoolVar(&o.tour, "tour", false, "play the guide on the server: each command and its reply")
	return cmd
}

// serve runs a server until ctx ends or the server does.
func serve(ctx context.Context, out io.Writer, o serveOptions, args []string) error {
	cfg, err := o.config(args)
	if err != nil {
		return err
	}
	if o.log {
		cfg.Log = out
	}
	begin, cancel := context.WithTimeout(ctx, startTimeout)
	p, err := redisserver.Start(begin, cfg)
	cancel()
	if err != nil {
		if ctx.Err() != nil {
			return nil // Ctrl-C before the server was ready
		}
		return cli.Try(err, startHint(err, o))
	}
	defer p.Stop()
	greet(out, p, cfg, o)
	if o.tour {
		if err := playTour(ctx, out, p.Addr); err != nil && ctx.Err() == nil {
			return cli.Try(fmt.Errorf("the tour stopped: %w", err), "the same without --tour, and redis-cli -p "+strconv.Itoa(p.Port))
		}
	}
	fmt.Fprintf(out, "\nThe server runs until Ctrl-C. In another terminal: redis-cli -p %d\n", p.Port)
	select {
	case <-ctx.Done():
		fmt.Fprintln(out, "\nStopping.")
		return nil
	case <-p.Done():
		if err := p.Err(); err != nil {
			return cli.Try(fmt.Errorf("the server ended (%w):\n%s", err, p.Log()), "the same again with --log")
		}
		fmt.Fprintln(out, "The server was shut down.")
		return nil
	}
}

// ours are server options that serve sets itself, and what to use instead.
var ours = map[string]string{
	"--daemonize":  "redis-server … --daemonize yes, with the lines of: holdfast modules",
	"--dir":        "holdfast serve --dir DIR",
	"--loadmodule": "HOLDFAST_MODULES=DIR holdfast serve",
	"--logfile":    "holdfast serve --log > FILE",
	"--port":       "holdfast serve --port N",
}

func (o serveOptions) config(args []string) (cfg redisserver.Config, err error) {
	if o.port < 0 || o.port > 65535 {
		return cfg, cli.Try(fmt.Errorf("%d is no port", o.port), "a port from 1 to 65535, or 0 for a free one")
	}
	for _, arg := range args {
		if hint := ours[strings.ToLower(arg)]; hint != "" {
			return cfg, cli.Try(fmt.Errorf("%s cannot be given behind --", arg), hint)
		}
	}
	cfg = redisserver.Config{Args: args, Binary: cmp.Or(o.server, os.Getenv("HOLDFAST_SERVER")), Port: o.port}
	if cfg.Modules, err = findModules(); err != nil {
		return cfg, err
	}
	if cfg.Binary == "" {
		if cfg.Binary, err = findServer(); err != nil {
			return cfg, err
		}
	}
	if o.dir != "" {
		if cfg.Dir, err = filepath.Abs(o.dir); err != nil {
			return cfg, err
		}
		if err := os.MkdirAll(cfg.Dir, 0o755); err != nil {
			return cfg, cli.Try(err, "another --dir")
		}
		cfg.Args = append([]string{"--appendonly", "yes"}, args...)
	}
	return cfg, nil
}

// findServer is the server program of this machine.
func findServer() (string, error) {
	for _, name := range []string{"redis-server", "valkey-server"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", cli.Try(errors.New("neither redis-server nor valkey-server is installed"),
		"sudo apt-get install redis-server, or --server PROGRAM")
}

func startHint(err error, o serveOptions) string {
	switch {
	case strings.Contains(err.Error(), "ddress already in use"):
		return "another --port, or none to take a free one"
	case strings.Contains(err.Error(), "libholdfast.so"):
		return "make build: libholdfast.so belongs beside the modules"
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, os.ErrNotExist):
		return "another --server than " + cmp.Or(o.server, "redis-server")
	}
	return "what the server says above; holdfast serve --help"
}

// greet says where the server is and what it loaded.
func greet(out io.Writer, p *redisserver.Process, cfg redisserver.Config, o serveOptions) {
	fmt.Fprintf(out, "%s is ready at %s (process %d)\n", filepath.Base(cfg.Binary), p.Addr, p.PID())
	for _, path := range cfg.Modules {
		fmt.Fprintln(out, "  loadmodule", path)
	}
	if o.dir != "" {
		fmt.Fprintln(out, "  data is kept in", p.Dir)
	} else {
		fmt.Fprintln(out, "  data goes when the server stops; --dir DIR keeps it")
	}
}
