#!/usr/bin/env bash
# Writes docs/benchmarks.md from a run on this machine.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/ensure-image.sh busybox:1.36.1
table=$(cargo bench --bench engine -- "$@")
table+=$(cargo bench --bench scale)
{
  echo '# Benchmarks'
  echo
  echo "Written by \`make bench\`; all figures are from one run on one machine: $(nproc) cores,"
  echo "$(awk '/MemTotal/ {printf "%.0f GiB", $2/1048576}' /proc/meminfo), Linux $(uname -r | cut -d- -f1), Docker Engine" \
    "$(docker version --format '{{.Server.Version}}') ($(docker info --format '{{.Driver}}')), $(date -u +%Y-%m-%d)."
  echo "Compared with docker-compose $(docker-compose version --short 2>/dev/null || echo '(not installed)') and" \
    "$("${CHECK_JSONSCHEMA:-check-jsonschema}" --version 2>/dev/null | tr -d ',' || echo 'check-jsonschema (not installed)')."
  echo "$table"
} > docs/benchmarks.md
echo "wrote docs/benchmarks.md" >&2
