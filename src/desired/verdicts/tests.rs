use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::desired::SecretFile;
use crate::project::{
    ChangeSet, FilesError, GitUrl, Identified, Image, Intent, MemoryFiles, NewProject, Overlaid, Quantity, Reason,
    Resources,
};

fn path(text: &str) -> RepoPath {
    RepoPath::parse(text).unwrap()
}

fn name(text: &str) -> ProjectName {
    ProjectName::parse(text).unwrap()
}

fn unit(text: &str) -> Unit {
    Unit::Project(name(text))
}

fn no_key(_: &str) -> Result<SecretFile, String> {
    Err("there is no key".to_owned())
}

/// A tree of projects, as the API makes them.
fn tree(projects: &[&str]) -> Identified {
    let mut tree = MemoryFiles::default();
    let mut take = |changes: ChangeSet| {
        for (path, content) in changes.0 {
            tree.insert(path, content.unwrap());
        }
        tree.clone()
    };
    let mut now = take(crate::edit::seed::seed("team", "age1example"));
    for project in projects {
        now = take(created(&now, project));
    }
    Identified(now)
}

fn created(files: &dyn Files, project: &str) -> ChangeSet {
    let new = NewProject {
        short_name: name(project),
        name: project.to_owned(),
        git_repository: GitUrl::parse("https://git.example/x").unwrap(),
        git_branch: None,
        image: Image::parse("dev:1").unwrap(),
        resources: Resources::default(),
        workspace_size: Quantity::parse("1Gi").unwrap(),
        config_size: Quantity::parse("1Gi").unwrap(),
        storage_class: None,
        jira_issue: None,
        created_at: "2026-11-24T00:00:00Z".to_owned(),
        secrets: BTreeMap::new(),
    };
    crate::edit::apply(files, &Intent::Create(Box::new(new)), None, &Memo::default()).unwrap()
}

fn replaced(files: &dyn Files, file: &str, old: &str, new: &str) -> ChangeSet {
    let text = String::from_utf8(files.read(&path(file)).unwrap().to_vec()).unwrap();
    assert!(text.contains(old), "{file} has no {old}: {text}");
    let mut changes = ChangeSet::default();
    changes.write(path(file), text.replace(old, new));
    changes
}

/// What refuses `changes` of `before`, when only the named project is touched.
fn refused(before: &dyn Files, changes: &ChangeSet, touched: &str) -> Vec<(String, String)> {
    let after = Overlaid { base: before, changes };
    let (reader, policy) = (Reader::new(Arc::default()), Policy::default());
    let (old, new) = (reader.root(before).unwrap(), reader.root(&after).unwrap());
    let old = Verdicts::new(&reader, before, &old, &policy, &no_key);
    let new = Verdicts::new(&reader, &after, &new, &policy, &no_key);
    let found = judge_change(Some(&old), &new, &[(unit(touched), true)].into());
    found.into_iter().map(|(unit, error)| (unit.to_string(), error.message)).collect()
}

#[test]
fn a_root_is_read_again_only_when_it_is_another() {
    let mut files = Identified(MemoryFiles::default());
    files.0.insert(path("kustomization.yaml"), "resources: [projects/a, projects/b, base]\n");
    let reader = Reader::new(Arc::default());
    let projects = |root: &Root| root.projects().iter().map(|name| name.as_str().to_owned()).collect::<Vec<_>>();
    let first = reader.root(&files).unwrap();
    assert_eq!(projects(&first), ["a", "b"]);
    let mut changes = ChangeSet::default();
    changes.write(path("projects/a/kustomization.yaml"), "resources: [../../base]\n");
    let edited = Overlaid { base: &files, changes: &changes };
    assert!(Arc::ptr_eq(&first, &reader.root(&edited).unwrap()));

    let mut changes = ChangeSet::default();
    changes.write(path("kustomization.yaml"), "resources: [projects/b]\n");
    assert_eq!(projects(&reader.root(&Overlaid { base: &files, changes: &changes }).unwrap()), ["b"]);
    assert_eq!(projects(&reader.root(&files).unwrap()), ["a", "b"], "it was not stored");
    let mut changes = ChangeSet::default();
    changes.write(path("Kustomization"), "resources: []\n");
    assert!(reader.root(&Overlaid { base: &files, changes: &changes }).is_err(), "there are two");
    files.0.insert(path("kustomization.yaml"), "resources: [projects/c]\n");
    assert_eq!(projects(&reader.root(&files).unwrap()), ["c"]);
}

