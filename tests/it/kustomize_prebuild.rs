//! What is built apart, on several threads, or not at all because it is remembered, is what one build in order gives.

use std::fmt::Write as _;
use std::sync::Arc;

use claude_manager::project::{Entry, Files, FilesError, MemoryFiles, RepoPath};
use kustomize::{self, Memo, Options};
use proptest::prelude::*;
use sha2::{Digest, Sha256};

/// Files that have ids, as those of a Git tree have.
struct Identified(MemoryFiles);

impl Files for Identified {
    fn entry(&self, path: &RepoPath) -> Result<Entry, FilesError> {
        self.0.entry(path)
    }

    fn read(&self, path: &RepoPath) -> Result<Arc<[u8]>, FilesError> {
        self.0.read(path)
    }

    fn list(&self, directory: &RepoPath) -> Result<Vec<String>, FilesError> {
        self.0.list(directory)
    }

    fn content_id(&self, path: &RepoPath) -> Option<[u8; 20]> {
        let digest = Sha256::digest(self.0.read(path).ok()?);
        digest[..20].try_into().ok()
    }
}

fn path(text: &str) -> RepoPath {
    RepoPath::parse(text).unwrap()
}

/// Objects that name one another, and one that is generated.
const OBJECTS: &str = "\
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: env}
spec:
  template:
    spec:
      containers:
      - name: agent
        image: dev
        args: [$(HOST)]
        envFrom: [{configMapRef: {name: settings}}, {configMapRef: {name: shared}}, {secretRef: {name: keys}}]
---
apiVersion: v1
kind: Service
metadata: {name: env}
spec: {selector: {app: env}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: env}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: env}
subjects: [{kind: ServiceAccount, name: env, namespace: default}]
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: env}
";

/// What an overlay may say beside its resources; `NAME` is its own name.
const OVERLAY: [&str; 16] = [
    "namePrefix: NAME-\n",
    "nameSuffix: -NAME\n",
    "namespace: NAME\n",
    "labels: [{includeSelectors: true, pairs: {project: NAME}}]\n",
    "images: [{name: dev, newTag: NAME}]\n",
    "replicas: [{name: env, count: 2}]\n",
    "configMapGenerator: [{name: settings, literals: [A=NAME]}]\n",
    "secretGenerator: [{name: keys, literals: [A=NAME]}]\n",
    "patches: [{target: {kind: Service}, patch: '[{op: add, path: /spec/x, value: NAME}]'}]\n",
    "vars: [{name: HOST, objref: {apiVersion: v1, kind: Service, name: env}}]\n",
    "replacements: [{source: {kind: Service, name: env}, targets: [{select: {kind: StatefulSet}, fieldPaths: [spec.x], options: {create: true}}]}]\n",
    "components: [../../component]\n",
    "commonLabels: {app: NAME}\n",
    "configurations: [../../config.yaml]\n",
    "openapi: {path: ../../types.json}\n",
    "wrong: true\n",
];

/// What the root may say beside its resources.
const ROOT: [&str; 19] = [
    "namespace: team\n",
    "namePrefix: root-\n",
    "commonAnnotations: {a: b}\n",
    "labels: [{pairs: {fleet: x}}]\n",
    "replacements: [{source: {kind: Service, name: p1-env}, targets: [{select: {kind: StatefulSet}, fieldPaths: [spec.y], options: {create: true}}]}]\n",
    "replacements: [{sourceValue: z, targets: [{select: {kind: StatefulSet}, fieldPaths: [spec.y], options: {create: true}}]}]\n",
    "vars: [{name: HOST, objref: {apiVersion: v1, kind: ConfigMap, name: shared}}]\n",
    "configMapGenerator: [{name: shared, literals: [A=B]}]\n",
    "configMapGenerator: [{name: settings, behavior: merge, literals: [A=B]}]\n",
    "patches: [{patch: '{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: p2-env}, spec: {z: 1}}'}]\n",
    "replicas: [{name: p1-env, count: 7}]\n",
    "sortOptions: {order: fifo}\n",
    "buildMetadata: [originAnnotations, transformerAnnotations]\n",
    "components: [component]\n",
    "images: [{name: dev, newName: other}]\n",
    "configurations: [config.yaml]\n",
    // What reaches over the entries and nearly always builds.
    "replacements: [{source: {kind: Service, name: common}, targets: [{select: {kind: StatefulSet}, fieldPaths: [spec.y], options: {create: true}}]}]\n",
    "transformers: [count.yaml]\n",
    "generators: [more.yaml]\n",
];

