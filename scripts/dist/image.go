package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// images makes OCI layouts: folders that podman, skopeo and buildah read, and registries take. No
// container engine is needed to make them.
func (d *dist) images() error {
	if err := d.modulesImage(); err != nil {
		return err
	}
	return d.servers()
}

// modulesImage makes the image for init containers. It has the modules and a program that copies
// them, and nothing else.
func (d *dist) modulesImage() error {
	var all []v1.Image
	for _, arch := range moduleArchs {
		body, err := d.moduleFiles(arch, "usr/lib/holdfast", "usr/share/doc/holdfast")
		if err != nil {
			return err
		}
		copier, err := read(d.copier(arch), "copy", 0o755)
		if err != nil {
			return err
		}
		layer, err := d.layer(append(body, copier))
		if err != nil {
			return err
		}
		image, err := d.image(arch, v1.Config{Entrypoint: []string{"/copy"}, Cmd: []string{"/holdfast"}}, layer)
		if err != nil {
			return err
		}
		all = append(all, image)
	}
	return d.layout("holdfast-modules", all...)
}

func (d *dist) layer(files []file) (v1.Layer, error) {
	b, err := archive(files, d.time)
	if err != nil {
		return nil, err
	}
	return layerOf(b)
}

func (d *dist) image(arch string, config v1.Config, layers ...v1.Layer) (v1.Image, error) {
	base := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	image, err := mutate.AppendLayers(base, layers...)
	if err != nil {
		return nil, err
	}
	f, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	f = f.DeepCopy()
	f.OS, f.Architecture, f.Created, f.Config = "linux", arch, v1.Time{Time: d.time}, config
	f.Config.Labels = map[string]string{"org.opencontainers.image.version": d.version, "org.opencontainers.image.licenses": "MIT"}
	if image, err = mutate.ConfigFile(image, f); err != nil {
		return nil, err
	}
	return mutate.Time(image, d.time)
}

func (d *dist) layout(name string, images ...v1.Image) error {
	tag := strings.ReplaceAll(d.version, "+", "-") // a reference to an image has no plus sign
	path := filepath.Join(d.out, name+"_"+tag+".oci")
	if err := os.RemoveAll(path); err != nil {
		return err
	}
	to, err := layout.Write(path, empty.Index)
	if err != nil {
		return err
	}
	// One entry, an index of the machines: a reader takes the image of its own.
	var machines v1.ImageIndex = mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, image := range images {
		f, err := image.ConfigFile()
		if err != nil {
			return err
		}
		machines = mutate.AppendManifests(machines, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: f.OS, Architecture: f.Architecture}}})
	}
	return to.AppendIndex(machines, layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": tag}))
}

// layerOf makes a layer of a tar.
func layerOf(tar []byte) (v1.Layer, error) {
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(tar)), nil }
	return tarball.LayerFromOpener(open, tarball.WithMediaType(types.OCILayer))
}
