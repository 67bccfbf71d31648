//! Parts of a root that are built apart, and what a build looked at.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use claude_manager::project::{Entry, Files, FilesError};

use super::*;

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
