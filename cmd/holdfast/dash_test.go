package main

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"strings"
	"testing"

	"holdfast/holdfasttest"
)

func TestThePagesLetInWhoHasTheLink(t *testing.T) {
	s := holdfasttest.Server(t)
	r := start(t, "dash", "--url", "redis://"+s.Addr)
	link := r.until(`^(http://127\.0\.0\.1:\d+/\?token=\w{20,}), until Ctrl-C`)[1]
	bare, _, _ := strings.Cut(link, "?")
	get := func(c *http.Client, url string) (int, string) {
		t.Helper()
		answer, err := c.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		body, _ := io.ReadAll(answer.Body)
		return answer.StatusCode, string(body)
	}
	for _, path := range []string{"", "queues", "events?at=queues", "assets/script.js", "?token=guessed"} {
		if code, _ := get(http.DefaultClient, bare+path); code != http.StatusUnauthorized {
			t.Errorf("%s without the token: %d", path, code)
		}
	}
	if answer, err := http.PostForm(bare+"act", map[string][]string{"act": {"pause"}, "q": {"mail"}}); err != nil || answer.StatusCode != http.StatusUnauthorized {
		t.Error("an act without the token:", answer, err)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	known := &http.Client{Jar: jar}
	get(known, link)
	if code, body := get(known, bare); code != http.StatusOK || !strings.Contains(body, "<h1>") || strings.Contains(body, "token") {
		t.Error(code, body)
	}
	if code := r.interrupt(); code != 0 {
		t.Error("Ctrl-C:", code)
	}
}
