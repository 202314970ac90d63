#!/usr/bin/env bash
# Docker Engines of a test's own on this machine: each in a network namespace with an address of its own, with its own data,
# its own containerd and its own process id file. The machine's engine is never touched.
#
#   engines.sh DIR up N [TLS]   starts the engines 1 to N; those named in TLS (`2,3`) listen with TLS and want a client certificate
#   engines.sh DIR address I    prints `tcp://ADDRESS:PORT` of an engine; its socket is DIR/I/d.sock
#   engines.sh DIR stop I       ends an engine in order;  kill I: as a crash does, its containers stay;  start I: starts it again
#   engines.sh DIR cut I        takes its network away;   heal I: gives it back
#   engines.sh DIR loud I       from now on an engine writes each call into DIR/I/log
#   engines.sh DIR sshd I       lets `ssh` into an engine's namespace, port 22, with DIR/ssh/config
#   engines.sh DIR down         ends and removes everything, DIR too; what a process of a test that died left goes with the next `up`
#
# DIR has a name of its own below a folder of such rigs: tests run side by side. Certificates of a client are in DIR/certs.
set -euo pipefail
export PATH=$PATH:/usr/sbin:/sbin
umask 022

dir=$(realpath -m "$1")
shift
say() { printf '%s\n' "$*" >&2; }
die() { say "engines.sh: $*"; exit 1; }

read_in() { cat "$dir/$1"; }
namespace() { printf 'ls-%s-%s' "$(read_in id)" "$1"; }
link() { printf 'ls%s%s' "$(read_in id)" "$1"; }
ip_of() { printf '%s.%s' "$(read_in net)" $((4 * $1 + 2)); }
is_tls() { [[ ",$(read_in tls)," == *",$1,"* ]]; }
address() { if is_tls "$1"; then printf 'tcp://%s:2376' "$(ip_of "$1")"; else printf 'tcp://%s:2375' "$(ip_of "$1")"; fi; }
alive() { [ -n "${1:-}" ] && kill -0 "$1" 2>/dev/null && [ "$(cut -d' ' -f3 "/proc/$1/stat" 2>/dev/null)" != Z ]; }

start() {
  local i=$1 own=$dir/$1 flags=()
  alive "$(cat "$own/engine.pid" 2>/dev/null)" && return
  mkdir -p "$own"
  # Engines of that version have the id of the machine's key unless they have one of their own.
  case "$(dockerd --version)" in
    *" 20.10"*) echo "{\"deprecated-key-path\": \"$own/key.json\"}" > "$own/daemon.json" ;;
    *) echo '{}' > "$own/daemon.json" ;;
  esac
  if is_tls "$i"; then
    flags=(--tlsverify --tlscacert "$dir/certs/ca.pem" --tlscert "$dir/certs/server.pem" --tlskey "$dir/certs/server-key.pem")
  fi
  # A dead one that is not reaped yet is, to the next engine, one that runs.
  rm -f "$own/pid" "$own/exec/containerd/containerd.pid"
  nsenter --net="/var/run/netns/$(namespace "$i")" setsid dockerd --config-file "$own/daemon.json" \
    --data-root "$own/data" --exec-root "$own/exec" --pidfile "$own/pid" \
    --bip 10.213.0.1/24 --default-address-pool base=10.214.0.0/16,size=24 \
    -H "unix://$own/d.sock" -H "$(address "$i")" "${flags[@]}" >> "$own/log" 2>&1 < /dev/null 8>&- &
  echo $! > "$own/engine.pid"
}

answers() {
  local i=$1
  for _ in $(seq 300); do
    docker -H "unix://$dir/$i/d.sock" version >/dev/null 2>&1 && return
    alive "$(cat "$dir/$i/engine.pid")" || break
    sleep 0.2
  done
  tail -n 20 "$dir/$i/log" >&2
  die "engine $i does not answer"
}

# Processes of this rig: those whose command names its folder, and the children of its shims.
processes() {
  local pid own=()
  for pid in /proc/[0-9]*; do
    pid=${pid#/proc/}
    [ "$pid" = $$ ] && continue
    if { tr '\0' ' ' < "/proc/$pid/cmdline"; } 2>/dev/null | grep -qF -- "$dir/${1:-}"; then
      case "$(cat "/proc/$pid/comm" 2>/dev/null)" in
        dockerd | containerd* | docker-proxy | runc | sshd) own+=("$pid") ;;
      esac
    fi
  done
  for pid in "${own[@]}"; do
    echo "$pid"
    case "$(cat "/proc/$pid/comm" 2>/dev/null)" in
      containerd-shim*) pgrep -P "$pid" || true ;;
    esac
  done
}

