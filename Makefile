# Everything that is done with this repository, by people and by CI alike. `make` lists it.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.NOTPARALLEL:
.DEFAULT_GOAL := help

CARGO ?= cargo
# Seconds that `make fuzz` gives each target.
FUZZ_SECONDS ?= 60
# What `make localnet` hands to the command, such as LOCALNET="--nodes 3 --duration 1m".
LOCALNET ?=
# Which tests of the kit `make kit` runs, such as KIT=helm; all of them without it.
KIT ?=

# Where a release is put together, its version, and what it is built for; TARGET=aarch64-unknown-linux-gnu is for arm64.
DIST ?= target/dist
VERSION ?= $(shell sed -n '/^version = /{s/.*"\(.*\)"/\1/p;q}' Cargo.toml)
TARGET ?= $(shell rustc --print host-tuple)
# What is packed: one static file that runs on every Linux, unless another is given, which is then not built.
static_binary := target/$(TARGET)/release/nym-mixnode
BINARY ?= $(static_binary)
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER ?= aarch64-linux-gnu-gcc

# libFuzzer's instrumentation is an unstable option of the compiler. This switch lets the stable compiler take it, so
# that nobody needs a second toolchain.
FUZZ := RUSTC_BOOTSTRAP=1 $(CARGO) fuzz

# The oldest supported toolchain: `rust-version` of the workspace.
MINIMUM_RUST := $(shell sed -n 's/^rust-version = "\(.*\)"$$/\1.0/p' Cargo.toml)

# Tools that come with no Rust toolchain; .ci/tool installs them beside the build, and prints where.
DENY_VERSION := 0.20.2
FUZZ_VERSION := 0.13.2
MDBOOK_VERSION := 0.5.4
with_tool = tool="$$(.ci/tool $(1) $(2) $(3))" && export PATH="$$(dirname "$$tool"):$$PATH" &&

.PHONY: help test kit tools kit-tools kit-packages fmt lint minimum-rust deny audit unit miri root-tests kit-tests kit-opentofu kit-ubuntu kit-arm64 kit-reproducible fuzz-build fuzz docs book \
	chart-docs terraform-variables terraform-docs bench bench-check bench-instructions bench-plots profile engines picture explorer-pictures dashboard-pictures localnet release static archive deb deb-tools sbom checksums release-notes image-name chart push-chart dist clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-20s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

test: tools fmt lint unit ## Formatting, lints, and all tests that need only Rust and a C compiler

# One subject needs only its own tests.
kit: kit-tools $(if $(KIT),,deny fuzz-build book root-tests) kit-tests ## All other tests, with real parts, as root; KIT=helm runs one subject

tools: ## Check that the machine has what `make test` needs
	@.ci/tools

kit-tools: tools ## Check that the machine has what `make kit` needs
	@.ci/tools kit

kit-packages: ## Install the Debian packages that `make kit` needs (as root)
	@tests/kit/packages install

fmt: ## Check the formatting (`cargo fmt` corrects it)
	$(CARGO) fmt --all --check

lint: ## Clippy, without a single warning
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	$(CARGO) clippy --locked --test kit -- -D warnings

minimum-rust: ## Check that the oldest supported Rust compiles everything (needs that toolchain of rustup)
	@rustup which --toolchain $(MINIMUM_RUST) cargo >/dev/null 2>&1 || { echo "Rust $(MINIMUM_RUST) is not installed:" \
		"run \`rustup toolchain install $(MINIMUM_RUST) --profile minimal\`" >&2; exit 1; }
	CARGO_TARGET_DIR=target/minimum-rust rustup run $(MINIMUM_RUST) cargo check --locked --workspace --all-targets

# Advisories need the network's database of them, which a build must not depend on: `make audit`.
deny: ## Check the dependencies' licences, sources and duplicates
	$(call with_tool,cargo-deny,$(DENY_VERSION)) $(CARGO) deny --locked check --hide-inclusion-graph licenses bans sources

audit: ## Check the dependencies for known vulnerabilities (fetches the advisory database); before each release
	$(call with_tool,cargo-deny,$(DENY_VERSION)) $(CARGO) deny --locked check advisories

