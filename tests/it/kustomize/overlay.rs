//! An overlay as this product makes it, and as a person leaves it: the bytes of stock kustomize.

use super::*;

#[test]
fn the_overlay_of_a_project_builds_to_the_bytes_of_stock_kustomize() {
    insta::assert_snapshot!(yaml(&STATE, ""), @r#"
    apiVersion: v1
    kind: ServiceAccount
    metadata:
      labels:
        claude-manager.io/project: checkout
      name: checkout-env
      namespace: claude
    ---
    apiVersion: v1
    data:
      GIT_REPOSITORY: https://git.example/team/checkout.git
    kind: ConfigMap
    metadata:
      labels:
        claude-manager.io/project: checkout
      name: checkout-env-9hffb25gg4
      namespace: claude
    ---
    apiVersion: v1
    kind: Service
    metadata:
      labels:
        claude-manager.io/project: checkout
      name: checkout-env
      namespace: claude
    spec:
      clusterIP: None
      selector:
        app.kubernetes.io/name: env
        claude-manager.io/project: checkout
    ---
    apiVersion: v1
    kind: PersistentVolumeClaim
    metadata:
      labels:
        claude-manager.io/project: checkout
      name: checkout-workspace
      namespace: claude
    spec:
      accessModes:
      - ReadWriteOnce
      resources:
        requests:
          storage: 20Gi
      storageClassName: fast
    ---
    apiVersion: apps/v1
    kind: StatefulSet
    metadata:
      annotations:
        claude-manager.io/created-at: "2026-11-24T03:00:00Z"
        claude-manager.io/display-name: Checkout
      labels:
        claude-manager.io/project: checkout
      name: checkout-env
      namespace: claude
    spec:
      replicas: 1
      selector:
        matchLabels:
          app.kubernetes.io/name: env
          claude-manager.io/project: checkout
      serviceName: checkout-env
      template:
        metadata:
          labels:
            app.kubernetes.io/name: env
            claude-manager.io/project: checkout
        spec:
          containers:
          - envFrom:
            - configMapRef:
                name: checkout-env-9hffb25gg4
            image: host/claude-dev-env:1.2
            name: agent
            resources:
              requests:
                cpu: 500m
                memory: 1Gi
          - image: host/claude-dev-env:1.2
            name: ide
          serviceAccountName: checkout-env
          volumes:
          - name: project-secrets
            secret:
              optional: true
              secretName: checkout-secrets
          - name: workspace
            persistentVolumeClaim:
              claimName: checkout-workspace
    ---
    apiVersion: networking.k8s.io/v1
    kind: NetworkPolicy
    metadata:
      labels:
        claude-manager.io/project: checkout
      name: checkout-env
      namespace: claude
    spec:
      ingress:
      - from:
        - podSelector:
            matchExpressions:
            - key: app.kubernetes.io/name
              operator: In
              values:
              - claude-manager
      podSelector:
        matchLabels:
          app.kubernetes.io/name: env
          claude-manager.io/project: checkout
    "#);
}

#[test]
fn a_restructured_overlay_builds_too() {
    let files = [
        ("base/kustomization.yaml", BASE),
        ("base/env.yaml", ENVIRONMENT),
        (
            "components/gpu/kustomization.yaml",
            "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\npatches:\n- path: gpu.json\n  target: {kind: StatefulSet}\n",
        ),
        (
            "components/gpu/gpu.json",
            r#"[{"op": "add", "path": "/spec/template/spec/nodeSelector", "value": {"gpu": "yes"}},
                {"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "gpu-image"}]"#,
        ),
        (
            "shop/kustomization.yml",
            "resources: [../base]\ncomponents: [../components/gpu]\nnamePrefix: shop-\nnameSuffix: -x\nnamespace: other\ncommonAnnotations: {team: shop}\npatches:\n- path: patches/delete.yaml\n- path: patches/delete-more.yaml\n  target: {kind: NetworkPolicy|PersistentVolumeClaim}\nsortOptions: {order: fifo}\n",
        ),
        (
            "shop/patches/delete.yaml",
            "apiVersion: apps/v1\nkind: StatefulSet\nmetadata:\n  name: env\nspec:\n  template:\n    spec:\n      containers:\n      - name: ide\n        $patch: delete\n      volumes:\n      - $patch: replace\n      - name: only\n        emptyDir: {}\n",
        ),
        ("shop/patches/delete-more.yaml", "$patch: delete\nkind: Any\nmetadata: {name: any}\n"),
    ];
    insta::assert_snapshot!(yaml(&files, "shop"), @r#"
    apiVersion: apps/v1
    kind: StatefulSet
    metadata:
      annotations:
        team: shop
      name: shop-env-x
      namespace: other
    spec:
      selector:
        matchLabels:
          app.kubernetes.io/name: env
      serviceName: shop-env-x
      template:
        metadata:
          annotations:
            team: shop
          labels:
            app.kubernetes.io/name: env
        spec:
          containers:
          - envFrom:
            - configMapRef:
                name: shop-env-x-58567tmcb5
            image: gpu-image
            name: agent
          nodeSelector:
            gpu: "yes"
          serviceAccountName: shop-env-x
          volumes:
          - emptyDir: {}
            name: only
    ---
    apiVersion: v1
    kind: Service
    metadata:
      annotations:
        team: shop
      name: shop-env-x
      namespace: other
    spec:
      clusterIP: None
      selector:
        app.kubernetes.io/name: env
    ---
    apiVersion: v1
    kind: ServiceAccount
    metadata:
      annotations:
        team: shop
      name: shop-env-x
      namespace: other
    ---
    apiVersion: v1
    data:
      GIT_REPOSITORY: ""
    kind: ConfigMap
    metadata:
      annotations:
        team: shop
      name: shop-env-x-58567tmcb5
      namespace: other
    "#);
}