/// Those of [`ROOT`] that one entry for itself does not see: trees with one of them, and little else that could be the
/// reason to build all together.
const REACHING: [usize; 5] = [8, 13, 16, 17, 18];

fn tree(overlays: &[Vec<usize>], root: &[usize]) -> MemoryFiles {
    let mut files = MemoryFiles::default();
    files.insert(path("base/kustomization.yaml"), "resources: [objects.yaml]\nconfigMapGenerator: [{name: own}]\n");
    files.insert(path("base/objects.yaml"), OBJECTS);
    files.insert(
        path("component/kustomization.yaml"),
        "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\ncommonAnnotations: {component: here}\n",
    );
    files.insert(path("config.yaml"), "images: [{path: spec/image, kind: Service}]\n");
    files.insert(path("types.json"), "{\"definitions\": {}}");
    files.insert(
        path("count.yaml"),
        "apiVersion: builtin\nkind: ReplicaCountTransformer\nmetadata: {name: count}\nreplica: {name: env, count: 9}\n\
         fieldSpecs: [{path: spec/replicas, create: true, kind: StatefulSet}]\n",
    );
    files.insert(
        path("more.yaml"),
        "apiVersion: builtin\nkind: ConfigMapGenerator\nmetadata: {name: p1-own}\nbehavior: merge\nliterals: [more=x]\n",
    );
    let mut text = "resources:\n- shared.yaml\n".to_owned();
    files.insert(path("shared.yaml"), "apiVersion: v1\nkind: Service\nmetadata: {name: common}\n");
    for (at, fields) in overlays.iter().enumerate() {
        let name = format!("p{at}");
        let mut overlay = "resources: [../../base]\n".to_owned();
        let fields: std::collections::BTreeSet<usize> = fields.iter().copied().collect();
        fields.iter().for_each(|field| overlay.push_str(&OVERLAY[*field].replace("NAME", &name)));
        files.insert(path(&format!("projects/{name}/kustomization.yaml")), overlay);
        let _ = writeln!(text, "- projects/{name}");
    }
    let mut said = std::collections::BTreeSet::new();
    for field in root {
        let (name, _) = ROOT[*field].split_once(':').unwrap();
        if said.insert(name) {
            text.push_str(ROOT[*field]);
        }
    }
    files.insert(path("kustomization.yaml"), text);
    files
}

/// Overlays that mostly have a prefix of their own, and rarely something odd.
fn any_overlay() -> impl Strategy<Value = Vec<usize>> {
    let usual = prop::collection::vec(1..9_usize, 0..4).prop_map(|mut fields| {
        fields.push(0);
        fields
    });
    prop_oneof![30 => usual, 1 => prop::collection::vec(0..OVERLAY.len() - 1, 0..4), 1 => Just(vec![0, OVERLAY.len() - 1])]
}

