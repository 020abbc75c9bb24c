# make help lists what there is.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

ifneq ($(words $(CURDIR)),1)
$(error Please have this folder where no space is in its path: make and the linker take it for several)
endif

PORT ?= 0
ARGS ?=
PREFIX ?= /usr/local
DESTDIR ?=
MODULES := cachelock taskqueue distlock
BUILD ?= build
LIBRARY := $(BUILD)/libholdfast.so
SO := $(MODULES:%=$(BUILD)/%.so)
TOOL := $(BUILD)/holdfast
GOFILES := $(shell find . -name '*.go' ! -name '*_test.go' -o -name '*.[ch]' -o -name 'exports.map' -o -name go.mod -o -name go.sum | grep -v -e '^./build/' -e '^./bench/')
GO ?= go
export GO
# Each Go module is built and tested by its own go.mod; go.work is for editors.
export GOWORK := off
# make's own default, cc, may be another compiler than the one that scripts/need looks for.
ifeq ($(origin CC),default)
CC := gcc
endif
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
# Reproducible: the same source and toolchain give the same bytes.
GOFLAGS_SO := -trimpath -buildvcs=false -buildmode=c-shared
LD_SO := -Wl,-soname,libholdfast.so -Wl,--version-script=$(CURDIR)/modules/library/exports.map

.PHONY: help
help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: server build ## start a server with the modules and play the guide on it (PORT=7000, ARGS="--log")
	@$(TOOL) serve --tour --port $(PORT) $(ARGS)

.PHONY: test
test: server build ## install what is missing, build, and run every test
	@scripts/check

.PHONY: build
build: $(SO) $(TOOL) ## build the three modules, their library and the tool into build/

# Installed by rename, never overwritten in place: a server may have it mapped.
$(LIBRARY): $(GOFILES) | tools
	@scripts/need go
	@mkdir -p $(BUILD)
	CGO_ENABLED=1 $(GO) build -C modules $(GOFLAGS_SO) -ldflags='-s -w -buildid= -extldflags "$(LD_SO)"' -o $(abspath $(BUILD))/.libholdfast.so.new ./library
	@rm -f $(BUILD)/.libholdfast.so.h $(BUILD)/.libholdfast.h
	@chmod 0755 $(BUILD)/.libholdfast.so.new && mv -f $(BUILD)/.libholdfast.so.new $@

$(SO): $(BUILD)/%.so: modules/entry/entry.c $(LIBRARY)
	$(CC) -O2 -Wall -shared -fPIC -DMODULE=$* -o $(BUILD)/.$*.so.new $< -L$(BUILD) -lholdfast -Wl,-rpath,'$$ORIGIN' -Wl,--enable-new-dtags
	@chmod 0755 $(BUILD)/.$*.so.new && mv -f $(BUILD)/.$*.so.new $@

