#!/usr/bin/env bash
# run.sh DIRECTORY BINARIES ETCD_PORT ETCD_PEER_PORT API_PORT KUBELET_PORT
# Runs a control plane in DIRECTORY on loopback ports until standard input ends, then stops it and removes DIRECTORY.
# The caller holds the other end of that pipe: however the caller dies, the pipe closes, and nothing is left behind.
# Prints "ready" once the API server answers; on failure, a reason on standard error.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
directory=$1 bin=$2 etcd_port=$3 peer_port=$4 api_port=$5 kubelet_port=$6
cd "$directory"

# An interrupt at the terminal reaches this shell, too; the end of the pipe is what counts.
trap '' INT HUP
pids=()
stop() {
  trap - EXIT
  [ ${#pids[@]} -eq 0 ] || kill "${pids[@]}" 2> /dev/null || true
  for _ in 1 2 3 4 5 6 7 8 9 10; do
    [ -n "$(jobs -r)" ] || break
    sleep 0.2
  done
  [ ${#pids[@]} -eq 0 ] || kill -9 "${pids[@]}" 2> /dev/null || true
  cd /
  rm -rf "$directory"
}
trap stop EXIT
trap 'exit 1' TERM

start() { # NAME ARGUMENTS
  local name=$1
  shift
  "$bin/$name" "$@" > "$name.log" 2>&1 &
  pids+=($!)
}
die() {
  echo "$1: $(tail -n 3 "$2" 2> /dev/null)" >&2
  exit 1
}

if [ -x "$bin/service-account-key" ]; then
  "$bin/service-account-key" > sa.key
else
  openssl genrsa -out sa.key 2048 2> /dev/null
fi

# Administrators all; each of the counted users has its own line in the audit log for every request, and so have service
# accounts; nobody else has.
{
  echo 'admin-token,admin,admin,system:masters'
  echo 'manager-token,manager,manager,"system:masters,counted"'
  for i in $(seq 0 63); do echo "counted-$i-token,counted-$i,counted-$i,\"system:masters,counted\""; done
} > tokens.csv
cat > audit.yaml << 'EOF'
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: Metadata, userGroups: [counted, "system:serviceaccounts"]}
- {level: None}
EOF

start etcd --data-dir "$directory/etcd" --unsafe-no-fsync --log-level warn \
  --listen-client-urls "http://127.0.0.1:$etcd_port" --advertise-client-urls "http://127.0.0.1:$etcd_port" \
  --listen-peer-urls "http://127.0.0.1:$peer_port" --initial-advertise-peer-urls "http://127.0.0.1:$peer_port" \
  --initial-cluster "default=http://127.0.0.1:$peer_port"
# The ServiceAccount admission is off: it would wait for a default account in every fresh namespace.
start kube-apiserver --etcd-servers="http://127.0.0.1:$etcd_port" --bind-address=127.0.0.1 --secure-port="$api_port" \
  --cert-dir="$directory/certs" --authorization-mode=RBAC --token-auth-file=tokens.csv \
  --service-account-issuer=https://kubernetes.default.svc --service-account-key-file=sa.key \
  --service-account-signing-key-file=sa.key --service-cluster-ip-range=10.0.0.0/16 \
  --disable-admission-plugins=ServiceAccount --kubelet-preferred-address-types=InternalIP \
  --max-requests-inflight=2000 --max-mutating-requests-inflight=1000 \
  --audit-policy-file=audit.yaml --audit-log-path=audit.log --audit-log-mode=blocking --audit-log-maxsize=4096
api_pid=${pids[1]}

cat > kubeconfig << EOF
apiVersion: v1
kind: Config
clusters:
- {name: test, cluster: {server: "https://127.0.0.1:$api_port", insecure-skip-tls-verify: true}}
users:
- {name: admin, user: {token: admin-token}}
- {name: manager, user: {token: manager-token}}
contexts:
- {name: admin, context: {cluster: test, user: admin}}
- {name: m, context: {cluster: test, user: manager}}
current-context: admin
EOF
export KUBECONFIG=$directory/kubeconfig

answered=
for _ in $(seq 1 300); do
  kill -0 "$api_pid" 2> /dev/null || die "kube-apiserver stopped" kube-apiserver.log
  if "$bin/kubectl" get --raw /readyz > /dev/null 2>&1; then
    answered=yes
    break
  fi
  sleep 0.3
done
[ -n "$answered" ] || die "kube-apiserver did not become ready" kube-apiserver.log

# A bundle of test assets may lack these; then objects are stored and nothing more happens to them.
if [ -x "$bin/kube-controller-manager" ] && [ -x "$bin/kube-scheduler" ] && [ -x "$bin/kwok" ]; then
  start kube-controller-manager --kubeconfig=kubeconfig --leader-elect=false --secure-port=0 \
    --service-account-private-key-file=sa.key --kube-api-qps=500 --kube-api-burst=1000
  start kube-scheduler --kubeconfig=kubeconfig --leader-elect=false --secure-port=0
  touch pod.log
  sed "s#POD_LOG#$directory/pod.log#; s#KUBELET_PORT#$kubelet_port#; s#WORK_DIRECTORY#$directory#" \
    "$here/kwok.yaml" > kwok.yaml
  start kwok -c kwok.yaml --manage-all-nodes --node-lease-duration-seconds=40 --node-ip 127.0.0.1 \
    --node-port "$kubelet_port" --server-address "127.0.0.1:$kubelet_port" \
    --tls-cert-file certs/apiserver.crt --tls-private-key-file certs/apiserver.key
  "$bin/kubectl" create -f - > /dev/null << 'EOF'
apiVersion: v1
kind: Node
metadata: {name: node, annotations: {kwok.x-k8s.io/node: fake}}
status:
  allocatable: {cpu: "10000", memory: 100Ti, pods: "20000"}
  capacity: {cpu: "10000", memory: 100Ti, pods: "20000"}
EOF
fi

echo ready
# Until the caller is gone.
cat > /dev/null
