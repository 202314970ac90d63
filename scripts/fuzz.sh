#!/usr/bin/env bash
# Fuzzes TARGET (all of them, one after another, unless told) for SECONDS each. Needs cargo-fuzz and a nightly toolchain.
#
# What is found that reaches new code goes to fuzz/found, which git does not know; what breaks a promise to fuzz/artifacts, to be
# put into fuzz/corpus with its mending. The sanitizer is left out: the program has no unsafe code of its own, and goes several
# times faster.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${SECONDS_EACH:-600}
targets=${TARGET:-$(cd fuzz/fuzz_targets && ls | sed 's/\.rs$//')}
command -v cargo-fuzz >/dev/null || { echo "cargo install cargo-fuzz" >&2; exit 2; }
cargo +nightly --version >/dev/null 2>&1 || { echo "rustup toolchain install nightly" >&2; exit 2; }

# The versions that the program is built from.
cp Cargo.lock fuzz/Cargo.lock
cargo +nightly fuzz build --sanitizer none
for target in $targets; do
  mkdir -p "fuzz/found/$target"
  dict=()
  [ ! -e "fuzz/dictionaries/$target" ] || dict=("-dict=fuzz/dictionaries/$target")
  cargo +nightly fuzz run --sanitizer none "$target" "fuzz/found/$target" "fuzz/corpus/$target" -- \
    -max_total_time="$seconds" -max_len=4096 -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 "${dict[@]}"
done
