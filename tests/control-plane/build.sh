#!/usr/bin/env bash
# Builds what the tests need of Kubernetes from Go modules, into a cache outside the clone, and prints that directory:
# etcd, kube-apiserver, kube-controller-manager, kube-scheduler, kubectl (one program under five names; its kustomize is
# 5.8), kwok, and kustomize 5.5, the oldest that the template supports.
# About 8 minutes on two cold cores, then nothing to do until one of the inputs changes.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=${CLAUDE_MANAGER_CONTROL_PLANE:-${XDG_CACHE_HOME:-$HOME/.cache}/claude-manager/control-plane}
kubernetes=v1.36.3
kwok=v0.8.0
kustomize=v5.5.0

mkdir -p "$out"
# Several test processes may come here at once; one builds and the others wait.
if command -v flock > /dev/null; then
  exec 9> "$out/lock"
  flock 9
fi

stamp=$(cat "$here/go.mod" "$here/go.sum" "$here/main.go" "$here/build.sh" | cksum)
if [ "$(cat "$out/stamp" 2> /dev/null)" = "$stamp" ]; then
  echo "$out"
  exit
fi

version="-X k8s.io/component-base/version.gitVersion=$kubernetes -X k8s.io/client-go/pkg/version.gitVersion=$kubernetes"
version="$version -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=36"
echo "building the control plane into $out (minutes on a cold machine)" >&2
(cd "$here" && go build -buildvcs=false -ldflags "-s -w $version" -o "$out/kube.new" .)
# Renamed into place, because a test run may be using the old one.
mv -f "$out/kube.new" "$out/kube"
for name in etcd kube-apiserver kube-controller-manager kube-scheduler kubectl service-account-key; do
  ln -sf kube "$out/$name"
done
install_tool() { # PACKAGE@VERSION NAME
  local bin="$out/.install"
  GOBIN="$bin" GOFLAGS=-buildvcs=false go install "$1"
  mv -f "$bin/$(basename "${1%@*}" | sed 's/^v5$/kustomize/')" "$out/$2"
  rm -rf "$bin"
}
install_tool "sigs.k8s.io/kwok/cmd/kwok@$kwok" kwok
install_tool "sigs.k8s.io/kustomize/kustomize/v5@$kustomize" kustomize-5.5
echo "$stamp" > "$out/stamp"
echo "$out"
