#!/usr/bin/env bash
# Fetches Apache ZooKeeper's jars with Maven into e2e/.work/zookeeper/lib and prints that folder: what
# ZOOKEEPER_LIB should name. Jars that are there at the wanted version are not fetched again.
set -euo pipefail
cd "$(dirname "$0")"
out=$(cd ../.. && pwd)/.work/zookeeper

command -v java >/dev/null || { echo "fetch.sh: java is not here; apt-get install default-jre-headless" >&2; exit 2; }
command -v mvn >/dev/null || { echo "fetch.sh: mvn is not here; apt-get install maven" >&2; exit 2; }

want=$(cat pom.xml fetch.sh | sha256sum | cut -c1-16)
if [ "$(cat "$out/lib/.fetched" 2>/dev/null)" != "$want" ]; then
  echo "fetching Apache ZooKeeper (once)" >&2
  mkdir -p "$out"
  # Beside the place and then renamed: a run that is cut short leaves no half folder behind.
  new=$(mktemp -d "$out/lib.XXXXXX")
  trap 'rm -rf "$new"' EXIT
  mvn -q -B -Dstyle.color=never -f pom.xml dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$new" >&2
  echo "$want" > "$new/.fetched"
  chmod 755 "$new"
  rm -rf "$out/lib"
  mv "$new" "$out/lib"
fi
echo "$out/lib"
