#!/usr/bin/env bash
# Makes sure that the engine has the image that the example and the tests run on.
#
#   scripts/ensure-image.sh [IMAGE]     (default busybox:1.36.1)
#
# It pulls the image; where no registry answers, it makes the same from Debian's package busybox-static.
set -euo pipefail
image=${1:-busybox:1.36.1}

say() { printf '%s\n' "$*" >&2; }

if ! docker version >/dev/null 2>&1; then
  say "No Docker Engine answers at ${DOCKER_HOST:-unix:///var/run/docker.sock}."
  say "  Debian, Ubuntu:  sudo apt-get install docker.io && sudo systemctl start docker"
  say "  Fedora:          sudo dnf install moby-engine && sudo systemctl start docker"
  say "  elsewhere:       https://docs.docker.com/engine/install/"
  say "A user who is not root must be in the group docker:  sudo usermod -aG docker \"\$USER\"  (then log in again)."
  exit 1
fi

if docker image inspect "$image" >/dev/null 2>&1; then
  exit 0
fi
say "Pulling $image …"
if timeout 60 docker pull -q "$image" >/dev/null 2>&1; then
  exit 0
fi

say "No registry answers; making $image from Debian's busybox-static."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
binary=$(command -v busybox || true)
if [ -z "$binary" ] || ! "$binary" --list >/dev/null 2>&1 || ldd "$binary" 2>/dev/null | grep -q '=>'; then
  (cd "$work" && apt-get download -q busybox-static >/dev/null 2>&1 && dpkg-deb -x busybox-static_*.deb deb) || {
    say "apt-get could not download busybox-static either. Give the engine $image by hand: docker load, or docker import."
    exit 1
  }
  binary=$(find "$work/deb" -name busybox -type f | head -n 1)
fi
mkdir -p "$work/root/bin" "$work/root/tmp" "$work/root/etc" "$work/root/root"
chmod 1777 "$work/root/tmp"
for applet in $("$binary" --list); do
  ln -sf busybox "$work/root/bin/$applet"
done
rm -f "$work/root/bin/busybox"
cp "$binary" "$work/root/bin/busybox"
printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n' > "$work/root/etc/passwd"
printf 'root:x:0:\nnogroup:x:65534:\n' > "$work/root/etc/group"
tar -C "$work/root" -c . | docker import -c 'CMD ["sh"]' - "$image" >/dev/null
say "Made $image."
