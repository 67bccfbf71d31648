//! Builds: equal to stock kustomize where a field is supported, a clear error everywhere else.
//!
//! Expected outputs are what `kubectl kustomize` v5.5.0 prints for the same files.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use claude_manager::kustomize::{self, Build, BuildError};
use claude_manager::project::{Entry, Files, FilesError, MemoryFiles, RepoPath};
use proptest::prelude::*;

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

#[test]
fn generators_read_every_kind_of_source() {
    let files = [
        (
            "kustomization.yaml",
            "\
generatorOptions: {labels: {from: all}, disableNameSuffixHash: true}
configMapGenerator:
- name: a
  namespace: x
  literals: ['a=1', 'quoted=\"x y\"', 'empty=']
  envs: [vars.env]
  files: [conf/app.conf, renamed=conf/app.conf]
  options: {annotations: {own: 'yes'}, immutable: true}
secretGenerator:
- name: b
  type: kubernetes.io/tls
  files: [tls.key=conf/long.txt]
",
        ),
        ("vars.env", "\u{FEFF}# comment\n  A=1\r\nB\n\nC=x=y\n"),
        ("conf/app.conf", "line\nother\n"),
        ("conf/long.txt", "0123456789012345678901234567890123456789012345678901234567890123456789"),
    ];
    insta::assert_snapshot!(yaml(&files, ""), @r#"
    apiVersion: v1
    data:
      A: "1"
      B: ""
      C: x=y
      a: "1"
      app.conf: |
        line
        other
      empty: ""
      quoted: x y
      renamed: |
        line
        other
    immutable: true
    kind: ConfigMap
    metadata:
      annotations:
        own: "yes"
      labels:
        from: all
      name: a
      namespace: x
    ---
    apiVersion: v1
    data:
      tls.key: |
        MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMT
        IzNDU2Nzg5MDEyMzQ1Njc4OQ==
    kind: Secret
    metadata:
      labels:
        from: all
      name: b
    type: kubernetes.io/tls
    "#);
}

#[test]
fn the_hash_of_a_name_is_that_of_the_content() {
    let files = [(
        "kustomization.yaml",
        "configMapGenerator:\n- name: a\n  literals: ['html=<b>&c', 'text=\u{e9}']\nsecretGenerator:\n- name: b\n  literals: [x=y]\n",
    )];
    let names: Vec<String> = kustomize::build(&tree(&files), &RepoPath::root())
        .unwrap()
        .objects
        .into_iter()
        .map(|object| object.key.name)
        .collect();
    assert_eq!(names, ["a-b5kfgfh579", "b-t86b282gdf"]);
}

#[test]
fn errors_name_the_file_the_line_the_field_and_a_way_out() {
    let cm = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n";
    // Files, the message, a part of the hint.
    type Case<'a> = (&'a [(&'a str, &'a str)], &'a str, &'a str);
    let cases: &[Case<'_>] = &[
        (&[], "the directory . has no kustomization.yaml", "add one"),
        (&[("kustomization.yaml", "")], "kustomization.yaml: is empty", "resource"),
        (&[("kustomization.yaml", "kind: Kustomization\n")], "kustomization.yaml:1: is empty", "resource"),
        (
            &[("kustomization.yaml", "resources: [a.yaml]\n\nhelmCharts: [{name: x}]\n")],
            "kustomization.yaml:3: helmCharts: is not supported",
            "render the chart with `helm template`",
        ),
        (
            &[("kustomization.yaml", "resource: [a.yaml]\n")],
            "kustomization.yaml:1: resource: is no field that is known here",
            "did you mean resources?",
        ),
        (
            &[("kustomization.yaml", "images:\n- name: a\n  tag: b\n")],
            "kustomization.yaml:3: images[0].tag: is no field that is known here",
            "newTag",
        ),
        (
            &[("kustomization.yaml", "images:\n- name: a\n  newTag: 1.2\n")],
            "kustomization.yaml:3: images[0].newTag: must be a string; write \"1.2\" in quotes",
            "",
        ),
        (
            &[("kustomization.yaml", "resources:\n- missing.yaml\n")],
            "kustomization.yaml:2: resources[0]: missing.yaml does not exist",
            "",
        ),
        (
            &[("a/kustomization.yaml", "resources:\n- ../../x\n")],
            "a/kustomization.yaml:2: resources[0]: \"../../x\" leaves the repository",
            "inside the repository",
        ),
        (
            &[("a/kustomization.yaml", "resources:\n- ../x.yaml\n"), ("x.yaml", cm)],
            "a/kustomization.yaml:2: resources[0]: x.yaml is not in or below a, where this kustomization is",
            "move the file",
        ),
        (
            &[("kustomization.yaml", "resources: ['https://example.com/x.yaml']\n")],
            "kustomization.yaml:1: resources[0]: \"https://example.com/x.yaml\" is remote; nothing is fetched",
            "copy",
        ),
        (
            &[("kustomization.yaml", "resources: [a.yaml]\n"), ("a.yaml", "kind: X\nmetadata:\n  name: a\n a: b\n")],
            "a.yaml:4: is no YAML",
            "",
        ),
        (
            &[("kustomization.yaml", "resources: [a.yaml]\n"), ("a.yaml", "\nmetadata: {name: a}\n")],
            "a.yaml:2: is no Kubernetes object: it has no kind",
            "apiVersion and kind",
        ),
        (
            &[("kustomization.yaml", "resources: [a.yaml, b.yaml]\n"), ("a.yaml", cm), ("b.yaml", cm)],
            "b.yaml:1: ConfigMap v1 a is there already, from a.yaml:1",
            "another name",
        ),
        (
            &[
                ("kustomization.yaml", "resources: [a]\n"),
                ("a/kustomization.yaml", "resources: [../b]\n"),
                ("b/kustomization.yaml", "resources: [../a]\n"),
            ],
            "b/kustomization.yaml:1: resources[0]: a is or holds a, which is being built",
            "cannot build on itself",
        ),
        (
            &[
                ("kustomization.yaml", "resources: [a]\n"),
                ("a/kustomization.yaml", "kind: Component\nresources: []\nnamePrefix: x\n"),
            ],
            "kustomization.yaml:1: resources[0]: a is a component",
            "components",
        ),
        (
            &[
                (
                    "kustomization.yaml",
                    "resources: [a.yaml]\npatches:\n- patch: |-\n    apiVersion: v1\n    kind: ConfigMap\n    metadata: {name: b}\n",
                ),
                ("a.yaml", cm),
            ],
            "kustomization.yaml:3: patches[0]: no object is ConfigMap v1 b",
            "the nearest object is ConfigMap v1 a",
        ),
        (
            &[
                (
                    "kustomization.yaml",
                    "resources: [a.yaml]\npatches:\n- target: {kind: ConfigMap}\n  patch: |-\n    - op: remove\n      path: /data/x\n",
                ),
                ("a.yaml", cm),
            ],
            "kustomization.yaml:3: patches[0]: does not fit ConfigMap v1 a: there is no /data/x",
            "",
        ),
        (
            &[("kustomization.yaml", "resources: [a.yaml]\nreplicas: [{name: env, count: 1}]\n"), ("a.yaml", cm)],
            "kustomization.yaml:2: replicas[0]: no object with replicas has the name env",
            "",
        ),
        (
            &[("kustomization.yaml", "configMapGenerator:\n- name: a\n  behavior: merge\n  literals: [a=b]\n")],
            "kustomization.yaml:2: configMapGenerator[0]: there is no ConfigMap v1 a to merge with or replace",
            "behavior: create",
        ),
        (
            &[("kustomization.yaml", "secretGenerator:\n- name: a\n  literals:\n  - hunter2\n")],
            "kustomization.yaml:4: secretGenerator[0].literals[0]: must be key=value",
            "",
        ),
    ];
    for (files, message, hint) in cases {
        let error = error(files, files.first().map_or("", |(name, _)| name.split_once('/').map_or("", |(dir, _)| dir)));
        let text = error.to_string();
        assert!(text.contains(message), "expected {message}\n     got {text}");
        assert!(!text.contains("hunter2"), "{text}");
        assert!(error.hint.as_deref().unwrap_or_default().contains(hint), "{text}: {:?}", error.hint);
    }
}

