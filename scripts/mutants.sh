#!/usr/bin/env bash
# Mutants of what decides (controller and agent), against their own unit tests: PART=controller|agent, SHARD=k/n (from 0).
#
# What is mutated is compiled alone, without what stands above it: a mutant then costs seconds and not a minute. Survivors are
# listed in target/mutants/PART/mutants.out/missed.txt; those that are known to change nothing are in .cargo/mutants.toml.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v cargo-mutants >/dev/null || { echo "cargo install cargo-mutants" >&2; exit 2; }

part=${PART:-controller}
shard=${SHARD:-0/1}
case $part in
  controller) modules="clock controller model store" ;;
  agent) modules="agent clock engine model secrets store" ;;
  *) echo "PART is controller or agent" >&2; exit 2 ;;
esac

tree=target/mutants/$part
mkdir -p "$tree/src"
cp -p Cargo.lock clippy.toml "$tree/"
# The program, benchmarks and examples are not there.
sed -e '/^default-run/d' -e '/^\[\[/,$d' Cargo.toml >"$tree/Cargo.toml"
rm -rf "$tree/src"
mkdir "$tree/src"
for module in $modules; do
  [ ! -e "src/$module.rs" ] || cp -p "src/$module.rs" "$tree/src/"
  [ ! -d "src/$module" ] || cp -rp "src/$module" "$tree/src/"
  echo "pub mod $module;"
done >"$tree/src/lib.rs"

# Bodies of fuzz targets stand above it.
grep -rl 'cfg(any(test, fuzzing))' "$tree/src" | xargs -r sed -i 's/cfg(any(test, fuzzing))/cfg(fuzzing)/'

echo '[workspace]' >>"$tree/Cargo.toml"

# What it depends on is compiled already, for the program's own tests.
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}
# A snapshot that differs is a test that fails, and nothing else.
export INSTA_UPDATE=no

exec cargo mutants --dir "$tree" --config .cargo/mutants.toml --in-place --output "$tree" --shard "$shard" --baseline skip --timeout 120 ${MUTANTS_ARGS:-} \
  -- --lib "$part::"
