#!/bin/sh
# Writes expected.yaml of every case anew with the real kustomize:
#   go install sigs.k8s.io/kustomize/kustomize/v5@v5.8.2
#   tests/kustomize/expect.sh "$(go env GOPATH)/bin/kustomize"
set -eu
kustomize=$1
cd "$(dirname "$0")"
for input in */in; do
    "$kustomize" build "$input/top" > "${input%/in}/expected.yaml"
done
