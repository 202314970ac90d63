#!/usr/bin/env bash
# Certificates of a test's own, good for two days.
#
#   certificates.sh DIR NAMES     NAMES as openssl writes them: `IP:127.0.0.1,DNS:localhost`
#
# In DIR: ca.pem; server.pem and server-key.pem for those names (also good for a client: etcd's gateway asks itself with it);
# cert.pem and key.pem for a client, as docker calls them.
set -euo pipefail
umask 022
dir=$1 names=$2
mkdir -p "$dir"

signed() {
  local name=$1 file=$2 uses=$3 more=$4
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$name" -keyout "$dir/${file:+$file-}key.pem" -out "$dir/$name.csr"
  openssl x509 -req -days 2 -in "$dir/$name.csr" -CA "$dir/ca.pem" -CAkey "$dir/ca-key.pem" -CAcreateserial \
    -out "$dir/${file:-cert}.pem" -extfile <(printf 'subjectAltName=%s\nextendedKeyUsage=%s\n' "$more" "$uses")
}

if ! {
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=an authority of a test" \
    -keyout "$dir/ca-key.pem" -out "$dir/ca.pem" \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign
  signed server server serverAuth,clientAuth "$names"
  signed client '' clientAuth DNS:client
} 2>"$dir/said"; then
  cat "$dir/said" >&2
  exit 1
fi
