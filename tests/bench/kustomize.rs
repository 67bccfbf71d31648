//! Figures of the kustomize engine, beside the real kustomize in the same run.
//!
//! ```text
//! go install sigs.k8s.io/kustomize/kustomize/v5@v5.8.2
//! cargo bench --bench kustomize -- --kustomize "$(go env GOPATH)/bin/kustomize" [--theirs 200] [--ours 10000]
//! ```
//! The tree is a base of four objects and overlays on it (prefix, labels with selectors, replicas, image, two patches, two
//! generators: six objects each), all under one root. Without `--kustomize` only the figures of this engine are taken. Sizes
//! go up to `--theirs` for the real one, whose time grows with the square of the overlays (1,000 take it minutes), and up to
//! `--ours` here. What the real one would take for more is told from its largest size by that square, and marked with `~`:
//! it was not measured.

#![allow(clippy::print_stdout, reason = "what it measures is all that it prints")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::num::NonZero;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use claude_manager::project::{Entry, Files, FilesError, RepoPath};
use kustomize::{self, Memo, Options};
use sha2::{Digest, Sha256};

/// The product's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SIZES: [usize; 7] = [1, 10, 50, 200, 1_000, 5_000, 10_000];
const FLEETS: [usize; 3] = [100, 1_000, 5_000];
const HERE: &str = match option_env!("CARGO_BIN_EXE_claude-manager") {
    Some(program) => program,
    None => "claude-manager",
};

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let value = |name: &str| words.iter().position(|word| word == name).and_then(|at| words.get(at + 1)).cloned();
    let number = |name: &str, otherwise: usize| value(name).and_then(|text| text.parse().ok()).unwrap_or(otherwise);
    let program = value("--kustomize");
    roots(program.as_deref(), number("--theirs", 200), number("--ours", 10_000));
    one_by_one();
    one_of_many();
    processes(program.as_deref());
}

/// All overlays from the root.
fn roots(program: Option<&str>, theirs: usize, ours: usize) {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    println!("all overlays from one root, text included (~: extrapolated by the square, not measured)");
    println!("overlays  one thread   {cores:3} threads  kustomize    times (one thread)");
    let mut largest: Option<(usize, Duration)> = None;
    for size in SIZES.into_iter().filter(|size| *size <= ours) {
        let files = tree(size);
        let runs = if size <= 1_000 { 5 } else { 2 };
        let time = |threads| {
            best(runs, || {
                let options = Options { threads, ..Options::default() };
                kustomize::build_yaml(&files, &RepoPath::root(), &options, None).map_or(0, |(text, _)| text.len())
            })
        };
        let (here, parallel) = (time(1), time(cores));
        let there = program.filter(|_| size <= theirs).map(|program| of_process(program, &files, ".").0);
        largest = there.map(|there| (size, there)).or(largest);
        let (mark, there) = match (there, largest) {
            (Some(there), _) => ("", Some(there)),
            (None, Some((known, took))) => ("~", Some(took.mul_f64((size as f64 / known as f64).powi(2)))),
            (None, None) => ("", None),
        };
        let there_text = there.map_or("-".to_owned(), |there| format!("{mark}{there:.2?}"));
        let times =
            there.map_or("-".to_owned(), |there| format!("{mark}{:.0}", there.as_secs_f64() / here.as_secs_f64()));
        let [here, parallel] = [here, parallel].map(|time| format!("{time:.2?}"));
        println!("{size:8}  {here:12} {parallel:12} {there_text:12} {times}");
    }
}

/// Overlays one after the other, on one core.
fn one_by_one() {
    let files = tree(1_000);
    let paths: Vec<RepoPath> = (0..1_000).map(project).collect();
    let memo = Memo::with_room(256 << 20);
    let rate = |memo: Option<&Memo>| {
        let took = best(3, || {
            let build = |path| kustomize::build_with(&files, path, &Options::default(), memo);
            paths.iter().filter(|path| build(path).is_ok()).count()
        });
        1_000.0 / took.as_secs_f64()
    };
    let cold = rate(None);
    rate(Some(&memo));
    println!(
        "overlays a second on one core: {cold:.0} with nothing remembered, {:.0} with all parsed",
        rate(Some(&memo))
    );
}

/// One overlay that was edited, as one part of its root.
fn one_of_many() {
    for size in FLEETS {
        let mut files = tree(size);
        let memo = Memo::default();
        let one = project(size / 2);
        let mut edits = 0;
        let build = |files: &Tree| {
            let part = kustomize::build_part(files, &RepoPath::root(), &|path| *path == one, false, Some(&memo));
            part.result.map_or(0, |objects| objects.len())
        };
        build(&files);
        let mut times: Vec<Duration> = (0..50)
            .map(|_| {
                edits += 1;
                let overlay = OVERLAY
                    .replace("NAME", &format!("p{}", size / 2))
                    .replace("cpu: \"2\"", &format!("cpu: \"{edits}\""));
                files.insert(&format!("projects/p{}/kustomization.yaml", size / 2), &overlay);
                let started = Instant::now();
                std::hint::black_box(build(&files));
                started.elapsed()
            })
            .collect();
        times.sort();
        println!("one edited overlay of {size}: {:.2?} median, {:.2?} worst of 50", times[25], times[49]);
    }
}

