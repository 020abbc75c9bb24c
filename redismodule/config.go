package redismodule

/*
#include <stdlib.h>
#include "bridge.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"strings"
	"unsafe"
)

// Config is a setting: `CONFIG SET module.name value`, a line of redis.conf, or
// `name value` behind loadmodule, which wins over the file at start. Exactly
// one of Int, Bool and Text says where it is kept.
type Config struct {
	Name    string // without the module's name
	Summary string // one line; says the unit
	Int     *int64
	Bool    *bool
	Text    *string // "" by default
	// Check refuses a Text by an error, which the client is told. A NUL is refused already.
	Check   func(text string) error
	Default int64 // 0 or 1 for Bool
	Min     int64 // for Int
	Max     int64 // for Int
}

func (c *Config) get() int64 {
	if c.Bool != nil {
		if *c.Bool {
			return 1
		}
		return 0
	}
	return *c.Int
}

func (c *Config) set(v int64) {
	if c.Bool != nil {
		*c.Bool = v != 0
	} else {
		*c.Int = v
	}
}

// configs is what the server's privdata numbers stand for.
var configs []boundConfig

type boundConfig struct {
	*Config
	m *module
}

// set is for the server, which calls it also while the module loads.
func (c boundConfig) set(v int64) {
	c.Config.set(v)
	if c.m.loaded && c.m.Changed != nil {
		c.m.Changed()
	}
}

func (c boundConfig) setText(text string) error {
	if strings.ContainsRune(text, 0) {
		return errors.New("a text with a NUL in it")
	}
	if c.Check != nil {
		if err := c.Check(text); err != nil {
			return err
		}
	}
	*c.Text = text
	if c.m.loaded && c.m.Changed != nil {
		c.m.Changed()
	}
	return nil
}

func (m *module) registerConfigs(ctx *Ctx) error {
	if len(m.Configs) == 0 {
		return nil
	}
	for i := range m.Configs {
		c := &m.Configs[i]
		id := C.uintptr_t(len(configs))
		configs = append(configs, boundConfig{c, m})
		name := C.CString(c.Name)
		defer C.free(unsafe.Pointer(name))
		var rc C.int
		switch {
		case c.Text != nil:
			*c.Text = ""
			rc = C.hf_config_text(ctx.c, name, id)
		case c.Bool != nil:
			rc = C.hf_config_bool(ctx.c, name, C.int(c.Default), id)
		default:
			rc = C.hf_config_number(ctx.c, name, C.longlong(c.Default), C.longlong(c.Min), C.longlong(c.Max), id)
		}
		if rc != 0 {
			return fmt.Errorf("cannot register the setting %s.%s", m.Name, c.Name)
		}
	}
	if C.hf_load_configs(ctx.c) != 0 {
		return fmt.Errorf("the settings of %s were not accepted", m.Name)
	}
	return nil
}

// loadArgs reads `name value` pairs given behind loadmodule.
func (m *module) loadArgs(args []Arg) error {
	for ; len(args) > 0; args = args[2:] {
		c := m.config(args[0].String())
		if c == nil {
			return fmt.Errorf("unknown setting %q; %s knows %s", args[0].Bytes(), m.Name, m.configNames())
		}
		if len(args) == 1 {
			return fmt.Errorf("setting %q has no value", args[0].Bytes())
		}
		if c.Text != nil {
			if err := (boundConfig{c, m}).setText(args[1].String()); err != nil {
				return fmt.Errorf("setting %q: %w", args[0].Bytes(), err)
			}
			continue
		}
		v, ok := args[1].Int()
		if c.Bool != nil {
			switch args[1].String() {
			case "yes":
				v, ok = 1, true
			case "no":
				v, ok = 0, true
			default:
				return fmt.Errorf("setting %q takes yes or no", args[0].Bytes())
			}
		} else if !ok || v < c.Min || v > c.Max {
			return fmt.Errorf("setting %q takes an integer from %d to %d", args[0].Bytes(), c.Min, c.Max)
		}
		c.set(v)
	}
	return nil
}

func (m *module) config(name string) *Config {
	for i := range m.Configs {
		if c := &m.Configs[i]; name == c.Name || name == m.Name+"."+c.Name {
			return c
		}
	}
	return nil
}

func (m *module) configNames() string {
	if len(m.Configs) == 0 {
		return "none"
	}
	names := make([]string, len(m.Configs))
	for i := range m.Configs {
		names[i] = m.Configs[i].Name
	}
	return strings.Join(names, ", ")
}