fn any_tree() -> impl Strategy<Value = MemoryFiles> {
    let root = prop_oneof![
        3 => prop::collection::vec(0..ROOT.len(), 0..3),
        1 => (0..REACHING.len()).prop_map(|at| vec![REACHING[at]]),
    ];
    let overlays = prop_oneof![3 => prop::collection::vec(any_overlay(), 10..14), 1 => Just(vec![vec![0]; 10])];
    (overlays, root).prop_map(|(overlays, root)| tree(&overlays, &root))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_remembered_of_other_trees_changes_nothing(trees in prop::collection::vec(any_tree(), 2)) {
        let memo = Memo::default();
        for tree in trees.iter().chain(&trees) {
            let tree = Identified(tree.clone());
            for threads in [1, 3] {
                let options = Options { threads, ..Options::default() };
                let fresh = kustomize::build(&tree, &RepoPath::root());
                let other = kustomize::build_with(&tree, &RepoPath::root(), &options, Some(&memo));
                match (fresh, other) {
                    (Ok(fresh), Ok(other)) => {
                        prop_assert_eq!(kustomize::to_yaml(&fresh.objects), kustomize::to_yaml(&other.objects));
                        prop_assert_eq!(&fresh.warnings, &other.warnings);
                        prop_assert_eq!(&fresh.inputs, &other.inputs);
                    }
                    (Err(fresh), Err(other)) => prop_assert_eq!(fresh, other),
                    (fresh, other) => prop_assert!(false, "{fresh:?} and {other:?}"),
                }
            }
        }
    }

    #[test]
    fn parts_that_reach_over_nothing_are_their_shares_of_the_whole(files in any_tree()) {
        let root = RepoPath::root();
        let Ok(whole) = kustomize::build(&files, &root) else { return Ok(()) };
        let is_project = |path: &RepoPath| path.as_str().starts_with("projects/");
        let together = kustomize::build_together(&files, &root, 2, None).unwrap();
        let base = kustomize::build_part(&files, &root, &|path| !is_project(path), true, None);
        let mut shares = vec![(together.own.clone(), base)];
        for (path, objects) in &together.entries {
            if is_project(path) {
                shares.push((objects.clone(), kustomize::build_part(&files, &root, &|one| one == path, false, None)));
            } else {
                shares[0].0.extend(objects.iter().cloned());
            }
        }
        let sum: usize = shares.iter().map(|(share, _)| share.len()).sum();
        prop_assert_eq!(sum, whole.objects.len());
        // As for the units of a fleet: one that reaches further, or two that meet, and all are built together.
        let apart = shares.iter().all(|(_, part)| part.together.is_none())
            && shares.iter().enumerate().all(|(at, (_, one))| {
                shares[..at].iter().all(|(_, other)| !one.names.meet(&other.names))
            });
        if apart {
            for (share, part) in shares {
                let mut share = share;
                let mut objects = part.result.unwrap();
                share.sort_by(|a, b| a.key.cmp(&b.key));
                objects.sort_by(|a, b| a.key.cmp(&b.key));
                prop_assert_eq!(objects, share);
            }
        }
    }

    #[test]
    fn several_threads_give_what_one_gives(files in any_tree()) {
        let build = |threads, memo| {
            let options = Options { threads, ..Options::default() };
            kustomize::build_with(&files, &RepoPath::root(), &options, memo)
        };
        let memo = Memo::default();
        let one = build(1, None);
        for other in [build(3, None), build(3, Some(&memo)), build(1, Some(&memo))] {
            match (&one, other) {
                (Ok(one), Ok(other)) => {
                    prop_assert_eq!(kustomize::to_yaml(&one.objects), kustomize::to_yaml(&other.objects));
                    prop_assert_eq!(&one.warnings, &other.warnings);
                    prop_assert_eq!(&one.inputs, &other.inputs);
                    let options = Options { threads: 3, ..Options::default() };
                    let printed = kustomize::build_yaml(&files, &RepoPath::root(), &options, None).unwrap();
                    prop_assert_eq!(printed, (kustomize::to_yaml(&one.objects), one.warnings.clone()));
                }
                (Err(one), Err(other)) => prop_assert_eq!(one, &other),
                (one, other) => prop_assert!(false, "{one:?} and {other:?}"),
            }
        }
    }
}
