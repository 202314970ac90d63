#!/usr/bin/env bash
# Writes docs/benchmarks.md from a run on this machine.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/ensure-image.sh busybox:1.36.1
table=$(cargo bench --bench engine -- "$@")
{
  echo '# Benchmarks'
  echo
  echo 'Written by `make bench`; all figures are from one run on one machine:'
  echo "$(nproc) cores, $(awk '/MemTotal/ {printf "%.0f GiB", $2/1048576}' /proc/meminfo), Linux $(uname -r | cut -d- -f1),"
  echo "Docker Engine $(docker version --format '{{.Server.Version}}') ($(docker info --format '{{.Driver}}')), $(date -u +%Y-%m-%d)."
  echo
  echo "$table"
  echo
  echo 'The engine is the floor of the first and third row: creating and starting a container takes it 50–200 ms of CPU. What is'
  echo 'Longshore’s own is the difference to the raw calls, and the second row.'
} > docs/benchmarks.md
echo "wrote docs/benchmarks.md" >&2
