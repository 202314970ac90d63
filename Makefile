# The two commands that do everything:   make demo   and   make test
.PHONY: demo test sim sim-mutants chaos properties fuzz mutants build lint fmt bless bench docs clean

build:
	cargo build --release

## Builds Longshore, makes sure the example's image is there, and runs the example folder until Ctrl-C.
demo:
	@scripts/demo.sh

## Every test. Those that need a Docker Engine run when one answers, and fail without one when CI=true.
test:
	@scripts/test.sh

## The whole system in virtual time, with crashes and faults: SEEDS seeds, from FROM on.
SEEDS ?= 2000
FROM ?= 1
sim:
	LONGSHORE_SIM_SEEDS=$(SEEDS) LONGSHORE_SIM_FROM=$(FROM) cargo test --profile sim --test simulation -- --nocapture

## Whether each oracle of the simulation catches the fault that was made for it.
sim-mutants:
	@scripts/sim-mutants.sh

## New random cases for every property of the deciding code; a failing one is kept in proptest-regressions/.
CASES ?= 5000
properties:
	PROPTEST_CASES=$(CASES) cargo test --lib -- properties

## Whatever is given to the parsers: TARGET (all unless told) for SECONDS each, JOBS at a time; needs nightly and cargo-fuzz. See docs/fuzzing.md.
fuzz: SECONDS ?= 600
fuzz: JOBS ?= 1
fuzz:
	SECONDS_EACH=$(SECONDS) JOBS=$(JOBS) TARGET="$(TARGET)" scripts/fuzz.sh

## Mutants of what decides, against its unit tests: PART (controller, agent), SHARD=k/n; needs cargo-mutants.
mutants:
	PART=$(or $(PART),controller) SHARD=$(or $(SHARD),0/1) scripts/mutants.sh

## Faults for MINUTES on real engines of the test's own, on one and on two side by side; what is done follows from SEED. Needs root.
MINUTES ?= 2
chaos: SEED ?= $(shell od -An -N3 -tu4 /dev/urandom | tr -d ' ')
chaos:
	LONGSHORE_CHAOS_SEED=$(SEED) LONGSHORE_CHAOS_SECONDS=$$(($(MINUTES) * 60)) cargo test --test chaos -- --nocapture

lint:
	cargo fmt --check
	cargo clippy --all-targets --all-features -- -D warnings

fmt:
	cargo fmt

## Writes schemas/, docs/manifests.md, docs/task-definition.md and golden files anew from the code.
bless:
	LONGSHORE_BLESS=1 INSTA_UPDATE=always cargo test

## Writes docs/benchmarks.md from a run on this machine (about ten minutes; needs a Docker Engine).
bench:
	@scripts/bench.sh

clean:
	cargo clean
