package dashboard

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	pushEvery = time.Second
	beatEvery = 2 * time.Second // a page that hears nothing for longer says so
)

// counting matches times and leases: script.js lets them run on in the browser, so they are no change.
var counting = regexp.MustCompile(`<time datetime="([^"]*)"[^>]*>[^<]*|<progress[^>]* data-until="(\d+)"[^>]*>[^<]*</progress><output>[^<]*`)

// shift is how far two starts or two ends of a lease may lie apart and still be the same: the server
// answers sooner or later, and rounds.
const shift = 1500 * time.Millisecond

// mark tells two contents of a page apart.
type mark struct {
	sum   string
	times []time.Time // starts and ends that the browser counts to
}

func markOf(content []byte) (m mark) {
	for _, t := range counting.FindAllSubmatch(content, -1) {
		at, err := time.Parse(time.RFC3339, string(t[1]))
		if err != nil {
			ms, _ := strconv.ParseInt(string(t[2]), 10, 64)
			at = time.UnixMilli(ms)
		}
		m.times = append(m.times, at)
	}
	sum := sha256.Sum256(counting.ReplaceAll(content, nil))
	m.sum = hex.EncodeToString(sum[:8])
	return m
}

// differs reports whether a viewer who has seen old needs m.
func (m mark) differs(old mark) bool {
	return m.sum != old.sum || !slices.EqualFunc(m.times, old.times, func(a, b time.Time) bool { return a.Sub(b).Abs() <= shift })
}

// events pushes the content of a page whenever it changes. The rights are asked for each time.
func (b *board) events(w http.ResponseWriter, r *http.Request) {
	at, err := url.Parse(r.FormValue("at"))
	if err != nil {
		b.refuse(w, r, failure{http.StatusBadRequest, "There is no such page."})
		return
	}
	looks := r.Clone(r.Context())
	looks.URL = &url.URL{Path: "/" + strings.TrimPrefix(at.Path, "/"), RawQuery: at.RawQuery}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no")
	out := http.NewResponseController(w)
	_ = out.SetWriteDeadline(time.Time{})
	seen, lost, spoke := mark{sum: r.FormValue("seen")}, "", time.Time{}
	send := func(event, data string) bool {
		spoke = time.Now()
		_, err := fmt.Fprintf(w, "event: %s\ndata: %s\n\n", event, strings.ReplaceAll(strings.TrimSpace(data), "\n", "\ndata: "))
		return err == nil && out.Flush() == nil
	}
	ticks := time.NewTicker(pushEvery)
	defer ticks.Stop()
	for {
		v := b.visit(looks)
		var content bytes.Buffer
		if err = v.find(); err == nil {
			err = v.render(&content, "main")
		}
		alive, now := true, markOf(content.Bytes())
		if seen.times == nil && seen.sum == now.sum { // the page that was loaded a moment ago
			seen = now
		}
		switch {
		case err != nil && refused(err):
			send("end", err.Error())
			return
		case err != nil || !v.Lost.IsZero():
			note := v.LostNote()
			switch {
			case err != nil && answered(err):
				note = "The server refuses: " + err.Error()
			case note == "":
				v.lost(time.Now(), err)
				note = v.LostNote()
			}
			if note != lost || time.Since(spoke) >= beatEvery {
				alive = send("lost", note)
			}
			lost = note
		case now.differs(seen):
			seen, lost = now, ""
			alive = send("main", content.String())
		case lost != "":
			lost = ""
			alive = send("beat", "1")
		case time.Since(spoke) >= beatEvery:
			alive = send("beat", "1")
		}
		if !alive {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-ticks.C:
		}
	}
}

func refused(err error) bool {
	f, ok := err.(failure)
	return ok && f.code < 500
}

// compressed sends gzip to browsers that accept it.
func compressed(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			next.ServeHTTP(w, r)
			return
		}
		p := &packer{ResponseWriter: w}
		defer p.close()
		next.ServeHTTP(p, r)
	})
}

type packer struct {
	http.ResponseWriter
	gz    *gzip.Writer
	began bool
}

func (p *packer) WriteHeader(code int) {
	p.began = true
	p.Header().Add("Vary", "Accept-Encoding")
	if code == http.StatusOK || code >= 400 {
		p.Header().Set("Content-Encoding", "gzip")
		p.Header().Del("Content-Length")
		p.gz = gzip.NewWriter(p.ResponseWriter)
	}
	p.ResponseWriter.WriteHeader(code)
}

func (p *packer) Write(b []byte) (int, error) {
	if !p.began {
		p.WriteHeader(http.StatusOK)
	}
	if p.gz == nil {
		return p.ResponseWriter.Write(b)
	}
	return p.gz.Write(b)
}

// FlushError is what http.ResponseController calls.
func (p *packer) FlushError() error {
	if p.gz != nil {
		if err := p.gz.Flush(); err != nil {
			return err
		}
	}
	return http.NewResponseController(p.ResponseWriter).Flush()
}

func (p *packer) Unwrap() http.ResponseWriter { return p.ResponseWriter }

func (p *packer) close() {
	if p.gz != nil {
		_ = p.gz.Close()
	}
}
