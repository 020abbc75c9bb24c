package metrics

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/holdfasttest"
)

// scraped are the names and labels of the samples that a server in use gives.
func scraped(t *testing.T) map[string]bool {
	ctx := t.Context()
	c := holdfasttest.Server(t).Client()
	for _, command := range []string{"TASK.PUBLISH mail hello", "TASK.CONSUME workers me mail 1 0 LEASE 1000", "LOCK.ACQUIRE report me 1000", "CACHE.GET user"} {
		if err := c.Do(ctx, fields(command)...).Err(); err != nil && err != redis.Nil {
			t.Fatal(command, err)
		}
	}
	var page bytes.Buffer
	if err := Write(ctx, &page, c, Options{MaxQueues: 10}); err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for line := range strings.Lines(page.String()) {
		name, labels, _ := strings.Cut(line, "{")
		if strings.HasPrefix(line, "#") {
			continue
		}
		names[name] = true
		for _, m := range label.FindAllStringSubmatch(labels, -1) {
			names[name+" "+m[1]] = true
		}
	}
	return names
}

var (
	metric = regexp.MustCompile(`\bholdfast_[a-z0-9_]+`)
	label  = regexp.MustCompile(`([a-z]+)="`)
	chosen = regexp.MustCompile(`\b(holdfast_[a-z0-9_]+)\{([^}]*)\}`)
	pick   = regexp.MustCompile(`([a-z]+)\s*[=!]~?\s*\\?"`)
)

func TestAlertsAndDashboardUseMetricsThatExist(t *testing.T) {
	names := scraped(t)
	for _, file := range []string{"rules.yml", "grafana.json"} {
		text, err := os.ReadFile(filepath.Join("../../../deploy/prometheus", file))
		if err != nil {
			t.Fatal(err)
		}
		used := metric.FindAllString(string(text), -1)
		if len(used) < 10 {
			t.Fatalf("%s uses %d metrics", file, len(used))
		}
		for _, name := range used {
			if !names[name] {
				t.Errorf("%s uses %s, which no server gives", file, name)
			}
		}
		for _, m := range chosen.FindAllStringSubmatch(string(text), -1) {
			for _, by := range pick.FindAllStringSubmatch(m[2], -1) {
				if !names[m[1]+" "+by[1]] {
					t.Errorf("%s chooses %s by %s, a label that it does not have", file, m[1], by[1])
				}
			}
		}
		if strings.HasSuffix(file, ".json") && !json.Valid(text) {
			t.Errorf("%s is no JSON", file)
		}
	}
}

var (
	alert  = regexp.MustCompile(`alert: (\w+)`)
	series = regexp.MustCompile(`series: '(\w+)(?:\{([^}]*)\})?'`)
)

// promtool runs rules.test.yml on samples that are written down there. They have to be such as a
// server gives, with the same labels: an alert whose operands have different labels never fires.
func TestEachAlertIsTriedOnSamplesThatServersGive(t *testing.T) {
	labels := map[string]string{}
	for sample := range scraped(t) {
		if name, by, ok := strings.Cut(sample, " "); ok {
			labels[name] += by + " "
		}
	}
	rules, err := os.ReadFile("../../../deploy/prometheus/rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	tests, err := os.ReadFile("../../../deploy/prometheus/rules.test.yml")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range alert.FindAllStringSubmatch(string(rules), -1) {
		if !strings.Contains(string(tests), "alertname: "+m[1]+"\n") {
			t.Errorf("rules.test.yml never has %s fire", m[1])
		}
	}
	for _, m := range series.FindAllStringSubmatch(string(tests), -1) {
		if m[1] == "up" {
			continue // Prometheus' own
		}
		given := label.FindAllStringSubmatch(m[2], -1)
		for _, by := range given {
			if !strings.Contains(" "+labels[m[1]], " "+by[1]+" ") {
				t.Errorf("rules.test.yml has %s with the label %s, servers have %s", m[1], by[1], labels[m[1]])
			}
		}
		if len(given) != len(strings.Fields(labels[m[1]])) {
			t.Errorf("rules.test.yml has %s with %d labels, servers have %s", m[1], len(given), labels[m[1]])
		}
	}
}

// counted are the counters of a scrape.
func counted(t *testing.T, c *redis.Client) map[string]float64 {
	var page bytes.Buffer
	if err := Write(t.Context(), &page, c, Options{MaxQueues: 10}); err != nil {
		t.Fatal(err)
	}
	counters := map[string]float64{}
	for line := range strings.Lines(page.String()) {
		sample, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if name, _, _ := strings.Cut(sample, "{"); strings.HasSuffix(name, "_total") {
			n, err := strconv.ParseFloat(value, 64)
			if err != nil {
				t.Fatal(line, err)
			}
			counters[sample] = n
		}
	}
	return counters
}

func TestWhatFallsIsNoCounter(t *testing.T) {
	ctx := t.Context()
	c := holdfasttest.Server(t).Client()
	for _, command := range []string{"XGROUP CREATE idle workers $ MKSTREAM", "LOCK.ACQUIRE report me 60000", "CACHE.FETCH user 60000 60000", "TASK.PUBLISH mail hello DELAY 60000"} {
		if err := c.Do(ctx, fields(command)...).Err(); err != nil {
			t.Fatal(command, err)
		}
	}
	var waits sync.WaitGroup
	for _, command := range []string{"TASK.CONSUME workers me idle 1 60000", "LOCK.ACQUIRE report you 60000 BLOCK 60000", "CACHE.FETCH user 60000 60000 BLOCK 60000"} {
		waits.Go(func() { c.Do(ctx, fields(command)...) })
	}
	blocked := func() bool {
		clients, err := c.ClientList(ctx).Result()
		if err != nil {
			t.Fatal(err)
		}
		return strings.Count(clients, "flags=b") == 3
	}
	for !blocked() {
		time.Sleep(10 * time.Millisecond)
	}
	before := counted(t, c)
	for _, command := range []string{"XADD idle * payload x", "LOCK.RELEASE report me", "CACHE.SET user ann 1000"} {
		if err := c.Do(ctx, fields(command)...).Err(); err != nil {
			t.Fatal(command, err)
		}
	}
	waits.Wait()
	after := counted(t, c)
	for sample, n := range before {
		if after[sample] < n {
			t.Errorf("%s fell from %v to %v", sample, n, after[sample])
		}
	}
}

// fields are a command's words.
func fields(command string) (words []any) {
	for word := range strings.FieldsSeq(command) {
		words = append(words, word)
	}
	return words
}