$(TOOL): $(GOFILES) $(wildcard docs/*.md docs/commands/*)
	@mkdir -p $(BUILD)
	CGO_ENABLED=0 $(GO) build -C cmd -trimpath -buildvcs=false -ldflags='-s -w -X main.version=$(VERSION)' -o $(abspath $(BUILD))/.holdfast.new ./holdfast
	@mv -f $(BUILD)/.holdfast.new $@

.PHONY: generate
generate: tools $(TOOL) ## write docs/commands from the modules, and docs/man from the tool
	$(GO) run -C modules ./library/commands ../docs/commands
	@mkdir -p docs/man && rm -f docs/man/*.1
	$(TOOL) man docs/man

.PHONY: api
api: ## take the public Go packages as they are at HEAD for the API that must not break
	@scripts/api --accept

.PHONY: lint
lint: tools ## golangci-lint where it is installed, else gofmt and go vet
	@command -v golangci-lint >/dev/null || echo "golangci-lint is not installed: gofmt and go vet only"
	@test -z "$$(gofmt -l . | tee /dev/stderr)"
	@set -e; for m in go.mod */go.mod; do cd $(CURDIR)/$$(dirname $$m); \
	  if command -v golangci-lint >/dev/null; then golangci-lint run ./...; else $(GO) vet ./...; fi; done

.PHONY: matrix
matrix: build ## the server tests against Redis 7.0 and 8 and Valkey 8 and 9, fetched into a cache folder
	@scripts/matrix

# What the bench runs in Node.js. Where it cannot be had the bench says so, and measures the rest.
bench/bullmq/node_modules: bench/bullmq/package-lock.json
	@npm ci --prefix $(@D) --no-audit --no-fund --ignore-scripts >/dev/null 2>&1 || true

.PHONY: bench
bench: server build bench/bullmq/node_modules ## measure beside the alternatives, 20 minutes; into bench/results and docs/performance.md (ARGS="-only locks")
	cd bench && $(GO) build -o ../$(BUILD)/bench . && ../$(BUILD)/bench $(if $(findstring -only,$(ARGS)),,-docs) $(ARGS)

.PHONY: bench-quick
bench-quick: server build bench/bullmq/node_modules ## the same in two minutes: a look, not a measurement, and written nowhere but bench/out
	cd bench && $(GO) build -o ../$(BUILD)/bench . && ../$(BUILD)/bench -quick $(ARGS)

.PHONY: bench-check
bench-check: ## what moved more than the noise between two results: the newest two, or OLD=… NEW=…
	cd bench && $(GO) run . -check $(if $(OLD),$(abspath $(OLD)) $(abspath $(NEW)))

.PHONY: screenshots
screenshots: server build ## take the pictures in docs/pictures again, in a browser
	@scripts/need chromium
	cd dashboard/walk && HOLDFAST_PICTURES=$(CURDIR)/docs/pictures $(GO) test -count 1 -run TestThePicturesOfTheDocumentation .

.PHONY: soak
soak: server build ## the long histories, in turn, from new seeds (FOR=30m)
	HOLDFAST_SOAK=$(or $(FOR),30m) $(GO) test -C e2e -count 1 -timeout 0 -v -run '^TestSoak$$' $(ARGS) .

.PHONY: often
often: server build ## the tests about time, N=50 times with a core kept busy (TESTS=regexp, PACKAGES="lock e2e")
	@scripts/often

.PHONY: sanitize
sanitize: server ## storms of commands with the C code under AddressSanitizer
	@scripts/sanitize

.PHONY: fuzz
fuzz: ## run every fuzz target (FOR=10s each)
	@FOR=$(or $(FOR),10s) scripts/fuzz

.PHONY: scale
scale: server build ## measure what docs/scale.md and holdfast size reckon with, into bench/scale.json
	HOLDFAST_SCALE=$(CURDIR)/bench/scale.json $(GO) test -C e2e -count 1 -timeout 30m -v -run '^TestCostsStayFlatWhileAClusterGrows$$' .

.PHONY: install
install: build ## install into PREFIX (default /usr/local): lib/holdfast and bin
	install -d $(DESTDIR)$(PREFIX)/lib/holdfast $(DESTDIR)$(PREFIX)/bin
	@# By rename, as above: a running server keeps the file that it has.
	@set -e; for f in $(LIBRARY) $(SO); do to=$(DESTDIR)$(PREFIX)/lib/holdfast/$$(basename $$f); install -m 0755 $$f $$to.new; mv -f $$to.new $$to; echo $$to; done
	@set -e; to=$(DESTDIR)$(PREFIX)/bin/holdfast; install -m 0755 $(TOOL) $$to.new; mv -f $$to.new $$to; echo $$to

.PHONY: dist
dist: ## packages of all kinds into dist/: tarballs, debs, images, checksums (ARGS="-only build,tarballs,sums")
	@scripts/need go cc aarch64-linux-gnu-gcc
	cd scripts/dist && $(GO) run . -out $(CURDIR)/dist -version $(VERSION) -time $(shell git log -1 --format=%ct 2>/dev/null || echo 0) $(ARGS)

.PHONY: dist-test
dist-test: dist ## try what make dist made in Debians and servers of their own; as root (STEPS="sums debs")
	@scripts/dist-test

.PHONY: clean
clean: ## remove build/
	rm -rf $(BUILD) dist

.PHONY: tools server
tools:
	@scripts/need cc
server:
	@scripts/need cc redis-server