/// Files that count what is asked of them.
struct Counted {
    files: MemoryFiles,
    reads: AtomicUsize,
}

impl Files for Counted {
    fn entry(&self, path: &RepoPath) -> Result<Entry, FilesError> {
        if path.as_str().ends_with("link") { Ok(Entry::Other) } else { self.files.entry(path) }
    }

    fn read(&self, path: &RepoPath) -> Result<Arc<[u8]>, FilesError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.files.read(path)
    }

    fn list(&self, directory: &RepoPath) -> Result<Vec<String>, FilesError> {
        self.files.list(directory)
    }

    fn content_id(&self, _: &RepoPath) -> Option<[u8; 20]> {
        None
    }
}

#[test]
fn a_part_says_what_would_make_it_differ_from_the_whole_and_the_whole_gives_its_share() {
    let mut files = tree(&STATE);
    let entry = path("projects/checkout");
    let project =
        |files: &MemoryFiles| kustomize::build_part(files, &RepoPath::root(), &|path| *path == entry, false, None);
    let share = |files: &MemoryFiles| {
        kustomize::build_together(files, &RepoPath::root(), 1, None).unwrap().entries.remove(&entry).unwrap()
    };
    let whole = |files: &MemoryFiles| kustomize::build(files, &RepoPath::root()).unwrap().objects;
    let root = "namespace: claude\nresources:\n- projects/checkout\n";
    let reads = "replacements:\n- source: {kind: Service, name: checkout-env}\n  targets:\n  - select: {kind: StatefulSet}\n    fieldPaths: [spec.serviceName]\n";
    files.insert(path("kustomization.yaml"), format!("{root}{reads}"));
    let reason = project(&files).together.unwrap();
    assert!(
        reason.to_string().starts_with("kustomization.yaml:5: replacements[0].source")
            && reason.to_string().contains("built apart"),
        "{reason}"
    );
    assert_eq!(share(&files), whole(&files));

    // A value that is written there is the same for each part.
    let constant = "replacements:\n- sourceValue: other\n  targets:\n  - select: {kind: StatefulSet}\n    fieldPaths: [spec.serviceName]\n";
    files.insert(path("kustomization.yaml"), format!("{root}{constant}"));
    let part = project(&files);
    assert_eq!(part.together, None);
    let objects = part.result.unwrap();
    assert!(kustomize::to_yaml(&objects).contains("serviceName: other"));
    assert_eq!(objects, whole(&files));

    // Within the overlay a replacement stays in its part; a variable would not.
    files.insert(path("kustomization.yaml"), root);
    files.insert(
        path("projects/checkout/kustomization.yaml"),
        format!("{OVERLAY}{}", reads.replace("checkout-env", "env")),
    );
    let part = project(&files);
    assert_eq!((part.together, part.result.unwrap()), (None, whole(&files)));
    let vars = "vars:\n- name: X\n  objref: {apiVersion: v1, kind: Service, name: env}\n";
    files.insert(path("projects/checkout/kustomization.yaml"), format!("{OVERLAY}{vars}"));
    let reason = project(&files).together.unwrap();
    assert!(reason.to_string().contains("variable X"), "{reason}");
    assert_eq!(share(&files), whole(&files));
}

