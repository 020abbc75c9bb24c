// dist makes what people install: tarballs, Debian packages, images, lists of what is linked into
// them, and checksums. The same source and toolchain give the same bytes. make dist runs it, and
// make dist-test tries what it made.
package main

import (
	"crypto/sha256"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// dist is one run of the program.
type dist struct {
	source  string    // the project's folder
	out     string    // where packages go
	work    string    // what they are made from
	version string    // of the packages, without v
	time    time.Time // of every file in them
}

// step is a part of a run. It returns errSkipped where this machine lacks what the step needs.
type step struct {
	name string
	run  func(*dist) error
}

var steps = []step{
	{"build", (*dist).build},
	{"tarballs", (*dist).tarballs},
	{"debs", (*dist).debs},
	{"images", (*dist).images},
	{"sbom", (*dist).sbom},
	{"sums", (*dist).sums},
}

type errSkipped string

func (e errSkipped) Error() string { return string(e) }

func main() {
	d := &dist{}
	var epoch int64
	var only string
	flag.StringVar(&d.source, "source", "../..", "the project's `folder`")
	flag.StringVar(&d.out, "out", "dist", "the `folder` that is made anew")
	flag.StringVar(&d.version, "version", "0.0.0", "of the packages")
	flag.Int64Var(&epoch, "time", 0, "of every file in them, unix `seconds`")
	flag.StringVar(&only, "only", "", "`steps`, such as build,tarballs,sums")
	flag.Parse()
	d.time = time.Unix(epoch, 0).UTC()
	d.version = debVersion(d.version)
	if err := d.run(only); err != nil {
		fmt.Fprintln(os.Stderr, "dist:", err)
		os.Exit(1)
	}
}

func (d *dist) run(only string) (err error) {
	for _, path := range []*string{&d.source, &d.out} {
		if *path, err = filepath.Abs(*path); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(d.out); err != nil {
		return err
	}
	if err := os.MkdirAll(d.out, 0o755); err != nil {
		return err
	}
	// The folder's name differs from run to run. -trimpath keeps it out of the files.
	if d.work, err = os.MkdirTemp("", "holdfast-dist-"); err != nil {
		return err
	}
	defer os.RemoveAll(d.work)
	for _, s := range steps {
		if only != "" && !slices.Contains(strings.Split(only, ","), s.name) {
			continue
		}
		began := time.Now()
		err := s.run(d)
		if skipped, ok := err.(errSkipped); ok {
			fmt.Printf("%-9s skipped: %s\n", s.name, skipped)
			continue
		}
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		fmt.Printf("%-9s %.0f s\n", s.name, time.Since(began).Seconds())
	}
	return nil
}

// debVersion turns what git describe says into a version of a Debian package, which begins with a
// digit and sorts after its tag: v1.2.0-4-gabc becomes 1.2.0+4.gabc, and abc, a commit without a tag
// before it, becomes 0.0.0+abc.
func debVersion(describe string) string {
	v := strings.TrimPrefix(describe, "v")
	if v == "" || v[0] < '0' || v[0] > '9' || !strings.Contains(v, ".") {
		return "0.0.0+" + strings.ReplaceAll(v, "-", ".")
	}
	tag, rest, more := strings.Cut(v, "-")
	if !more {
		return tag
	}
	return tag + "+" + strings.ReplaceAll(rest, "-", ".")
}

// sums writes the checksums of all files into SHA256SUMS, which sha256sum -c reads.
func (d *dist) sums() error {
	var lines []string
	err := filepath.WalkDir(d.out, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() || e.Name() == "SHA256SUMS" {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		h := sha256.New()
		if _, err := io.Copy(h, f); err != nil {
			return err
		}
		name, err := filepath.Rel(d.out, path)
		lines = append(lines, fmt.Sprintf("%x  %s\n", h.Sum(nil), name))
		return err
	})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(d.out, "SHA256SUMS"), []byte(strings.Join(lines, "")), 0o644)
}