#[test]
fn a_listed_directory_that_is_missing_is_its_own_units_error() {
    let mut files = tree(&["one"]);
    let root = replaced(&files, "kustomization.yaml", "- projects/one\n", "- projects/gone\n- projects/one\n");
    files.0.insert(path("kustomization.yaml"), root.0.into_values().next().unwrap().unwrap());
    let (reader, policy) = (Reader::new(Arc::default()), Policy::default());
    let root = reader.root(&files).unwrap();
    let verdicts = Verdicts::new(&reader, &files, &root, &policy, &no_key);
    let error = verdicts.of(&unit("gone")).unwrap_err();
    assert!(error.reason == Reason::RenderFailed && error.message.contains("projects/gone does not exist"), "{error}");
    assert!(verdicts.of(&unit("one")).is_ok() && verdicts.of(&Unit::Base).is_ok());
}

#[test]
fn an_object_with_another_units_name_is_refused_whoever_comes_later() {
    // `a` takes a name that a project `a-b` would have; the one who comes then is refused for what it does to `a`.
    let mut files = tree(&["a", "other"]);
    let note = "apiVersion: v1\nkind: ServiceAccount\nmetadata:\n  name: b-env\n";
    files.0.insert(path("projects/a/note.yaml"), note);
    let overlay = replaced(&files, "projects/a/kustomization.yaml", "- ../../base", "- ../../base\n- note.yaml");
    files.0.insert(path("projects/a/kustomization.yaml"), overlay.0.into_values().next().unwrap().unwrap());
    assert_eq!(refused(&files, &ChangeSet::default(), "a"), []);

    let found = refused(&files, &created(&files, "a-b"), "a-b");
    let [(of, message)] = found.as_slice() else { panic!("{found:?}") };
    assert!(of == "a" && message.contains("a-b-env also belongs to a-b; rename one of them"), "{message}");
    assert_eq!(refused(&files, &created(&files, "a-c"), "a-c"), []);

    // And with the base: the project keeps what has its name.
    let mut files = tree(&["a"]);
    let shared =
        "apiVersion: v1\nkind: ServiceAccount\nmetadata:\n  name: b-env\n  labels: {claude-manager.io/scope: base}\n";
    files.0.insert(path("shared.yaml"), shared);
    let root = replaced(&files, "kustomization.yaml", "resources:\n", "resources:\n- shared.yaml\n");
    files.0.insert(path("kustomization.yaml"), root.0.into_values().next().unwrap().unwrap());
    let found = refused(&files, &created(&files, "b"), "b");
    assert!(found.len() == 1 && found[0].0 == "(base)" && found[0].1.contains("also belongs to b"), "{found:?}");
}

#[test]
fn a_claim_that_gets_another_name_is_refused_and_one_that_comes_beside_it_is_not() {
    let files = tree(&["a"]);
    let more = "- target: {kind: PersistentVolumeClaim, name: workspace}\n  patch: |-\n    - {op: replace, path: /metadata/name, value: work}\n";
    let text = "patches:\n";
    let renamed = replaced(&files, "projects/a/kustomization.yaml", text, &format!("{text}{more}"));
    let found = refused(&files, &renamed, "a");
    assert!(found.iter().any(|(_, message)| message.contains("a-workspace")), "{found:?}");

    let mut added = replaced(&files, "projects/a/kustomization.yaml", "- ../../base", "- ../../base\n- cache.yaml");
    let cache = "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata:\n  name: cache\nspec:\n  accessModes: [ReadWriteOnce]\n  \
                 resources: {requests: {storage: 1Gi}}\n";
    added.write(path("projects/a/cache.yaml"), cache);
    assert_eq!(refused(&files, &added, "a"), []);
}

/// Counts the paths that are read.
struct Counted<'a>(&'a dyn Files, AtomicUsize);

impl Files for Counted<'_> {
    fn entry(&self, path: &RepoPath) -> Result<Entry, FilesError> {
        self.0.entry(path)
    }

    fn read(&self, path: &RepoPath) -> Result<Arc<[u8]>, FilesError> {
        self.1.fetch_add(1, Ordering::SeqCst);
        self.0.read(path)
    }

    fn list(&self, directory: &RepoPath) -> Result<Vec<String>, FilesError> {
        self.0.list(directory)
    }

    fn content_id(&self, path: &RepoPath) -> Option<[u8; 20]> {
        self.0.content_id(path)
    }
}

#[test]
fn what_a_verdict_costs_does_not_grow_with_the_fleet() {
    let reads = |projects: &[&str]| {
        let files = tree(projects);
        let (reader, policy) = (Reader::new(Arc::default()), Policy::default());
        let counted = Counted(&files, AtomicUsize::new(0));
        let root = reader.root(&counted).unwrap();
        Verdicts::new(&reader, &counted, &root, &policy, &no_key).of(&unit("p-one")).unwrap();
        counted.1.load(Ordering::SeqCst)
    };
    let few = reads(&["p-one", "p-two"]);
    assert_eq!(reads(&["p-one", "p-two", "p-three", "p-four", "p-five", "p-six", "q"]), few);
}