unit: ## Unit, integration and documentation tests
	$(CARGO) test --locked --workspace

# Miri cannot call C. The tests of the models do not.
miri: ## Run the model of the engine for AVX-512 in Miri, which finds undefined behaviour (needs nightly Rust; takes minutes)
	@rustup which --toolchain nightly cargo-miri >/dev/null 2>&1 || { echo "Miri is not installed:" \
		"run \`rustup toolchain install nightly --profile minimal --component miri,rust-src\`" >&2; exit 1; }
	rustup run nightly cargo miri test --locked -p nym-mixnode-sphinx --lib -- engines::tests::models

root-tests: ## Integration tests that need root or strace: those that `make unit` lists as ignored
	$(CARGO) test --locked --test integration -- --ignored

kit-tests: ## Tests of the kit with real parts
	CARGO="$(CARGO)" tests/kit/run $(KIT)

kit-opentofu: ## Tests of the Terraform modules with OpenTofu (the first run builds it, in ten minutes)
	CARGO="$(CARGO)" tests/kit/run --ignored opentofu

kit-ubuntu: ## Test of the boot of Ubuntu 24.04 by cloud-init (the first run fetches its packages from Ubuntu's archive)
	CARGO="$(CARGO)" tests/kit/run --ignored ubuntu

kit-arm64: ## Test of the image for arm64 under emulation (needs Rust's target; the first run compiles everything for it)
	@rustup target list --installed | grep -x aarch64-unknown-linux-gnu >/dev/null || { echo "Rust's target for arm64 is missing:" \
		"run \`rustup target add aarch64-unknown-linux-gnu\`" >&2; exit 1; }
	@tests/kit/packages check qemu-aarch64-static aarch64-linux-gnu-gcc
	CARGO="$(CARGO)" tests/kit/run --ignored arm64

kit-reproducible: ## Build the image a second time without caches, and compare the bytes
	CARGO="$(CARGO)" tests/kit/run --ignored reproducible

fuzz-build: ## Build the fuzz targets
	$(call with_tool,cargo-fuzz,$(FUZZ_VERSION)) $(FUZZ) build

fuzz: ## Run each fuzz target for FUZZ_SECONDS (60)
	$(call with_tool,cargo-fuzz,$(FUZZ_VERSION)) \
	for target in $$($(CARGO) fuzz list); do $(FUZZ) run "$$target" -- -max_total_time=$(FUZZ_SECONDS); done

docs: ## Make the references of configuration and metrics anew
	$(CARGO) run --quiet --locked -- config reference >docs/configuration.md.new
	mv docs/configuration.md.new docs/configuration.md
	$(CARGO) run --quiet --locked -- config schema >docs/configuration.schema.json.new
	mv docs/configuration.schema.json.new docs/configuration.schema.json
	$(CARGO) run --quiet --locked -- telemetry reference >docs/metrics.md.new
	mv docs/metrics.md.new docs/metrics.md

book: ## Build the pages of docs/ as a book, in target/book (the first run builds mdBook, in some minutes)
	$(call with_tool,mdbook,$(MDBOOK_VERSION),--no-default-features) .ci/book mdbook target/book

