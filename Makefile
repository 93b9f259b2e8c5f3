# Every check and every build of tinypeer has a name here; `make` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
# The targets share one build folder and the machine's cores.
.NOTPARALLEL:

SIZE ?= 60
MB ?= $(or $(TINYPEER_LEGACY_MB),650)
SEEDS ?= 1000
SEED ?=
FUZZ_SECONDS ?= 20
TARGET ?= x86_64-unknown-linux-musl
CASES ?=

.PHONY: help check fmt test prepare unit sim e2e legacy-plan fuzz replay no-alloc demo release static size guests bench ci

help: ## this list
	@echo 'tinypeer: make TARGET'
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  \1\t\2/p' Makefile | expand -t 14

demo: release ## three real peers on this machine, step by step; SIZE=60 (MB) or SIZE=650
	@TINYPEER_BIN=$(CURDIR)/target/release/tinypeer cargo run --quiet --release --package tests --example demo -- $(SIZE) demo

test: ## everything that must pass, cheap first; installs what it needs; under 20 minutes on 2 cores
	@scripts/test.sh

check: ## formatting, clippy without warnings, documentation without warnings
	cargo fmt --all --check
	cargo fmt --manifest-path tests/no-alloc-probe/Cargo.toml --check
	cargo fmt --manifest-path fuzz/Cargo.toml --check
	cargo clippy --quiet --workspace --all-targets --test sim --test replay --test e2e -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --quiet --workspace --no-deps --document-private-items

fmt: ## formats all code
	cargo fmt --all
	cargo fmt --manifest-path tests/no-alloc-probe/Cargo.toml
	cargo fmt --manifest-path fuzz/Cargo.toml

unit: ## unit and property tests of the crates
	cargo test --quiet --workspace

sim: ## the simulator; SEEDS=1000 seeds, or SEED=n for one of them
	SEEDS=$(SEEDS) $(if $(SEED),SEED=$(SEED)) cargo test --quiet --workspace --test sim -- --nocapture

replay: ## the fuzzers' corpus, replayed by an ordinary test
	cargo test --quiet --workspace --test replay

no-alloc: ## proves that proto-core links without std and without an allocator
	@scripts/check-no-alloc.sh

e2e: release ## end-to-end tests with real peers; CASES=word runs those with the word in their name
	TINYPEER_BIN=$(CURDIR)/target/release/tinypeer cargo test --quiet --workspace --test e2e -- $(CASES)

legacy-plan: release ## the ancestor's whole plan with real originals, seconds until what is where; MB=650 is the large file
	TINYPEER_BIN=$(CURDIR)/target/release/tinypeer TINYPEER_LEGACY_MB=$(MB) cargo test --quiet --workspace --test e2e -- \
	    --include-ignored --nocapture --test-threads=1 legacy_plan

fuzz: ## each fuzz target for FUZZ_SECONDS=20, on nightly
	@scripts/fuzz.sh $(FUZZ_SECONDS)

release: ## target/release/tinypeer, for this machine
	cargo build --quiet --release --package peer-mio --bin tinypeer

static: ## target/static/tinypeer-x86_64: static, stripped, runs on any Linux; TARGET=triple for others
	@scripts/build-static.sh $(TARGET)

size: static ## bytes of the static binary, by section
	@size -A target/static/tinypeer-$(firstword $(subst -, ,$(TARGET))) | awk '$$2 > 1000 || /Total/'

guests: ## the static binary on three virtual machines of 96 MB, with a power cut; needs root, VM_TOOLS=folder
	@scripts/guests.sh

bench: release ## 650 MB between namespaces, against rsync, Syncthing and iperf3 where they are; needs root
	@scripts/bench/bench.py --rounds $(or $(ROUNDS),5)

prepare: ## installs what the tests need and can be installed
	@scripts/prepare.sh

ci: test ## what the automatic check runs
