package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/spf13/pflag"
	"golang.org/x/term"
)

// quiet keeps go-redis from writing on stderr what the tool says itself.
type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}

func init() { redis.SetLogger(quiet{}) }

// Flags say which server is meant. Every verb that talks to a server has them.
type Flags struct {
	URL      string
	Context  string
	Cluster  bool
	Sentinel string
	CACert   string
	Cert     string
	Key      string
}

// Register adds the flags.
func (f *Flags) Register(to *pflag.FlagSet) {
	to.StringVar(&f.URL, "url", "", "the server: redis://user:password@host:6379/0, rediss://, unix:///path; REDIS_URL where it is not given")
	to.StringVar(&f.Context, "context", "", "a server that 'holdfast context add' has named")
	to.BoolVar(&f.Cluster, "cluster", false, "the server is a node of a cluster")
	to.StringVar(&f.Sentinel, "sentinel", "", "the URL is a Sentinel's; the primary of this `name` is meant")
	to.StringVar(&f.CACert, "cacert", "", "trust certificates signed by the authority in this `file`")
	to.StringVar(&f.Cert, "cert", "", "the client's certificate, a PEM `file`")
	to.StringVar(&f.Key, "key", "", "the client certificate's key, a PEM `file`")
}

// Server is a client, and what the user calls its server.
type Server struct {
	redis.UniversalClient
	Name       string // without a password
	Production bool
}

// defaultURL is where redis-cli looks too.
const defaultURL = "redis://127.0.0.1:6379"

// Target is which server is meant: by --url, --context, REDIS_URL, the context in use, or 127.0.0.1.
func (f *Flags) Target() (Context, error) {
	switch env := os.Getenv("REDIS_URL"); {
	case f.URL != "" && f.Context != "":
		return Context{}, Usage("--url and --context both name a server: give one")
	case f.URL != "":
		return Context{URL: f.URL}, nil
	case f.Context == "" && env != "":
		return Context{URL: env}, nil
	}
	all, err := LoadContexts()
	if err != nil {
		return Context{}, err
	}
	name := f.Context
	if name == "" {
		if name = all.Current; name == "" {
			return Context{URL: defaultURL}, nil
		}
	}
	c, ok := all.Contexts[name]
	if !ok {
		return Context{}, Try(Usage("no context %q", name), "holdfast context ls")
	}
	c.Name = name
	return c, nil
}

// Connect returns a client of the server that is meant. On a terminal it asks for the password that
// the server wants and nobody gave. Close the client when done.
func (f *Flags) Connect(ctx context.Context) (*Server, error) {
	return f.connect(ctx, term.IsTerminal(int(os.Stdin.Fd())))
}

// ConnectSilently is Connect for completions: it asks nobody anything.
func (f *Flags) ConnectSilently(ctx context.Context) (*Server, error) { return f.connect(ctx, false) }

func (f *Flags) connect(ctx context.Context, ask bool) (*Server, error) {
	target, err := f.Target()
	if err != nil {
		return nil, err
	}
	o, err := f.options(target)
	if err != nil {
		return nil, err
	}
	s := &Server{UniversalClient: open(o, f.Cluster || target.Cluster), Name: target.Shown(), Production: target.Production}
	err = s.Ping(ctx).Err()
	if err != nil && strings.HasPrefix(err.Error(), "NOAUTH") && o.Password == "" && ask {
		_ = s.Close()
		fmt.Fprintf(os.Stderr, "Password for %s: ", s.Name)
		password, readErr := term.ReadPassword(int(os.Stdin.Fd()))
		fmt.Fprintln(os.Stderr)
		if readErr != nil {
			return nil, readErr
		}
		o.Password = string(password)
		s.UniversalClient = open(o, f.Cluster || target.Cluster)
		err = s.Ping(ctx).Err()
	}
	if err != nil {
		_ = s.Close()
		return nil, fmt.Errorf("connect to %s: %w", s.Name, err)
	}
	if !f.Cluster && !target.Cluster && o.MasterName == "" && inCluster(ctx, s) {
		_ = s.Close()
		s.UniversalClient = open(o, true) // a node of a cluster, though nobody said so
	}
	return s, nil
}

func open(o *redis.UniversalOptions, cluster bool) redis.UniversalClient {
	if cluster {
		return redis.NewClusterClient(o.Cluster())
	}
	return redis.NewUniversalClient(o)
}

func inCluster(ctx context.Context, s *Server) bool {
	info, err := s.Info(ctx, "cluster").Result()
	return err == nil && strings.Contains(info, "cluster_enabled:1")
}

func (f *Flags) options(target Context) (*redis.UniversalOptions, error) {
	u, err := url.Parse(target.URL)
	if err != nil {
		return nil, Usage("the server's URL cannot be read: %v", errors.Unwrap(err))
	}
	query := u.Query()
	more := query["addr"]
	query.Del("addr")
	plain := *u
	plain.RawQuery = query.Encode()
	one, err := redis.ParseURL(plain.String())
	if err != nil {
		return nil, Try(Usage("the server's URL cannot be read: %v", err), "--url redis://host:6379")
	}
	o := &redis.UniversalOptions{
		Addrs: append([]string{one.Addr}, more...), Username: one.Username, Password: one.Password, DB: one.DB, TLSConfig: one.TLSConfig,
		ClientName: "holdfast-tool", MasterName: first(f.Sentinel, target.Sentinel), ReadTimeout: 10 * time.Second, ContextTimeoutEnabled: true,
		PoolSize: 256, // connections are made when they are needed
	}
	if one.Network == "unix" {
		o.Dialer = redis.NewDialer(one)
	}
	if o.Password == "" {
		o.Password = os.Getenv("REDISCLI_AUTH")
	}
	if o.MasterName != "" {
		o.SentinelUsername, o.SentinelPassword = "", os.Getenv("REDISCLI_SENTINEL_AUTH")
	}
	return o, f.trust(o, target)
}

// trust sets what TLS needs beyond the system's authorities.
func (f *Flags) trust(o *redis.UniversalOptions, target Context) error {
	ca, cert, key := first(f.CACert, target.CACert), first(f.Cert, target.Cert), first(f.Key, target.Key)
	if ca == "" && cert == "" && key == "" {
		return nil
	}
	if o.TLSConfig == nil {
		return Try(Usage("--cacert, --cert and --key are for TLS, and the URL is not"), "--url rediss://…")
	}
	if ca != "" {
		pem, err := os.ReadFile(ca)
		if err != nil {
			return err
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return Usage("--cacert %s has no PEM certificate in it", ca)
		}
		o.TLSConfig.RootCAs = pool
	}
	if (cert == "") != (key == "") {
		return Usage("--cert and --key belong together")
	}
	if cert != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return err
		}
		o.TLSConfig.Certificates = []tls.Certificate{pair}
	}
	return nil
}

func first(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}
