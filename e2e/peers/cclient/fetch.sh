#!/usr/bin/env bash
# Fetches Apache ZooKeeper's C client as Debian ships it (library, headers, its sample program cli_mt) with apt into
# e2e/.work/cclient, without installing anything, and prints that folder. What is there is not fetched again.
set -euo pipefail
cd "$(dirname "$0")"
out=$(cd ../.. && pwd)/.work/cclient

command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || { echo "fetch.sh: apt-get and dpkg-deb are not here" >&2; exit 2; }

want=$(sha256sum fetch.sh | cut -c1-16)
if [ "$(cat "$out/.fetched" 2>/dev/null)" != "$want" ]; then
  echo "fetching the C client (once)" >&2
  rm -rf "$out"
  mkdir -p "$out/debs"
  cd "$out/debs"
  # The library's package has another name where time_t has grown.
  library=$(apt-cache depends libzookeeper-mt-dev 2>/dev/null | grep -o 'libzookeeper-mt2[a-z0-9]*' | head -1 || true)
  if [ -z "$library" ]; then
    apt-get update -q >&2
    library=$(apt-cache depends libzookeeper-mt-dev | grep -o 'libzookeeper-mt2[a-z0-9]*' | head -1)
  fi
  apt-get download -q libzookeeper-mt-dev zookeeper-bin "$library" >&2
  for deb in *.deb; do dpkg-deb -x "$deb" "$out"; done
  echo "$want" > "$out/.fetched"
fi
echo "$out"
