# make help lists what there is.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PORT ?= 0
ARGS ?=
MODULES := cachelock taskqueue distlock
BUILD ?= build
LIBRARY := $(BUILD)/libholdfast.so
SO := $(MODULES:%=$(BUILD)/%.so)
GOFILES := $(shell find . -name '*.go' -o -name '*.[ch]' -o -name 'exports.map' | grep -v -e '^./build/' -e '^./bench/') go.mod go.sum
GO ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
# Reproducible: the same source and toolchain give the same bytes.
GOFLAGS_SO := -trimpath -buildvcs=false -buildmode=c-shared
LD_SO := -Wl,-soname,libholdfast.so -Wl,--version-script=$(CURDIR)/modules/library/exports.map

.PHONY: help
help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: $(SO) $(BUILD)/holdfast ## build the three modules, their library and the tool into build/

# Installed by rename, never overwritten in place: a server may have it mapped.
$(LIBRARY): $(GOFILES) | tools
	@mkdir -p $(BUILD)
	CGO_ENABLED=1 $(GO) build $(GOFLAGS_SO) -ldflags='-s -w -buildid= -extldflags "$(LD_SO)"' -o $(BUILD)/.libholdfast.so.new ./modules/library
	@rm -f $(BUILD)/.libholdfast.so.h $(BUILD)/.libholdfast.h
	@chmod 0755 $(BUILD)/.libholdfast.so.new && mv -f $(BUILD)/.libholdfast.so.new $@

$(SO): $(BUILD)/%.so: modules/entry/entry.c $(LIBRARY)
	gcc -O2 -Wall -shared -fPIC -DMODULE=$* -o $(BUILD)/.$*.so.new $< -L$(BUILD) -lholdfast -Wl,-rpath,'$$ORIGIN' -Wl,--enable-new-dtags
	@chmod 0755 $(BUILD)/.$*.so.new && mv -f $(BUILD)/.$*.so.new $@

.PHONY: tools
tools:
	@true