#[test]
fn a_part_costs_what_it_holds_and_equals_its_share_of_the_whole() {
    let mut files = tree(&STATE);
    let mut root = "namespace: claude\nresources:\n- projects/broken\n- projects/checkout\n".to_owned();
    for number in 0..200 {
        let overlay = OVERLAY.replace("checkout", &format!("p{number}"));
        files.insert(path(&format!("projects/p{number}/kustomization.yaml")), overlay);
        root.push_str(&format!("- projects/p{number}\n"));
    }
    // Only some parts have what this is for.
    root.push_str("patches:\n- patch: |-\n    apiVersion: v1\n    kind: Service\n    metadata: {name: p7-env}\n    spec: {type: ClusterIP}\n");
    root.push_str("replicas: [{name: p7-env, count: 0}]\n");
    files.insert(path("projects/broken/kustomization.yaml"), "resources: [");
    files.insert(path("kustomization.yaml"), root.as_str());
    let files = Counted { files, reads: AtomicUsize::new(0) };
    let one = path("projects/checkout");

    let part = kustomize::build_part(&files, &RepoPath::root(), &|entry| *entry == one, false, None);
    let objects = part.result.unwrap();

    assert_eq!(files.reads.load(Ordering::Relaxed), 4, "root, overlay, and the base's two files");
    assert!(!part.inputs.contains(&path("projects/p1")));
    assert_eq!(kustomize::to_yaml(&objects), yaml(&STATE, ""));
    assert!(kustomize::build(&files, &RepoPath::root()).is_err(), "the broken overlay fails the whole");

    let mut whole = files.files.clone();
    whole.insert(path("kustomization.yaml"), root.replace("- projects/broken\n", ""));
    let all = kustomize::build(&whole, &RepoPath::root()).unwrap();
    assert_eq!(all.objects.len(), 6 * 201);
    for object in &objects {
        assert!(all.objects.contains(object), "{}", object.key);
    }
}

