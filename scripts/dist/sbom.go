package main

import (
	"debug/buildinfo"
	"os"
	"path/filepath"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// sbom lists what is linked into the modules and into the tool, as CycloneDX: what the Go linker
// noted in each file.
func (d *dist) sbom() error {
	for name, path := range map[string]string{"holdfast-modules": filepath.Join(d.lib("amd64"), "libholdfast.so"), "holdfast": d.tool("linux", "amd64")} {
		info, err := buildinfo.ReadFile(path)
		if err != nil {
			return err
		}
		bom := cdx.NewBOM()
		bom.Metadata = &cdx.Metadata{
			Timestamp: d.time.Format("2006-01-02T15:04:05Z"),
			Component: &cdx.Component{BOMRef: name, Type: cdx.ComponentTypeApplication, Name: name, Version: d.version, Licenses: &cdx.Licenses{{License: &cdx.License{ID: "MIT"}}}},
		}
		parts := []cdx.Component{{BOMRef: "go", Type: cdx.ComponentTypeFramework, Name: "go", Version: info.GoVersion}}
		for _, m := range info.Deps {
			if m.Replace != nil {
				m = m.Replace
			}
			if m.Version == "" || m.Version == "(devel)" { // a folder beside it: the project itself
				continue
			}
			purl := "pkg:golang/" + m.Path + "@" + m.Version
			part := cdx.Component{BOMRef: purl, Type: cdx.ComponentTypeLibrary, Name: m.Path, Version: m.Version, PackageURL: purl}
			parts = append(parts, part)
		}
		bom.Components = &parts
		f, err := os.Create(filepath.Join(d.out, name+".cdx.json"))
		if err != nil {
			return err
		}
		if err := cdx.NewBOMEncoder(f, cdx.BOMFileFormatJSON).SetPretty(true).Encode(bom); err != nil {
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	return nil
}
