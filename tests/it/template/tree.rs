//! State repositories made from the template, and what comes of building them.

use std::fs;
use std::path::Path;
use std::process::Command;

use claude_manager::project::{MemoryFiles, RepoPath};
use kustomize::{self, Build};
use serde_json::Value;
use tempfile::TempDir;

use crate::control_plane::{binaries, skipped, text_of};

/// An overlay with every field that a project made through the API can have.
pub(super) fn overlay(name: &str) -> String {
    OVERLAY.replace("NAME", name)
}

const OVERLAY: &str = r#"# Project NAME. Edit here or through Claude Manager: comments and layout are kept.
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources:
- ../../base
namePrefix: NAME-
labels:
- includeSelectors: true
  pairs:
    claude-manager.io/project: NAME
images:
- name: claude-dev-env
  newName: registry.example/claude-dev-env
  newTag: "1.2"
replicas:
- name: env
  count: 1
configMapGenerator:
- name: env
  behavior: merge
  literals:
  - GIT_REPOSITORY=https://git.example/team/NAME.git
  - GIT_BRANCH=main
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
        claude-manager.io/display-name: The NAME
        claude-manager.io/created-at: "2026-11-24T03:00:00Z"
        claude-manager.io/jira-issue: ABC-1
    spec:
      template:
        spec:
          containers:
          - name: agent
            resources:
              requests:
                cpu: "1"
                memory: 2Gi
              limits:
                cpu: "1"
                memory: 2Gi
          volumes:
          - name: project-secrets
            secret:
              secretName: NAME-secrets
- target:
    kind: PersistentVolumeClaim
    name: workspace
  patch: |-
    apiVersion: v1
    kind: PersistentVolumeClaim
    metadata:
      name: workspace
    spec:
      resources:
        requests:
          storage: 40Gi
"#;

/// A project that somebody wrote by hand: other order, JSON patches, a patch in a file of its own, a component.
pub(super) const BY_HAND: &str = r#"apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namePrefix: lab-
labels:
  - pairs: {claude-manager.io/project: lab}
    includeSelectors: true
resources: [../../base]
components:
  - ../../components/sudo
  - ../../components/without-ide
replicas: [{name: env, count: 0}]
patches:
  - path: secrets-reference.yaml
  - target: {kind: PersistentVolumeClaim}
    patch: |
      - op: add
        path: /spec/storageClassName
        value: fast-ssd
"#;

pub(super) const BY_HAND_PATCH: &str = "apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: env
spec:
  template:
    spec:
      volumes:
        - {name: project-secrets, secret: {secretName: lab-secrets}}
";

/// A state repository made from the template, with these projects.
pub(super) fn state_repository(namespace: &str, projects: &[(&str, &str)]) -> TempDir {
    let tree = TempDir::new().unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR"));
    copy(&source.join("state-repo-template"), tree.path());
    copy(&source.join("kustomize/base"), &tree.path().join("base"));
    copy(&source.join("kustomize/components"), &tree.path().join("components"));
    let mut lines = String::new();
    for (name, overlay) in projects {
        let directory = tree.path().join("projects").join(name);
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("kustomization.yaml"), overlay).unwrap();
        lines += &format!("\n- projects/{name}");
    }
    edit(tree.path(), "kustomization.yaml", "namespace: claude-manager", &format!("namespace: {namespace}"));
    if !projects.is_empty() {
        edit(tree.path(), "kustomization.yaml", "- agent-keys.yaml", &format!("- agent-keys.yaml{lines}"));
    }
    tree
}

/// Two projects as the API writes them, and one by hand.
pub(super) fn three_projects() -> TempDir {
    let tree = state_repository(
        "claude-manager",
        &[("checkout", &overlay("checkout")), ("lab", BY_HAND), ("search", &overlay("search"))],
    );
    fs::write(tree.path().join("projects/lab/secrets-reference.yaml"), BY_HAND_PATCH).unwrap();
    tree
}

/// Replaces one text in one file, which must have it.
pub(super) fn edit(tree: &Path, file: &str, old: &str, new: &str) {
    let path = tree.join(file);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(old), "{file} has no {old:?}");
    fs::write(path, text.replace(old, new)).unwrap();
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A YAML block of the template's README.
pub(super) fn readme_example(number: usize) -> &'static str {
    let readme = include_str!("../../../state-repo-template/README.md");
    readme.split("```yaml\n").nth(number + 1).and_then(|rest| rest.split("```").next()).unwrap()
}

/// What `kubectl kustomize` prints for a directory of the tree; `None` where there is no kubectl.
pub(super) fn stock(tree: &Path, directory: &str) -> Option<String> {
    match binaries() {
        Ok(binaries) => {
            let output = Command::new(binaries.join("kubectl")).arg("kustomize").arg(tree.join(directory)).output();
            Some(text_of(output.unwrap()))
        }
        Err(reason) => {
            skipped(reason);
            None
        }
    }
}

/// What our own engine makes of a directory of the tree. `the_engine_gives_the_bytes_of_stock_kustomize` holds it to
/// stock kustomize, so that the other tests need nothing else on the machine.
pub(super) fn objects(tree: &Path, directory: &str) -> Vec<Value> {
    engine(tree, directory).objects.into_iter().map(|object| object.value).collect()
}

pub(super) fn engine(tree: &Path, directory: &str) -> Build {
    let mut files = MemoryFiles::default();
    read(tree, &RepoPath::root(), &mut files);
    let directory = if directory == "." { RepoPath::root() } else { RepoPath::parse(directory).unwrap() };
    kustomize::build(&files, &directory).unwrap()
}

fn read(from: &Path, path: &RepoPath, files: &mut MemoryFiles) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let path = path.join(entry.file_name().to_str().unwrap()).unwrap();
        if entry.file_type().unwrap().is_dir() {
            read(&entry.path(), &path, files);
        } else {
            files.insert(path, fs::read(entry.path()).unwrap());
        }
    }
}

pub(super) fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects.iter().filter(|object| object["kind"] == kind).collect()
}

pub(super) fn only<'a>(objects: &'a [Value], kind: &str) -> &'a Value {
    let found = of_kind(objects, kind);
    assert_eq!(found.len(), 1, "{kind}");
    found[0]
}

pub(super) fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}