/// Whole processes: one small overlay, and the room that 5,000 of them take.
fn processes(program: Option<&str>) {
    let files = tree(1);
    let (here, _) = of_process(HERE, &files, "projects/p0");
    match program.map(|program| of_process(program, &files, "projects/p0").0) {
        Some(there) => {
            let times = there.as_secs_f64() / here.as_secs_f64();
            println!("a process for one overlay: {here:.2?}, kustomize {there:.2?}, {times:.1} times");
        }
        None => println!("a process for one overlay: {here:.2?}"),
    }
    let (took, peak) = of_process(HERE, &tree(5_000), ".");
    println!("a process for 5,000 overlays: {took:.2?}, at most {} MB", peak / 1024);
}

fn project(at: usize) -> RepoPath {
    RepoPath::parse(&format!("projects/p{at}")).unwrap_or_default()
}

fn best<T>(times: usize, mut run: impl FnMut() -> T) -> Duration {
    let one = |_| {
        let started = Instant::now();
        std::hint::black_box(run());
        started.elapsed()
    };
    (0..times).map(one).min().unwrap_or_default()
}

/// The best of some runs of a program in a directory with the files, and the most memory that it took, in kB.
fn of_process(program: &str, files: &Tree, directory: &str) -> (Duration, usize) {
    let Ok(place) = tempfile::tempdir() else { return (Duration::ZERO, 0) };
    for (path, (content, _)) in &files.files {
        let path = place.path().join(path.as_str());
        let _ = std::fs::create_dir_all(path.parent().unwrap_or(Path::new("/")));
        let _ = std::fs::write(path, content);
    }
    let runs = if files.files.len() > 100 { 1 } else { 5 };
    let mut peak = 0;
    let took = best(runs, || {
        let mut command = Command::new(program);
        command.args(["build", directory]).current_dir(place.path()).stdout(Stdio::null()).stderr(Stdio::null());
        let Ok(mut child) = command.spawn() else { return };
        let status = format!("/proc/{}/status", child.id());
        // Waiting in short steps would be measured, so that memory is looked at only where that does not show.
        while runs == 1 && matches!(child.try_wait(), Ok(None)) {
            let text = std::fs::read_to_string(&status).unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
            peak = peak.max(line.trim().trim_end_matches(" kB").parse().unwrap_or(0));
            std::thread::sleep(Duration::from_millis(1));
        }
        let _ = child.wait();
    });
    (took, peak)
}

/// Files in memory that know their directories and have ids, as a Git tree does.
#[derive(Default)]
struct Tree {
    files: BTreeMap<RepoPath, (Arc<[u8]>, [u8; 20])>,
    directories: BTreeSet<RepoPath>,
}

impl Tree {
    fn insert(&mut self, path: &str, text: &str) {
        let Ok(path) = RepoPath::parse(path) else { return };
        let mut directory = path.clone();
        while !directory.is_root() {
            directory = directory.parent();
            self.directories.insert(directory.clone());
        }
        let mut id = [0; 20];
        id.copy_from_slice(&Sha256::digest(text)[..20]);
        self.files.insert(path, (Arc::from(text.as_bytes()), id));
    }
}

impl Files for Tree {
    fn entry(&self, path: &RepoPath) -> Result<Entry, FilesError> {
        Ok(if self.files.contains_key(path) {
            Entry::File
        } else if self.directories.contains(path) {
            Entry::Directory
        } else {
            Entry::Missing
        })
    }

    fn read(&self, path: &RepoPath) -> Result<Arc<[u8]>, FilesError> {
        let found = self.files.get(path).map(|(content, _)| Arc::clone(content));
        found.ok_or_else(|| FilesError::Missing(path.clone()))
    }

    fn list(&self, _: &RepoPath) -> Result<Vec<String>, FilesError> {
        // No build asks for it.
        Ok(Vec::new())
    }

    fn content_id(&self, path: &RepoPath) -> Option<[u8; 20]> {
        self.files.get(path).map(|(_, id)| *id)
    }
}

fn tree(overlays: usize) -> Tree {
    let mut tree = Tree::default();
    let mut root = String::from("namespace: fleet\nresources:\n");
    tree.insert("base/kustomization.yaml", "resources:\n- objects.yaml\n");
    tree.insert("base/objects.yaml", OBJECTS);
    for at in 0..overlays {
        let _ = writeln!(root, "- projects/p{at}");
        tree.insert(&format!("projects/p{at}/kustomization.yaml"), &OVERLAY.replace("NAME", &format!("p{at}")));
    }
    tree.insert("kustomization.yaml", &root);
    tree
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
