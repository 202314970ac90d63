#!/usr/bin/env bash
# Builds Longshore and runs the example folder. Ctrl-C stops Longshore; the containers keep running until `longshore down`.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/ensure-image.sh busybox:1.36.1
echo "Building (the first time takes about two minutes) …" >&2
cargo build --release
cat <<'TEXT'

  Open      http://localhost:8080       each request is answered by another web task

  In another terminal, try:
    watch   target/release/longshore get services
            target/release/longshore logs -f
    edit    desiredCount or GREETING in manifests/web.yaml: it rolls out, never below 3 healthy tasks
    kill    docker rm -f $(docker ps -q --filter label=longshore.container=web | head -n 1)
            target/release/longshore events web
    break   write nonsense into manifests/web.yaml: the old version keeps serving,
            target/release/longshore describe service web says why
    end     Ctrl-C here leaves the containers running; target/release/longshore down removes them

TEXT
exec target/release/longshore run manifests
