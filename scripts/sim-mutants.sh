#!/usr/bin/env bash
# Does each oracle of the simulation catch a fault? Puts the faults of scripts/sim-mutants.patch into a copy of the tree, builds it once,
# switches on one after the other, and runs seeds until the oracle that the fault is for, by name, finds it. Prints a table; fails
# when a fault survives.
#
#   scripts/sim-mutants.sh             all of them
#   scripts/sim-mutants.sh floor cap   these
#
# SEEDS=400: how many seeds a fault may survive. COPY=DIR: where the copy is kept, so that the next build is short. What others wrote
# is built once for the copy and the tree itself, with the profile of `make sim`. BINARY=FILE: tests/simulation built with the faults
# already; nothing is built then.
set -euo pipefail
cd "$(dirname "$0")/.."
SEEDS=${SEEDS:-400}
COPY=${COPY:-target/sim-mutants}
PROFILE=${PROFILE:-sim}
mkdir -p "$COPY"
COPY=$(cd "$COPY" && pwd)
patch=scripts/sim-mutants.patch

root=$PWD
binary=${BINARY:-}
if [ -z "$binary" ]; then
  # The tree with the faults. Only what differs is written, so that cargo builds only that.
  mkdir -p "$COPY/tree"
  rm -rf "${COPY:?}/new"
  mkdir -p "$COPY/new"
  git ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' file; do
    [ ! -f "$file" ] || printf '%s\0' "$file"
  done | tar --null -T - -cf - | tar -xf - -C "$COPY/new"
  # Not as a part of the repository around it, whose paths would be other ones.
  (cd "$COPY/new" && GIT_CEILING_DIRECTORIES="$COPY" git apply "$root/$patch")
  (cd "$COPY/new" && find . -type f -print0) | while IFS= read -r -d '' file; do
    if ! cmp -s "$COPY/new/$file" "$COPY/tree/$file"; then
      mkdir -p "$COPY/tree/$(dirname "$file")"
      cp "$COPY/new/$file" "$COPY/tree/$file"
    fi
  done

  export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}
  cd "$COPY/tree"
  binary=$(cargo test --profile "$PROFILE" --test simulation --no-run --message-format=json \
    | sed -n 's/.*"executable":"\([^"]*simulation-[^"]*\)".*/\1/p' | tail -n 1)
  cd "$root"
fi
[ -x "$binary" ] || { echo "the copy does not build" >&2; exit 2; }

wanted() {
  [ "$#" -gt 1 ] || return 0
  local name=$1
  shift
  for one in "$@"; do [ "$one" != "$name" ] || return 0; done
  return 1
}

survivors=0
printf '%-18s %-22s %-15s %s\n' MUTANT ORACLE 'FOUND BY SEED' FAULT
while IFS='|' read -r name oracle what; do
  name=${name% } oracle=${oracle# } oracle=${oracle% } what=${what# }
  wanted "$name" "$@" || continue
  log="$COPY/$name.log"
  LONGSHORE_MUTANT=$name LONGSHORE_SIM_SEEDS=$SEEDS LONGSHORE_SIM_UNTIL=$oracle \
    "$binary" whatever_happens --nocapture >"$log" 2>&1 </dev/null || true
  found=$(sed -n "s/.*found by seed \([0-9]*\): $oracle\$/\1/p" "$log" | sort -n | head -n 1)
  [ -n "$found" ] || survivors=$((survivors + 1))
  printf '%-18s %-22s %-15s %s\n' "$name" "$oracle" "${found:-none of $SEEDS}" "$what"
done < <(grep -E '^[a-z0-9-]+ \| ' "$root/$patch")
exit "$((survivors > 0))"
