//! Names that follow the objects that they name.

use super::*;

#[test]
fn references_follow_prefixes_hashes_and_namespaces() {
    let files = [
        (
            "kustomization.yaml",
            "namespace: target\nnamePrefix: p-\nresources: [rbac.yaml]\nsecretGenerator:\n- name: key\n  literals: [password=x]\n",
        ),
        (
            "rbac.yaml",
            "\
apiVersion: v1
kind: ServiceAccount
metadata: {name: robot}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader}
rules:
- {apiGroups: [''], resources: [secrets], resourceNames: [key, other], verbs: [get]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: reader}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}
subjects:
- {kind: ServiceAccount, name: robot, namespace: default}
- {kind: ServiceAccount, name: default, namespace: elsewhere}
- {kind: ServiceAccount, name: foreign, namespace: elsewhere}
---
apiVersion: v1
kind: Namespace
metadata: {name: elsewhere}
",
        ),
    ];
    insta::assert_snapshot!(yaml(&files, ""), @r#"
    apiVersion: v1
    kind: Namespace
    metadata:
      name: target
    ---
    apiVersion: v1
    kind: ServiceAccount
    metadata:
      name: p-robot
      namespace: target
    ---
    apiVersion: rbac.authorization.k8s.io/v1
    kind: Role
    metadata:
      name: p-reader
      namespace: target
    rules:
    - apiGroups:
      - ""
      resourceNames:
      - p-key-ht28g67h7c
      - other
      resources:
      - secrets
      verbs:
      - get
    ---
    apiVersion: rbac.authorization.k8s.io/v1
    kind: RoleBinding
    metadata:
      name: p-reader
      namespace: target
    roleRef:
      apiGroup: rbac.authorization.k8s.io
      kind: Role
      name: p-reader
    subjects:
    - kind: ServiceAccount
      name: p-robot
      namespace: target
    - kind: ServiceAccount
      name: default
      namespace: target
    - kind: ServiceAccount
      name: foreign
      namespace: elsewhere
    ---
    apiVersion: v1
    data:
      password: eA==
    kind: Secret
    metadata:
      name: p-key-ht28g67h7c
      namespace: target
    type: Opaque
    "#);
}
