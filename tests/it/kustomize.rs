//! Builds: equal to stock kustomize where a field is supported, a clear error everywhere else.
//!
//! Expected outputs are what `kubectl kustomize` v5.5.0 prints for the same files.

mod errors;
mod generators;
mod limits;
mod overlay;
mod parts;
mod references;

use claude_manager::project::{MemoryFiles, RepoPath};
use kustomize::{self, Build, BuildError};

fn path(text: &str) -> RepoPath {
    RepoPath::parse(text).unwrap_or_else(|error| panic!("{error}"))
}

fn tree(files: &[(&str, &str)]) -> MemoryFiles {
    let mut tree = MemoryFiles::default();
    for (name, text) in files {
        tree.insert(path(name), *text);
    }
    tree
}

fn yaml(files: &[(&str, &str)], directory: &str) -> String {
    match kustomize::build(&tree(files), &path(directory)) {
        Ok(build) => kustomize::to_yaml(&build.objects),
        Err(error) => panic!("{error}"),
    }
}

fn error(files: &[(&str, &str)], directory: &str) -> BuildError {
    match kustomize::build(&tree(files), &path(directory)) {
        Ok(build) => panic!("builds to {} objects", build.objects.len()),
        Err(error) => error,
    }
}

const BASE: &str = "\
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources:
- env.yaml
configMapGenerator:
- name: env
  literals:
  - GIT_REPOSITORY=
";

const ENVIRONMENT: &str = "\
apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: env
spec:
  serviceName: env
  selector:
    matchLabels: {app.kubernetes.io/name: env}
  template:
    metadata:
      labels: {app.kubernetes.io/name: env}
    spec:
      serviceAccountName: env
      containers:
      - name: agent
        image: claude-dev-env
        envFrom:
        - configMapRef: {name: env}
      - name: ide
        image: claude-dev-env
      volumes:
      - name: workspace
        persistentVolumeClaim: {claimName: workspace}
      - name: project-secrets
        secret: {secretName: project-secrets, optional: true}
---
apiVersion: v1
kind: Service
metadata:
  name: env
spec:
  clusterIP: None
  selector: {app.kubernetes.io/name: env}
---
apiVersion: v1
kind: ServiceAccount
metadata:
  name: env
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: workspace
spec:
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: 10Gi}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: env
spec:
  podSelector:
    matchLabels: {app.kubernetes.io/name: env}
  ingress:
  - from:
    - podSelector:
        matchExpressions: [{key: app.kubernetes.io/name, operator: In, values: [claude-manager]}]
";

const OVERLAY: &str = "\
# Project checkout.
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources:
- ../../base
namePrefix: checkout-
labels:
- includeSelectors: true
  pairs:
    claude-manager.io/project: checkout
images:
- name: claude-dev-env
  newName: host/claude-dev-env
  newTag: \"1.2\"
replicas:
- name: env
  count: 1
configMapGenerator:
- name: env
  behavior: merge
  literals:
  - GIT_REPOSITORY=https://git.example/team/checkout.git
patches:
- target:
    kind: StatefulSet
    name: env
  patch: |-
    apiVersion: apps/v1
    kind: StatefulSet
    metadata:
      name: env
      annotations:
        claude-manager.io/display-name: Checkout
        claude-manager.io/created-at: \"2026-11-24T03:00:00Z\"
    spec:
      template:
        spec:
          containers:
          - name: agent
            resources:
              requests: {cpu: 500m, memory: 1Gi}
          volumes:
          - name: project-secrets
            secret:
              secretName: checkout-secrets
- target:
    kind: PersistentVolumeClaim
    name: workspace
  patch: |-
    apiVersion: v1
    kind: PersistentVolumeClaim
    metadata:
      name: workspace
    spec:
      storageClassName: fast
      resources:
        requests:
          storage: 20Gi
";

const ROOT: &str = "\
namespace: claude
resources:
- projects/checkout
";

const STATE: [(&str, &str); 4] = [
    ("kustomization.yaml", ROOT),
    ("base/kustomization.yaml", BASE),
    ("base/env.yaml", ENVIRONMENT),
    ("projects/checkout/kustomization.yaml", OVERLAY),
];
