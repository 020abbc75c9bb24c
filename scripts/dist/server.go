package main

import (
	"archive/tar"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// server describes an image of a server with the modules in it.
type server struct {
	name, suite, pkg, program, user string
}

var serverImages = []server{
	{"redis-holdfast", "bookworm", "redis-server", "redis-server", "redis"},
	{"valkey-holdfast", "trixie", "valkey-server", "valkey-server", "valkey"},
}

// servers makes the images of servers from Debian's packages. debootstrap installs those into a
// folder, which needs root.
func (d *dist) servers() error {
	if _, err := exec.LookPath("debootstrap"); err != nil {
		return errSkipped("the images of servers need debootstrap (the image of the modules is there)")
	}
	if os.Geteuid() != 0 {
		return errSkipped("the images of servers need root (the image of the modules is there)")
	}
	for _, s := range serverImages {
		root := filepath.Join(d.work, s.name)
		if err := run(d.work, nil, "debootstrap", "--variant=minbase", "--include="+s.pkg, s.suite, root); err != nil {
			return err
		}
		base, err := d.rootfs(root)
		if err != nil {
			return err
		}
		body, err := d.moduleFiles("amd64", "usr/lib/holdfast", "usr/share/doc/holdfast")
		if err != nil {
			return err
		}
		tool, err := read(d.tool("linux", "amd64"), "usr/bin/holdfast", 0o755)
		if err != nil {
			return err
		}
		settings, err := d.conf("etc/holdfast/holdfast.conf", "/usr/lib/holdfast")
		if err != nil {
			return err
		}
		ours, err := d.layer(append(body, tool, settings))
		if err != nil {
			return err
		}
		image, err := d.image("amd64", v1.Config{
			User: s.user, WorkingDir: "/var/lib/" + s.user, ExposedPorts: map[string]struct{}{"6379/tcp": {}}, Volumes: map[string]struct{}{"/var/lib/" + s.user: {}},
			Env:        []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"},
			Entrypoint: []string{"/usr/bin/" + s.program, "/etc/holdfast/holdfast.conf"},
			Cmd:        []string{"--bind", "* -::*", "--dir", "/var/lib/" + s.user, "--daemonize", "no", "--logfile", ""},
		}, base, ours)
		if err != nil {
			return err
		}
		if err := d.layout(s.name, image); err != nil {
			return err
		}
	}
	return nil
}

// left lists what debootstrap leaves behind that a server does not need, or that differs from run
// to run.
var left = []string{"/var/cache/", "/var/log/", "/var/lib/apt/lists/", "/tmp/", "/proc/", "/sys/", "/dev/", "/etc/machine-id", "/etc/hostname", "/etc/resolv.conf", "/var/lib/dpkg/info/*-old", "/var/cache/ldconfig/aux-cache", "/usr/share/doc/", "/usr/share/man/", "/usr/share/locale/"}

// rootfs makes a layer of a folder's files, sorted by name, with one time for all.
func (d *dist) rootfs(root string) (v1.Layer, error) {
	var paths []string
	err := filepath.WalkDir(root, func(path string, e os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel := strings.TrimPrefix(path, root)
		if rel != "" && !slices.ContainsFunc(left, func(l string) bool { return strings.HasPrefix(rel, l) }) {
			paths = append(paths, rel)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	sort.Strings(paths)
	packed := filepath.Join(d.work, "rootfs.tar")
	f, err := os.Create(packed)
	if err != nil {
		return nil, err
	}
	w := tar.NewWriter(f)
	for _, rel := range paths {
		if err := d.put(w, root, rel); err != nil {
			return nil, fmt.Errorf("%s: %w", rel, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	if err := f.Close(); err != nil {
		return nil, err
	}
	b, err := os.ReadFile(packed)
	if err != nil {
		return nil, err
	}
	return layerOf(b)
}

func (d *dist) put(w *tar.Writer, root, rel string) error {
	path := filepath.Join(root, rel)
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	link := ""
	if info.Mode()&os.ModeSymlink != 0 {
		if link, err = os.Readlink(path); err != nil {
			return err
		}
	} else if !info.Mode().IsRegular() && !info.IsDir() {
		return nil // devices are the runtime's to make
	}
	h, err := tar.FileInfoHeader(info, link)
	if err != nil {
		return err
	}
	h.Name, h.ModTime, h.Format, h.Uname, h.Gname = strings.TrimPrefix(rel, "/"), d.time, tar.FormatPAX, "", ""
	if info.IsDir() {
		h.Name += "/"
	}
	if err := w.WriteHeader(h); err != nil || !info.Mode().IsRegular() {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(w, f)
	return err
}
