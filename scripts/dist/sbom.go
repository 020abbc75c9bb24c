package main

import (
	"bytes"
	"debug/buildinfo"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// sbom lists what is linked into the modules and into the tool, for whichever machine, as CycloneDX:
// what the Go linker noted in each file.
func (d *dist) sbom() error {
	files := map[string][]string{}
	for _, arch := range moduleArchs {
		files["holdfast-modules"] = append(files["holdfast-modules"], filepath.Join(d.lib(arch), "libholdfast.so"))
	}
	for _, t := range toolTargets {
		files["holdfast"] = append(files["holdfast"], d.tool(t[0], t[1]))
	}
	for name, paths := range files {
		parts, err := linked(paths)
		if err != nil {
			return err
		}
		bom := cdx.NewBOM()
		bom.Metadata = &cdx.Metadata{
			Timestamp: d.time.Format("2006-01-02T15:04:05Z"),
			Component: &cdx.Component{BOMRef: name, Type: cdx.ComponentTypeApplication, Name: name, Version: d.version, Licenses: &cdx.Licenses{{License: &cdx.License{ID: "MIT"}}}},
		}
		bom.Components = &parts
		var text bytes.Buffer
		if err := cdx.NewBOMEncoder(&text, cdx.BOMFileFormatJSON).SetPretty(true).Encode(bom); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(d.out, name+".cdx.json"), text.Bytes(), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// linked are the Go release and the modules of others in any of these files.
func linked(paths []string) ([]cdx.Component, error) {
	parts := map[string]cdx.Component{}
	for _, path := range paths {
		info, err := buildinfo.ReadFile(path)
		if err != nil {
			return nil, err
		}
		parts["go"] = cdx.Component{BOMRef: "go", Type: cdx.ComponentTypeFramework, Name: "go", Version: info.GoVersion}
		for _, m := range info.Deps {
			if m.Path == "holdfast" || strings.HasPrefix(m.Path, "holdfast/") {
				continue // our own, and of this version
			}
			if m.Replace != nil {
				m = m.Replace
			}
			purl := "pkg:golang/" + m.Path + "@" + m.Version
			parts[purl] = cdx.Component{BOMRef: purl, Type: cdx.ComponentTypeLibrary, Name: m.Path, Version: m.Version, PackageURL: purl}
		}
	}
	var sorted []cdx.Component
	for _, ref := range slices.Sorted(maps.Keys(parts)) {
		sorted = append(sorted, parts[ref])
	}
	return sorted, nil
}
