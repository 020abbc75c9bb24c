package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// file is one file of a package.
type file struct {
	path string // in the package
	mode int64
	body []byte
}

func read(from, to string, mode int64) (file, error) {
	b, err := os.ReadFile(from)
	return file{to, mode, b}, err
}

// archive packs files, and the folders that they need, into a tar. Files are sorted by name and have
// one owner and one time, so that the same files give the same bytes.
func archive(files []file, at time.Time) ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	made := map[string]bool{".": true, "/": true}
	files = slices.Clone(files)
	slices.SortFunc(files, func(a, b file) int { return strings.Compare(a.path, b.path) })
	header := func(name string, kind byte, mode int64, size int) error {
		return w.WriteHeader(&tar.Header{Name: name, Typeflag: kind, Mode: mode, Size: int64(size), ModTime: at, Format: tar.FormatPAX})
	}
	var folder func(name string) error
	folder = func(name string) error {
		if made[name] {
			return nil
		}
		made[name] = true
		if err := folder(path.Dir(name)); err != nil {
			return err
		}
		return header(name+"/", tar.TypeDir, 0o755, 0)
	}
	for _, f := range files {
		if err := folder(path.Dir(f.path)); err != nil {
			return nil, err
		}
		if err := header(f.path, tar.TypeReg, f.mode, len(f.body)); err != nil {
			return nil, err
		}
		if _, err := w.Write(f.body); err != nil {
			return nil, err
		}
	}
	err := w.Close()
	return b.Bytes(), err
}

// moduleFiles returns the modules, for the folder lib of a package, and their licence, for doc.
func (d *dist) moduleFiles(arch, lib, doc string) ([]file, error) {
	var all []file
	for _, m := range modules {
		f, err := read(filepath.Join(d.lib(arch), m), path.Join(lib, m), 0o755)
		if err != nil {
			return nil, err
		}
		all = append(all, f)
	}
	licence, err := read(filepath.Join(d.source, "LICENSE"), path.Join(doc, "LICENSE"), 0o644)
	return append(all, licence), err
}

// conf returns the commented settings, which load the modules from a folder.
func (d *dist) conf(to, folder string) (file, error) {
	f, err := read(filepath.Join(d.source, "deploy", "holdfast.conf"), to, 0o644)
	f.body = bytes.ReplaceAll(f.body, []byte("/usr/lib/holdfast/"), []byte(folder+"/"))
	return f, err
}

// tarballs are for systems without Debian's package manager.
func (d *dist) tarballs() error {
	for _, arch := range moduleArchs {
		name := fmt.Sprintf("holdfast-modules_%s_linux_%s", d.version, arch)
		files, err := d.moduleFiles(arch, name, name)
		if err != nil {
			return err
		}
		settings, err := d.conf(path.Join(name, "holdfast.conf"), "/usr/lib/holdfast")
		if err != nil {
			return err
		}
		if err := d.tarball(name, append(files, settings)); err != nil {
			return err
		}
	}
	for _, t := range toolTargets {
		name := fmt.Sprintf("holdfast_%s_%s_%s", d.version, t[0], t[1])
		tool, err := read(d.tool(t[0], t[1]), path.Join(name, "holdfast"), 0o755)
		if err != nil {
			return err
		}
		licence, err := read(filepath.Join(d.source, "LICENSE"), path.Join(name, "LICENSE"), 0o644)
		if err != nil {
			return err
		}
		if err := d.tarball(name, []file{tool, licence}); err != nil {
			return err
		}
	}
	return nil
}

func (d *dist) tarball(name string, files []file) error {
	b, err := archive(files, d.time)
	if err != nil {
		return err
	}
	packed, err := compress(b)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(d.out, name+".tar.gz"), packed, 0o644)
}

func compress(b []byte) ([]byte, error) {
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(b); err != nil {
		return nil, err
	}
	err = w.Close()
	return out.Bytes(), err
}
