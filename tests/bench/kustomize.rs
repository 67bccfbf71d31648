//! Figures of the kustomize engine, beside the real kustomize in the same run.
//!
//! ```text
//! go install sigs.k8s.io/kustomize/kustomize/v5@v5.8.2
//! cargo bench --bench kustomize -- --kustomize "$(go env GOPATH)/bin/kustomize" [--theirs 200] [--ours 10000]
//! ```
//! The tree is a base of six objects and overlays on it (prefix, labels with selectors, replicas, image, two patches, two
//! generators), all under one root. Without `--kustomize` only the figures of this engine are taken. Sizes go up to
//! `--theirs` for the real one, whose time grows with the square of the overlays, and up to `--ours` here.

#![allow(clippy::print_stdout, reason = "what it measures is all that it prints")]

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use claude_manager::kustomize;
use claude_manager::project::{Entry, Files, FilesError, MemoryFiles, RepoPath};

const SIZES: [usize; 7] = [1, 10, 50, 200, 1_000, 5_000, 10_000];

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let value = |name: &str| words.iter().position(|word| word == name).and_then(|at| words.get(at + 1)).cloned();
    let number = |name: &str, otherwise: usize| value(name).and_then(|text| text.parse().ok()).unwrap_or(otherwise);
    let program = value("--kustomize");
    let (theirs, ours) = (number("--theirs", 50), number("--ours", 1_000));

    println!("overlays  here         kustomize    times");
    for size in SIZES.into_iter().filter(|size| *size <= ours) {
        let files = tree(size);
        let here = best(if size <= 1_000 { 5 } else { 1 }, || {
            let build = kustomize::build(&files, &RepoPath::root());
            build.map_or_else(|error| error.to_string().len(), |build| kustomize::to_yaml(&build.objects).len())
        });
        let there = program.as_ref().filter(|_| size <= theirs).map(|program| of_process(program, &files, "."));
        let (there_text, times) = match there {
            Some(there) => (format!("{there:.2?}"), format!("{:.0}", there.as_secs_f64() / here.as_secs_f64())),
            None => ("-".to_owned(), "-".to_owned()),
        };
        println!("{size:8}  {:12} {there_text:12} {times}", format!("{here:.2?}"));
    }

    let files = tree(1_000);
    let paths: Vec<RepoPath> = (0..1_000).filter_map(|at| RepoPath::parse(&format!("projects/p{at}")).ok()).collect();
    let started = Instant::now();
    let built = paths.iter().filter(|path| kustomize::build(&files, path).is_ok()).count();
    println!("one by one: {:.0} overlays a second", built as f64 / started.elapsed().as_secs_f64());

    let files = tree(5_000);
    if let Ok(one) = RepoPath::parse("projects/p2500") {
        let took = best(20, || {
            let part = kustomize::build_part(&files, &RepoPath::root(), &|path| *path == one, false, None);
            part.result.map_or(0, |objects| objects.len())
        });
        println!("one overlay of 5,000, with the fields of the root: {took:.2?}");
    }

    let files = tree(1);
    let here =
        of_process(option_env!("CARGO_BIN_EXE_claude-manager").unwrap_or("claude-manager"), &files, "projects/p0");
    println!("a process for one overlay: {here:.2?} here");
    if let Some(program) = program {
        println!("a process for one overlay: {:.2?} with kustomize", of_process(&program, &files, "projects/p0"));
    }
}

fn best<T>(times: usize, mut run: impl FnMut() -> T) -> Duration {
    let one = |_| {
        let started = Instant::now();
        std::hint::black_box(run());
        started.elapsed()
    };
    (0..times).map(one).min().unwrap_or_default()
}

