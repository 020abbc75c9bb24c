package e2e

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"holdfast/holdfasttest"
	"holdfast/internal/transcript"
)

// TestWhatTheDocsShowIsWhatAServerSays plays every session in the docs, page by
// page, each on a server of its own.
func TestWhatTheDocsShowIsWhatAServerSays(t *testing.T) {
	for _, path := range pages(t) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		sections := transcript.Parse(string(text))
		if len(sections) == 0 {
			continue
		}
		t.Run(filepath.Base(path), func(t *testing.T) {
			s := holdfasttest.New(t)
			p := transcript.NewPlayer(s.Addr)
			defer p.Close()
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			for _, section := range sections {
				for _, step := range section.Steps {
					command, reply, err := p.Play(ctx, step)
					if err != nil {
						t.Fatalf("%s:%d: %s: %v", path, step.Line, command, err)
					}
					if !p.Check(step, reply) {
						t.Fatalf("%s:%d: %s answers\n%s\nand not\n%s", path, step.Line, command, reply, step.Reply)
					}
				}
			}
		})
	}
}

// TestTheKoreanGuideShowsTheSameSessions holds the two guides together.
func TestTheKoreanGuideShowsTheSameSessions(t *testing.T) {
	var guides [2][]transcript.Step
	for i, name := range []string{"guide.md", "guide.ko.md"} {
		text, err := os.ReadFile(filepath.Join("..", "docs", name))
		if err != nil {
			t.Fatal(err)
		}
		for _, section := range transcript.Parse(string(text)) {
			for _, step := range section.Steps {
				step.Line = 0
				guides[i] = append(guides[i], step)
			}
		}
	}
	for i, step := range guides[0] {
		if i >= len(guides[1]) || guides[1][i] != step {
			t.Fatalf("the English guide has %+v where the Korean one has %+v", step, guides[1][min(i, len(guides[1])-1)])
		}
	}
	if len(guides[0]) != len(guides[1]) {
		t.Errorf("%d steps in English, %d in Korean", len(guides[0]), len(guides[1]))
	}
}

var link = regexp.MustCompile(`\]\(([^)#: ]+)(?:#[^)]*)?\)`)

func TestLinksBetweenPagesLeadSomewhere(t *testing.T) {
	for _, path := range pages(t) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(path), m[1])); err != nil {
				t.Errorf("%s links to %s, which is not there", path, m[1])
			}
		}
	}
}

// pages are the Markdown files of the project.
func pages(t *testing.T) (paths []string) {
	err := filepath.WalkDir("..", func(path string, d os.DirEntry, err error) error {
		if d != nil && d.IsDir() && strings.HasPrefix(d.Name(), ".") && d.Name() != ".." {
			return filepath.SkipDir
		}
		if err == nil && strings.HasSuffix(path, ".md") {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil || len(paths) == 0 {
		t.Fatal(paths, err)
	}
	return paths
}
