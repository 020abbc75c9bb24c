package main

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os/user"
	"time"

	"github.com/spf13/cobra"

	"holdfast/cmd/internal/cli"
	"holdfast/dashboard"
)

func newDash() *cobra.Command {
	var listen string
	var readOnly, open bool
	cmd := verb(&cobra.Command{
		Use: "dash", Short: "Serve web pages: what is stuck, why it failed, run it again", Args: cobra.NoArgs,
		Long: `Serve web pages over queues, locks and the cache, until Ctrl-C. They are served to this machine
alone, to whoever opens the link that is printed, which has a token in it. Each act is written to
standard error. In your own server, mount the package holdfast/dashboard.`,
		Example: `  holdfast dash
  holdfast dash --listen 127.0.0.1:8080 --read-only`,
	}, func(cmd *cobra.Command, s *cli.Server, _ []string) error {
		l, err := net.Listen("tcp", listen)
		if err != nil {
			return cli.Try(err, "--listen 127.0.0.1:0")
		}
		who := "local"
		if u, err := user.Current(); err == nil {
			who = u.Username
		}
		var pages http.Handler = dashboard.Handler(s.UniversalClient, dashboard.Options{
			Name: s.Name, Production: s.Production, ReadOnly: readOnly, User: func(*http.Request) string { return who },
			Logger: slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil)),
		})
		address := fmt.Sprintf("http://%s/", l.Addr())
		if !open {
			token := rand.Text()
			pages = withToken(pages, token, l.Addr())
			address += "?token=" + token
		}
		server := &http.Server{Handler: pages, ReadHeaderTimeout: 5 * time.Second}
		defer context.AfterFunc(cmd.Context(), func() { _ = server.Close() })()
		fmt.Fprintf(cmd.OutOrStdout(), "%s, until Ctrl-C\n", address)
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:0", "the address to serve at; port 0 is any that is free")
	cmd.Flags().BoolVar(&readOnly, "read-only", false, "refuse every act")
	cmd.Flags().BoolVar(&open, "no-token", false, "let in whoever reaches the address")
	return cmd
}

// withToken lets in who has opened the link with the token once: a cookie remembers it.
func withToken(next http.Handler, token string, addr net.Addr) http.Handler {
	name := "holdfast_token"
	if tcp, ok := addr.(*net.TCPAddr); ok { // cookies of one host are sent to all its ports
		name += fmt.Sprint("_", tcp.Port)
	}
	same := func(s string) bool { return subtle.ConstantTimeCompare([]byte(s), []byte(token)) == 1 }
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if given := r.URL.Query().Get("token"); r.Method == http.MethodGet && same(given) {
			http.SetCookie(w, &http.Cookie{Name: name, Value: token, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode})
			q := r.URL.Query()
			q.Del("token")
			r.URL.RawQuery = q.Encode()
			// A redirect from another site's link would come without the strict cookie.
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			w.Header().Set("Referrer-Policy", "no-referrer")
			w.Header().Set("Refresh", "0; url="+r.URL.RequestURI())
			return
		}
		if c, err := r.Cookie(name); err != nil || !same(c.Value) {
			http.Error(w, "Open the link that holdfast dash printed: it has a token in it.", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}
