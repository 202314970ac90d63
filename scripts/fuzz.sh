#!/usr/bin/env bash
# Fuzzes TARGET (every folder of fuzz/corpus unless told) for SECONDS_EACH, JOBS of them at a time. Needs cargo-fuzz and a nightly
# toolchain. At the end a table says what each did.
#
# What is found that reaches new code goes to fuzz/found, which git does not know; what breaks a promise to fuzz/artifacts, to be
# put into fuzz/corpus with its mending. With KEEP=1 nothing is fuzzed: of what was found, the few inputs that reach code which
# fuzz/corpus does not are put there.
#
# The sanitizer is left out: the program has no unsafe code of its own, and goes several times faster.
set -euo pipefail
cd "$(dirname "$0")/.."
export SECONDS_EACH=${SECONDS_EACH:-600}
targets=${TARGET:-$(ls fuzz/corpus)}
command -v cargo-fuzz >/dev/null || { echo "cargo install cargo-fuzz" >&2; exit 2; }
cargo +nightly --version >/dev/null 2>&1 || { echo "rustup toolchain install nightly" >&2; exit 2; }

# The versions that the program is built from.
cp Cargo.lock fuzz/Cargo.lock
cargo +nightly fuzz build --sanitizer none
host=$(rustc +nightly -vV | sed -n 's/^host: //p')
export PROGRAM=fuzz/target/$host/release/targets

one() {
  local target=$1 found=fuzz/found/$1 corpus=fuzz/corpus/$1 log=fuzz/logs/$1 options longest
  mkdir -p "$found" fuzz/artifacts/"$target" fuzz/logs
  # A seed that is longer than this would be cut off.
  longest=$(find "$corpus" -type f -printf '%s\n' | sort -n | tail -1)
  options=("-max_len=$((longest > 4096 ? longest : 4096))" -timeout=10 -rss_limit_mb=2048 "-artifact_prefix=fuzz/artifacts/$target/")
  export LONGSHORE_TARGET=$target
  if [ -n "${KEEP:-}" ]; then
    "$PROGRAM" -merge=1 -set_cover_merge=1 -use_counters=0 "${options[@]}" "$corpus" "$found" >"$log-kept" 2>&1
    return
  fi
  [ ! -e "fuzz/dictionaries/$target" ] || options+=("-dict=fuzz/dictionaries/$target")
  "$PROGRAM" "${options[@]}" -max_total_time="$SECONDS_EACH" -print_final_stats=1 "$found" "$corpus" >"$log" 2>&1 ||
    echo "$target broke a promise: see $log and fuzz/artifacts/$target" >&2
}
export -f one
printf '%s\n' $targets | xargs -P "${JOBS:-1}" -I {} bash -euo pipefail -c 'one {}'
[ -z "${KEEP:-}" ] || exit 0

echo "| Target | Seconds | Executions | a second | Edges | Features | Inputs kept |"
echo "|---|---|---|---|---|---|---|"
for target in $targets; do
  awk -v target="$target" '
    / cov: / { for (i = 1; i < NF; i++) { if ($i == "cov:") cov = $(i + 1); if ($i == "ft:") ft = $(i + 1); if ($i == "corp:") corp = $(i + 1) } }
    /^Done / { seconds = $(NF - 1) }
    /^stat::number_of_executed_units/ { runs = $2 }
    /^stat::average_exec_per_sec/ { rate = $2 }
    END { split(corp, kept, "/"); printf "| `%s` | %s | %s | %s | %s | %s | %s |\n", target, seconds == "" ? "broke" : seconds, runs, rate, cov, ft, kept[1] }
  ' "fuzz/logs/$target"
done
