package main

import (
	"bytes"
	"encoding/json"
	"strings"

	"holdfast/redismodule"
)

// entry is a command in commands.json.
type entry struct {
	Summary    string     `json:"summary"`
	Since      string     `json:"since"`
	Group      string     `json:"group"`
	Module     string     `json:"module"`
	Complexity string     `json:"complexity"`
	Arity      int        `json:"arity"`
	Flags      []string   `json:"command_flags"`
	Categories []string   `json:"acl_categories,omitempty"`
	Usage      string     `json:"usage"`
	Reply      string     `json:"reply,omitempty"`
	Arguments  []argEntry `json:"arguments,omitempty"`
}

type argEntry struct {
	Name      string     `json:"name"`
	Type      string     `json:"type"`
	Key       *int       `json:"key_spec_index,omitempty"`
	Token     string     `json:"token,omitempty"`
	Summary   string     `json:"summary,omitempty"`
	Optional  bool       `json:"optional,omitempty"`
	Multiple  bool       `json:"multiple,omitempty"`
	Arguments []argEntry `json:"arguments,omitempty"`
}

// types are the words of COMMAND DOCS for the types of arguments.
var types = map[redismodule.ArgType]string{
	redismodule.ArgString: "string", redismodule.ArgInteger: "integer", redismodule.ArgDouble: "double",
	redismodule.ArgKey: "key", redismodule.ArgPattern: "pattern", redismodule.ArgUnixTime: "unix-time",
	redismodule.ArgToken: "pure-token", redismodule.ArgOneOf: "oneof", redismodule.ArgBlock: "block",
}

// catalogue is commands.json: every command by name.
func catalogue(modules []*redismodule.Module) ([]byte, error) {
	all := map[string]entry{}
	for _, m := range modules {
		for i := range m.Commands {
			c := &m.Commands[i]
			all[strings.ToUpper(c.Name)] = entry{
				Summary: c.Summary, Since: c.Since, Group: "module", Module: m.Name, Complexity: c.Complexity, Arity: c.Arity,
				Flags: strings.Fields(c.Flags), Categories: strings.Fields(c.Categories), Usage: usage(c), Reply: c.Reply, Arguments: argEntries(c.Args),
			}
		}
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(all) // in the order of the names
	return b.Bytes(), err
}

func argEntries(args []redismodule.Argument) (entries []argEntry) {
	for _, a := range args {
		e := argEntry{Name: a.Name, Type: types[a.Type], Token: tokenOf(a), Summary: a.Summary, Optional: a.Optional, Multiple: a.Multiple, Arguments: argEntries(a.Args)}
		if a.Type == redismodule.ArgKey {
			e.Key = &a.Key
		}
		entries = append(entries, e)
	}
	return entries
}
