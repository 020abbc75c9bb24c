// Package docs holds the written guide and command reference, for the tool.
package docs

import "embed"

// Guide is guide.md.
//
//go:embed guide.md
var Guide string

// Commands is the folder commands, which make generate writes.
//
//go:embed commands
var Commands embed.FS
