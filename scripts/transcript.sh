#!/usr/bin/env bash
# Makes the transcript in README.md from a real run of the example folder on this machine's engine.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/ensure-image.sh busybox:1.36.1
binary=${LONGSHORE:-target/release/longshore}
[ -x "$binary" ] || cargo build --release
binary=$(realpath "$binary")

work=$(mktemp -d)
export LONGSHORE_STATE_DIR=$work/state LONGSHORE_SOCKET=$work/s.sock
cleanup() {
  "$binary" down "$work/manifests" >/dev/null 2>&1 || true
  kill "${pid:-}" 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT
cp -r manifests "$work/manifests"
cd "$work"
longshore() { "$binary" "$@"; }
show() { printf '$ %s\n' "$*"; "$@" 2>&1 || true; echo; }

out=$work/transcript
{
  show longshore validate manifests
  longshore run manifests 2>/dev/null &
  pid=$!
  longshore apply manifests --timeout 120 >/dev/null 2>&1
  printf '$ longshore run manifests &\n\n'
  show longshore get services
  show curl -s http://localhost:8080/
  printf "\$ sed -i 's/value: Hello/value: Ahoy/' manifests/web.yaml      # an edit is a rollout\n"
  sed -i 's/value: Hello/value: Ahoy/' manifests/web.yaml
  show longshore apply manifests
  show curl -s http://localhost:8080/
  printf '$ docker rm -f $(docker ps -q --filter label=longshore.container=web | head -n 1)\n'
  docker rm -f "$(docker ps -q --filter label=longshore.container=web | head -n 1)" >/dev/null
  longshore apply manifests --timeout 120 >/dev/null 2>&1
  printf '$ longshore events web | tail -n 4 | cut -c 1-132\n'
  longshore events web | tail -n 4 | cut -c 1-132
  printf "\n\$ sed -i 's/desiredCount: 3/desiredCont: 3/' manifests/web.yaml   # a mistake\n"
  sed -i 's/desiredCount: 3/desiredCont: 3/' manifests/web.yaml
  show longshore validate manifests
  printf '$ longshore describe service web | grep -A 2 "last good"\n'
  for _ in $(seq 50); do longshore describe service web | grep -q 'last good' && break; sleep 0.1; done
  longshore describe service web | grep -A 2 'last good' | head -n 3
} > "$out"
cd - >/dev/null
python3 - "$out" <<'PY'
import re, sys
text = open(sys.argv[1]).read().rstrip()
readme = open("README.md").read()
block = "<!-- transcript -->\n```console\n" + text + "\n```\n<!-- /transcript -->"
open("README.md", "w").write(re.sub(r"<!-- transcript -->.*<!-- /transcript -->", lambda _: block, readme, flags=re.S))
PY
echo "wrote the transcript in README.md" >&2