#[test]
fn every_path_that_decides_is_among_the_inputs() {
    let build: Build = kustomize::build(&tree(&STATE), &RepoPath::root()).unwrap();
    for name in
        ["kustomization.yaml", "kustomization.yml", "Kustomization", "base", "base/env.yaml", "projects/checkout"]
    {
        assert!(build.inputs.contains(&path(name)), "{name}");
    }
}

#[test]
fn resources_are_resolved_in_the_order_of_the_file() {
    let files = tree(&[("a/kustomization.yaml", "resources: [../c, b.yaml]\n"), ("a/b.yaml", ""), ("c/x", "")]);
    assert_eq!(kustomize::resources(&files, &path("a"), None).unwrap(), [path("c"), path("a/b.yaml")]);
}

#[test]
fn links_are_refused() {
    let files = Counted { files: tree(&[("kustomization.yaml", "resources: [link]\n")]), reads: AtomicUsize::new(0) };
    let error = kustomize::build(&files, &RepoPath::root()).unwrap_err();
    assert!(error.to_string().contains("never followed"), "{error}");
}

#[test]
fn trees_that_double_or_never_end_are_errors() {
    // Each directory names the next one twice, so the last would be entered 2^60 times.
    let mut doubling = MemoryFiles::default();
    for level in 0..60 {
        doubling.insert(
            path(&format!("d{level}/kustomization.yaml")),
            format!("resources: [../d{0}, ../d{0}]\n", level + 1),
        );
    }
    doubling.insert(path("d60/kustomization.yaml"), "components: []\nnamePrefix: x\n");
    assert!(kustomize::build(&doubling, &path("d0")).is_err());

    let mut chain = MemoryFiles::default();
    for level in 0..5000 {
        chain.insert(path(&format!("d{level}/kustomization.yaml")), format!("resources: [../d{}]\n", level + 1));
    }
    let failure = kustomize::build(&chain, &path("d0")).unwrap_err();
    assert!(failure.to_string().contains("build on one another"), "{failure}");

    let config_map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {a: b}\n";
    let wide: String = (0..64).map(|at| format!("    - {{op: copy, from: /data, path: /data/x{at}}}\n")).collect();
    let deep = "    - {op: copy, from: /data, path: /data/x}\n".repeat(50_000);
    for (operations, message) in [(wide, "copies make more"), (deep, "nested deeper")] {
        let kustomization =
            format!("resources: [a.yaml]\npatches:\n- target: {{kind: ConfigMap}}\n  patch: |-\n{operations}");
        let failure = error(&[("kustomization.yaml", &kustomization), ("a.yaml", config_map)], "");
        assert!(failure.to_string().contains(message), "{failure}");
    }
    let kustomization = format!(
        "resources: [a.yaml]\nlabels: [{{pairs: {{a: b}}, fields: [{{path: {}x, create: true}}]}}]\n",
        "x/".repeat(50_000)
    );
    let failure = error(&[("kustomization.yaml", &kustomization), ("a.yaml", config_map)], "");
    assert!(failure.to_string().contains("parts"), "{failure}");
}

