#!/usr/bin/env bash
# Fetches Curator's own tests with Maven into e2e/.work/curator, compiles beside them what starts Troupe in the place
# of Apache's server, and prints that folder. What is there is not made again.
set -euo pipefail
cd "$(dirname "$0")"
out=$(cd ../.. && pwd)/.work/curator

command -v javac >/dev/null || { echo "fetch.sh: javac is not here; apt-get install default-jdk-headless" >&2; exit 2; }
command -v mvn >/dev/null || { echo "fetch.sh: mvn is not here; apt-get install maven" >&2; exit 2; }

want=$(find pom.xml fetch.sh java -type f | sort | xargs cat | sha256sum | cut -c1-16)
if [ "$(cat "$out/.fetched" 2>/dev/null)" != "$want" ]; then
  echo "fetching Curator's tests (once)" >&2
  rm -rf "$out"
  mkdir -p "$out/classes"
  mvn -q -B -Dstyle.color=never -f pom.xml dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$out/lib" >&2
  find java -name '*.java' -print0 | xargs -0 javac -nowarn -cp "$out/lib/*" -d "$out/classes"
  cp -r java/META-INF "$out/classes/"
  echo "$want" > "$out/.fetched"
fi
echo "$out"