down() {
  local i pid mount
  [ -e "$dir/id" ] || { rm -rf "$dir"; return; }
  for pid in "$dir"/*/engine.pid; do
    [ -e "$pid" ] && kill -TERM "$(cat "$pid")" 2>/dev/null || true
  done
  for _ in $(seq 100); do
    pid=""
    for i in "$dir"/*/engine.pid; do
      [ -e "$i" ] && alive "$(cat "$i")" && pid=1
    done
    [ -z "$pid" ] && break
    sleep 0.1
  done
  for pid in $(processes); do kill -KILL "$pid" 2>/dev/null || true; done
  for mount in $(cut -d' ' -f2 /proc/self/mounts | grep -F -- "$dir/" | sort -r || true); do
    umount -l "$mount" 2>/dev/null || true
  done
  for i in $(seq "$(cat "$dir/count" 2>/dev/null || echo 0)"); do
    ip link del "$(link "$i")" 2>/dev/null || true
    ip netns del "$(namespace "$i")" 2>/dev/null || true
  done
  rm -rf "$dir" 2>/dev/null || { sleep 1; rm -rf "$dir"; }
}

# Rigs beside this one whose process is gone.
sweep() {
  local other
  for other in "$(dirname "$dir")"/*/; do
    other=${other%/}
    [ -e "$other/owner" ] && [ "$other" != "$dir" ] || continue
    alive "$(cat "$other/owner")" || "$0" "$other" down || true
  done
}

up() {
  local count=$1 i names=""
  mkdir -p "$dir"
  echo "${ENGINES_OWNER:-$PPID}" > "$dir/owner"
  exec 8> "$(dirname "$dir")/lock"
  flock 8
  sweep
  echo "${2:-}" > "$dir/tls"
  echo "$count" > "$dir/count"
  while :; do
    printf '%04x' $((RANDOM % 65536)) > "$dir/id"
    printf '10.%s.%s' $((230 + RANDOM % 20)) $((RANDOM % 256)) > "$dir/net"
    ip -4 route | grep -qF "$(read_in net)." && continue
    ip netns list | grep -q "^ls-$(read_in id)-" || break
  done
  for i in $(seq "$count"); do
    local there host
    there=$(namespace "$i") host=$(link "$i")
    ip netns add "$there"
    ip -n "$there" link set lo up
    ip link add "$host" type veth peer name eth0 netns "$there"
    ip addr add "$(read_in net).$((4 * i + 1))/30" dev "$host"
    ip -n "$there" addr add "$(ip_of "$i")/30" dev eth0
    ip link set "$host" up
    ip -n "$there" link set eth0 up
    names="$names${names:+,}IP:$(ip_of "$i")"
  done
  flock -u 8
  [ -z "${2:-}" ] || "$(dirname "$0")/../common/certificates.sh" "$dir/certs" "$names" || die "no certificates were made"
  for i in $(seq "$count"); do start "$i"; done
  for i in $(seq "$count"); do answers "$i"; done
}

loud() {
  local own=$dir/$1
  sed -i 's/^{/{"debug": true, /; s/, }$/}/' "$own/daemon.json"
  kill -HUP "$(cat "$own/engine.pid")"
  for _ in $(seq 100); do
    docker -H "unix://$own/d.sock" version >/dev/null 2>&1 || true
    grep -q 'Calling GET' "$own/log" && return
    sleep 0.1
  done
  die "engine $1 says nothing of its calls"
}

sshd_in() {
  local i=$1 ssh=$dir/ssh
  mkdir -p "$ssh" /run/sshd
  [ -e "$ssh/key" ] || ssh-keygen -q -t ed25519 -N '' -f "$ssh/key"
  [ -e "$ssh/host" ] || ssh-keygen -q -t ed25519 -N '' -f "$ssh/host"
  cp "$ssh/key.pub" "$ssh/authorized"
  chmod 700 "$ssh"
  nsenter --net="/var/run/netns/$(namespace "$i")" "$(command -v sshd)" -f /dev/null -h "$ssh/host" \
    -o "ListenAddress=$(ip_of "$i")" -o "AuthorizedKeysFile=$ssh/authorized" -o PidFile="$ssh/$i.pid" -o UsePAM=no \
    -o PasswordAuthentication=no -o PermitRootLogin=yes -o StrictModes=no -E "$ssh/log"
  cat > "$ssh/config" <<CONFIG
Host *
  IdentityFile $ssh/key
  IdentitiesOnly yes
  UserKnownHostsFile $ssh/known
  StrictHostKeyChecking accept-new
CONFIG
}

command=${1:-}
[ -n "$command" ] && shift || die "what?"
case "$command" in
  up) up "$@" ;;
  down) down ;;
  address) address "$1"; echo ;;
  start) start "$1"; answers "$1" ;;
  stop)
    pid=$(cat "$dir/$1/engine.pid")
    kill -TERM "$pid" 2>/dev/null || true
    while alive "$pid"; do sleep 0.1; done
    ;;
  kill)
    kill -KILL "$(cat "$dir/$1/engine.pid")" 2>/dev/null || true
    containerd=$(cat "$dir/$1/exec/containerd/containerd.pid" 2>/dev/null || true)
    [ -z "$containerd" ] || kill -KILL "$containerd" 2>/dev/null || true
    rm -f "$dir/$1/exec/containerd/containerd.pid"
    ;;
  cut) ip link set "$(link "$1")" down ;;
  heal) ip link set "$(link "$1")" up ;;
  loud) loud "$1" ;;
  sshd) sshd_in "$1" ;;
  *) die "no such command: $command" ;;
esac
