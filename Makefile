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

# libFuzzer's instrumentation is an unstable option of the compiler. This switch lets the stable compiler take it, so
# that nobody needs a second toolchain.
FUZZ := RUSTC_BOOTSTRAP=1 $(CARGO) fuzz

# Tools that come with no Rust toolchain; .ci/tool installs them beside the build, and prints where.
DENY_VERSION := 0.20.2
FUZZ_VERSION := 0.13.2
with_tool = tool="$$(.ci/tool $(1) $(2))" && export PATH="$$(dirname "$$tool"):$$PATH" &&

.PHONY: help test tools fmt lint deny audit unit kit fuzz-build fuzz docs bench localnet release clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

test: tools fmt lint deny unit fuzz-build kit ## All checks and tests; what CI runs

tools: ## Check that the machine has what the others need
	@.ci/tools

fmt: ## Check the formatting (`cargo fmt` corrects it)
	$(CARGO) fmt --all --check

lint: ## Clippy, without a single warning
	$(CARGO) clippy --locked --all-targets --test kit -- -D warnings

# Advisories need the network's database of them, which a build must not depend on: `make audit`.
deny: ## Check the dependencies' licences, sources and duplicates
	$(call with_tool,cargo-deny,$(DENY_VERSION)) $(CARGO) deny --locked check --hide-inclusion-graph licenses bans sources

audit: ## Check the dependencies for known vulnerabilities (fetches the advisory database); before each release
	$(call with_tool,cargo-deny,$(DENY_VERSION)) $(CARGO) deny --locked check advisories

unit: ## Unit, integration and documentation tests
	$(CARGO) test --locked

kit: ## Tests of the kit with the real parts (needs root); KIT=helm runs one subject
	$(CARGO) test --locked --test kit -- --test-threads=1 $(KIT)

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

bench: ## Benchmarks
	$(CARGO) bench --locked

localnet: ## Run a whole network on this machine; LOCALNET="--help" lists its flags
	$(CARGO) run --locked --release -- localnet $(LOCALNET)

release: ## Build the binary, target/release/nym-mixnode
	$(CARGO) build --locked --release

clean: ## Remove everything that was built
	$(CARGO) clean
	rm -rf fuzz/target
