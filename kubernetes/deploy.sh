#!/usr/bin/env bash
# deploy.sh [DIRECTORY]
# Brings the manager into the cluster of kubectl's current context: looks at what it needs, makes the namespace and the Secret
# where they are missing, applies DIRECTORY (this one, or a Kustomize overlay of yours on it), waits until the manager serves,
# and says how to reach it. Safe to run again; a Secret or namespace that is there is never changed.
#
# Variables: KUBECONFIG as for kubectl; TIMEOUT, for how long to wait (180s).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
directory=${1:-$here}
timeout=${TIMEOUT:-180s}

say() { echo "$*"; }
die() { # WHAT [WHAT-TO-DO]
  echo "deploy.sh: $1" >&2
  [ $# -lt 2 ] || echo "  -> $2" >&2
  exit 1
}

# What is needed.
command -v kubectl > /dev/null || die "there is no kubectl on the PATH" "install it: https://kubernetes.io/docs/tasks/tools/"
if ! problem=$(kubectl get --raw /version 2>&1 > /dev/null); then
  die "the cluster does not answer: $problem" "set KUBECONFIG, or choose a cluster by 'kubectl config use-context'"
fi
[ -f "$directory/kustomization.yaml" ] || die "there is no kustomization.yaml in $directory"
rendered=$(mktemp)
trap 'rm -f "$rendered"' EXIT
kubectl kustomize "$directory" > "$rendered" || die "$directory does not build"
# KIND NAMESPACE NAME of every object.
objects=$(kubectl create --dry-run=client --validate=false -f "$rendered" \
  -o jsonpath='{.kind} {.metadata.namespace} {.metadata.name}{"\n"}')
namespace=$(echo "$objects" | awk '$1 == "Deployment" && $3 == "claude-manager" { print $2 }')
[ -n "$namespace" ] || die "$directory has no Deployment claude-manager in a namespace"
say "Cluster $(kubectl config current-context 2> /dev/null || echo 'of this pod'), namespace $namespace"
k() { kubectl --namespace "$namespace" "$@"; }

for right in deployments.apps services roles.rbac.authorization.k8s.io clusterrolebindings.rbac.authorization.k8s.io; do
  [ "$(k auth can-i create "$right" 2> /dev/null)" = yes ] ||
    die "this account may not create $right" "deploy as an administrator of the cluster: the manager's rights are granted here"
done

# The namespace, and the Secret.
if [ -n "$(kubectl get namespace "$namespace" --ignore-not-found -o name)" ]; then
  say "namespace/$namespace is there"
else
  sed "s/^  name: claude-manager\$/  name: $namespace/" "$here/namespace.yaml" | kubectl create -f -
fi
if [ -n "$(k get secret claude-manager-secrets --ignore-not-found -o name)" ]; then
  say "secret/claude-manager-secrets is there, and stays as it is"
elif [ -f "$directory/secret.yaml" ]; then
  k create -f "$directory/secret.yaml"
elif grep -q 'secretKeyRef' "$rendered"; then
  die "there is no Secret claude-manager-secrets, and the component replicas needs it" \
    "copy secret-template.yaml to $directory/secret.yaml, fill it in, and run this again"
else
  say "no Secret claude-manager-secrets: the manager makes its own keys and token (secret-template.yaml has what can be given)"
fi

# A claim without a class waits for ever where no class is the default.
claim=$(echo "$objects" | awk '$1 == "PersistentVolumeClaim" { print $3; exit }')
if [ -n "$claim" ] && ! grep -q storageClassName "$rendered" &&
  [ -z "$(k get persistentvolumeclaim "$claim" --ignore-not-found -o name)" ] &&
  [[ $(kubectl get storageclasses -o yaml 2> /dev/null || true) != *'is-default-class: "true"'* ]]; then
  say "warning: the cluster has no default storage class: the claim $claim stays Pending until an administrator creates a volume for it"
fi

# The objects. A container reads a changed ConfigMap when it starts.
version() { k get "$1" claude-manager"$2" --ignore-not-found -o jsonpath="$3"; }
settings=$(version configmap -config '{.metadata.resourceVersion}')
generation=$(version deployment '' '{.metadata.generation}')
kubectl apply -k "$directory"
if [ -n "$settings" ] && [ "$settings" != "$(version configmap -config '{.metadata.resourceVersion}')" ] &&
  [ "$generation" = "$(version deployment '' '{.metadata.generation}')" ]; then
  say "The settings have changed: the manager starts again"
  k rollout restart deployment/claude-manager
fi
if ! grep -q '^kind: PrometheusRule$' "$rendered"; then
  if [[ $(kubectl get --raw /apis/monitoring.coreos.com/v1 2> /dev/null || true) == *'"prometheusrules"'* ]]; then
    k apply -f "$here/components/prometheus-rule/prometheusrule.yaml"
  else
    say "no PrometheusRule in this cluster: alerts.yaml has the alerts as a file for Prometheus"
  fi
fi

# Until it serves.
if ! k rollout status deployment/claude-manager --timeout="$timeout"; then
  k get pods -l app.kubernetes.io/name=claude-manager >&2 || true
  newest=$(k get pods -l app.kubernetes.io/name=claude-manager --sort-by=.metadata.creationTimestamp -o name | tail -n 1)
  if [ -n "$newest" ]; then
    k get events --field-selector "type=Warning,involvedObject.name=${newest#pod/}" \
      -o custom-columns=REASON:.reason,MESSAGE:.message --no-headers >&2 || true
    k logs "$newest" --tail=5 >&2 || true
  fi
  die "the manager does not serve within $timeout" \
    "the lines above have the reason; an image that cannot be pulled is set under images in $directory/kustomization.yaml"
fi
cat << END

Claude Manager runs. To reach it from here:

  kubectl -n $namespace port-forward service/claude-manager-service 3000:3000

then open http://localhost:3000 and sign in with the administrator's token, which this prints:

  kubectl -n $namespace exec deploy/claude-manager -- claude-manager token show
END
