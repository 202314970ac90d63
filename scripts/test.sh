#!/usr/bin/env bash
# Runs every test. See CONTRIBUTING.md for what needs what.
set -euo pipefail
cd "$(dirname "$0")/.."
if docker version >/dev/null 2>&1; then
  scripts/ensure-image.sh busybox:1.36.1
elif [ "${CI:-}" = true ]; then
  echo "No Docker Engine answers, and CI must not skip the tests that need one." >&2
  scripts/ensure-image.sh
else
  echo "not run: tests on a real Docker Engine (none answers)" >&2
fi
if ! command -v etcd >/dev/null; then
  if [ "${CI:-}" = true ]; then
    echo "There is no etcd, and CI must not skip the tests that need it: install etcd-server." >&2
    exit 1
  fi
  echo "not run: tests of the store in etcd (Debian: apt install etcd-server)" >&2
fi
exec cargo test --all-features "$@"