fn any_kustomization() -> impl Strategy<Value = String> {
    let field = prop_oneof![
        Just("resources: [a.yaml]".to_owned()),
        Just("resources: [a.yaml, b, ../x, '']".to_owned()),
        Just("resources: [a.yaml]\nresources: 5".to_owned()),
        "namePrefix: [a-z{}'\"-]{0,5}",
        "namespace: [a-z.]{0,5}",
        "images: \\[\\{name: '[a-z(\\[*+?]{0,4}', newTag: \"[a-z0-9]{0,3}\"\\}\\]",
        "labels: \\[\\{pairs: \\{[a-z]{1,3}: [a-z1]{0,3}\\}, includeSelectors: (true|false|x), fields: \\[\\{path: '[a-z/\\[\\]]{0,12}', create: true\\}\\]\\}\\]",
        "patches: \\[\\{target: \\{kind: '[A-Za-z.*(]{0,9}'\\}, patch: '\\[\\{op: (add|remove|copy|move|test|x), path: [a-z0-9/~-]{0,12}, from: /spec, value: [a-z\\[\\]{}0-9]{0,5}\\}\\]'\\}\\]",
        "patches: \\[\\{patch: '\\{apiVersion: v1, kind: Pod, metadata: \\{name: (a|b)\\}, spec: \\{containers: \\[[a-z{}:$, ]{0,20}\\]\\}\\}'\\}\\]",
        "configMapGenerator: \\[\\{name: [a-z]{0,3}, literals: \\['[a-z=\"]{0,6}'\\], behavior: (merge|create|x)\\}\\]",
        "replicas: \\[\\{name: [a-z]{0,3}, count: [0-9a-z.-]{0,4}\\}\\]",
        "[a-zA-Z]{1,10}: [a-z\\[\\]{}0-9]{0,5}",
    ];
    prop::collection::vec(field, 0..5).prop_map(|fields| fields.join("\n"))
}

fn any_resource() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(
            "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: x, image: y}, {}]}\n"
                .to_owned()
        ),
        "apiVersion: v1\nkind: (Pod|List|Service|ConfigMap)\nmetadata: (\\{name: a\\}|\\[\\]|x|~)\nspec: [a-z{}\\[\\]:, ~]{0,20}\nitems: (\\[\\]|\\[\\{\\}\\]|x)\n",
        "[a-z:{}\\[\\] \n&*!|>-]{0,60}",
    ]
}

proptest! {
    #[test]
    fn building_hostile_input_never_panics(top in any_kustomization(), inner in any_kustomization(), a in any_resource(), b in any_resource()) {
        let files = tree(&[
            ("kustomization.yaml", &top),
            ("a.yaml", &a),
            ("b/kustomization.yaml", &inner),
            ("b/a.yaml", &b),
        ]);
        for directory in ["", "b", "c"] {
            match kustomize::build(&files, &path(directory)) {
                Ok(build) => drop(kustomize::to_yaml(&build.objects)),
                Err(error) => prop_assert!(!error.message.is_empty()),
            }
        }
    }
}