chart-docs: ## Update the chart's README, its schema of settings, and the files that it copies
	.ci/chart-settings
	"$$(tests/kit/parts/helm-docs)" --sort-values-order file --chart-search-root helm/nym-mixnode
	cp helm/nym-mixnode/values.yaml helm/nym-mixnode/files/defaults.yaml
	cp deploy/collector/config.yaml helm/nym-mixnode/files/collector.yaml
	cp deploy/prometheus/rules/mixnode.yml helm/nym-mixnode/files/rules.yml
	cp deploy/grafana/dashboards/*.json helm/nym-mixnode/files/dashboards/

terraform-variables: ## Write the variables that Terraform modules share, from terraform/shared
	terraform/shared/generate

terraform-docs: terraform-variables ## Update the tables of inputs and outputs of the Terraform modules
	program="$$(tests/kit/parts/terraform-docs)"; \
	for module in bootstrap aws aws/network gcp gcp/network; do "$$program" --config $(CURDIR)/terraform/.terraform-docs.yml terraform/$$module; done

bench: ## Benchmarks
	$(CARGO) bench --locked

bench-check: ## Fail if an unwrap engine that this CPU can run is slower than its bar
	$(CARGO) bench --locked --bench unwrap -- check

bench-plots: ## Draw throughput, lag and CPU time over the offered load in docs/performance.md anew (three minutes)
	$(CARGO) bench --locked --bench pipeline -- plots docs/images/load.svg

profile: ## Draw where a node under full load spends its time, as target/profile.svg (needs perf)
	@CARGO="$(CARGO)" benches/profile target/profile.svg

bench-instructions: ## Count the instructions of the portable engine per packet (needs valgrind)
	@CARGO="$(CARGO)" benches/instructions

engines: ## Compare the unwrap engines of this CPU on millions of packets and points, about half an hour
	$(CARGO) test --locked -p nym-mixnode-sphinx --lib -- --ignored --nocapture ten_million a_million

picture: ## Draw the image of localnet in README anew
	LOCALNET_PICTURE="$(CURDIR)/docs/images/localnet.svg" $(CARGO) test --locked --test integration picture::

explorer-pictures: ## Draw the pictures of the explorer in the documentation anew (as root, with Chromium)
	$(CARGO) build --locked
	tests/kit/explorer/in_own_network $(CURDIR)/target/debug/nym-mixnode pictures.mjs $(CURDIR)/docs/images

dashboard-pictures: ## Draw the pictures of the dashboards in the documentation anew, from two minutes of traffic
	DASHBOARD_PICTURES="$(CURDIR)/docs/images" tests/kit/run --ignored the_dashboards_are_drawn_from_live_data

localnet: ## Run a whole network on this machine; LOCALNET="--help" lists its flags
	$(CARGO) run --locked --release -- localnet $(LOCALNET)

release: ## Build the binary, target/release/nym-mixnode
	$(CARGO) build --locked --release

static: ## Build the static binary of a release, for TARGET
	RUSTFLAGS="-C target-feature=+crt-static" $(CARGO) build --locked --release --bin nym-mixnode --target $(TARGET)

# Nothing is built where a binary is given.
built := $(if $(filter $(static_binary),$(BINARY)),static)

archive: $(built) ## Pack the binary for every Linux, into DIST
	deploy/package/archive $(BINARY) $(DIST) $(VERSION)

# Before minutes of building.
deb-tools:
	@deploy/package/deb --check

deb: deb-tools $(built) ## Make the Debian package, into DIST (needs debhelper and dpkg-dev)
	deploy/package/deb $(BINARY) $(DIST) $(VERSION)

sbom: ## Write the bill of materials (CycloneDX), into DIST
	deploy/package/sbom $(DIST) $(VERSION)

checksums: ## Write the checksums of everything in DIST
	cd $(DIST) && find . -type f ! -name 'SHA256SUMS*' -printf '%P\n' | LC_ALL=C sort | xargs sha256sum >SHA256SUMS

release-notes: ## Print what the changelog says of VERSION
	@deploy/package/notes $(VERSION)

image-name: ## Print what a release calls its image, for REGISTRY (a host) and REPOSITORY (owner/name)
	@deploy/package/image-name "$(REGISTRY)" "$(REPOSITORY)"

chart: ## Package the chart into DIST, for IMAGE (a name without tag) and REPOSITORY (owner/name)
	@deploy/package/chart "$(IMAGE)" "$(REPOSITORY)" "$(DIST)" $(VERSION)

push-chart: ## Push PACKAGE to an OCI registry, CHARTS (host/path), and print its name with the digest
	@deploy/package/push-chart "$(PACKAGE)" "$(CHARTS)" $(HELM_FLAGS)

dist: deb-tools archive deb sbom checksums ## Everything of a release that one machine makes, into DIST

clean: ## Remove everything that was built
	$(CARGO) clean
	rm -rf fuzz/target
