package house

import (
	"slices"
	"strings"
	"testing"
)

// layers says which packages of the project each package may import, tests
// aside. A new package needs a line here: decide where it stands, then write
// docs/architecture.md.
var layers = map[string][]string{
	// The cores decide, without a server. They know each other at most.
	"internal/deadline":           {},
	"internal/slot":               {},
	"modules/internal/histogram":  {},
	"modules/internal/resp":       {},
	"modules/internal/waitq":      {},
	"modules/internal/keyed":      {"internal/deadline"},
	"modules/internal/dispatch":   {"internal/deadline", "modules/internal/histogram", "modules/internal/keyed", "internal/slot", "modules/internal/waitq"},
	"modules/internal/leasetable": {"internal/deadline", "modules/internal/waitq"},
	"modules/internal/locktable":  {"internal/deadline", "modules/internal/histogram", "modules/internal/waitq"},

	// The modules carry out what the cores decide, through the binding.
	"redismodule":                  {"internal/deadline"},
	"redismodule/example/doorbell": {"redismodule"},
	"redismodule/internal/probe":   {"redismodule"},
	"modules/syntax":               {"redismodule"},
	"modules/cachelock":            {"modules/internal/histogram", "modules/internal/leasetable", "modules/syntax", "redismodule"},
	"modules/distlock":             {"modules/internal/histogram", "modules/internal/locktable", "internal/slot", "modules/syntax", "redismodule"},
	"modules/taskqueue":            {"modules/internal/dispatch", "modules/internal/histogram", "modules/internal/keyed", "modules/internal/resp", "internal/slot", "modules/syntax", "redismodule"},
	"modules/library":              {"modules/cachelock", "modules/distlock", "modules/taskqueue", "redismodule"},
	"modules/library/commands":     {"modules/cachelock", "modules/distlock", "modules/taskqueue", "redismodule"},

	// The clients know the commands, and nothing of the modules.
	"internal/blocking": {},
	"internal/codec":    {},
	"lock":              {"internal/blocking"},
	"cache":             {"internal/blocking", "internal/codec"},
	"queue":             {"internal/blocking", "internal/codec", "lock"},
	"queue/queuetest":   {"queue"},

	// The tool, the pages, and what the tests share.
	"docs":                         {},
	"internal/redisserver":         {},
	"internal/transcript":          {},
	"cmd/holdfast":                 {"cache", "cmd/internal/cli", "cmd/internal/metrics", "cmd/internal/size", "cmd/internal/top", "dashboard", "docs", "internal/doctor", "internal/redisserver", "internal/shell", "internal/transcript", "internal/where", "lock", "queue"},
	"holdfasttest":                 {"internal/redisserver"},
	"internal/clienttest":          {"holdfasttest"},
	"internal/house":               {},
	"internal/doctor":              {"internal/nodes", "internal/shell", "queue"},
	"internal/nodes":               {},
	"internal/shell":               {},
	"dashboard":                    {"cache", "internal/doctor", "internal/shell", "internal/where", "lock", "queue"},
	"cmd/internal/metrics":         {"internal/nodes", "queue"},
	"cmd/internal/size":            {"internal/slot"},
	"cmd/internal/top":             {"cache", "cmd/internal/cli", "lock", "queue"},
	"internal/where":               {"queue"},
	"cmd/internal/cli":             {"internal/where"},
	"examples":                     {},
	"clients/conformance":          {},
	"clients/conformance/godriver": {"cache", "lock", "queue"},
	"e2e":                          {},
	"bench":                        {"bench/internal/chart", "bench/internal/result", "cache", "internal/redisserver", "lock", "queue"},
	"bench/gomodule":               {"modules/cachelock", "modules/distlock", "modules/taskqueue", "redismodule"},
	"bench/internal/chart":         {},
	"bench/internal/result":        {},
}

func TestLayersPointInOneDirection(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range ours(t) {
		name := strings.TrimPrefix(p.ImportPath, "holdfast/")
		seen[name] = true
		allowed, known := layers[name]
		if !known {
			t.Errorf("%s is in no layer: add it to internal/house/layers_test.go", name)
			continue
		}
		for _, imported := range p.Imports {
			if other, ours := strings.CutPrefix(imported, "holdfast/"); ours && !slices.Contains(allowed, other) {
				t.Errorf("%s imports %s, which its layer does not allow", name, other)
			}
		}
	}
	for name := range layers {
		if !seen[name] {
			t.Errorf("internal/house/layers_test.go has %s, which is no package", name)
		}
	}
}
