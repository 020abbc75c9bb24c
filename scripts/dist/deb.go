package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goreleaser/nfpm/v2"
	_ "github.com/goreleaser/nfpm/v2/deb" // the format is registered by its package
	"github.com/goreleaser/nfpm/v2/files"
)

const maintainer = "Holdfast maintainers <maintainers@holdfast.invalid>"

// debs makes packages for Debian and Ubuntu, whose servers are Redis and Valkey.
func (d *dist) debs() error {
	for _, arch := range moduleArchs {
		body, err := d.moduleFiles(arch, "/usr/lib/holdfast", "/usr/share/doc/holdfast-modules")
		if err != nil {
			return err
		}
		settings, err := d.conf("/etc/holdfast/holdfast.conf", "/usr/lib/holdfast")
		if err != nil {
			return err
		}
		err = d.deb(&nfpm.Info{
			Name: "holdfast-modules", Arch: arch, Section: "database",
			Description: "cache without stampedes, task queue and locks for Redis and Valkey\n" +
				"Three modules for redis-server and valkey-server: cachelock, taskqueue, distlock.\n" +
				"They are loaded by the line 'include /etc/holdfast/holdfast.conf' in the server's\n" +
				"configuration; installing the package changes no server.",
			Overridables: nfpm.Overridables{
				Depends:  []string{"libc6 (>= " + oldestGlibc + ")"},
				Suggests: []string{"redis-server | valkey-server", "holdfast"},
				Scripts:  d.scripts("holdfast-modules"),
			},
		}, append(body, settings), settings.path)
		if err != nil {
			return err
		}
		body, err = d.toolFiles(arch)
		if err != nil {
			return err
		}
		err = d.deb(&nfpm.Info{
			Name: "holdfast", Arch: arch, Section: "utils",
			Description: "see and steer locks, queues and caches of Holdfast\n" +
				"The command-line tool for servers with the modules of holdfast-modules.",
			Overridables: nfpm.Overridables{Suggests: []string{"holdfast-modules"}, Scripts: d.scripts("holdfast")},
		}, body, "/etc/default/holdfast")
		if err != nil {
			return err
		}
	}
	return nil
}

// toolFiles returns the tool, its manual pages, its completions and its service.
func (d *dist) toolFiles(arch string) ([]file, error) {
	var all []file
	add := func(f file, err error) error {
		all = append(all, f)
		return err
	}
	if err := add(read(d.tool("linux", arch), "/usr/bin/holdfast", 0o755)); err != nil {
		return nil, err
	}
	if err := add(read(filepath.Join(d.source, "LICENSE"), "/usr/share/doc/holdfast/copyright", 0o644)); err != nil {
		return nil, err
	}
	if err := add(read(filepath.Join(d.source, "deploy", "systemd", "holdfast-metrics.service"), "/usr/lib/systemd/system/holdfast-metrics.service", 0o644)); err != nil {
		return nil, err
	}
	if err := add(read(filepath.Join(d.source, "deploy", "systemd", "holdfast.default"), "/etc/default/holdfast", 0o640)); err != nil {
		return nil, err
	}
	// Completions are the same on every machine: the tool that runs on this one prints them.
	host := d.tool("linux", "amd64")
	for shell, to := range map[string]string{
		"bash": "/usr/share/bash-completion/completions/holdfast", "zsh": "/usr/share/zsh/vendor-completions/_holdfast", "fish": "/usr/share/fish/vendor_completions.d/holdfast.fish",
	} {
		out, err := exec.Command(host, "completion", shell).Output()
		if err != nil {
			return nil, err
		}
		all = append(all, file{to, 0o644, out})
	}
	pages, err := filepath.Glob(filepath.Join(d.source, "docs", "man", "*.1"))
	if err != nil {
		return nil, err
	}
	for _, page := range pages {
		f, err := read(page, "/usr/share/man/man1/"+filepath.Base(page)+".gz", 0o644)
		if err != nil {
			return nil, err
		}
		if f.body, err = compress(f.body); err != nil {
			return nil, err
		}
		all = append(all, f)
	}
	return all, nil
}

// scripts returns the maintainer scripts of a package that deploy/deb has.
func (d *dist) scripts(name string) (s nfpm.Scripts) {
	for what, to := range map[string]*string{"postinst": &s.PostInstall, "prerm": &s.PreRemove, "postrm": &s.PostRemove} {
		path := filepath.Join(d.source, "deploy", "deb", name+"."+what)
		if _, err := os.Stat(path); err == nil {
			*to = path
		}
	}
	return s
}

func (d *dist) deb(info *nfpm.Info, body []file, conffile string) error {
	info.Version, info.VersionSchema, info.Release, info.Platform = d.version, "none", "", "linux"
	info.Maintainer, info.License, info.Priority, info.MTime = maintainer, "MIT", "optional", d.time
	// The order of the package's files is the order of their names, wherever they come from.
	slices.SortFunc(body, func(a, b file) int { return strings.Compare(a.path, b.path) })
	for _, f := range body {
		kind := ""
		if f.path == conffile {
			kind = files.TypeConfigNoReplace
		}
		from := filepath.Join(d.work, "deb", info.Name, info.Arch, f.path)
		if err := os.MkdirAll(filepath.Dir(from), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(from, f.body, 0o644); err != nil {
			return err
		}
		info.Contents = append(info.Contents, &files.Content{
			Source: from, Destination: f.path, Type: kind,
			FileInfo: &files.ContentFileInfo{Mode: os.FileMode(f.mode), MTime: d.time, Owner: "root", Group: "root"},
		})
	}
	info = nfpm.WithDefaults(info)
	if err := nfpm.PrepareForPackager(info, "deb"); err != nil {
		return err
	}
	packager, err := nfpm.Get("deb")
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := packager.Package(info, &b); err != nil {
		return err
	}
	name := fmt.Sprintf("%s_%s_%s.deb", info.Name, d.version, info.Arch)
	return os.WriteFile(filepath.Join(d.out, name), b.Bytes(), 0o644)
}