/// The best of three runs of a program in a directory with the files.
fn of_process(program: &str, files: &Tree, directory: &str) -> Duration {
    let Ok(place) = tempfile::tempdir() else { return Duration::ZERO };
    for (path, content) in files.0.iter() {
        let path = place.path().join(path.as_str());
        let _ = std::fs::create_dir_all(path.parent().unwrap_or(Path::new("/")));
        let _ = std::fs::write(path, content);
    }
    let runs = if files.0.iter().count() > 200 { 1 } else { 3 };
    best(runs, || {
        let mut command = Command::new(program);
        command.args(["build", directory]).current_dir(place.path()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    })
}

/// Files in memory that know their directories, as a Git tree does.
struct Tree(MemoryFiles, std::collections::BTreeSet<RepoPath>);

impl Files for Tree {
    fn entry(&self, path: &RepoPath) -> Result<Entry, FilesError> {
        if self.1.contains(path) { Ok(Entry::Directory) } else { self.file(path) }
    }

    fn read(&self, path: &RepoPath) -> Result<std::sync::Arc<[u8]>, FilesError> {
        self.0.read(path)
    }

    fn list(&self, directory: &RepoPath) -> Result<Vec<String>, FilesError> {
        self.0.list(directory)
    }

    fn content_id(&self, _: &RepoPath) -> Option<[u8; 20]> {
        None
    }
}

impl Tree {
    fn file(&self, path: &RepoPath) -> Result<Entry, FilesError> {
        // A missing path would be looked for among all others to see whether it is a directory.
        let name = path.as_str();
        let known =
            name.ends_with("kustomization.yaml") || name.ends_with("objects.yaml") || name.ends_with("volume.yaml");
        if known { self.0.entry(path) } else { Ok(Entry::Missing) }
    }
}

fn tree(overlays: usize) -> Tree {
    let mut files = MemoryFiles::default();
    let mut directories = std::collections::BTreeSet::from([RepoPath::root()]);
    let mut add = |path: &str, text: &str| {
        if let Ok(path) = RepoPath::parse(path) {
            files.insert(path, text);
        }
    };
    let mut root = String::from("namespace: fleet\nresources:\n");
    add("base/kustomization.yaml", "resources:\n- objects.yaml\n");
    add("base/objects.yaml", OBJECTS);
    for at in 0..overlays {
        let _ = writeln!(root, "- projects/p{at}");
        add(&format!("projects/p{at}/kustomization.yaml"), &OVERLAY.replace("NAME", &format!("p{at}")));
        directories.extend(RepoPath::parse(&format!("projects/p{at}")));
    }
    add("kustomization.yaml", &root);
    directories.extend(RepoPath::parse("base"));
    directories.extend(RepoPath::parse("projects"));
    Tree(files, directories)
}

const OVERLAY: &str = "\
resources:
- ../../base
namePrefix: NAME-
labels:
- includeSelectors: true
  pairs: {example.com/project: NAME}
replicas:
- {name: env, count: 1}
images:
- {name: env-image, newName: registry.example.com/env, newTag: \"3\"}
configMapGenerator:
- {name: settings, literals: [REPOSITORY=https://example.com/NAME.git, BRANCH=main]}
secretGenerator:
- {name: keys, literals: [token=NAME]}
patches:
- patch: |-
    apiVersion: apps/v1
    kind: StatefulSet
    metadata: {name: env, annotations: {example.com/name: NAME}}
    spec:
      template:
        spec:
          containers:
          - name: agent
            resources: {limits: {cpu: \"2\", memory: 4Gi}}
- target: {kind: PersistentVolumeClaim}
  patch: |-
    - {op: replace, path: /spec/resources/requests/storage, value: 20Gi}
";

const OBJECTS: &str = "\
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: env, labels: {app: env}}
spec:
  serviceName: env
  selector: {matchLabels: {app: env}}
  template:
    metadata: {labels: {app: env}}
    spec:
      containers:
      - name: agent
        image: env-image
        envFrom: [{configMapRef: {name: settings}}]
        ports: [{containerPort: 8080, name: http}]
        volumeMounts: [{name: data, mountPath: /data}]
      - name: ide
        image: env-image
      volumes:
      - {name: data, persistentVolumeClaim: {claimName: data}}
      - {name: keys, secret: {secretName: keys}}
---
apiVersion: v1
kind: Service
metadata: {name: env}
spec: {clusterIP: None, selector: {app: env}, ports: [{port: 8080}]}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 10Gi}}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: env}
spec: {podSelector: {matchLabels: {app: env}}, ingress: [{from: [{podSelector: {matchLabels: {app: manager}}}]}]}
";
