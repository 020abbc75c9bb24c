package main

import (
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/rogpeppe/go-internal/testscript"

	"holdfast/holdfasttest"
	"holdfast/internal/redisserver"
)

// everywhere are the scripts that run against servers of all kinds.
var everywhere = []string{"testdata/lock.txtar", "testdata/queue.txtar", "testdata/look.txtar"}

// onSite runs these scripts against one site, one after the other, each on empty servers. The context that is
// added with the arguments says where it is.
func onSite(t *testing.T, rdb redis.UniversalClient, context ...string) {
	var one sync.Mutex
	runScripts(t, testscript.Params{Files: everywhere}, func(ts *testscript.TestScript, _ []string) {
		one.Lock()
		ts.Defer(one.Unlock)
		ts.Check(flush(rdb))
		ts.Check(ts.Exec("holdfast", append([]string{"context", "add", "site"}, context...)...))
	})
}

func flush(rdb redis.UniversalClient) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if c, ok := rdb.(*redis.ClusterClient); ok {
		return c.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error { return node.FlushAll(ctx).Err() })
	}
	return rdb.FlushAll(ctx).Err()
}

func TestTheToolOnAPairOfSentinel(t *testing.T) {
	s := holdfasttest.Sentinel(t, 1, 1)
	onSite(t, s.Client(), "redis://"+s.Sentinels[0].Addr, "--sentinel", s.Name)
}

func TestTheToolOnACluster(t *testing.T) {
	c := holdfasttest.Cluster(t, 3, 0)
	onSite(t, c.Client(), "redis://"+c.Nodes[1].Addr)
}

// operator are the rights that docs/tool.md gives a user of the tool.
const operator = "~* &* +@all -@dangerous +lock.break +info +time +client|info +config|get +module|list +acl|getuser"

func TestTheToolOverTLSAsAUserOfItsOwn(t *testing.T) {
	if page, err := os.ReadFile("../../docs/tool.md"); err != nil || !strings.Contains(string(page), operator) {
		t.Errorf("docs/tool.md names other rights than %s (%v)", operator, err)
	}
	dir := t.TempDir()
	certificates(t, dir)
	file := func(name string) string { return filepath.Join(dir, name) }
	modules, err := redisserver.Modules()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	p, err := redisserver.Start(ctx, redisserver.Config{
		Binary: cmp.Or(os.Getenv("HOLDFAST_SERVER"), "redis-server"), Modules: modules, TLS: true,
		Args: []string{"--tls-cert-file", file("server.pem"), "--tls-key-file", file("server.key"), "--tls-ca-cert-file", file("ca.pem")},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Stop)
	authority, err := os.ReadFile(file("ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(authority)
	pair, err := tls.LoadX509KeyPair(file("client.pem"), file("client.key"))
	if err != nil {
		t.Fatal(err)
	}
	rdb := redis.NewClient(&redis.Options{Addr: p.Addr, TLSConfig: &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{pair}}})
	t.Cleanup(func() { _ = rdb.Close() })
	if err := rdb.Do(ctx, fields("ACL SETUSER ops on >secret "+operator)...).Err(); err != nil {
		t.Fatal(err)
	}
	if err := rdb.Do(ctx, fields("ACL SETUSER guest on >secret ~* +ping +hello")...).Err(); err != nil {
		t.Fatal(err)
	}
	trust := []string{"--cacert", file("ca.pem"), "--cert", file("client.pem"), "--key", file("client.key")}
	t.Run("a user without rights", func(t *testing.T) {
		for _, with := range []struct {
			url  string
			code int
		}{{"rediss://guest:secret@" + p.Addr, 4}, {"rediss://ops:guess@" + p.Addr, 4}} {
			r := startTool(t, p.Addr, t.TempDir(), append([]string{"queue", "ls", "--url", with.url}, trust...)...)
			if code := r.wait(); code != with.code {
				t.Errorf("%s: exit code %d, want %d: %s", with.url, code, with.code, r.said())
			}
		}
	})
	t.Run("a server that is not trusted", func(t *testing.T) {
		r := startTool(t, p.Addr, t.TempDir(), "queue", "ls", "--url", "rediss://ops:secret@"+p.Addr)
		if code := r.wait(); code != 1 {
			t.Errorf("exit code %d: %s", code, r.said())
		}
	})
	onSite(t, rdb, append([]string{"rediss://ops:secret@" + p.Addr}, trust...)...)
}

// certificates writes an authority, and a certificate with its key for a server on 127.0.0.1 and for a client.
func certificates(t *testing.T, dir string) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	write := func(name, kind string, der []byte) {
		must(os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
	}
	issue := func(name string, template, parent *x509.Certificate, signer *ecdsa.PrivateKey) *ecdsa.PrivateKey {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		must(err)
		template.Subject, template.NotBefore, template.NotAfter = pkix.Name{CommonName: name}, time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
		if signer == nil {
			signer = key
		}
		der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
		must(err)
		write(name+".pem", "CERTIFICATE", der)
		private, err := x509.MarshalECPrivateKey(key)
		must(err)
		write(name+".key", "EC PRIVATE KEY", private)
		return key
	}
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	key := issue("ca", ca, ca, nil)
	for n, name := range []string{"server", "client"} {
		issue(name, &x509.Certificate{
			SerialNumber: big.NewInt(int64(n + 2)), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature,
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		}, ca, key)
	}
}

// fields are a command's words.
func fields(command string) (words []any) {
	for word := range strings.FieldsSeq(command) {
		words = append(words, word)
	}
	return words
}
