#!/usr/bin/env bash
# Builds the real peers that the tests hold Troupe against, from the Go module proxy, into e2e/.work/bin.
# A peer that is there at the wanted version is not built again. Usage: build.sh [peer ...]
set -euo pipefail
cd "$(dirname "$0")"
out=$(cd .. && pwd)/.work/bin
mkdir -p "$out"

kubernetes=v1.34.4
stamp="-X k8s.io/component-base/version.gitVersion=$kubernetes -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=34"
old_stamp="-X k8s.io/component-base/version.gitVersion=v1.27.16 -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=27"

# peer  module-folder  package  ldflags
build() {
  local name=$1 folder=$2 package=$3 flags=$4
  local want
  want=$(cat "$folder"/go.mod "$folder"/*.go build.sh | sha256sum | cut -c1-16)
  if [ -x "$out/$name" ] && [ "$(cat "$out/$name.built" 2>/dev/null)" = "$want" ]; then return; fi
  echo "building $name (minutes, once)" >&2
  (cd "$folder" && GOFLAGS=-buildvcs=false CGO_ENABLED=0 go build -ldflags "-s -w $flags" -o "$out/$name" "$package")
  echo "$want" > "$out/$name.built"
}

for peer in ${*:-kubectl kubectl127 etcd kube-apiserver helm3 helm4 porcupine}; do
  case $peer in
    kubectl) build kubectl kubernetes k8s.io/kubernetes/cmd/kubectl "$stamp" ;;
    kube-apiserver) build kube-apiserver kubernetes k8s.io/kubernetes/cmd/kube-apiserver "$stamp" ;;
    kubectl127) build kubectl127 kubectl127 . "$old_stamp" ;;
    etcd) build etcd etcd go.etcd.io/etcd/server/v3 "" ;;
    helm3) build helm3 helm3 helm.sh/helm/v3/cmd/helm "" ;;
    helm4) build helm4 helm4 helm.sh/helm/v4/cmd/helm "" ;;
    porcupine) build porcupine porcupine . "" ;;
    *) echo "build.sh: no peer is called $peer" >&2; exit 2 ;;
  esac
done
