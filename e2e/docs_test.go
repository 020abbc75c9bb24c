package e2e

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdfast/docs"
	"holdfast/holdfasttest"
	"holdfast/internal/redisserver"
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
			s := holdfasttest.Server(t)
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

// TestTheKoreanGuideSaysTheSame holds the two guides together: as many sections,
// with as many paragraphs and the same code and links in each.
func TestTheKoreanGuideSaysTheSame(t *testing.T) {
	type section struct {
		Level      string
		Paragraphs int
		Code       []string
		Links      []string
	}
	read := func(name string) (all []section) {
		text, err := os.ReadFile(filepath.Join("..", "docs", name))
		if err != nil {
			t.Fatal(err)
		}
		var now *section
		for _, part := range strings.Split(string(text), "\n\n") {
			if m := heading.FindStringSubmatch(part); m != nil && strings.HasPrefix(part, "#") {
				all = append(all, section{Level: m[1]})
				now = &all[len(all)-1]
				continue
			}
			if block.MatchString(part) {
				now.Code = append(now.Code, part)
				continue
			}
			now.Paragraphs++
			for _, m := range link.FindAllStringSubmatch(part, -1) {
				if !strings.HasPrefix(m[1], "guide.") { // to each other
					now.Links = append(now.Links, m[1])
				}
			}
		}
		return all
	}
	if diff := cmp.Diff(read("guide.md"), read("guide.ko.md")); diff != "" {
		t.Errorf("-English +Korean:\n%s", diff)
	}
}

var (
	link    = regexp.MustCompile(`\]\(([^)#: ]*)(?:#([^)]*))?\)`)
	heading = regexp.MustCompile(`(?m)^(#+) (.*)$`)
	block   = regexp.MustCompile("(?ms)^```.*?^```$")
	noSlug  = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// prose is a page without the blocks of code in it.
func prose(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return block.ReplaceAllString(string(text), "")
}

func TestLinksBetweenPagesLeadSomewhere(t *testing.T) {
	for _, path := range pages(t) {
		for _, m := range link.FindAllStringSubmatch(prose(t, path), -1) {
			to := path
			if m[1] != "" {
				to = filepath.Join(filepath.Dir(path), m[1])
			}
			if _, err := os.Stat(to); err != nil {
				t.Errorf("%s links to %s, which is not there", path, m[1])
			} else if m[2] != "" && !hasSection(prose(t, to), m[2]) {
				t.Errorf("%s links to a section #%s that %s does not have", path, m[2], to)
			}
		}
	}
}

// hasSection tells whether a page has a heading that is linked to so.
func hasSection(page, anchor string) bool {
	for _, m := range heading.FindAllStringSubmatch(page, -1) {
		if strings.ReplaceAll(noSlug.ReplaceAllString(strings.ToLower(m[2]), ""), " ", "-") == anchor {
			return true
		}
	}
	return false
}

// pages are the Markdown files of the project.
func pages(t *testing.T) (paths []string) {
	err := filepath.WalkDir("..", func(path string, d os.DirEntry, err error) error {
		if d != nil && d.IsDir() && (strings.HasPrefix(d.Name(), ".") && d.Name() != ".." || d.Name() == "node_modules") {
			return filepath.SkipDir // what is not ours
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

// TestTheServerDocumentsEachCommandAsTheReferenceDoes holds COMMAND DOCS and
// COMMAND INFO of a running server against commands.json.
func TestTheServerDocumentsEachCommandAsTheReferenceDoes(t *testing.T) {
	text, err := docs.Commands.ReadFile("commands/commands.json")
	if err != nil {
		t.Fatal(err)
	}
	type command struct {
		Summary    string   `json:"summary"`
		Complexity string   `json:"complexity"`
		Since      string   `json:"since"`
		Group      string   `json:"group"`
		Module     string   `json:"module"`
		Arity      int64    `json:"arity"`
		Flags      []string `json:"command_flags"`
		Categories []string `json:"acl_categories"`
		Arguments  []struct {
			Name string `json:"name"`
		} `json:"arguments"`
	}
	var commands map[string]command
	if err := json.Unmarshal(text, &commands); err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	c := holdfasttest.Server(t).Client()
	for name, want := range commands {
		said, err := c.Do(ctx, "COMMAND", "DOCS", name).Result()
		if err != nil {
			t.Fatal(err)
		}
		doc, _ := said.(map[any]any)[strings.ToLower(name)].(map[any]any)
		got := want
		got.Summary, _ = doc["summary"].(string)
		got.Complexity, _ = doc["complexity"].(string)
		got.Since, _ = doc["since"].(string)
		got.Group, _ = doc["group"].(string)
		got.Module, _ = doc["module"].(string)
		info, err := c.Do(ctx, "COMMAND", "INFO", name).Slice()
		if err != nil {
			t.Fatal(err)
		}
		if fields, ok := info[0].([]any); ok {
			got.Arity = fields[1].(int64)
			got.Flags = names(fields[2], "module", "movablekeys") // what the server adds
			// A server without categories for modules says none.
			if got.Categories = names(fields[6]); len(got.Categories) == 0 {
				got.Categories = want.Categories
			}
		}
		for i, c := range want.Categories {
			want.Categories[i] = "@" + c
		}
		for i, f := range want.Flags {
			want.Flags[i] = strings.ReplaceAll(f, "-", "") // deny-oom is declared, and shown as denyoom
		}
		for _, words := range [][]string{want.Flags, want.Categories, got.Flags, got.Categories} {
			slices.Sort(words)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-reference +server):\n%s", name, diff)
		}
		args, _ := doc["arguments"].([]any)
		if len(args) != len(want.Arguments) {
			t.Errorf("%s has %d arguments in the server, %d in the reference", name, len(args), len(want.Arguments))
			continue
		}
		for i, a := range args {
			if a.(map[any]any)["name"] != want.Arguments[i].Name {
				t.Errorf("%s: argument %d is %v, not %s", name, i, a, want.Arguments[i].Name)
			}
		}
	}
	// And none that the reference leaves out.
	for _, module := range redisserver.ModuleNames {
		names, err := c.Do(ctx, "COMMAND", "LIST", "FILTERBY", "MODULE", module).StringSlice()
		if err != nil || len(names) == 0 {
			t.Fatal(names, err)
		}
		for _, name := range names {
			if commands[strings.ToUpper(name)].Module != module {
				t.Errorf("the reference has no %s of %s", name, module)
			}
		}
	}
}

// names are the words of a reply, but for some.
func names(reply any, less ...string) (all []string) {
	for _, name := range reply.([]any) {
		if !slices.Contains(less, name.(string)) {
			all = append(all, name.(string))
		}
	}
	return all
}
