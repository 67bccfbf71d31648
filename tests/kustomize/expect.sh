#!/bin/sh
# Writes expected.yaml of every case anew with the real kustomize, and sees it fail for every case under refused/:
#   go install sigs.k8s.io/kustomize/kustomize/v5@v5.8.2
#   tests/kustomize/expect.sh "$(go env GOPATH)/bin/kustomize"
set -eu
kustomize=$1
cd "$(dirname "$0")"
for input in */in; do
    "$kustomize" build "$input/top" > "${input%/in}/expected.yaml"
done
for input in refused/*/in; do
    if "$kustomize" build "$input/top" > /dev/null 2>&1; then
        echo "$input builds" >&2
        exit 1
    fi
done
